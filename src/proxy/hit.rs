//! An answer from the cache on its way to the client: head and a small body in one send, a large one in pieces that are shared with the
//! store. What is read from a fill under way goes as the endpoint sends it.

use std::rc::Rc;

use super::answer::skip;
use super::chunks::{FRONT, frame};
use super::core::{Core, after};
use super::note::Ended;
use super::serve::Request;
use crate::cache::{Copied, Hit};
use crate::error::Reason;
use crate::exchange::{Exchange, Place, Plan, View};
use crate::http::{Changes, Edits, Framing, Mark, Method, Version, connection_line, write_line};
use crate::http1::write::write_last_chunk;
use crate::http1::{Limits, parse_response};
use crate::net::Stream;
use crate::server::{Client, Next};

impl Request<'_> {
    /// Answers from the cache. What the exchange holds is given back.
    pub(super) async fn hit(&mut self, mut exchange: Exchange, hit: Box<Hit>) -> Next {
        let before = self.pass_chain(&mut exchange, &hit);
        let (view, route) = (exchange.view().clone(), exchange.route());
        drop(exchange);
        self.send_hit(&view, route, &hit, before).await
    }

    /// The chain sees the answer's head. What it noted before that is marked.
    pub(super) fn pass_chain(&mut self, exchange: &mut Exchange, hit: &Hit) -> Mark {
        let before = self.session.scratch.notes.response.mark();
        if exchange.reads_heads() {
            self.show_chain(exchange, hit);
        } else if exchange.is_chained() {
            let (incoming, scratch, _) = self.session.parts(self.inbound.bytes(), self.core.wall.get());
            exchange.respond(&incoming, hit.status(), None, &mut scratch.notes, self.core.now());
        }
        before
    }

    #[cold]
    fn show_chain(&mut self, exchange: &mut Exchange, hit: &Hit) {
        let (core, now) = (self.core, self.core.now());
        let mut bytes = Vec::with_capacity(1024);
        hit.write_head(&mut bytes, &Edits::default(), &Changes::default(), now);
        bytes.extend_from_slice(if hit.is_sized() { b"\r\n" } else { b"Transfer-Encoding: chunked\r\n\r\n" });
        let limits = Limits { head: bytes.len() + 1, headers: bytes.len(), ..exchange.view().plan.head_limits };
        let read = parse_response(&bytes, self.session.head.method, &limits, &mut self.session.response);
        let (incoming, scratch, head) = self.session.parts(self.inbound.bytes(), core.wall.get());
        let head = (read == Ok(true)).then_some((head, &bytes[..]));
        exchange.respond(&incoming, hit.status(), head, &mut scratch.notes, now);
    }

    pub(super) async fn send_hit(&mut self, view: &Rc<View>, route: usize, hit: &Hit, before: Mark) -> Next {
        let (core, plan) = (self.core, &view.plan);
        self.ended = Ended { status: hit.status(), route: Some(route), ..self.ended };
        core.count_cached(self.session, hit.outcome());
        let way = Way { core, client: self.client, plan };
        let mut whole = None;
        if !self.session.scratch.notes.rewrites.is_empty() {
            match Box::pin(self.rewritten(&way, hit)).await {
                Ok(body) => whole = body,
                Err(reason) => return Box::pin(self.hit_replaced(view, route, before, reason)).await,
            }
        }
        self.tell_id(plan);
        let encoding = self.session.scratch.notes.encoding.take();
        let head = &self.session.head;
        let framing = match (hit.is_sized(), head.version) {
            _ if encoding.is_some() => Framing::Chunked,
            _ if whole.is_some() => Framing::None,
            (true, _) => Framing::None,
            (false, Version::Http11) => Framing::Chunked,
            (false, Version::Http10) => Framing::UntilClose,
        };
        let limit = plan.config.limits.requests_per_connection;
        let open = head.connection.keep_alive
            && framing != Framing::UntilClose
            && !core.leaving.get()
            && (limit == 0 || self.session.served < limit);
        let (edits, changes) = (plan.routes[route].response.to(self.session.sender.is_bare()), &self.session.scratch.notes.response);
        let mut out = core.buffers.take();
        hit.write_head(&mut out, edits, changes, core.now());
        if framing == Framing::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if let Some(body) = &whole {
            write_line(&mut out, b"Content-Length", itoa::Buffer::new().format(body.len()).as_bytes());
        }
        let bodiless = head.method == Method::Head;
        let keep = skip(head, self.inbound) && open;
        out.extend_from_slice(connection_line(head.version, keep));
        out.extend_from_slice(changes.lines());
        out.extend_from_slice(edits.tail());
        let result = if let Some(encoding) = encoding {
            match &whole {
                None => Box::pin(way.encoded(hit, &encoding, out)).await,
                Some(body) => Box::pin(way.encoded_whole(body, &encoding, out)).await,
            }
        } else if let Some(body) = &whole {
            out.extend_from_slice(body);
            way.send(out).await
        } else if hit.is_small() || bodiless {
            hit.copy(0, usize::MAX, &mut out);
            way.send(out).await
        } else {
            Box::pin(way.body(hit, framing, out)).await
        };
        if let Err(reason) = result {
            self.ended.reason = Some(reason);
            // A body that ends with the connection would look complete.
            if framing == Framing::UntilClose {
                self.client.link.reset_on_close();
            }
            return Next::Close;
        }
        match keep {
            true => Next::KeepAlive,
            false if self.inbound.bytes().is_empty() => Next::Close,
            false => Next::Linger,
        }
    }
}

/// The way to the client.
pub(super) struct Way<'a> {
    pub(super) core: &'a Core,
    pub(super) client: &'a Client,
    plan: &'a Plan,
}

impl Way<'_> {
    pub(super) fn limit(&self, length: usize) {
        self.client.timer.close_at(after(self.core.now(), self.plan.config.timeouts.write.get()));
        self.core.counters.bytes_out.add(length as u64);
        self.client.sent.set(self.client.sent.get() + length as u64);
    }

    pub(super) fn sent<T>(&self, result: std::io::Result<T>) -> Result<(), Reason> {
        match result {
            Ok(_) => Ok(()),
            Err(_) if self.client.timer.expired() => Err(Reason::ClientStalled),
            Err(_) => Err(Reason::ClientLeft),
        }
    }

    pub(super) async fn send(&self, out: Vec<u8>) -> Result<(), Reason> {
        self.limit(out.len());
        let (result, out) = self.client.link.send(out, 0).await;
        self.core.buffers.give(out);
        self.sent(result)
    }

    /// Copies from a hit, as [`Hit::copy`] does; a fill that it holds up is told. Other readers aren't: two that have read all there is would
    /// wake each other for ever.
    pub(super) fn copy(&self, hit: &Hit, at: u64, most: usize, out: &mut Vec<u8>) -> Copied {
        let copied = hit.copy(at, most, out);
        if let Some(fill) = hit.fill().filter(|fill| fill.is_held()) {
            self.core.waiters.wake_all_of(Place::Room(fill.id()));
        }
        copied
    }

    /// Waits until the fill that a hit is read from has moved on.
    pub(super) async fn wait(&self, hit: &Hit) {
        let fill = hit.fill().expect("only a fill is waited for");
        // The time that the endpoint takes is not the client's.
        self.client.timer.clear();
        self.core.waiters.wait(Place::Fill(fill.id()), self.core.waiters.ticket()).await;
        self.core.woke();
    }

    /// Sends a body that isn't small, behind its head.
    async fn body(&self, hit: &Hit, framing: Framing, mut out: Vec<u8>) -> Result<(), Reason> {
        let mut at = 0u64;
        if framing == Framing::Chunked {
            // How long the first chunk is isn't known before there is one.
            self.send(std::mem::take(&mut out)).await?;
            out = self.core.buffers.take();
        }
        loop {
            if framing != Framing::Chunked
                && out.is_empty()
                && let Some(piece) = hit.piece(at)
            {
                let (block, range) = piece.into_parts();
                at += range.len() as u64;
                self.limit(range.len());
                let sent = self.client.link.send_shared(block, range).await;
                self.core.woke();
                self.sent(sent)?;
                continue;
            }
            let front = if framing == Framing::Chunked { FRONT } else { out.len() };
            out.resize(front, 0);
            let copied = self.copy(hit, at, (out.capacity() - out.len()).saturating_sub(LINE), &mut out);
            let (count, done) = match copied {
                Copied::More(count) => (count, false),
                Copied::All(count) => (count, true),
                Copied::Broken => return Err(Reason::ClosedMidBody),
                Copied::Wait if framing != Framing::Chunked && front > 0 => (0, false),
                Copied::Wait => {
                    out.clear();
                    self.wait(hit).await;
                    continue;
                }
            };
            at += count as u64;
            let from = match framing {
                Framing::Chunked => {
                    let from = frame(&mut out, count);
                    if done {
                        write_last_chunk(&mut out, b"");
                    }
                    from
                }
                _ => 0,
            };
            if out.len() > from {
                self.limit(out.len() - from);
                let (result, back) = self.client.link.send(out, from).await;
                self.core.woke();
                out = back;
                self.sent(result)?;
            }
            out.clear();
            if done {
                self.core.buffers.give(out);
                return Ok(());
            }
        }
    }
}

/// Room for what ends a chunk, or the last one.
const LINE: usize = 16;
