//! One request: asks the exchange what to do and does it, until it is over.

use std::rc::Rc;

use super::answer::{Extra, Own, afterwards, skip};
use super::attempt::{Answered, Failed};
use super::core::{Core, Session};
use super::note::{Asked, Begun, Ended};
use super::relay::{Relayed, Terms, outlives};
use crate::clock::Instant;
use crate::error::Reason;
use crate::exchange::{Attempt, Attempted, Ending, Exchange, Page, Place, Plan, Refusal, Step, Tally, View};
use crate::http::{Edits, Framing, kept_request_id};
use crate::http2::{grpc, web};
use crate::middleware::{Answer, expose_status};
use crate::net;
use crate::server::{Client, Inbound, Next};

/// A request being served.
pub(super) struct Request<'a> {
    pub(super) core: &'a Core,
    pub(super) client: &'a Client,
    pub(super) session: &'a mut Session,
    pub(super) inbound: &'a mut Inbound,
    pub(super) begun: Begun,
    pub(super) ended: Ended,
    /// The route and upstream in which it held places.
    pub(super) held: Option<(usize, u32)>,
    /// The fill that others may have waited for.
    pub(super) fill: Option<u64>,
}

impl<'a> Request<'a> {
    pub(super) async fn run(&mut self, view: Rc<View>) -> Next {
        let Session { head, arrived, .. } = &mut *self.session;
        let body = if let Framing::Length(length) = head.framing { length } else { u64::MAX };
        *arrived = head.length as u64 + body.min((self.inbound.bytes().len() - head.length) as u64);
        self.session.grpc = self.client.http2 && grpc::is_grpc(&self.session.head, self.inbound.bytes());
        self.session.limit = if self.session.grpc { self.own_limit() } else { None };
        let mut exchange = Exchange::new(view, self.begun.at);
        let (mut ticket, mut awaited) = (None, false);
        let mut step = self.step(&mut exchange);
        loop {
            match step {
                Step::Page(page) => return self.page(page).await,
                Step::Refuse(refusal) => {
                    if refusal.reason == Reason::RateLimited {
                        self.core.hurry();
                    }
                    self.tally(exchange.tally());
                    if let Some(hit) = self.instead(&mut exchange, &refusal) {
                        return self.hit(exchange, hit).await;
                    }
                    return self.refused(exchange, refusal).await;
                }
                Step::Answer(answer) => return self.answer(exchange, &answer).await,
                Step::Ask(question) => {
                    let reply = Box::pin(self.core.reply(exchange.view(), *question)).await;
                    self.session.scratch.reply = Some(Box::new(reply));
                }
                Step::Collect(most) => {
                    let view = exchange.view().clone();
                    if let Err(reason) = Box::pin(self.collect(&view, most)).await {
                        step = exchange.uncollected(reason);
                        continue;
                    }
                    exchange.collected(self.core.now());
                }
                Step::Serve(hit, fetch) => {
                    if let Some(fetch) = fetch {
                        self.fetch_aside(&exchange, *fetch);
                    }
                    let before = self.pass_chain(&mut exchange, &hit);
                    let (view, route) = (exchange.view().clone(), exchange.route());
                    // Dropped where it is: it is large, and moving it costs more.
                    drop(exchange);
                    return self.send_hit(&view, route, &hit, before).await;
                }
                Step::AwaitFill(fill) => {
                    self.core.counters.cache_waits.add(u64::from(!std::mem::replace(&mut awaited, true)));
                    let waiters = &self.core.waiters;
                    let since = self.core.now();
                    Box::pin(waiters.wait(Place::Fill(fill.id()), waiters.ticket())).await;
                    self.waited(since);
                }
                Step::Pause(until) => {
                    self.core.hurry();
                    let now = self.core.now();
                    if now < until {
                        Box::pin(net::pause(until.since(now))).await;
                        self.waited(now);
                    }
                }
                Step::Wait(place) => {
                    self.fill = exchange.fill().map(|fill| fill.id());
                    let waiters = &self.core.waiters;
                    let ticket = *ticket.get_or_insert_with(|| {
                        self.core.counters.queued.add(1);
                        waiters.ticket()
                    });
                    let since = self.core.now();
                    waiters.wait(place, ticket).await;
                    self.waited(since);
                }
                Step::Attempt(mut attempt) => {
                    self.held = Some((attempt.route, attempt.pool));
                    self.fill = exchange.fill().map(|fill| fill.id());
                    let Attempt { route, upstream, endpoint, .. } = attempt;
                    if self.session.scratch.notes.web.is_some() && !self.session.grpc {
                        (self.session.grpc, self.session.limit) = (true, self.own_limit());
                    }
                    self.session.tell_trace(self.ended.attempts == 0);
                    if self.ended.attempts == 0 && exchange.view().plan.routes[route].mirror.is_some() {
                        self.mirror(&exchange);
                    }
                    let mut asked = Asked { upstream, endpoint, at: self.core.woke(), answered: None };
                    // One by one: the whole is copied otherwise.
                    self.ended.route = Some(route);
                    self.ended.attempts += 1;
                    self.ended.first = self.ended.first.or(Some(asked.at));
                    let (core, client, session) = (self.core, Some(self.client), &mut *self.session);
                    let outcome = match attempt.hedge_after {
                        None => core.attempt(client, session, self.inbound, exchange.view(), exchange.deadline(), &attempt).await,
                        Some(after) => {
                            let raced = Box::pin(core.race(client, session, self.inbound, &mut exchange, &mut attempt, after)).await;
                            (asked.endpoint, self.ended.attempts) = (attempt.endpoint, exchange.attempts());
                            raced
                        }
                    };
                    let (now, draw) = (self.core.now(), self.core.draw());
                    let mut got = match outcome {
                        Ok(got) => got,
                        Err(Failed { reason, trace }) => {
                            self.ended.asked = Some(asked);
                            let ending = Ending::Failed(reason);
                            step = exchange.attempted(Attempted { ending, trace }, &self.session.head, now, draw);
                            continue;
                        }
                    };
                    self.ended.asked = Some(Asked { answered: Some(now), ..asked });
                    let ending = self.ending(&mut got);
                    step = exchange.attempted(Attempted { ending, trace: got.trace }, &self.session.head, now, draw);
                    if !matches!(step, Step::Relay) {
                        continue;
                    }
                    if exchange.is_judged(self.session.head.method)
                        && let Some(judged) = self.judge(&mut exchange, &got)
                    {
                        match Box::pin(self.judged(exchange, got, attempt, judged)).await {
                            Ok(next) => return next,
                            Err(on) => exchange = on,
                        }
                        step = self.step(&mut exchange);
                        continue;
                    }
                    return self.relay(&mut exchange, &mut got, &attempt).await;
                }
                Step::Relay => unreachable!("an answer is relayed only when there is one"),
            }
            step = self.step(&mut exchange);
        }
    }

    /// When the time is over that a call of gRPC gives itself.
    fn own_limit(&self) -> Option<Instant> {
        Some(self.begun.at + grpc::timeout(&self.session.head, self.inbound.bytes())?)
    }

    /// How an attempt ended that was answered: a call of gRPC may be over with the head.
    fn ending(&self, answered: &mut Answered<'_>) -> Ending {
        let head = &self.session.response;
        if self.session.grpc && head.status == 200 {
            answered.call = head.header(&answered.buf, "grpc-status").map(grpc::parse_status);
        }
        match answered.call {
            Some(code) => Ending::Called { code, counts_as: self.counts_as(code) },
            None => Ending::Answered(head.status),
        }
    }

    /// What a call's status says of the endpoint's health.
    fn counts_as(&self, code: u8) -> u16 {
        grpc::counts_as(code, self.session.limit.is_some())
    }

    fn step(&mut self, exchange: &mut Exchange) -> Step {
        let (incoming, scratch, _) = self.session.parts(self.inbound.bytes(), self.core.wall.get());
        exchange.step(&incoming, scratch, self.core.now(), self.core.draw())
    }

    /// Counts what the attempts cost.
    pub(super) fn tally(&self, tally: Tally) {
        let counters = &self.core.counters;
        counters.retries.add(u64::from(tally.retries));
        counters.retries_stale.add(u64::from(tally.stale_retries));
        counters.retry_budget_exhausted.add(u64::from(tally.budget_exhausted));
    }

    async fn relay(&mut self, exchange: &mut Exchange, answered: &mut Answered<'_>, attempt: &Attempt) -> Next {
        let core = self.core;
        self.ended.status = self.session.response.status;
        self.tally(exchange.tally());
        let view = exchange.view().clone();
        let plan = &view.plan;
        self.ended.call = answered.call;
        let upgraded = self.ended.status == 101;
        let limit = plan.config.limits.requests_per_connection;
        let keep = self.session.head.connection.keep_alive
            && outlives(self.session)
            && !core.leaving.get()
            && !upgraded
            && (limit == 0 || self.session.served < limit)
            && answered.upload.as_ref().is_none_or(|upload| upload.ended().is_some_and(|ended| ended.result.is_ok()));
        let (incoming, scratch, head) = self.session.parts(self.inbound.bytes(), core.wall.get());
        let before = scratch.notes.response.mark();
        exchange.respond(&incoming, self.ended.status, Some((head, &answered.buf)), &mut scratch.notes, core.now());
        if !scratch.notes.rewrites.is_empty() {
            let (rewrites, body) = (std::mem::take(&mut scratch.notes.rewrites), (head.length, head.framing));
            let terms = Terms { plan, route: attempt.route, keep };
            if let Err(reason) = Box::pin(core.rewrite(self.client, answered, &terms, body, &rewrites)).await {
                return Box::pin(self.replaced(exchange, before, reason)).await;
            }
        }
        let status = self.session.scratch.notes.status;
        if status != 0 {
            self.replace_status(answered, status);
        }
        self.tell_id(plan);
        let early = if upgraded { answered.buf.split_off(self.session.response.length) } else { Vec::new() };
        let terms = Terms { plan, route: attempt.route, keep };
        let Relayed { result, reusable } = core.relay(self.client, self.session, answered, &terms).await;
        if upgraded && result.is_ok() {
            return Box::pin(self.switch(exchange, answered, early)).await;
        }
        self.ended.whole = !answered.pieces;
        if let Some(code) = answered.call
            && self.ended.call.replace(code).is_none()
        {
            exchange.called(self.counts_as(code), core.now());
        }
        exchange.ended(result.err(), core.now());
        let uploaded = self.finish_upload(answered);
        if reusable && uploaded {
            core.give_back(&answered.connection, attempt, plan);
        }
        if let Err(reason) = result {
            self.ended.reason = Some(reason);
            // A body that ends with the connection would look complete.
            if !outlives(self.session) {
                self.client.link.reset_on_close();
            }
            return Next::Close;
        }
        match (keep && uploaded, uploaded) {
            (true, _) => Next::KeepAlive,
            (false, true) if self.inbound.bytes().is_empty() => Next::Close,
            _ => Next::Linger,
        }
    }

    /// Lets the answer tell the request's id, if it is to.
    #[inline]
    pub(super) fn tell_id(&mut self, plan: &Plan) {
        if plan.additions.id_to_client {
            let Session { head, sender, scratch, .. } = &mut *self.session;
            let id = kept_request_id(head, self.inbound.bytes(), sender.trusted).unwrap_or(scratch.id.as_bytes());
            scratch.notes.response.set("X-Request-ID", id);
        }
    }

    /// Uses up the request's bytes; says whether all of its body has gone to the endpoint.
    #[inline(always)]
    pub(super) fn finish_upload(&mut self, answered: &mut Answered<'_>) -> bool {
        match answered.upload.take() {
            None => skip(&self.session.head, self.inbound),
            Some(upload) => match upload.into_ended() {
                Some(ended) => {
                    self.inbound.replace(&ended.rest);
                    ended.result.is_ok()
                }
                None => false,
            },
        }
    }

    async fn page(&mut self, page: Page) -> Next {
        let answer = (self.core.pages)(page);
        self.ended.status = answer.0;
        self.ended.page = true;
        let keep = self.keep();
        afterwards(self.core.page(self.client, self.session, answer, keep).await, keep)
    }

    /// The chain sees an answer of the gateway's own; what the exchange holds is given back.
    fn own(&mut self, mut exchange: Exchange, status: u16) -> (Rc<View>, Option<usize>) {
        let (incoming, scratch, _) = self.session.parts(self.inbound.bytes(), self.core.wall.get());
        exchange.respond(&incoming, status, None, &mut scratch.notes, self.core.now());
        self.tell_id(&exchange.view().plan);
        self.ended.route = exchange.routed();
        (exchange.view().clone(), exchange.routed())
    }

    /// Answers as a link of the chain says.
    async fn answer(&mut self, exchange: Exchange, answer: &Answer) -> Next {
        let (view, route) = self.own(exchange, answer.status);
        self.ended.status = answer.status;
        let keep = self.keep();
        let edits = view.plan.response_edits(route, self.session.sender.is_bare());
        let own = Own { status: answer.status, lines: &answer.lines, body: &answer.body, edits, keep };
        afterwards(self.core.own(self.client, self.session, &own).await, keep)
    }

    async fn refused(&mut self, exchange: Exchange, refusal: Refusal) -> Next {
        let Refusal { reason, retry_after, allow, upstream, lines } = refusal;
        let (view, route) = self.own(exchange, reason.status());
        self.refuse(reason, &Extra { retry_after, allow, upstream, lines }, view.plan.response_edits(route, self.session.sender.is_bare()))
            .await
    }

    pub(super) async fn refuse(&mut self, reason: Reason, extra: &Extra, edits: &Edits) -> Next {
        self.ended.status = reason.status();
        self.ended.reason = Some(reason);
        if web::Form::wanted(&self.session.head, self.inbound.bytes()).is_some() {
            self.session.grpc = true;
            let (incoming, scratch, _) = self.session.parts(self.inbound.bytes(), self.core.wall.get());
            expose_status(&incoming, &mut scratch.notes.response);
        }
        if matches!(reason, Reason::ClientLeft | Reason::ClientStalled) {
            return Next::Close;
        }
        let consumed_head = self.inbound.bytes().to_vec();
        let keep = self.keep();
        afterwards(self.core.refusal(self.client, self.session, &consumed_head, reason, extra, edits, keep).await, keep)
    }

    /// Whether the connection stays open after an answer of the gateway's own; uses up the request if so.
    fn keep(&mut self) -> bool {
        let open = self.session.head.connection.keep_alive && !self.core.leaving.get();
        skip(&self.session.head, self.inbound) && open
    }
}
