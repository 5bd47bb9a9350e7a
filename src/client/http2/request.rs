//! A request's body out of the pipe onto its stream, no faster than the endpoint takes it.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Reason, SendStream};

use crate::http::Framing;
use crate::http1::{Chunked, Limits};
use crate::http2::fields;
use crate::net::{Link, Stream};

/// How sending a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Whole,
    /// The endpoint takes no more of it; it may answer all the same.
    Stopped,
    /// Whoever asked has left, or broke the coding.
    Gone,
}

/// Sends what `buf` holds of the body, then the rest. What is there as a whole and has no more than `at_once` bytes goes with its head: h2 gives
/// a stream no room before the head is on its way, so that it would cost a turn more.
pub(super) async fn send_body(
    far: &Link,
    mut send: SendStream<Bytes>,
    buf: &mut Vec<u8>,
    framing: Framing,
    limits: &Limits,
    mut at_once: u32,
) -> Sent {
    let mut left = if let Framing::Length(length) = framing { length } else { 0 };
    let mut decoder = Chunked::new(limits);
    loop {
        let (count, last, used) = if framing == Framing::Chunked {
            let Ok(decoded) = decoder.decode(buf) else { return gone(&mut send) };
            (decoded.data, decoded.done, decoded.consumed)
        } else {
            let count = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            left -= count as u64;
            (count, left == 0, count)
        };
        let trailers = if last { decoder.trailers() } else { b"" };
        let ends = last && trailers.is_empty();
        let taken = if ends && count <= std::mem::take(&mut at_once) as usize {
            send.send_data(Bytes::copy_from_slice(&buf[..count]), true).is_ok()
        } else {
            data(&mut send, &buf[..count], ends).await
        };
        if !taken {
            return Sent::Stopped;
        }
        if last {
            buf.drain(..used);
            return if trailers.is_empty() || send.send_trailers(fields(trailers)).is_ok() { Sent::Whole } else { Sent::Stopped };
        }
        buf.clear();
        let received;
        (received, *buf) = far.recv(std::mem::take(buf)).await;
        if !received.is_ok_and(|count| count > 0) {
            return gone(&mut send);
        }
    }
}

/// What was sent of the request must not pass for all of it.
fn gone(send: &mut SendStream<Bytes>) -> Sent {
    send.send_reset(Reason::CANCEL);
    Sent::Gone
}

/// Sends a piece, as the endpoint lets it; whether it took it.
pub(super) async fn data(send: &mut SendStream<Bytes>, mut piece: &[u8], last: bool) -> bool {
    while !piece.is_empty() {
        send.reserve_capacity(piece.len());
        let Some(Ok(room)) = poll_fn(|cx| send.poll_capacity(cx)).await else { return false };
        let (front, rest) = piece.split_at(room.min(piece.len()));
        piece = rest;
        let ends = last && piece.is_empty();
        if send.send_data(Bytes::copy_from_slice(front), ends).is_err() {
            return false;
        }
        if ends {
            return true;
        }
    }
    !last || send.send_data(Bytes::new(), true).is_ok()
}
