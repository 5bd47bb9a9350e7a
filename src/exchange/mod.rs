//! One request's decisions, from its head to its last byte: route, limits, endpoint, retries. Pure: `step` says what to do next,
//! `attempted` and `ended` say how it went.
//!
//! ```text
//! Arrived -> page, refusal | Chained -- a link: Answer, refusal, Pause --> Chained
//!                             | Ask, reply --> Chained
//! Chained -> Looking -- stored --> Serve | AwaitFill -> Looking | Admitting
//! Chained -> Admitting -- no place --> Wait -> Admitting
//! Admitting -> Picking -- no place at an endpoint --> Wait -> Picking
//! Picking -> Attempt -> answered --> Relay -> ended
//!                    \-> failed ---> retry allowed: Pause -> Picking | refusal
//! ```

mod admit;
mod answers;
mod cached;
mod calls;
mod chain;
mod hedge;
mod mirror;
mod page;
mod plan;
mod settle;
mod side;
mod split;
mod step;
mod view;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

pub use crate::middleware::Incoming;
pub use crate::retry::Ending;
pub use crate::upstream::EndpointId;
pub use answers::Answers;
pub use cached::Judged;
pub use mirror::{MirrorPlan, Mirrored};
pub use page::Page;
pub use plan::{Access, Plan, PlanProblem, RoutePlan, UpstreamPlan};
pub use side::Side;
pub use split::SplitPlan;
pub use step::{Attempt, Attempted, Place, Refusal, Step, Tally, Trace};
pub use view::{Member, View};

use crate::clock::Instant;
use crate::error::Reason;
use crate::middleware::{Admitted, Notes, Reply};
use crate::router::Captures;
use crate::upstream::{Ask, Outcome, Permit, Tried, Unavailable};
use cached::Caching;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Arrived,
    Chained,
    /// Its route is cached: the cache is asked.
    Looking,
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
    /// The upstream that serves it: the route's, or that of an arm of its split.
    upstream: usize,
    routed: bool,
    /// It was routed by the method it asks about: only its chain may answer it.
    preflight: bool,
    /// Links of the route's chain that have let the request pass and haven't seen its answer.
    links: usize,
    /// The next link has been asked before.
    again: bool,
    permit: Option<Permit>,
    /// Of a second attempt beside the first.
    second: Option<Box<Permit>>,
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
    /// What the route's cache wants of the answer.
    caching: Option<Caching>,
    /// Why the attempt before failed: says more than that no other endpoint is left.
    last_failure: Option<Reason>,
}

/// What an exchange works with beside the request. Kept with the client's connection and reused, so that a request allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// What the route's pattern took from the path.
    pub captures: Captures,
    /// The path without dot segments, where it had some.
    pub normal: Vec<u8>,
    /// The path that the endpoint sees, where it differs.
    pub path: Vec<u8>,
    /// The id that the gateway gave the request.
    pub id: crate::http::RequestId,
    /// What the chain decided.
    pub notes: Notes,
    /// The answer to what a link of the chain asked.
    pub reply: Option<Box<Reply>>,
    /// Who the client of the request before proved to be.
    admitted: Option<Admitted>,
    /// The client's address and its own key, as the request before had them.
    address_key: Option<(IpAddr, u128)>,
    /// Where the request before went: the same head goes there again.
    found: Option<Found>,
    /// What the cache made of the request before.
    last: Option<cached::Last>,
    /// The line that the answer to it got, if it says something about the next.
    told: Vec<u8>,
    /// Where the request stands between the arms of a split.
    drawn: split::Drawn,
}

/// The route that a plan has for a head, by the plan's generation and the head's number among its connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    generation: u64,
    head: u64,
    route: usize,
    /// It was found by the method that a preflight asks about.
    preflight: bool,
}

impl Scratch {
    /// Forgets what it knows of earlier requests: another connection's follow.
    pub fn forget(&mut self) {
        self.found = None;
        self.last = None;
        self.admitted = None;
    }

    /// The path that the endpoint sees, if it isn't the received one.
    #[inline]
    pub fn path_out(&self) -> Option<&[u8]> {
        match &self.notes.path {
            Some(path) => Some(path),
            None => (!self.path.is_empty()).then_some(&self.path),
        }
    }
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
            upstream: 0,
            routed: false,
            preflight: false,
            links: 0,
            again: false,
            permit: None,
            second: None,
            tried: Tried::default(),
            retries_left: 0,
            attempts: 0,
            deadline: Instant::MAX,
            last: now,
            patience: Instant::MAX,
            queued: None,
            holds: Holds::default(),
            tally: Tally::default(),
            caching: None,
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

    /// The upstream that serves it, once the chain has let it pass.
    pub fn upstream(&self) -> usize {
        self.upstream
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
        if self.stage == Stage::Looking
            && let Some(step) = self.look_up(request, scratch, now)
        {
            return step;
        }
        if self.stage == Stage::Admitting
            && let Some(step) = self.take_places(now)
        {
            return step;
        }
        match self.stage {
            Stage::Paused(until) if now < until => Step::Pause(until),
            Stage::Picking | Stage::Paused(_) => self.pick(request, scratch, now, draw),
            Stage::Answered => Step::Relay,
            Stage::Over(reason) => self.refuse(reason),
            Stage::Arrived | Stage::Chained | Stage::Held(_) | Stage::Looking | Stage::Admitting | Stage::Attempting => {
                unreachable!("an attempt is reported before the next step")
            }
        }
    }

    fn pick(&mut self, request: &Incoming<'_>, scratch: &mut Scratch, now: Instant, draw: u64) -> Step {
        let view = self.view.clone();
        let member = view.upstream(self.upstream);
        let mut upstream = member.upstream.borrow_mut();
        let trusted = &view.plan.trusted;
        let place = Place::Upstream(member.pool);
        let queued = self.queued == Some(place);
        let ask = Ask {
            key: upstream.hash_key().map_or(0, |key| request.hash_key(key, trusted)),
            client: if upstream.hashes_client() { request.client_hash(trusted) } else { 0 },
            tried: self.tried,
            only_others: self.last_failure.is_some_and(settle::took_its_time),
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
                self.sends(now);
                let careful = !request.head.method.is_idempotent();
                let hedge_after = if upstream.hedges() && self.attempts == 1 { upstream.hedge_after(request.head) } else { None };
                let (route, upstream) = (self.route, self.upstream);
                return Step::Attempt(Attempt { route, upstream, pool: member.pool, endpoint, address, careful, hedge_after });
            }
            Err(unavailable) => unavailable,
        };
        let busy = matches!(unavailable, Unavailable::Busy | Unavailable::Limited);
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
        if !busy && self.next_arm(&view, scratch) {
            return self.pick(request, scratch, now, draw);
        }
        let mut refusal = self.refusal(self.last_failure.unwrap_or(unavailable.reason()));
        if let Unavailable::CircuitOpen(until) = unavailable {
            refusal.retry_after = refusal.retry_after.map(|least| least.max(whole_seconds(until.since(now))));
        }
        Step::Refuse(refusal)
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
        let asked = self.attempts > 0
            || matches!(
                reason,
                Reason::NoHealthyEndpoint | Reason::EndpointsBusy | Reason::Unresolved | Reason::CircuitOpen | Reason::ConcurrencyLimited
            );
        let upstream = asked.then(|| {
            let mut upstream = self.view.upstream(self.upstream).upstream.borrow_mut();
            upstream.count_failure(reason);
            upstream.settings().id.clone()
        });
        Refusal { reason, retry_after: (reason.status() == 503).then_some(1), allow: None, upstream, lines: Vec::new() }
    }

    /// Gives back all that is held.
    fn release(&mut self) {
        // The gateway's place is the first of all: without it nothing is held, and the route may not be known.
        if !self.holds.gateway && self.queued.is_none() {
            return;
        }
        let view = self.view.clone();
        let member = view.upstream(self.upstream);
        if let Some(permit) = self.permit.take() {
            member.upstream.borrow_mut().release(permit, self.last);
        }
        if let Some(second) = self.second.take() {
            member.upstream.borrow_mut().release(*second, self.last);
        }
        match self.queued.take() {
            None => {}
            Some(Place::Gateway) => view.gateway.borrow_mut().leave_queue(),
            Some(Place::Route(route)) => view.route(route).borrow_mut().leave_queue(),
            Some(Place::Fill(_) | Place::Room(_) | Place::Reply(_)) => {}
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
            let member = self.view.upstream(self.upstream);
            member.upstream.borrow_mut().record(permit, Outcome::Abandoned, self.last);
        }
        self.release();
    }
}

/// So many seconds, rounded up: whoever asks again then doesn't come too early.
fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs() + u64::from(time.subsec_nanos() > 0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
