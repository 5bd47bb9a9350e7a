//! Whole bodies, for links that have to see all of one: a request's before it goes to an endpoint, an answer's before its head goes to
//! the client. Both are bounded.

use super::answer::Extra;
use super::attempt::Answered;
use super::core::{Core, after};
use super::hit::Way;
use super::relay::Terms;
use super::serve::Request;
use super::source::Source;
use crate::cache::{Copied, Hit};
use crate::error::Reason;
use crate::exchange::{Exchange, View};
use crate::http::{Framing, Mark};
use crate::http1::as_response;
use crate::middleware::{Editing, Response};
use crate::net::Stream;
use crate::server::{Client, Next};

impl Request<'_> {
    /// Gives the answer another status. A body that can't go with it is left out; its connection is kept if all of it has come.
    #[cold]
    pub(super) fn replace_status(&mut self, answered: &mut Answered<'_>, status: u16) {
        let head = &mut self.session.response;
        let (before, behind) = (head.framing, (answered.buf.len() - head.length) as u64);
        head.replace_status(status);
        if head.framing != before {
            self.session.scratch.notes.encoding = None;
            answered.buf.truncate(head.length);
            head.connection.keep_alive &= match before {
                Framing::None => behind == 0,
                Framing::Length(length) => behind == length,
                Framing::Chunked | Framing::UntilClose => false,
            };
        }
        self.ended.status = status;
    }

    /// Gathers the request's body, of so many bytes at most, and leaves it in the notes: it has one framing less to go wrong from here on.
    pub(super) async fn collect(&mut self, view: &View, most: u64) -> Result<(), Reason> {
        let (core, head) = (self.core, &self.session.head);
        let (length, framing) = (head.length, head.framing);
        if matches!(framing, Framing::Length(length) if length > most) {
            return Err(Reason::BodyTooLarge);
        }
        let mut piece = self.inbound.bytes()[length..].to_vec();
        if head.expect_continue {
            self.session.scratch.notes.request.remove("Expect");
            if piece.is_empty() {
                self.go_ahead(view).await?;
            }
        }
        let mut source = Source::new(framing, &view.plan.head_limits);
        let mut body = Vec::new();
        loop {
            let taken = source.take(&mut piece)?;
            body.extend_from_slice(&piece[..taken.data]);
            if body.len() as u64 > most {
                return Err(Reason::BodyTooLarge);
            }
            if taken.done {
                let mut rest = self.inbound.bytes()[..length].to_vec();
                rest.extend_from_slice(&piece[taken.consumed..]);
                self.inbound.replace_body(&rest);
                self.session.scratch.notes.body = Some(body);
                return Ok(());
            }
            piece.clear();
            self.client.timer.hush_at(after(core.now(), view.plan.config.timeouts.body_idle.get()));
            let received;
            (received, piece) = self.client.link.recv(piece).await;
            core.woke();
            match received {
                Ok(received) if received > 0 => {
                    self.client.timer.clear();
                    core.counters.bytes_in.add(received as u64);
                    self.client.received.set(self.client.received.get() + received as u64);
                }
                _ if self.client.timer.expired() => return Err(Reason::BodyTimeout),
                _ => return Err(Reason::ClientLeft),
            }
        }
    }

    /// Lets a client send that waits for leave (RFC 9110 section 10.1.1).
    async fn go_ahead(&self, view: &View) -> Result<(), Reason> {
        self.client.timer.close_at(after(self.core.now(), view.plan.config.timeouts.write.get()));
        let (sent, _) = self.client.link.send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), 0).await;
        self.client.timer.clear();
        sent.map(|_| ()).map_err(|_| Reason::ClientLeft)
    }

    /// Edits a hit's body, if that is wanted: the whole of it, if so.
    pub(super) async fn rewritten(&mut self, way: &Way<'_>, hit: &Hit) -> Result<Option<Vec<u8>>, Reason> {
        let rewrites = std::mem::take(&mut self.session.scratch.notes.rewrites);
        let most = limit(&rewrites);
        let mut body = Vec::new();
        loop {
            let room = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(body.len()).saturating_add(1);
            match hit.copy(body.len() as u64, room, &mut body) {
                _ if body.len() as u64 > most => return too_large(&rewrites).map(|()| None),
                Copied::All(_) => break,
                Copied::More(_) => {}
                Copied::Wait => way.wait(hit).await,
                Copied::Broken => return Err(Reason::ClosedMidBody),
            }
        }
        rewrites.iter().try_for_each(|rewrite| rewrite.apply(&mut body))?;
        self.session.scratch.notes.response.remove("Content-Length");
        Ok(Some(body))
    }

    /// The client gets a refusal in place of an answer that can't be edited. The chain, which has seen that one, sees this one too.
    pub(super) async fn replaced(&mut self, exchange: &mut Exchange, before: Mark, reason: Reason) -> Next {
        let core = self.core;
        let upstream = view_name(exchange);
        exchange.ended(Some(reason), core.now());
        let (incoming, scratch, _) = self.session.parts(self.inbound.bytes(), core.wall.get());
        scratch.notes.response.rewind(before);
        scratch.notes.encoding = None;
        exchange.respond(&incoming, reason.status(), None, &mut scratch.notes, core.now());
        let view = exchange.view().clone();
        self.tell_id(&view.plan);
        let extra = Extra { upstream: Some(upstream), ..Extra::default() };
        self.refuse(reason, &extra, view.plan.response_edits(exchange.routed(), self.session.sender.is_bare())).await
    }

    /// The same, where the answer is the cache's.
    pub(super) async fn hit_replaced(&mut self, view: &View, route: usize, before: Mark, reason: Reason) -> Next {
        let core = self.core;
        let (incoming, scratch, _) = self.session.parts(self.inbound.bytes(), core.wall.get());
        scratch.notes.response.rewind(before);
        scratch.notes.encoding = None;
        let mut response = Response { incoming: &incoming, status: reason.status(), head: None, notes: &mut scratch.notes };
        // Only who has passed all of it is served from the cache.
        view.chain(route).iter().rev().for_each(|link| link.on_response(&mut response, core.now()));
        self.tell_id(&view.plan);
        self.refuse(reason, &Extra::default(), view.plan.response_edits(Some(route), self.session.sender.is_bare())).await
    }
}

fn view_name(exchange: &Exchange) -> String {
    exchange.view().plan.upstreams[exchange.upstream()].settings.id.clone()
}

impl Core {
    /// Gathers the rest of an endpoint's answer and edits it; it is left as it is if it is too large and may pass like that.
    pub(super) async fn rewrite(
        &self,
        client: &Client,
        answered: &mut Answered<'_>,
        terms: &Terms<'_>,
        (head, framing): (usize, Framing),
        rewrites: &[Editing],
    ) -> Result<(), Reason> {
        let most = limit(rewrites);
        if matches!(framing, Framing::Length(length) if length > most) {
            return too_large(rewrites);
        }
        let mut source = Source::new(framing, &terms.plan.head_limits);
        let (mut body, mut ended) = (Vec::new(), false);
        let mut piece = answered.buf[head..].to_vec();
        loop {
            let taken = source.take(&mut piece).map_err(as_response)?;
            body.extend_from_slice(&piece[..taken.data]);
            // What is kept in case that it has to pass may be more than the body: chunks have frames.
            if body.len() as u64 > most || answered.buf.len() as u64 > most.saturating_mul(2).saturating_add(FRAMES) {
                return too_large(rewrites);
            }
            if taken.done || ended {
                rewrites.iter().try_for_each(|rewrite| rewrite.apply(&mut body))?;
                answered.whole = Some((body, taken.done && taken.consumed == piece.len()));
                return Ok(());
            }
            piece.clear();
            let received;
            (received, piece) = self.more(client, answered, terms, piece).await;
            ended = !received?;
            if ended && !matches!(source, Source::Open) {
                return Err(Reason::ClosedMidBody);
            }
            answered.buf.extend_from_slice(&piece);
        }
    }
}

/// Bytes that all of these can take.
fn limit(rewrites: &[Editing]) -> u64 {
    rewrites.iter().map(|rewrite| rewrite.most).min().unwrap_or(u64::MAX)
}

/// What becomes of a larger answer.
fn too_large(rewrites: &[Editing]) -> Result<(), Reason> {
    if rewrites.iter().all(|rewrite| rewrite.pass) { Ok(()) } else { Err(Reason::AnswerTooLarge) }
}

/// Bytes of frames that are allowed for beside twice a body's limit.
const FRAMES: u64 = 64 << 10;
