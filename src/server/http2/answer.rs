//! The gateway's answer on its way out of the pipe: read as HTTP/1.1, sent as HTTP/2, no faster than the client takes it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{Response, StatusCode};

use crate::clock::Instant;
use crate::http::{Framing, Method, ResponseHead};
use crate::http1::{Chunked, Limits, parse_response};
use crate::http2::{Switch, fields, head, switched};
use crate::net::{Link, Moved, Stream, Timer};

/// What a lane reads answers with, from stream to stream.
pub(super) struct Answer {
    buf: Vec<u8>,
    head: ResponseHead,
    decoder: Chunked,
    patience: Patience,
}

/// How long the client may take for a piece of an answer.
pub(super) struct Patience {
    /// Wakes the lane.
    pub alarm: Timer,
    /// When it is to, from now on.
    pub until: Box<dyn Fn() -> Instant>,
}

impl Answer {
    pub(super) fn new(limits: &Limits, patience: Patience) -> Answer {
        Answer { buf: Vec::with_capacity(BUFFER), head: ResponseHead::default(), decoder: Chunked::new(limits), patience }
    }
}

/// Who ended a stream early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Client,
    Gateway,
}

/// How an answer that was passed on leaves the pipe.
pub(super) enum Passed {
    /// Nothing follows it: the pipe can carry another.
    Clean,
    /// The pipe is of no further use.
    Spent,
    /// The protocol was switched: what follows are its bytes, of which some have come.
    Switched(SendStream<Bytes>),
}

/// Passes the answer on, to a request that may have asked for another protocol. What has come behind one that switches to it stays in `with`.
pub(super) async fn answer(
    near: &Link,
    respond: &mut SendResponse<Bytes>,
    method: Method,
    asked: Option<&Switch<'_>>,
    limits: Limits,
    with: &mut Answer,
) -> Result<Passed, Cut> {
    let Answer { buf, head: parsed, decoder, patience } = with;
    buf.clear();
    // What the gateway writes itself may be longer than what it takes.
    let limits = Limits { head: usize::MAX, headers: usize::MAX, ..limits };
    loop {
        if !buf.is_empty() && parse_response(buf, method, &limits, parsed).map_err(|_| Cut::Gateway)? {
            if parsed.status >= 200 {
                break;
            }
            if parsed.status == 101 {
                let asked = asked.ok_or(Cut::Gateway)?;
                let Ok(response) = switched(parsed, buf, asked) else { return not_switched(respond) };
                let send = respond.send_response(response, false).map_err(|_| Cut::Client)?;
                buf.drain(..parsed.length);
                return Ok(Passed::Switched(send));
            }
            let interim = head(parsed, buf).map_err(|_| Cut::Gateway)?;
            respond.send_informational(interim).map_err(|_| Cut::Client)?;
            buf.drain(..parsed.length);
            continue;
        }
        let received;
        (received, *buf) = unless_reset(|cx| respond.poll_reset(cx), near.recv(std::mem::take(buf))).await?;
        if !received.is_ok_and(|count| count > 0) {
            return Err(Cut::Gateway);
        }
    }
    let response = head(parsed, buf).map_err(|_| Cut::Gateway)?;
    if asked.is_some() && response.status().is_success() {
        return not_switched(respond);
    }
    let bodiless = matches!(parsed.framing, Framing::None | Framing::Length(0));
    let mut send = respond.send_response(response, bodiless).map_err(|_| Cut::Client)?;
    let keeps = parsed.connection.keep_alive;
    buf.drain(..parsed.length);
    let clean = match parsed.framing {
        _ if bodiless => buf.is_empty(),
        Framing::Chunked => {
            decoder.reset();
            chunked(near, &mut send, buf, decoder, patience).await?
        }
        Framing::Length(length) => counted(near, &mut send, buf, length, patience).await?,
        Framing::None | Framing::UntilClose => return Err(Cut::Gateway),
    };
    Ok(if clean && keeps { Passed::Clean } else { Passed::Spent })
}

/// Tells who asked for another protocol that it isn't spoken. Success would say that it is (RFC 8441 section 5), and the body would pass for it.
fn not_switched(respond: &mut SendResponse<Bytes>) -> Result<Passed, Cut> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    respond.send_response(response, true).map_err(|_| Cut::Client)?;
    Ok(Passed::Spent)
}

/// Passes the bytes of another protocol on, until the gateway's end.
pub(super) async fn bytes(near: &Link, mut send: SendStream<Bytes>, with: &mut Answer) -> Result<(), Cut> {
    let Answer { buf, patience, .. } = with;
    loop {
        data(&mut send, buf, false, patience).await?;
        buf.clear();
        let received;
        (received, *buf) = unless_reset(|cx| send.poll_reset(cx), near.recv(std::mem::take(buf))).await?;
        match received {
            Ok(0) => return data(&mut send, &[], true, patience).await,
            Ok(_) => {}
            Err(_) => return Err(Cut::Gateway),
        }
    }
}

async fn counted(near: &Link, send: &mut SendStream<Bytes>, buf: &mut Vec<u8>, mut left: u64, patience: &Patience) -> Result<bool, Cut> {
    loop {
        let count = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= count as u64;
        data(send, &buf[..count], left == 0, patience).await?;
        if left == 0 {
            return Ok(count == buf.len());
        }
        more(near, send, buf).await?;
    }
}

async fn chunked(
    near: &Link,
    send: &mut SendStream<Bytes>,
    buf: &mut Vec<u8>,
    decoder: &mut Chunked,
    patience: &Patience,
) -> Result<bool, Cut> {
    loop {
        let decoded = decoder.decode(buf).map_err(|_| Cut::Gateway)?;
        let trailers = decoder.trailers();
        data(send, &buf[..decoded.data], decoded.done && trailers.is_empty(), patience).await?;
        if decoded.done {
            if !trailers.is_empty() {
                send.send_trailers(fields(trailers)).map_err(|_| Cut::Client)?;
            }
            return Ok(decoded.consumed == buf.len());
        }
        more(near, send, buf).await?;
    }
}

/// Receives the next piece in place of the last.
async fn more(near: &Link, send: &mut SendStream<Bytes>, buf: &mut Vec<u8>) -> Result<(), Cut> {
    buf.clear();
    let received;
    (received, *buf) = unless_reset(|cx| send.poll_reset(cx), near.recv(std::mem::take(buf))).await?;
    if received.is_ok_and(|count| count > 0) { Ok(()) } else { Err(Cut::Gateway) }
}

/// Receives, unless the client resets the stream.
async fn unless_reset(
    mut poll_reset: impl FnMut(&mut Context<'_>) -> Poll<Result<Reason, h2::Error>>,
    receiving: impl Future<Output = Moved>,
) -> Result<Moved, Cut> {
    let mut receiving = pin!(receiving);
    poll_fn(|cx| {
        if poll_reset(cx).is_ready() {
            return Poll::Ready(Err(Cut::Client));
        }
        receiving.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// Sends a piece of the body, as the client lets it.
async fn data(send: &mut SendStream<Bytes>, mut piece: &[u8], last: bool, patience: &Patience) -> Result<(), Cut> {
    while !piece.is_empty() {
        send.reserve_capacity(piece.len());
        let mut waits = false;
        let room = poll_fn(|cx| match send.poll_capacity(cx) {
            Poll::Ready(Some(Ok(room))) => Poll::Ready(Ok(room.min(piece.len()))),
            Poll::Ready(_) => Poll::Ready(Err(Cut::Client)),
            Poll::Pending if !waits => {
                waits = true;
                patience.alarm.close_at((patience.until)());
                Poll::Pending
            }
            Poll::Pending if patience.alarm.expired() => Poll::Ready(Err(Cut::Gateway)),
            Poll::Pending => Poll::Pending,
        });
        let room = room.await?;
        if waits {
            patience.alarm.clear();
        }
        let (front, rest) = piece.split_at(room);
        piece = rest;
        send.send_data(Bytes::copy_from_slice(front), last && piece.is_empty()).map_err(|_| Cut::Client)?;
        if last && piece.is_empty() {
            return Ok(());
        }
    }
    if last {
        send.send_data(Bytes::new(), true).map_err(|_| Cut::Client)?;
    }
    Ok(())
}

/// Bytes of an answer that are read at once.
const BUFFER: usize = 16 << 10;
