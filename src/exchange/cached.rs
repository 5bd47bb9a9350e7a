//! The cache in a request's way: asked after the chain and before the limits, told of the endpoint's answer.
//!
//! ```text
//! Looking -> Serve | AwaitFill -> Looking | refusal (only-if-cached) | Admitting, with a fetch
//! Answered, with a fetch -- judge --> Relay | Store | Serve | Again -> Picking
//! refused, with a fetch -- instead --> a stale answer
//! ```

use std::rc::Rc;

use super::{Exchange, Incoming, Scratch, Stage, Step, View};
use crate::cache::{Answer, Ask, Fetch, Fill, Filling, Hit, Lookup, Missed, Outcome, Policy, Purge, Status, Verdict};
use crate::clock::Instant;
use crate::error::Reason;
use crate::http::{Mark, Method, ResponseHead};

/// What a request has to do with its route's cache, on its way to an endpoint.
pub(super) struct Caching {
    fetch: Option<Fetch>,
    /// The request's changes without the conditions that ask for news of what is stored.
    before: Mark,
    /// When it was last sent.
    sent: Instant,
}

/// What a cached route's last request came to, as the next one of the same head comes to the same: on one connection they often are.
#[derive(Clone, Debug)]
pub(super) struct Last {
    generation: u64,
    /// The head's number among its connection's.
    head: u64,
    identified: bool,
    missed: Missed,
    /// The answer that was passed on and isn't ever stored: its head's number, and how that is counted. [`Scratch::told`] is what it was told.
    passed: Option<(u64, Outcome)>,
}

/// What is to become of an endpoint's answer.
pub enum Judged {
    /// Relay it. How the request went, if it was one for the cache, and what other cores' shards are to be told of: it made that
    /// invalid.
    Relay(Option<Outcome>, Vec<Purge>),
    /// Relay it, and store a copy.
    Store(Box<Filling>, Status),
    /// Serve this; the endpoint's answer goes no further.
    Serve(Box<Hit>),
    /// The endpoint's answer goes no further, and the request is sent once more: step again.
    Again,
}

impl Exchange {
    /// Tells the answers of a split's arms apart, by the upstream's name: its place may change with a reload.
    fn arm(&self) -> u32 {
        let plan = &self.view.plan;
        match plan.routes[self.route].split {
            Some(_) => crc32fast::hash(plan.upstreams[self.upstream].settings.id.as_bytes()),
            None => 0,
        }
    }

    /// Looks the request up in its route's cache; `None` if it goes to an endpoint.
    #[inline(never)]
    pub(super) fn look_up(&mut self, incoming: &Incoming<'_>, scratch: &mut Scratch, now: Instant) -> Option<Step> {
        let view = self.view.clone();
        let alone = now >= self.patience;
        let (Some(cache), Some(policy)) = (view.cache(), &view.plan.routes[self.route].cache) else {
            self.stage = Stage::Admitting;
            return None;
        };
        if let Some(fetch) =
            scratch.last.as_ref().filter(|last| last.is_of(&view, incoming, scratch)).and_then(|last| cache.misses_again(&last.missed))
        {
            self.caching = Some(Caching { fetch: Some(fetch), before: scratch.notes.request.mark(), sent: now });
            self.stage = Stage::Admitting;
            return None;
        }
        match cache.lookup(&ask(policy, incoming, scratch, self.arm()), alone, now) {
            Lookup::Hit(hit) => Some(Step::Serve(Box::new(hit), None)),
            Lookup::Stale(hit, fetch) => Some(Step::Serve(Box::new(hit), fetch)),
            Lookup::Wait(fill) => {
                if self.patience == Instant::MAX {
                    self.patience = now + view.plan.config.cache.wait.get();
                }
                Some(Step::AwaitFill(fill))
            }
            Lookup::OnlyIfCached => Some(self.refuse(Reason::NotCached)),
            Lookup::Forward(fetch) => {
                let (generation, head, identified) = (view.plan.generation, incoming.head.seen.heads, is_identified(scratch));
                scratch.last = fetch.missed().map(|missed| Last { generation, head, identified, missed, passed: None });
                self.send_for(fetch, policy, incoming, scratch, now);
                None
            }
        }
    }

    /// The request goes to an endpoint on behalf of the cache too.
    fn send_for(&mut self, fetch: Fetch, policy: &Policy, incoming: &Incoming<'_>, scratch: &mut Scratch, now: Instant) {
        let before = scratch.notes.request.mark();
        let mut conditions = Vec::new();
        if fetch.conditions(&ask(policy, incoming, scratch, self.arm()), &mut conditions) {
            let request = &mut scratch.notes.request;
            request.remove("If-None-Match");
            request.remove("If-Modified-Since");
            request.add_lines(&conditions);
        }
        self.caching = Some(Caching { fetch: Some(fetch), before, sent: now });
        self.stage = Stage::Admitting;
    }

    /// The exchange of a fetch that no client waits for. `incoming` and `scratch` are its own, made from this request's.
    pub fn aside(&self, fetch: Fetch, incoming: &Incoming<'_>, scratch: &mut Scratch, now: Instant) -> Exchange {
        let mut aside = Exchange::new(self.view.clone(), now);
        (aside.route, aside.routed) = (self.route, true);
        aside.begin_route(now);
        aside.upstream = self.upstream;
        if let Some(policy) = &self.view.plan.routes[self.route].cache {
            aside.send_for(fetch, policy, incoming, scratch, now);
        }
        aside
    }

    /// An attempt begins.
    #[inline]
    pub(super) fn sends(&mut self, now: Instant) {
        if let Some(caching) = &mut self.caching {
            caching.sent = now;
        }
    }

    /// The fill that others may wait for.
    pub fn fill(&self) -> Option<&Rc<Fill>> {
        self.caching.as_ref()?.fetch.as_ref()?.fill()
    }

    /// Whether the cache has a say in what becomes of an endpoint's answer.
    #[inline]
    pub fn is_judged(&self, method: Method) -> bool {
        self.caching.is_some() || (!matches!(method, Method::Get | Method::Head) && self.view.cache().is_some())
    }

    /// What is to become of the endpoint's answer. `date` is the `Date` line of the present moment.
    pub fn judge(
        &mut self,
        incoming: &Incoming<'_>,
        scratch: &mut Scratch,
        (head, bytes): (&ResponseHead, &[u8]),
        date: &[u8],
        now: Instant,
    ) -> Judged {
        let view = self.view.clone();
        let Some(cache) = view.cache() else { return Judged::Relay(None, Vec::new()) };
        let none;
        let policy = match &view.plan.routes[self.route].cache {
            Some(policy) => policy,
            None => {
                none = Policy::default();
                &none
            }
        };
        let ask = ask(policy, incoming, scratch, self.arm());
        let sent = self.caching.as_ref().map_or(now, |caching| caching.sent);
        let answer = Answer { head, bytes, sent, wall: incoming.wall, date };
        let Some(caching) = &mut self.caching else { return Judged::Relay(None, cache.invalidate(&ask, &answer)) };
        let Some(fetch) = caching.fetch.take() else { return Judged::Relay(None, Vec::new()) };
        match cache.answered(&ask, fetch, &answer, now) {
            Verdict::Pass(status, purges) => {
                let before = scratch.notes.response.lines().len();
                self.tell(&status, incoming, scratch);
                if let Some(last) = scratch.last.as_mut().filter(|_| status.is_always()) {
                    last.passed = Some((head.seen.heads, status.outcome()));
                    scratch.told.clear();
                    scratch.told.extend_from_slice(&scratch.notes.response.lines()[before..]);
                }
                Judged::Relay(Some(status.outcome()), purges)
            }
            Verdict::Store(status, filling) => Judged::Store(filling, status),
            Verdict::Serve(hit) => Judged::Serve(hit),
            Verdict::Again(fetch) => {
                scratch.notes.request.rewind(caching.before);
                caching.fetch = Some(*fetch);
                if let Some(permit) = self.permit.take() {
                    view.upstream(self.upstream).upstream.borrow_mut().release(permit, now);
                }
                self.stage = Stage::Paused(now);
                Judged::Again
            }
        }
    }

    /// Whether the answer is one that was passed on before, to the same request: it is again, and needn't be judged.
    #[inline]
    pub fn passes_again(&mut self, incoming: &Incoming<'_>, scratch: &mut Scratch, head: &ResponseHead) -> Option<Outcome> {
        let last = scratch.last.as_ref().filter(|last| last.is_of(&self.view, incoming, scratch))?;
        let (_, outcome) = last.passed.filter(|(passed, _)| *passed == head.seen.heads)?;
        self.caching.as_mut()?.fetch.take_if(|fetch| fetch.is_lone())?;
        scratch.notes.response.add_lines(&scratch.told);
        Some(outcome)
    }

    /// The relayed answer says how it got on with the cache.
    pub fn tell(&self, status: &Status, incoming: &Incoming<'_>, scratch: &mut Scratch) {
        let Some(policy) = &self.view.plan.routes[self.route].cache else { return };
        if policy.shows_key() {
            let mut line = Vec::new();
            status.write(&mut line, &ask(policy, incoming, scratch, self.arm()));
            scratch.notes.response.add_lines(&line);
        } else {
            status.write_plain(scratch.notes.response.lines_mut());
        }
    }

    /// What is served instead of a refusal: a stale answer, if one may be.
    #[cold]
    pub fn instead(&mut self, incoming: &Incoming<'_>, scratch: &Scratch, reason: Reason, now: Instant) -> Option<Box<Hit>> {
        let fetch = self.caching.as_mut()?.fetch.take()?;
        let view = self.view.clone();
        let policy = view.plan.routes[self.route].cache.as_ref()?;
        if !matches!(reason.status(), 500 | 502 | 503 | 504) {
            return None;
        }
        view.cache()?.failed(&ask(policy, incoming, scratch, self.arm()), fetch, now).map(Box::new)
    }
}

impl Last {
    /// Whether the request is of the same head, to the same route of the same plan, from somebody who proved as much.
    #[inline]
    fn is_of(&self, view: &View, incoming: &Incoming<'_>, scratch: &Scratch) -> bool {
        self.head == incoming.head.seen.heads && self.generation == view.plan.generation && self.identified == is_identified(scratch)
    }
}

fn is_identified(scratch: &Scratch) -> bool {
    !scratch.notes.marks.identity.is_empty()
}

fn ask<'a>(policy: &'a Policy, incoming: &Incoming<'a>, scratch: &'a Scratch, arm: u32) -> Ask<'a> {
    let Incoming { head, bytes, secure, .. } = *incoming;
    let path = if scratch.normal.is_empty() { head.path.of(bytes) } else { &scratch.normal };
    let identified = is_identified(scratch);
    Ask { policy, head, bytes, changes: &scratch.notes.request, identified, path, secure, arm }
}
