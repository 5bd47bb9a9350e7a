//! Two things at once on one task, until both end.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Runs both until both have ended.
pub async fn both<A: Future, B: Future>(left: A, right: B) -> (A::Output, B::Output) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut l, mut r) = (None, None);
    poll_fn(|cx| {
        if l.is_none()
            && let Poll::Ready(out) = left.as_mut().poll(cx)
        {
            l = Some(out);
        }
        if r.is_none()
            && let Poll::Ready(out) = right.as_mut().poll(cx)
        {
            r = Some(out);
        }
        if l.is_some() && r.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (l.expect("ended"), r.expect("ended"))
}
