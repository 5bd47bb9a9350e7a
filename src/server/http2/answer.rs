//! The gateway's answer on its way out of the pipe: read as HTTP/1.1, sent as HTTP/2, no faster than the client takes it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};

use crate::clock::Instant;
use crate::http::{Framing, Method, ResponseHead};
use crate::http1::{Chunked, Limits, parse_response};
use crate::http2::{Heads, fields, head, switched};
use crate::net::{Link, Moved, Stream, Timer};

/// What a lane reads answers with, from stream to stream.
pub(super) struct Answer {
    buf: Vec<u8>,
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
        Answer { buf: Vec::with_capacity(BUFFER), decoder: Chunked::new(limits), patience }
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

/// What heads are read with, of one lane after the other, as most are alike.
#[derive(Default)]
pub(super) struct Reading {
    parsed: ResponseHead,
    heads: Heads,
}

/// How an answer goes on behind its head.
struct Begun {
    send: SendStream<Bytes>,
    framing: Framing,
    /// Bytes of its head.
    length: usize,
    keeps: bool,
}

/// Passes the answer on. What has come behind one that switches the protocol stays in `with`.
pub(super) async fn answer(
    near: &Link,
    respond: &mut SendResponse<Bytes>,
    method: Method,
    limits: Limits,
    reading: &RefCell<Reading>,
    with: &mut Answer,
) -> Result<Passed, Cut> {
    let Answer { buf, decoder, patience } = with;
    buf.clear();
    // What the gateway writes itself may be longer than what it takes.
    let limits = Limits { head: usize::MAX, headers: usize::MAX, ..limits };
    let Begun { mut send, framing, length, keeps } = loop {
        match begin(respond, method, &limits, &mut reading.borrow_mut(), buf)? {
            ControlFlow::Break(Ok(begun)) => break begun,
            ControlFlow::Break(Err(switched)) => return Ok(Passed::Switched(switched)),
            ControlFlow::Continue(()) => {}
        }
        let received;
        (received, *buf) = unless_reset(|cx| respond.poll_reset(cx), near.recv(std::mem::take(buf))).await?;
        if !received.is_ok_and(|count| count > 0) {
            return Err(Cut::Gateway);
        }
    };
    let body = (buf, length);
    let clean = match framing {
        Framing::None | Framing::Length(0) => body.0.len() == length,
        Framing::Chunked => {
            decoder.reset();
            chunked(near, &mut send, body, decoder, patience).await?
        }
        Framing::Length(length) => counted(near, &mut send, body, length, patience).await?,
        Framing::UntilClose => return Err(Cut::Gateway),
    };
    Ok(if clean && keeps { Passed::Clean } else { Passed::Spent })
}

/// Passes the heads on that `buf` begins with; goes on with more of it, if none is the last, or breaks with what follows, which may be bytes
/// of another protocol.
fn begin(
    respond: &mut SendResponse<Bytes>,
    method: Method,
    limits: &Limits,
    Reading { parsed, heads }: &mut Reading,
    buf: &mut Vec<u8>,
) -> Result<ControlFlow<Result<Begun, SendStream<Bytes>>>, Cut> {
    while !buf.is_empty() && parse_response(buf, method, limits, parsed).map_err(|_| Cut::Gateway)? {
        if parsed.status >= 200 {
            let response = heads.head(parsed, buf).map_err(|_| Cut::Gateway)?;
            let bodiless = matches!(parsed.framing, Framing::None | Framing::Length(0));
            let send = respond.send_response(response, bodiless).map_err(|_| Cut::Client)?;
            let (framing, length, keeps) = (parsed.framing, parsed.length, parsed.connection.keep_alive);
            return Ok(ControlFlow::Break(Ok(Begun { send, framing, length, keeps })));
        }
        if parsed.status == 101 {
            let response = switched(parsed, buf).map_err(|_| Cut::Gateway)?;
            let send = respond.send_response(response, false).map_err(|_| Cut::Client)?;
            buf.drain(..parsed.length);
            return Ok(ControlFlow::Break(Err(send)));
        }
        let interim = head(parsed, buf).map_err(|_| Cut::Gateway)?;
        respond.send_informational(interim).map_err(|_| Cut::Client)?;
        buf.drain(..parsed.length);
    }
    Ok(ControlFlow::Continue(()))
}

/// Passes the bytes of another protocol on, until the gateway's end.
pub(super) async fn bytes(near: &Link, mut send: SendStream<Bytes>, with: &mut Answer) -> Result<(), Cut> {
    let Answer { buf, patience, .. } = with;
    loop {
        data(&mut send, buf, false, patience).await?;
        buf.clear();
        let received;
        (received, *buf) = near.recv(std::mem::take(buf)).await;
        match received {
            Ok(0) => return data(&mut send, &[], true, patience).await,
            Ok(_) => {}
            Err(_) => return Err(Cut::Gateway),
        }
    }
}

/// What a buffer holds from there on.
type Rest<'a> = (&'a mut Vec<u8>, usize);

async fn counted(
    near: &Link,
    send: &mut SendStream<Bytes>,
    (buf, mut from): Rest<'_>,
    mut left: u64,
    patience: &Patience,
) -> Result<bool, Cut> {
    loop {
        let there = &buf[from..];
        let count = there.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= count as u64;
        data(send, &there[..count], left == 0, patience).await?;
        if left == 0 {
            return Ok(count == there.len());
        }
        more(near, send, buf).await?;
        from = 0;
    }
}

async fn chunked(
    near: &Link,
    send: &mut SendStream<Bytes>,
    (buf, mut from): Rest<'_>,
    decoder: &mut Chunked,
    patience: &Patience,
) -> Result<bool, Cut> {
    loop {
        let there = &mut buf[from..];
        let decoded = decoder.decode(there).map_err(|_| Cut::Gateway)?;
        let trailers = decoder.trailers();
        data(send, &there[..decoded.data], decoded.done && trailers.is_empty(), patience).await?;
        if decoded.done {
            if !trailers.is_empty() {
                send.send_trailers(fields(trailers)).map_err(|_| Cut::Client)?;
            }
            return Ok(decoded.consumed == there.len());
        }
        more(near, send, buf).await?;
        from = 0;
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
