//! Two things at once on one task: until both end, or until the first does.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Which of two futures ended first.
pub enum First<A, B> {
    /// The left one.
    Left(A),
    /// The right one.
    Right(B),
}

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

/// Runs both until one has ended, and leaves the other where it stands.
pub async fn first<A: Future + Unpin, B: Future + Unpin>(left: &mut A, right: &mut B) -> First<A::Output, B::Output> {
    poll_fn(|cx| {
        if let Poll::Ready(out) = std::pin::Pin::new(&mut *left).poll(cx) {
            return Poll::Ready(First::Left(out));
        }
        if let Poll::Ready(out) = std::pin::Pin::new(&mut *right).poll(cx) {
            return Poll::Ready(First::Right(out));
        }
        Poll::Pending
    })
    .await
}
