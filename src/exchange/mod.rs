//! One request's decisions, from its head to its last byte: route, limits, endpoint, retries. Pure: `step` says what to do next,
//! `attempted` and `ended` say how it went.
//!
//! ```text
//! Arrived -> page, refusal | Chained -- a link: Answer, refusal, Pause --> Chained
//! Chained -> Admitting -- no place --> Wait -> Admitting
//! Admitting -> Picking -- no place at an endpoint --> Wait -> Picking
//! Picking -> Attempt -> answered --> Relay -> ended
//!                    \-> failed ---> retry allowed: Pause -> Picking | refusal
//! ```

mod admit;
mod chain;
mod page;
mod plan;
mod step;
mod view;

use std::rc::Rc;

pub use crate::middleware::Incoming;
pub use crate::retry::Ending;
pub use page::Page;
pub use plan::{Plan, PlanProblem, RoutePlan, UpstreamPlan};
pub use step::{Attempt, Attempted, Place, Refusal, Step, Tally, Trace};
pub use view::{Member, View};

use crate::clock::Instant;
use crate::error::Reason;
use crate::http::RequestHead;
use crate::middleware::Notes;
use crate::retry::{self, Situation, Verdict};
use crate::router::Captures;
use crate::upstream::{Ask, Outcome, Permit, Tried, Unavailable};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Arrived,
    Chained,
    /// A link of the chain lets it wait until then.
    Held(Instant),
    Admitting,
    Picking,
    Attempting,
    Paused(Instant),
    Answered,
    Over(Reason),
}

/// One request's decisions. Dropping it at any stage gives everything back that it holds.
pub struct Exchange {
    view: Rc<View>,
    stage: Stage,
    route: usize,
    routed: bool,
    /// Links of the route's chain that have let the request pass and haven't seen its answer.
    links: usize,
    /// The next link has been asked before.
    again: bool,
    permit: Option<Permit>,
    tried: Tried,
    retries_left: u32,
    attempts: u32,
    deadline: Instant,
    last: Instant,
    /// Until when a place is waited for.
    patience: Instant,
    /// What the request waits for in a queue.
    queued: Option<Place>,
    holds: Holds,
    tally: Tally,
    /// Why the attempt before failed: says more than that no other endpoint is left.
    last_failure: Option<Reason>,
}

/// What an exchange works with beside the request. Kept with the client's connection and reused, so that a request allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    /// What the route's pattern took from the path.
    pub captures: Captures,
    /// The path without dot segments, where it had some.
    pub normal: Vec<u8>,
    /// The path that the endpoint sees, where it differs.
    pub path: Vec<u8>,
    /// What the chain decided.
    pub notes: Notes,
}

/// Places that the request takes below the limits.
#[derive(Clone, Copy, Debug, Default)]
struct Holds {
    gateway: bool,
    route: bool,
    request_budget: bool,
    retry_budget: bool,
}

impl Exchange {
    /// A request that has just arrived.
    pub fn new(view: Rc<View>, now: Instant) -> Self {
        Exchange {
            view,
            stage: Stage::Arrived,
            route: 0,
            routed: false,
            links: 0,
            again: false,
            permit: None,
            tried: Tried::default(),
            retries_left: 0,
            attempts: 0,
            deadline: Instant::MAX,
            last: now,
            patience: Instant::MAX,
            queued: None,
            holds: Holds::default(),
            tally: Tally::default(),
            last_failure: None,
        }
    }

    /// The core's view that the request began with and keeps.
    pub fn view(&self) -> &Rc<View> {
        &self.view
    }

    /// When the whole request must have begun to be answered.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The route, once it is found.
    pub fn route(&self) -> usize {
        self.route
    }

    /// The route, if one was found.
    pub fn routed(&self) -> Option<usize> {
        self.routed.then_some(self.route)
    }

    /// Attempts made so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What to do next.
    pub fn step(&mut self, request: &Incoming<'_>, scratch: &mut Scratch, now: Instant, draw: u64) -> Step {
        self.last = now;
        if let Stage::Arrived = self.stage
            && let Some(step) = self.arrive(request, scratch, now)
        {
            return step;
        }
        match self.stage {
            Stage::Held(until) if now < until => return Step::Pause(until),
            Stage::Held(_) | Stage::Chained => {
                if let Some(step) = self.pass_chain(request, scratch, now, draw) {
                    return step;
                }
            }
            _ => {}
        }
        if self.stage == Stage::Admitting
            && let Some(step) = self.take_places(now)
        {
            return step;
        }
        match self.stage {
            Stage::Paused(until) if now < until => Step::Pause(until),
            Stage::Picking | Stage::Paused(_) => self.pick(request, now, draw),
            Stage::Answered => Step::Relay,
            Stage::Over(reason) => self.refuse(reason),
            Stage::Arrived | Stage::Chained | Stage::Held(_) | Stage::Admitting | Stage::Attempting => {
                unreachable!("an attempt is reported before the next step")
            }
        }
    }

    fn pick(&mut self, request: &Incoming<'_>, now: Instant, draw: u64) -> Step {
        let view = self.view.clone();
        let member = view.member(self.route);
        let mut upstream = member.upstream.borrow_mut();
        let trusted = &view.plan.trusted;
        let place = Place::Upstream(member.pool);
        let queued = self.queued == Some(place);
        let ask = Ask {
            key: upstream.hash_key().map_or(0, |key| request.hash_key(key, trusted)),
            client: if upstream.hashes_client() { request.client_hash(trusted) } else { 0 },
            tried: self.tried,
            queued,
        };
        let unavailable = match upstream.admit(&ask, now, draw) {
            Ok(permit) => {
                if queued {
                    upstream.leave_queue();
                    self.queued = None;
                }
                let endpoint = permit.endpoint();
                let address = upstream.target(endpoint, draw);
                self.permit = Some(permit);
                self.attempts += 1;
                self.stage = Stage::Attempting;
                let careful = !request.head.method.is_idempotent();
                let upstream = view.plan.routes[self.route].upstream;
                return Step::Attempt(Attempt { route: self.route, upstream, pool: member.pool, endpoint, address, careful });
            }
            Err(unavailable) => unavailable,
        };
        let busy = unavailable == Unavailable::Busy;
        if busy && queued && now < self.patience {
            return Step::Wait(place);
        }
        if busy && !queued && upstream.try_queue() {
            self.queued = Some(place);
            self.patience = now + upstream.settings().queue.timeout.get();
            return Step::Wait(place);
        }
        if queued {
            upstream.leave_queue();
            self.queued = None;
        }
        drop(upstream);
        self.refuse(self.last_failure.unwrap_or(unavailable.reason()))
    }

    /// How the attempt went: decides whether its answer is relayed, another attempt is made, or the request is refused.
    ///
    /// # Panics
    /// If there was no attempt.
    pub fn attempted(&mut self, attempted: Attempted, request: &RequestHead, now: Instant, draw: u64) -> Step {
        self.last = now;
        let view = self.view.clone();
        let mut upstream = view.member(self.route).upstream.borrow_mut();
        let mut permit = self.permit.take().expect("an attempt holds a permit");
        if std::mem::take(&mut self.holds.retry_budget) {
            upstream.budget().end_retry();
        }
        // The plan's settings, as those of the upstream are borrowed with it, and shared by all cores: no count of theirs is touched.
        let settings = &view.plan.upstreams[view.plan.routes[self.route].upstream].settings.retry;
        let verdict = retry::verdict(&self.situation(attempted, request), settings);
        let outcome = match (attempted.ending, verdict) {
            (_, Verdict::RetryStale) => Outcome::Abandoned,
            (Ending::Answered(status), _) => Outcome::Answered { status },
            (Ending::Failed(reason), _) => Outcome::Failed(reason),
        };
        upstream.record(&mut permit, outcome, now);
        let again = match verdict {
            Verdict::RetryStale => {
                self.tally.stale_retries += 1;
                Some(now)
            }
            Verdict::Retry if now < self.deadline && upstream.budget().try_retry() => {
                self.holds.retry_budget = true;
                self.tally.retries += 1;
                self.retries_left -= 1;
                self.tried.add(permit.endpoint().slot);
                Some(now + retry::backoff(settings, self.tally.retries, draw))
            }
            Verdict::Retry => {
                self.tally.budget_exhausted |= now < self.deadline;
                None
            }
            Verdict::GiveUp => None,
        };
        match (again, attempted.ending) {
            (Some(at), ending) => {
                upstream.release(permit, now);
                if let Ending::Failed(reason) = ending {
                    self.last_failure = Some(reason);
                }
                self.stage = Stage::Paused(at);
                Step::Pause(at)
            }
            (None, Ending::Answered(_)) => {
                self.permit = Some(permit);
                self.stage = Stage::Answered;
                Step::Relay
            }
            (None, Ending::Failed(reason)) => {
                upstream.release(permit, now);
                drop(upstream);
                self.refuse(reason)
            }
        }
    }

    fn situation(&self, attempted: Attempted, request: &RequestHead) -> Situation {
        let Attempted { ending, trace } = attempted;
        Situation {
            idempotent: request.method.is_idempotent(),
            reused: trace.reused,
            sent_anything: trace.sent,
            response_started: trace.started,
            relayed: trace.relayed,
            body_lost: trace.body_lost,
            stale_retried: self.tally.stale_retries > 0,
            ending,
            retries_left: self.retries_left,
        }
    }

    /// The answer has been relayed to its last byte, or broke off for this reason.
    pub fn ended(&mut self, broke: Option<Reason>, now: Instant) {
        self.last = now;
        if let (Some(reason), Some(permit)) = (broke, &mut self.permit) {
            self.view.member(self.route).upstream.borrow_mut().record(permit, Outcome::Failed(reason), now);
        }
        self.release();
    }

    /// What it cost, for the counters.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn refuse(&mut self, reason: Reason) -> Step {
        Step::Refuse(self.refusal(reason))
    }

    fn refusal(&mut self, reason: Reason) -> Refusal {
        self.stage = Stage::Over(reason);
        let asked = self.attempts > 0 || matches!(reason, Reason::NoHealthyEndpoint | Reason::EndpointsBusy | Reason::Unresolved);
        let upstream = asked.then(|| self.view.member(self.route).upstream.borrow().settings().id.clone());
        Refusal { reason, retry_after: (reason.status() == 503).then_some(1), allow: None, upstream, lines: Vec::new() }
    }

    /// Gives back all that is held.
    fn release(&mut self) {
        // The gateway's place is the first of all: without it nothing is held, and the route may not be known.
        if !self.holds.gateway && self.queued.is_none() {
            return;
        }
        let view = self.view.clone();
        let member = view.member(self.route);
        if let Some(permit) = self.permit.take() {
            member.upstream.borrow_mut().release(permit, self.last);
        }
        match self.queued.take() {
            None => {}
            Some(Place::Gateway) => view.gateway.borrow_mut().leave_queue(),
            Some(Place::Route(route)) => view.route(route).borrow_mut().leave_queue(),
            Some(Place::Upstream(_)) => member.upstream.borrow_mut().leave_queue(),
        }
        let holds = std::mem::take(&mut self.holds);
        if holds.gateway {
            view.gateway.borrow_mut().give();
        }
        if holds.route {
            view.route(self.route).borrow_mut().give();
        }
        if holds.retry_budget {
            member.upstream.borrow_mut().budget().end_retry();
        }
        if holds.request_budget {
            member.upstream.borrow_mut().budget().end();
        }
    }
}

impl Drop for Exchange {
    /// A request that is dropped was abandoned: its client left, or its task ended.
    fn drop(&mut self) {
        if let Some(permit) = &mut self.permit {
            let member = self.view.member(self.route);
            member.upstream.borrow_mut().record(permit, Outcome::Abandoned, self.last);
        }
        self.release();
    }
}

#[cfg(test)]
mod tests;
