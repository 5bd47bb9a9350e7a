//! Copies of requests on their way to a mirror. Each is put together while its request is sent, and goes by a task of its own once it is
//! complete: no request waits for one. Its answer is read to the end, so that the connection can be kept, and thrown away.

use std::rc::Rc;

use super::attempt::{Body, write_head};
use super::core::{Core, Session};
use super::serve::Request;
use super::source::Source;
use crate::client::{Connection, HeadError};
use crate::error::Reason;
use crate::exchange::{Attempt, Exchange, Mirrored, Place};
use crate::http::{Framing, Method, ResponseHead};
use crate::http1::{Limits, as_response};
use crate::net::Stream;

/// A copy that isn't complete yet. Dropped before it is sent, it was aborted with its request.
pub(super) struct Copying {
    core: Rc<Core>,
    mirrored: Mirrored,
    attempt: Attempt,
    method: Method,
    /// Head and body as they are to be sent.
    out: Vec<u8>,
    /// Bytes that the body may still get.
    left: u64,
}

impl Request<'_> {
    /// Makes a copy of the request, if its route's mirror is to get one.
    #[cold]
    pub(super) fn mirror(&mut self, exchange: &Exchange) {
        let core = self.core;
        let view = exchange.view();
        let (Some(plan), Some(own)) = (&view.plan.routes[exchange.route()].mirror, core.shared()) else { return };
        let bytes = self.inbound.bytes();
        let (incoming, ..) = self.session.parts(bytes, core.wall.get());
        let Some((mirrored, attempt)) = exchange.mirror(plan, &incoming, core.now(), [core.draw(), core.draw()]) else { return };
        let mut out = core.buffers.take();
        write_head(&mut out, self.session, bytes, view, &attempt, Some(&plan.edits));
        let Session { head, copying, scratch, .. } = &mut *self.session;
        if let Some(whole) = &scratch.notes.body {
            if whole.len() as u64 > plan.body_max {
                return mirrored.too_large();
            }
            out.extend_from_slice(whole);
            return Copying { core: own, mirrored, attempt, method: head.method, out, left: 0 }.send();
        }
        let body = Body::of(head, bytes.len());
        let mut copy = Copying { core: own, mirrored, attempt, method: head.method, out, left: plan.body_max };
        let there = &bytes[head.length..head.length + body.there];
        match body.left {
            None => {
                copy.out.extend_from_slice(there);
                copy.send();
            }
            // It passes the decoder with what follows.
            Some(Framing::Chunked) => *copying = Some(Box::new(copy)),
            Some(_) => {
                *copying = Some(Box::new(copy));
                add(copying, there, there.len());
            }
        }
    }
}

/// Adds a piece of the body as it is sent, with so many bytes of data; gives the copy up if that is too much.
pub(super) fn add(copying: &mut Option<Box<Copying>>, piece: &[u8], data: usize) {
    let Some(copy) = copying else { return };
    if let Some(left) = copy.left.checked_sub(data as u64) {
        copy.left = left;
        copy.out.extend_from_slice(piece);
    } else if let Some(copy) = copying.take() {
        copy.mirrored.too_large();
    }
}

impl Copying {
    /// All of it is there: sends it.
    pub(super) fn send(self) {
        let core = self.core.clone();
        core.beside(self.go());
    }

    async fn go(self) {
        let Copying { core, mut mirrored, attempt, method, out, .. } = self;
        let pool = attempt.pool;
        if let Err((reason, stale)) = core.copy(&mut mirrored, &attempt, method, out).await {
            mirrored.failed(reason, stale, core.now());
        }
        drop(mirrored);
        core.waiters.wake_one(Place::Upstream(pool));
    }
}

impl Core {
    /// Sends a copy and takes its answer; else why not, and whether a kept connection was found closed.
    async fn copy(&self, mirrored: &mut Mirrored, attempt: &Attempt, method: Method, out: Vec<u8>) -> Result<(), (Reason, bool)> {
        let view = mirrored.view().clone();
        let Some(mirror) = &view.plan.routes[attempt.route].mirror else { return Ok(()) };
        let deadline = self.now() + mirror.settings.timeout.get();
        let (connection, reused) = self.connection(&view.plan, attempt, deadline, || None).await.map_err(|reason| (reason, false))?;
        connection.requests.set(connection.requests.get() + 1);
        connection.timer.close_at(deadline);
        let (sent, mut buf) = connection.link.send(out, 0).await;
        buf.clear();
        self.buffers.give(buf);
        let limits = &view.plan.upstreams[attempt.upstream].head_limits;
        let mut head = ResponseHead::default();
        let mut buf = self.answer_head(&connection, method, limits, &mut head).await.map_err(|error| match error {
            HeadError::Expired => (Reason::RequestTimeout, false),
            HeadError::Refused(reason) => (reason, false),
            HeadError::Closed { clean } if sent.is_ok() => (Reason::ClosedBeforeHead, reused && clean),
            HeadError::Closed { clean } => (Reason::SendFailed, reused && clean),
        })?;
        mirrored.answered(head.status, self.now());
        buf.drain(..head.length);
        let clean = self.discard(&connection, &head, buf, limits).await.map_err(|reason| (reason, false))?;
        if clean && sent.is_ok() && head.connection.keep_alive {
            connection.timer.clear();
            self.give_back(&connection, attempt, &view.plan);
        }
        Ok(())
    }

    /// Receives a body, of which `buf` holds the beginning, for nobody; whether the connection is clean afterwards.
    async fn discard(&self, connection: &Connection, head: &ResponseHead, mut buf: Vec<u8>, limits: &Limits) -> Result<bool, Reason> {
        let mut source = Source::new(head.framing, limits);
        let clean = loop {
            let taken = source.take(&mut buf).map_err(as_response)?;
            if taken.done {
                break taken.consumed == buf.len();
            }
            buf.clear();
            let (result, back) = connection.link.recv(buf).await;
            buf = back;
            self.woke();
            match result {
                Ok(received) if received > 0 => {}
                _ if connection.timer.expired() => return Err(Reason::ResponseBodyTimeout),
                Ok(_) if matches!(source, Source::Open) => break false,
                _ => return Err(Reason::ClosedMidBody),
            }
        };
        self.buffers.give(buf);
        Ok(clean)
    }
}
