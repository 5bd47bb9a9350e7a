//! The gateway's answer on its way out of the pipe: read as HTTP/1.1, sent as HTTP/2, no faster than the client takes it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{Response, StatusCode};

use crate::clock::Instant;
use crate::http::{Framing, Method, ResponseHead};
use crate::http1::{Chunked, Limits, parse_response};
use crate::http2::{Heads, Switch, switched};
use crate::net::{Link, Timer};

/// What a lane reads answers with, from stream to stream.
pub(super) struct Answer {
    /// What has come behind an answer that switches the protocol.
    early: Vec<u8>,
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
        Answer { early: Vec::new(), decoder: Chunked::new(limits), patience }
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

/// Passes the answer on, to a request that may have asked for another protocol. What has come behind one that switches to it stays in `with`.
pub(super) async fn answer(
    near: &Link,
    respond: &mut SendResponse<Bytes>,
    method: Method,
    asked: Option<&Switch<'_>>,
    limits: Limits,
    reading: &RefCell<Reading>,
    with: &mut Answer,
) -> Result<Passed, Cut> {
    // What the gateway writes itself may be longer than what it takes.
    let limits = Limits { head: usize::MAX, headers: usize::MAX, ..limits };
    let mut buf = Vec::new();
    let Begun { mut send, framing, length, keeps } = loop {
        let more = unless_reset(|cx| respond.poll_reset(cx), near.recv_all()).await?;
        if more.is_empty() {
            return Err(Cut::Gateway);
        }
        if buf.is_empty() {
            buf = more;
        } else {
            buf.extend_from_slice(&more);
        }
        match begin(respond, method, asked, &limits, &mut reading.borrow_mut(), &mut buf)? {
            ControlFlow::Break(Ok(begun)) => break begun,
            ControlFlow::Break(Err(passed)) => {
                with.early = buf;
                return Ok(passed);
            }
            ControlFlow::Continue(()) => {}
        }
    };
    let Answer { decoder, patience, .. } = with;
    let clean = match framing {
        Framing::None | Framing::Length(0) => buf.len() == length,
        Framing::Chunked => {
            decoder.reset();
            chunked(near, &mut send, (buf, length), decoder, reading, patience).await?
        }
        Framing::Length(left) => counted(near, &mut send, (buf, length), left, patience).await?,
        Framing::UntilClose => return Err(Cut::Gateway),
    };
    Ok(if clean && keeps { Passed::Clean } else { Passed::Spent })
}

/// Passes the heads on that `buf` begins with; goes on with more of it, if none is the last, or breaks with what follows, or why nothing does.
fn begin(
    respond: &mut SendResponse<Bytes>,
    method: Method,
    asked: Option<&Switch<'_>>,
    limits: &Limits,
    Reading { parsed, heads }: &mut Reading,
    buf: &mut Vec<u8>,
) -> Result<ControlFlow<Result<Begun, Passed>>, Cut> {
    while parse_response(buf, method, limits, parsed).map_err(|_| Cut::Gateway)? {
        if parsed.status == 101 {
            let asked = asked.ok_or(Cut::Gateway)?;
            let Ok(response) = switched(parsed, buf, asked) else { return not_switched(respond) };
            let send = respond.send_response(response, false).map_err(|_| Cut::Client)?;
            buf.drain(..parsed.length);
            return Ok(ControlFlow::Break(Err(Passed::Switched(send))));
        }
        let response = heads.response(parsed, buf).map_err(|_| Cut::Gateway)?;
        if parsed.status >= 200 {
            if asked.is_some() && response.status().is_success() {
                return not_switched(respond);
            }
            let bodiless = matches!(parsed.framing, Framing::None | Framing::Length(0));
            let send = respond.send_response(response, bodiless).map_err(|_| Cut::Client)?;
            let (framing, length, keeps) = (parsed.framing, parsed.length, parsed.connection.keep_alive);
            return Ok(ControlFlow::Break(Ok(Begun { send, framing, length, keeps })));
        }
        respond.send_informational(response).map_err(|_| Cut::Client)?;
        buf.drain(..parsed.length);
    }
    Ok(ControlFlow::Continue(()))
}

/// Tells who asked for another protocol that it isn't spoken. Success would say that it is (RFC 8441 section 5), and the body would pass for it.
fn not_switched<T>(respond: &mut SendResponse<Bytes>) -> Result<ControlFlow<Result<T, Passed>>, Cut> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    respond.send_response(response, true).map_err(|_| Cut::Client)?;
    Ok(ControlFlow::Break(Err(Passed::Spent)))
}

/// Passes the bytes of another protocol on, until the gateway's end.
pub(super) async fn bytes(near: &Link, mut send: SendStream<Bytes>, with: &mut Answer) -> Result<(), Cut> {
    let mut piece = std::mem::take(&mut with.early);
    loop {
        data(&mut send, piece.into(), false, &with.patience).await?;
        piece = unless_reset(|cx| send.poll_reset(cx), near.recv_all()).await?;
        if piece.is_empty() {
            return data(&mut send, Bytes::new(), true, &with.patience).await;
        }
    }
}

/// What a buffer holds from there on.
type Rest = (Vec<u8>, usize);

async fn counted(near: &Link, send: &mut SendStream<Bytes>, rest: Rest, mut left: u64, patience: &Patience) -> Result<bool, Cut> {
    let (mut buf, mut from) = rest;
    loop {
        let there = buf.len() - from;
        let count = there.min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= count as u64;
        data(send, part(buf, from, count), left == 0, patience).await?;
        if left == 0 {
            return Ok(count == there);
        }
        (buf, from) = (more(near, send).await?, 0);
    }
}

async fn chunked(
    near: &Link,
    send: &mut SendStream<Bytes>,
    (mut buf, mut from): Rest,
    decoder: &mut Chunked,
    reading: &RefCell<Reading>,
    patience: &Patience,
) -> Result<bool, Cut> {
    loop {
        let there = &mut buf[from..];
        let decoded = decoder.decode(there).map_err(|_| Cut::Gateway)?;
        let clean = decoded.consumed == there.len();
        let ends = decoded.done && decoder.trailers().is_empty();
        data(send, part(buf, from, decoded.data), ends, patience).await?;
        if decoded.done {
            if !ends {
                send.send_trailers(reading.borrow_mut().heads.trailers(decoder.trailers())).map_err(|_| Cut::Client)?;
            }
            return Ok(clean);
        }
        (buf, from) = (more(near, send).await?, 0);
    }
}

/// So many of a buffer's bytes, without a copy.
fn part(buf: Vec<u8>, from: usize, count: usize) -> Bytes {
    let mut bytes = Bytes::from(buf);
    bytes.advance(from);
    bytes.truncate(count);
    bytes
}

/// Receives the next piece.
async fn more(near: &Link, send: &mut SendStream<Bytes>) -> Result<Vec<u8>, Cut> {
    let piece = unless_reset(|cx| send.poll_reset(cx), near.recv_all()).await?;
    if piece.is_empty() { Err(Cut::Gateway) } else { Ok(piece) }
}

/// Receives, nothing at the end, unless the client resets the stream.
async fn unless_reset(
    mut poll_reset: impl FnMut(&mut Context<'_>) -> Poll<Result<Reason, h2::Error>>,
    receiving: impl Future<Output = io::Result<Vec<u8>>>,
) -> Result<Vec<u8>, Cut> {
    let mut receiving = pin!(receiving);
    poll_fn(|cx| match receiving.as_mut().poll(cx) {
        Poll::Ready(Ok(received)) if !received.is_empty() => Poll::Ready(Ok(received)),
        _ if poll_reset(cx).is_ready() => Poll::Ready(Err(Cut::Client)),
        ended => ended.map_err(|_| Cut::Gateway),
    })
    .await
}

/// Sends a piece of the body, as the client lets it.
async fn data(send: &mut SendStream<Bytes>, mut piece: Bytes, last: bool, patience: &Patience) -> Result<(), Cut> {
    while !piece.is_empty() {
        // Room that is given at once would wake the lane that waited for a reset, which is at work already.
        let _ = send.poll_reset(&mut Context::from_waker(Waker::noop()));
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
        let front = if room == piece.len() { std::mem::take(&mut piece) } else { piece.split_to(room) };
        let ends = last && piece.is_empty();
        send.send_data(front, ends).map_err(|_| Cut::Client)?;
        if ends {
            return Ok(());
        }
    }
    if last {
        send.send_data(Bytes::new(), true).map_err(|_| Cut::Client)?;
    }
    Ok(())
}
