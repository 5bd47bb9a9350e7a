//! Fetching for the cache: an answer that isn't complete yet is received by a task of its own, at the endpoint's speed, and all its
//! clients read from what has come. So a client that reads slowly holds up nobody, and one that leaves doesn't end it.

use std::rc::Rc;

use super::attempt::{Answered, Received, key};
use super::core::{Core, Session};
use super::receive::Fetching;
use super::serve::Request;
use crate::cache::{Fetch, Filling, Hit, Outcome, Status};
use crate::client::{Connection, KeepAlive};
use crate::config::{ProxyProtocol, Upstream};
use crate::exchange::{Attempt, Attempted, Ending, Exchange, Judged, Place, Plan, Refusal, Step};
use crate::http::Framing;
use crate::http1::{Chunked, parse_request};
use crate::net;
use crate::server::{Inbound, Next};

impl Core {
    /// Runs a task beside all connections; a panic ends it alone.
    pub(super) fn beside(self: &Rc<Core>, task: impl Future<Output = ()> + 'static) {
        let core = self.clone();
        net::spawn_apart(task, move |result| {
            if result.is_err() {
                core.counters.panics.add(1);
                core.waiters.wake_all();
            }
        });
    }

    /// Counts how a request got on with the cache.
    pub(super) fn count_cached(&self, session: &mut Session, outcome: Outcome) {
        self.counters.cache_requests.add(outcome as usize, 1);
        session.scratch.notes.marks.cache = outcome.word();
    }

    /// Those that wait for this fill look at it again.
    pub(super) fn wake_fill(&self, fill: u64) {
        self.waiters.wake_all_of(Place::Fill(fill));
    }

    /// Wakes those that wait for places that a request held.
    pub(super) fn wake_places(&self, route: usize, pool: u32) {
        for place in [Place::Upstream(pool), Place::Route(route), Place::Gateway] {
            self.waiters.wake_one(place);
        }
    }

    /// Puts an endpoint's answer aside that nobody gets: its connection is kept if all of the answer has come.
    pub(super) fn set_aside(&self, session: &Session, answered: &Answered<'_>, attempt: &Attempt, exchange: &Exchange) {
        let head = &session.response;
        let behind = (answered.buf.len() - head.length) as u64;
        let whole = match head.framing {
            Framing::None => behind == 0,
            Framing::Length(length) => behind == length,
            Framing::Chunked | Framing::UntilClose => false,
        };
        if whole && head.connection.keep_alive {
            answered.connection.timer.clear();
            self.give_back(&answered.connection, attempt, &exchange.view().plan);
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn give_back(&self, connection: &Rc<Connection>, attempt: &Attempt, plan: &Plan) {
        let Upstream { keep_alive: settings, proxy_protocol, .. } = &*plan.upstreams[attempt.upstream].settings;
        // It stands for one client.
        if *proxy_protocol != ProxyProtocol::Off {
            return;
        }
        let keep_alive = KeepAlive {
            connections: settings.connections as usize,
            idle: settings.idle.get(),
            requests: settings.requests,
            max_age: settings.max_age.get(),
        };
        self.pool.give(key(attempt), connection.clone(), &keep_alive, self.now());
    }

    /// What is to become of an endpoint's answer, as the cache sees it.
    fn judge(&self, session: &mut Session, bytes: &[u8], exchange: &mut Exchange, answered: &Answered<'_>) -> Judged {
        let date = self.date.get();
        let fill = exchange.fill().map(|fill| fill.id());
        let (incoming, scratch, head) = session.parts(bytes, self.wall.get());
        let judged = exchange.judge(&incoming, scratch, (head, &answered.buf), &date, self.now());
        if let Some(fill) = fill {
            self.wake_fill(fill);
        }
        match judged {
            Judged::Relay(outcome, purges) => {
                if let Some(outcome) = outcome {
                    self.count_cached(session, outcome);
                }
                if !purges.is_empty() {
                    self.tell_others(purges);
                }
                Judged::Relay(None, Vec::new())
            }
            other => other,
        }
    }

    /// A fetch that no client waits for.
    async fn fetch_for_cache(self: Rc<Core>, mut session: Box<Session>, inbound: Inbound, mut exchange: Exchange) {
        let ticket = self.waiters.ticket();
        let mut answered = None;
        let mut held = None;
        let fill = exchange.fill().map(|fill| fill.id());
        loop {
            let (incoming, scratch, _) = session.parts(inbound.bytes(), self.wall.get());
            let mut step = exchange.step(&incoming, scratch, self.now(), self.draw());
            if let Step::Attempt(attempt) = step {
                held = Some((attempt.route, attempt.pool));
                let outcome = self.attempt(None, &mut session, &inbound, exchange.view(), exchange.deadline(), &attempt).await;
                let (ending, trace) = match outcome {
                    Ok(got) => {
                        let trace = got.trace;
                        answered = Some((got, attempt));
                        (Ending::Answered(session.response.status), trace)
                    }
                    Err(failed) => (Ending::Failed(failed.reason), failed.trace),
                };
                step = exchange.attempted(Attempted { ending, trace }, &session.head, self.now(), self.draw());
            }
            match step {
                Step::Pause(until) => {
                    if self.now() < until {
                        net::pause(until.since(self.now())).await;
                        self.woke();
                    }
                }
                Step::Wait(place) => {
                    self.waiters.wait(place, ticket).await;
                    self.woke();
                }
                Step::Relay => {
                    let (got, attempt) = answered.take().expect("an answer is relayed only when there is one");
                    match self.judge(&mut session, inbound.bytes(), &mut exchange, &got) {
                        Judged::Store(filling, _) => {
                            let head = Received::of(&session.response);
                            return Fetching::new(self.clone(), exchange, attempt, got, head, *filling).run().await;
                        }
                        Judged::Again => self.set_aside(&session, &got, &attempt, &exchange),
                        Judged::Relay(..) | Judged::Serve(_) => {
                            self.set_aside(&session, &got, &attempt, &exchange);
                            exchange.ended(None, self.now());
                            break;
                        }
                    }
                }
                _ => break,
            }
        }
        drop(exchange);
        if let Some((route, pool)) = held {
            self.wake_places(route, pool);
        }
        if let Some(fill) = fill {
            self.wake_fill(fill);
        }
    }
}

impl Request<'_> {
    /// The cache sees the endpoint's answer. `None`: it is relayed, as nearly all are, and stored by now if all of it has come.
    pub(super) fn judge(&mut self, exchange: &mut Exchange, got: &Answered<'_>) -> Option<Judged> {
        let core = self.core;
        let (incoming, scratch, head) = self.session.parts(self.inbound.bytes(), core.wall.get());
        if let Some(outcome) = exchange.passes_again(&incoming, scratch, head) {
            core.count_cached(self.session, outcome);
            return None;
        }
        match core.judge(self.session, self.inbound.bytes(), exchange, got) {
            Judged::Relay(..) => None,
            Judged::Store(filling, status) => match self.store_whole(got, filling) {
                None => {
                    core.count_cached(self.session, status.outcome());
                    let (incoming, scratch, _) = self.session.parts(self.inbound.bytes(), core.wall.get());
                    exchange.tell(&status, &incoming, scratch);
                    None
                }
                Some(filling) => Some(Judged::Store(filling, status)),
            },
            other => Some(other),
        }
    }

    /// Does what the cache wants done with an answer that isn't relayed; the exchange comes back if another attempt is made.
    pub(super) async fn judged(
        &mut self,
        mut exchange: Exchange,
        got: Answered<'_>,
        attempt: Attempt,
        judged: Judged,
    ) -> Result<Next, Exchange> {
        let core = self.core;
        if let Judged::Store(filling, status) = judged {
            return Ok(self.lead(exchange, got, attempt, filling, status).await);
        }
        core.set_aside(self.session, &got, &attempt, &exchange);
        let Judged::Serve(hit) = judged else { return Err(exchange) };
        exchange.ended(None, core.now());
        self.tally(exchange.tally());
        Ok(self.hit(exchange, hit).await)
    }

    /// What is served instead of a refusal.
    pub(super) fn instead(&mut self, exchange: &mut Exchange, refusal: &Refusal) -> Option<Box<Hit>> {
        let (incoming, scratch, _) = self.session.parts(self.inbound.bytes(), self.core.wall.get());
        exchange.instead(&incoming, scratch, refusal.reason, self.core.now())
    }

    /// Stores an answer all of which has come; gives back what is to be filled if it hasn't.
    fn store_whole(&self, answered: &Answered<'_>, mut filling: Box<Filling>) -> Option<Box<Filling>> {
        let (core, head) = (self.core, &self.session.response);
        let body = &answered.buf[head.length..];
        let mut decoded;
        let whole = match head.framing {
            Framing::Length(length) if body.len() as u64 >= length => &body[..length as usize],
            Framing::None => &[],
            Framing::Chunked => {
                decoded = body.to_vec();
                match Chunked::new(&core.view.borrow().plan.head_limits).decode(&mut decoded) {
                    Ok(ended) if ended.done => &decoded[..ended.data],
                    _ => return Some(filling),
                }
            }
            _ => return Some(filling),
        };
        let fill = filling.fill().id();
        filling.push(whole);
        filling.finish(core.now());
        core.wake_fill(fill);
        None
    }

    /// Receives an answer for all that want it, and serves this request from what comes.
    async fn lead(&mut self, mut exchange: Exchange, got: Answered<'_>, attempt: Attempt, filling: Box<Filling>, status: Status) -> Next {
        let core = self.core;
        let Some(own) = core.shared() else { return Next::Close };
        let hit = filling.hit(status).expect("it has just begun");
        self.tally(exchange.tally());
        // The chain is shown another head, in the same place.
        let head = Received::of(&self.session.response);
        let before = self.pass_chain(&mut exchange, &hit);
        let (view, route) = (exchange.view().clone(), exchange.route());
        let mut fetching = Fetching::new(own.clone(), exchange, attempt, got, head, *filling);
        // What is there goes along with the head.
        let begun = fetching.begin();
        own.beside(fetching.go_on(begun));
        self.send_hit(&view, route, &hit, before).await
    }

    /// Fetches what is stored anew, without this request waiting for it.
    #[cold]
    pub(super) fn fetch_aside(&mut self, exchange: &Exchange, fetch: Fetch) {
        let core = self.core;
        let Some(own) = core.shared() else { return };
        let (head, received) = (&self.session.head, self.inbound.bytes());
        // The whole is asked for, whatever this request wants of it.
        let mut bytes = b"GET".to_vec();
        bytes.extend_from_slice(&received[head.method_name.end as usize..head.length]);
        let mut session = Box::new(Session {
            sender: self.session.sender.clone(),
            peer: self.session.peer,
            scratch: self.session.scratch.clone(),
            ..Session::default()
        });
        if parse_request(&bytes, &exchange.view().plan.head_limits, &mut session.head) != Ok(true) {
            return;
        }
        session.scratch.id = core.request_id(exchange.view().plan.additions.uuid);
        // Its heads are numbered anew.
        session.scratch.forget();
        for name in ["Range", "If-Range", "If-None-Match", "If-Modified-Since"] {
            session.scratch.notes.request.remove(name);
        }
        let (incoming, scratch, _) = session.parts(&bytes, core.wall.get());
        let aside = exchange.aside(fetch, &incoming, scratch, core.now());
        let work = own.clone().fetch_for_cache(session, Inbound::new(bytes), aside);
        own.beside(work);
    }
}
