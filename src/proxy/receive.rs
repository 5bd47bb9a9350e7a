//! An answer received into the cache, at the endpoint's speed, or at that of its slowest reader if it turns out too large to be stored.

use std::rc::Rc;

use super::attempt::{Answered, Received};
use super::core::{Core, after};
use crate::cache::Filling;
use crate::client::Connection;
use crate::error::Reason;
use crate::exchange::{Attempt, Exchange, Place};
use crate::http::Framing;
use crate::http1::{Chunked, as_response};
use crate::net::Stream;

/// An answer being received into the cache.
pub(super) struct Fetching {
    core: Rc<Core>,
    exchange: Exchange,
    attempt: Attempt,
    connection: Rc<Connection>,
    /// What has come: the head, and the body's beginning.
    buf: Vec<u8>,
    head: Received,
    filling: Filling,
}

/// How receiving stands.
pub(super) enum Stand {
    /// So many bytes are to come, or as many as a decoder says.
    Counted(u64),
    Chunked(Box<Chunked>),
    /// All has come; whether the connection is clean.
    Done(bool),
}

impl Fetching {
    pub(super) fn new(
        core: Rc<Core>,
        exchange: Exchange,
        attempt: Attempt,
        answered: Answered<'_>,
        head: Received,
        filling: Filling,
    ) -> Self {
        let Answered { connection, buf, .. } = answered;
        connection.timer.clear();
        Fetching { core, exchange, attempt, connection, buf, head, filling }
    }

    pub(super) async fn run(mut self) {
        let begun = self.begin();
        self.go_on(begun).await;
    }

    /// Takes what has come with the head.
    pub(super) fn begin(&mut self) -> Result<Stand, Reason> {
        let stand = match self.head.framing {
            Framing::Length(length) => Stand::Counted(length),
            Framing::Chunked => Stand::Chunked(Box::new(Chunked::new(&self.exchange.view().plan.head_limits))),
            Framing::None | Framing::UntilClose => Stand::Done(self.buf.len() == self.head.length),
        };
        self.take(stand, self.head.length)
    }

    /// Takes what stands in the buffer from there on.
    fn take(&mut self, stand: Stand, from: usize) -> Result<Stand, Reason> {
        let piece = &mut self.buf[from..];
        let (count, stand) = match stand {
            Stand::Counted(left) => {
                let count = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - count as u64;
                (count, if left == 0 { Stand::Done(count == piece.len()) } else { Stand::Counted(left) })
            }
            Stand::Chunked(mut decoder) => {
                let decoded = decoder.decode(piece).map_err(as_response)?;
                let clean = decoded.consumed == piece.len();
                (decoded.data, if decoded.done { Stand::Done(clean) } else { Stand::Chunked(decoder) })
            }
            done @ Stand::Done(_) => (0, done),
        };
        if count > 0 {
            self.filling.push(&self.buf[from..from + count]);
        }
        self.buf.clear();
        Ok(stand)
    }

    /// Receives the rest, to the end.
    pub(super) async fn go_on(mut self, begun: Result<Stand, Reason>) {
        let result = match begun {
            Ok(stand) => self.receive(stand).await,
            Err(reason) => Err(Some(reason)),
        };
        let Fetching { core, mut exchange, attempt, connection, buf, head, filling } = self;
        core.buffers.give(buf);
        let fill = filling.fill().id();
        match result {
            Ok(clean) => {
                filling.finish(core.now());
                exchange.ended(None, core.now());
                if clean && head.keep_alive {
                    core.give_back(&connection, &attempt, &exchange.view().plan);
                }
            }
            Err(reason) => {
                drop(filling);
                // Without a reason nobody wanted more of it, which isn't the endpoint's fault.
                exchange.ended(reason, core.now());
            }
        }
        drop(exchange);
        core.wake_fill(fill);
        core.wake_places(attempt.route, attempt.pool);
    }

    /// Says whether the connection is clean afterwards; an error without a reason if nobody wants more.
    async fn receive(&mut self, mut stand: Stand) -> Result<bool, Option<Reason>> {
        let core = self.core.clone();
        let idle = self.exchange.view().plan.config.timeouts.body_idle.get();
        let fill = self.filling.fill().id();
        loop {
            core.wake_fill(fill);
            if let Stand::Done(clean) = stand {
                return Ok(clean);
            }
            while !self.filling.room().ok_or(None)? {
                core.waiters.wait(Place::Room(fill), core.waiters.ticket()).await;
            }
            self.connection.timer.close_at(after(core.now(), idle));
            let (received, buf) = self.connection.link.recv(std::mem::take(&mut self.buf)).await;
            core.woke();
            self.buf = buf;
            match received {
                Ok(received) if received > 0 => self.connection.timer.clear(),
                _ if self.connection.timer.expired() => return Err(Some(Reason::ResponseBodyTimeout)),
                _ => return Err(Some(Reason::ClosedMidBody)),
            }
            stand = self.take(stand, 0)?;
        }
    }
}
