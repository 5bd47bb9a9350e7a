//! An endpoint's answer from its stream into the pipe, as HTTP/1.1. The endpoint is let send on only for what the pipe has taken.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use h2::client::ResponseFuture;
use h2::{Error, Reason, RecvStream};
use http::Response;

use super::lane::Ended;
use crate::client::INTERIM_MAX;
use crate::http::Method;
use crate::http1::write::{write_chunk, write_last_chunk};
use crate::http2::{Body, write_fields, write_response};
use crate::net::{Link, Stream};

/// Passes the answer on.
pub(super) async fn reply(far: &Link, response: ResponseFuture, method: Method) -> Ended {
    match final_head(far, response, method).await {
        Ok(response) => pass(far, response, method).await,
        Err(ended) => ended,
    }
}

/// Waits for the head of the final answer, and passes those on that come before it. No window holds them back (RFC 9113 section 5.2.1): they
/// are taken though the pipe is full, so that too many are seen before they fill the memory.
pub(super) async fn final_head(far: &Link, mut response: ResponseFuture, method: Method) -> Result<Response<RecvStream>, Ended> {
    let mut interims = Interims { lines: Vec::new(), count: 0 };
    loop {
        let answered = poll_fn(|cx| {
            interims.take(&mut response, method, cx)?;
            if !interims.lines.is_empty() {
                return Poll::Ready(Ok(None));
            }
            Pin::new(&mut response).poll(cx).map(|answered| answered.map(Some).map_err(|error| unanswered(&error)))
        });
        if let Some(answered) = answered.await? {
            return Ok(answered);
        }
        let mut sending = pin!(far.send(std::mem::take(&mut interims.lines), 0));
        let sent = poll_fn(|cx| {
            interims.take(&mut response, method, cx)?;
            sending.as_mut().poll(cx).map(|(sent, _)| sent.map_err(|_| Ended::Early))
        });
        sent.await?;
    }
}

/// What comes before an answer.
struct Interims {
    /// As HTTP/1.1, not passed on yet.
    lines: Vec<u8>,
    /// How many have come.
    count: u32,
}

impl Interims {
    /// Takes all that are there.
    fn take(&mut self, response: &mut ResponseFuture, method: Method, cx: &mut Context<'_>) -> Result<(), Ended> {
        while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            self.count += 1;
            let head = interim.into_parts().0;
            if self.count > INTERIM_MAX || write_response(&mut self.lines, head.status, &head.headers, method, true).is_err() {
                return Err(Ended::Broken);
            }
        }
        Ok(())
    }
}

/// Passes a final answer on.
pub(super) async fn pass(far: &Link, response: Response<RecvStream>, method: Method) -> Ended {
    let mut buf = Vec::with_capacity(1024);
    let (head, mut body) = response.into_parts();
    let Ok(framing) = write_response(&mut buf, head.status, &head.headers, method, body.is_end_stream()) else { return Ended::Broken };
    drop(head);
    let mut taken = 0;
    loop {
        let next = poll_fn(|cx| match body.poll_data(cx) {
            Poll::Pending if !buf.is_empty() => Poll::Ready(None),
            next => next.map(Some),
        });
        let ended = match (next.await, framing) {
            (None, _) => None,
            (Some(None), _) => Some(end(&mut body, &mut buf, framing).await),
            // Or it was announced that there is none.
            (Some(Some(Err(_))), _) | (_, Body::None | Body::Switched) => Some(Ended::Broken),
            (Some(Some(Ok(piece))), _) => {
                match framing {
                    Body::Chunked => write_chunk(&mut buf, &piece),
                    _ => buf.extend_from_slice(&piece),
                }
                taken += piece.len();
                if buf.len() < GATHERED {
                    continue;
                }
                None
            }
        };
        if !buf.is_empty() {
            let sent;
            (sent, buf) = far.send(buf, 0).await;
            buf.clear();
            if sent.is_err() {
                return Ended::Early;
            }
        }
        if let Some(ended) = ended {
            return ended;
        }
        let _ = body.flow_control().release_capacity(std::mem::take(&mut taken));
    }
}

/// Appends what ends a body whose data has come; whether that is whole.
async fn end(body: &mut RecvStream, buf: &mut Vec<u8>, framing: Body) -> Ended {
    let Ok(trailers) = poll_fn(|cx| body.poll_trailers(cx)).await else { return Ended::Broken };
    if framing == Body::Chunked {
        let mut lines = Vec::new();
        if trailers.is_some_and(|trailers| write_fields(&mut lines, &trailers).is_err()) {
            return Ended::Broken;
        }
        write_last_chunk(buf, &lines);
    }
    Ended::Whole
}

/// An answer's head and the small pieces of its body that have come go on together, up to so many bytes.
const GATHERED: usize = 4 << 10;

/// What it means that no answer came.
fn unanswered(error: &Error) -> Ended {
    match error.reason() {
        _ if error.is_remote() && error.is_go_away() => Ended::Goodbye,
        Some(Reason::REFUSED_STREAM) if error.is_remote() => Ended::Refused,
        _ => Ended::Broken,
    }
}
