//! The rest of a request's body on its way to the endpoint, beside the wait for its answer: a window of one buffer, so the
//! client sends no faster than the endpoint takes.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::chunks::{FRONT, reframe};
use super::core::{Core, after};
use super::mirror::{self, Copying};
use crate::client::Connection;
use crate::error::Reason;
use crate::exchange::View;
use crate::http::{Changes, Framing};
use crate::http1::{self, Chunked};
use crate::net::{Stream, Timer};
use crate::server::Client;

/// How an upload ended.
pub(super) struct Ended {
    /// Complete, or why not.
    pub result: Result<(), Reason>,
    /// What the client sent after the body: the next request.
    pub rest: Vec<u8>,
}

/// A body being sent. Boxed: few requests have one, and all others are to stay small.
pub(super) struct Upload<'a> {
    under_way: Option<Pin<Box<dyn Future<Output = Ended> + 'a>>>,
    ended: Option<Ended>,
}

/// What an upload has to keep.
pub(super) struct Terms {
    /// Bytes of a body; 0 is no limit.
    pub body_max: u64,
    /// Between two pieces.
    pub idle: Duration,
    /// Limits of chunked coding.
    pub limits: http1::Limits,
    /// The request's copy, which gets the body as well.
    pub copying: Option<Box<Copying>>,
    /// Of a chunked body.
    pub own: Option<Own>,
}

/// What the gateway alone says to the endpoint: whoever takes trailers for headers is not to hear it from a client.
pub(super) struct Own {
    pub view: Rc<View>,
    pub route: usize,
    pub changes: Changes,
}

impl Own {
    fn has(&self, name: &[u8]) -> bool {
        self.view.plan.routes[self.route].request.drops_alike(name) || self.changes.drops_alike(name)
    }
}

impl<'a> Upload<'a> {
    /// Begins to send what `framing` says is left; `first` has been received already.
    pub(super) fn begin(
        core: &'a Core,
        client: &'a Client,
        up: Rc<Connection>,
        framing: Framing,
        first: Vec<u8>,
        mut terms: Terms,
    ) -> Self {
        let work = async move {
            let mut rest = Vec::new();
            let way = Way {
                from: core.deadlines.timer(&client.link),
                to: core.deadlines.timer(&up.link),
                core,
                client,
                up: &up,
                idle: terms.idle,
            };
            let result = match framing {
                Framing::Length(left) => counted(&way, left, first, &mut terms.copying).await,
                _ => chunked(&way, first, &mut rest, &mut terms).await,
            };
            if let Some(copy) = terms.copying.filter(|_| result.is_ok()) {
                copy.send();
            }
            Ended { result, rest }
        };
        Upload { under_way: Some(Box::pin(work)), ended: None }
    }

    /// How it ended, if it has.
    pub(super) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// How it ended, taken out.
    pub(super) fn into_ended(self) -> Option<Ended> {
        self.ended
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(work) = &mut self.under_way
            && let Poll::Ready(ended) = work.as_mut().poll(cx)
        {
            self.under_way = None;
            self.ended = Some(ended);
        }
    }
}

/// Does `work` while the upload goes on, and calls `on_end` once when the upload ends. Boxed: most requests have none.
pub(super) async fn beside<T>(upload: &mut Upload<'_>, work: impl Future<Output = T>, on_end: impl Fn()) -> T {
    let go_on = |_: &Ended| {
        on_end();
        None::<Infallible>
    };
    match Box::pin(beside_until(upload, work, go_on)).await {
        Ok(done) => done,
    }
}

/// Does `work` while the upload goes on, and calls `on_end` once when the upload ends; what that returns ends the work too.
pub(super) async fn beside_until<T, E>(
    upload: &mut Upload<'_>,
    work: impl Future<Output = T>,
    mut on_end: impl FnMut(&Ended) -> Option<E>,
) -> Result<T, E> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if upload.ended.is_none() {
            upload.poll(cx);
            if let Some(error) = upload.ended.as_ref().and_then(&mut on_end) {
                return Poll::Ready(Err(error));
            }
        }
        work.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// The way from the client to the endpoint. Its deadlines are its own: the answer comes the other way at the same time, and either
/// would take the other's limit away.
struct Way<'a> {
    /// The client's deadline for sending.
    from: Timer,
    /// The endpoint's for taking it.
    to: Timer,
    core: &'a Core,
    client: &'a Client,
    up: &'a Connection,
    idle: Duration,
}

impl Way<'_> {
    /// Receives the next piece of the client's body after what `buf` holds.
    async fn receive(&self, buf: Vec<u8>) -> (Result<usize, Reason>, Vec<u8>) {
        self.from.hush_at(after(self.core.now(), self.idle));
        let (result, buf) = self.client.link.recv(buf).await;
        self.core.woke();
        let result = match result {
            Ok(received) if received > 0 => {
                // The client has done its part: the time that the endpoint takes for it is not the client's.
                self.from.clear();
                self.core.counters.bytes_in.add(received as u64);
                self.client.received.set(self.client.received.get() + received as u64);
                Ok(received)
            }
            _ if self.from.expired() => Err(Reason::BodyTimeout),
            _ => Err(Reason::ClientLeft),
        };
        (result, buf)
    }

    async fn send(&self, buf: Vec<u8>, from: usize) -> (Result<(), Reason>, Vec<u8>) {
        self.to.close_at(after(self.core.now(), self.idle));
        let (result, buf) = self.up.link.send(buf, from).await;
        let result = match result {
            Ok(_) => {
                self.to.clear();
                Ok(())
            }
            Err(_) if self.to.expired() => Err(Reason::SendTimeout),
            Err(_) => Err(Reason::SendFailed),
        };
        (result, buf)
    }
}

async fn counted(way: &Way<'_>, mut left: u64, first: Vec<u8>, copying: &mut Option<Box<Copying>>) -> Result<(), Reason> {
    let mut buf = first;
    let mut result = Ok(());
    while left > 0 {
        if buf.is_empty() {
            // Never past the body's end, so that the next request stays where it is.
            let large = way.core.buffers.large();
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(large);
            if buf.capacity() != room {
                way.core.buffers.give(buf);
                buf = if room == large { way.core.buffers.take_large() } else { Vec::with_capacity(room) };
            }
            let received;
            (received, buf) = way.receive(buf).await;
            if let Err(reason) = received {
                result = Err(reason);
                break;
            }
            if buf.len() as u64 > left {
                buf.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            }
        }
        left -= buf.len() as u64;
        mirror::add(copying, &buf, buf.len());
        (result, buf) = way.send(buf, 0).await;
        if result.is_err() {
            break;
        }
        buf.clear();
    }
    way.core.buffers.give(buf);
    result
}

async fn chunked(way: &Way<'_>, first: Vec<u8>, rest: &mut Vec<u8>, terms: &mut Terms) -> Result<(), Reason> {
    let mut decoder = Chunked::new(&terms.limits);
    let mut buf = way.core.buffers.take();
    buf.extend_from_slice(&[0; FRONT]);
    buf.extend_from_slice(&first);
    way.core.buffers.give(first);
    let (mut total, mut filled) = (0u64, false);
    loop {
        if buf.len() == FRONT {
            if filled {
                buf = way.core.buffers.enlarge(buf);
            }
            let received;
            (received, buf) = way.receive(buf).await;
            received?;
            filled = buf.len() == buf.capacity();
        }
        let own = |name: &[u8]| terms.own.as_ref().is_some_and(|own| own.has(name));
        let piece = reframe(&mut decoder, &mut buf, true, rest, own)?;
        total += piece.data as u64;
        if terms.body_max != 0 && total > terms.body_max {
            return Err(Reason::BodyTooLarge);
        }
        mirror::add(&mut terms.copying, &buf[piece.from..], piece.data);
        let sent;
        (sent, buf) = way.send(buf, piece.from).await;
        sent?;
        if piece.done {
            way.core.buffers.give(buf);
            return Ok(());
        }
        buf.truncate(FRONT);
    }
}
