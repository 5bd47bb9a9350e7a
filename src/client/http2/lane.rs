//! A lane: takes requests out of its pipe as HTTP/1.1, sends each as a stream, and puts the answers in.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;

use super::connection::{Seat, Shared};
use super::reply::reply;
use super::request::{Sent, send_body};
use super::switch::switch;
use crate::http::Framing;
use crate::http1::{Limits, parse_request};
use crate::net::{Link, Stream, Told};

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Request and answer are whole: the pipe can carry another.
    Whole,
    /// The answer is whole, the request isn't, or whoever asked has left.
    Early,
    /// The endpoint didn't process the request (RFC 9113 section 8.7).
    Refused,
    /// The same, and it takes no more on this connection (section 6.8).
    Goodbye,
    /// The endpoint doesn't switch to other protocols.
    Unsupported,
    /// It broke off.
    Broken,
}

/// Carries requests until the pipe is closed, or the connection takes no more.
pub(super) async fn lane(seat: Seat, far: Link, limits: Limits) {
    let mut buf = Vec::with_capacity(BUFFER);
    let mut ended = Ended::Whole;
    while ended == Ended::Whole
        && let Some(sender) = seat.shared.sender()
        && read_head(&seat, &far, &mut buf, &limits).await
    {
        let busy = &seat.shared.busy;
        busy.set(busy.get() + 1);
        let switches = seat.shared.requests.borrow().head.connection.upgrade;
        ended = if switches {
            let head = seat.shared.requests.borrow().head.clone();
            Box::pin(switch(sender, &seat.shared, &far, &mut buf, &head)).await
        } else {
            Box::pin(stream(sender, &seat.shared, &far, &mut buf, &limits)).await
        };
        busy.set(busy.get() - 1);
        if switches {
            break;
        }
        if ended == Ended::Goodbye {
            seat.shared.retire();
        }
    }
    match ended {
        Ended::Refused | Ended::Goodbye => far.tell(Told::Unprocessed),
        Ended::Unsupported => far.tell(Told::Unsupported),
        Ended::Broken => far.reset_on_close(),
        Ended::Whole | Ended::Early => {}
    }
}

/// Receives a request's head; whether one came. It is the connection's until another lane reads one, so that it has to be used at once.
async fn read_head(seat: &Seat, far: &Link, buf: &mut Vec<u8>, limits: &Limits) -> bool {
    let limits = Limits { head: usize::MAX, headers: usize::MAX, uri: usize::MAX, ..*limits };
    loop {
        if !buf.is_empty() {
            let head = &mut seat.shared.requests.borrow_mut().head;
            head.take_id(buf);
            match parse_request(buf, &limits, head) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(_) => return false,
            }
        }
        let mut receiving = pin!(far.recv(std::mem::take(buf)));
        let received = poll_fn(|cx| match receiving.as_mut().poll(cx) {
            Poll::Pending => seat.poll_closed(cx).map(|()| None),
            ready => ready.map(Some),
        });
        let Some((received, back)) = received.await else { return false };
        *buf = back;
        if !received.is_ok_and(|count| count > 0) {
            return false;
        }
    }
}

/// Opens a stream by this request, which is all there is to send if it is `whole`; or why there is none.
pub(super) async fn open(
    mut sender: SendRequest<Bytes>,
    far: &Link,
    request: Request<()>,
    whole: bool,
) -> Result<(ResponseFuture, SendStream<Bytes>), Ended> {
    // The endpoint may allow fewer streams than the core uses: they wait.
    let mut left = pin!(far.left());
    let ready = poll_fn(|cx| {
        if left.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        sender.poll_ready(cx).map(Some)
    });
    match ready.await {
        None => return Err(Ended::Early),
        Some(Err(_)) => return Err(Ended::Goodbye),
        Some(Ok(())) => {}
    }
    sender.send_request(request, whole).map_err(|error| if error.is_io() { Ended::Broken } else { Ended::Goodbye })
}

async fn stream(sender: SendRequest<Bytes>, shared: &Shared, far: &Link, buf: &mut Vec<u8>, limits: &Limits) -> Ended {
    let (request, method, framing) = {
        let requests = &mut *shared.requests.borrow_mut();
        let Some(request) = requests.request(buf, shared.secure.get()) else { return Ended::Broken };
        buf.drain(..requests.head.length);
        (request, requests.head.method, requests.head.framing)
    };
    let bodiless = matches!(framing, Framing::None | Framing::Length(0));
    let (response, send) = match open(sender, far, request, bodiless).await {
        Ok(both) => both,
        Err(ended) => return ended,
    };
    let mut sent = bodiless.then_some(Sent::Whole);
    let replied = {
        let mut sending = pin!(send_body(far, send, buf, framing, limits, shared.at_once.get()));
        let mut replying = pin!(reply(far, response, method));
        let mut left = pin!(far.left());
        poll_fn(|cx| {
            if sent.is_none()
                && let Poll::Ready(how) = sending.as_mut().poll(cx)
            {
                sent = Some(how);
            }
            if sent == Some(Sent::Gone) {
                return Poll::Ready(Ended::Early);
            }
            match replying.as_mut().poll(cx) {
                Poll::Pending => left.as_mut().poll(cx).map(|()| Ended::Early),
                ready => ready,
            }
        })
        .await
    };
    if replied == Ended::Whole && sent != Some(Sent::Whole) { Ended::Early } else { replied }
}

/// Bytes of a request that are received at once.
const BUFFER: usize = 16 << 10;
