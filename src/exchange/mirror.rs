//! Copies of a share of a route's requests, sent to another upstream: which requests are copied, and what became of the copies. A copy
//! holds nothing of its request, and the request nothing of its copy.

use std::cell::Cell;
use std::rc::Rc;

use super::{Attempt, Exchange, Incoming, Plan, RoutePlan, View};
use crate::clock::Instant;
use crate::config::{self, Route, Size};
use crate::error::Reason;
use crate::http::{Edits, Framing};
use crate::metrics::{Count, Family};
use crate::upstream::{Ask, Outcome, Permit, Tried};

/// A route's mirror made ready.
#[derive(Debug)]
pub struct MirrorPlan {
    /// The index of the upstream that gets copies.
    pub upstream: usize,
    /// A number by chance below this one means that a request is copied.
    below: u128,
    /// Bytes of a body, at most.
    pub body_max: u64,
    /// What a copy has to keep.
    pub settings: config::Mirror,
    /// Changes to copies: the route's, and the marker.
    pub edits: Edits,
}

/// What became of a copy, or why there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// No answer came, or not all of it.
    Failed,
    /// It was under way for too long.
    TimedOut,
    /// The client left before its body was complete.
    Aborted,
    TooLarge,
    /// Too many were under way.
    Dropped,
    /// No endpoint could be used.
    Unavailable,
}

/// The labels of fates, in order.
const FATES: [&str; 7] = ["answered", "failed", "timeout", "aborted", "too_large", "dropped", "unavailable"];

/// One core's copies of one route.
#[derive(Debug, Default)]
pub(super) struct Copies {
    in_flight: Cell<u32>,
    fates: [Cell<u64>; FATES.len()],
}

/// A copy under way. Dropped before anything was said of it, it was aborted.
pub struct Mirrored {
    view: Rc<View>,
    copies: Rc<Copies>,
    upstream: usize,
    permit: Option<Permit>,
    fate: Fate,
    last: Instant,
}

impl MirrorPlan {
    /// The mirror of a route, if it has one; its upstream is found by `index`. `edits` are the route's.
    pub(super) fn new(route: &Route, edits: &Edits, index: impl Fn(&str) -> usize) -> Option<Box<MirrorPlan>> {
        let settings = config::Mirror::clone(route.mirror.as_ref()?);
        let mut edits = edits.clone();
        edits.remove("Expect");
        edits.set(&settings.header, "true");
        // Exact at both ends: none, and all.
        let below = (settings.percent / 100.0 * 2f64.powi(64)) as u128;
        Some(Box::new(MirrorPlan { upstream: index(&settings.upstream), below, body_max: Size::get(settings.max_body), edits, settings }))
    }
}

impl Exchange {
    /// A copy of a request that is about to be sent for the first time, if one is to be made, and where it goes. `draws` are two numbers
    /// by chance.
    pub fn mirror(&self, plan: &MirrorPlan, request: &Incoming<'_>, now: Instant, draws: [u64; 2]) -> Option<(Mirrored, Attempt)> {
        let head = request.head;
        if u128::from(draws[0]) >= plan.below || head.connection.upgrade {
            return None;
        }
        let view = &self.view;
        let copies = view.copies(self.route)?;
        if matches!(head.framing, Framing::Length(length) if length > plan.body_max) {
            copies.count(Fate::TooLarge);
            return None;
        }
        if copies.in_flight.get() >= plan.settings.max_in_flight {
            copies.count(Fate::Dropped);
            return None;
        }
        let member = view.upstream(plan.upstream);
        let mut upstream = member.upstream.borrow_mut();
        let trusted = &view.plan.trusted;
        let ask = Ask {
            key: upstream.hash_key().map_or(0, |key| request.hash_key(key, trusted)),
            client: if upstream.hashes_client() { request.client_hash(trusted) } else { 0 },
            tried: Tried::NONE,
            only_others: false,
            queued: false,
        };
        let Ok(permit) = upstream.admit(&ask, now, draws[1]) else {
            copies.count(Fate::Unavailable);
            return None;
        };
        let endpoint = permit.endpoint();
        let address = upstream.target(endpoint, draws[1]);
        copies.in_flight.set(copies.in_flight.get() + 1);
        let (route, upstream, copies) = (self.route, plan.upstream, copies.clone());
        let mirrored = Mirrored { view: view.clone(), copies, upstream, permit: Some(permit), fate: Fate::Aborted, last: now };
        Some((mirrored, Attempt { route, upstream, pool: member.pool, endpoint, address, careful: true, hedge_after: None }))
    }
}

impl Mirrored {
    /// The plan that the request was served by.
    pub fn view(&self) -> &Rc<View> {
        &self.view
    }

    /// The head of its answer has come.
    pub fn answered(&mut self, status: u16, now: Instant) {
        self.fate = Fate::Answered;
        self.record(Outcome::Answered { status }, now);
    }

    /// Its answer didn't come, or broke off. `stale`: a kept connection was found closed, which says nothing about the endpoint.
    pub fn failed(&mut self, reason: Reason, stale: bool, now: Instant) {
        let late = matches!(
            reason,
            Reason::RequestTimeout | Reason::ConnectTimeout | Reason::SendTimeout | Reason::FirstByteTimeout | Reason::ResponseBodyTimeout
        );
        self.fate = if late { Fate::TimedOut } else { Fate::Failed };
        self.record(if stale { Outcome::Abandoned } else { Outcome::Failed(reason) }, now);
    }

    /// The body became too large for a copy.
    pub fn too_large(mut self) {
        self.fate = Fate::TooLarge;
    }

    fn record(&mut self, outcome: Outcome, now: Instant) {
        self.last = now;
        if let Some(permit) = &mut self.permit {
            self.view.upstream(self.upstream).upstream.borrow_mut().record(permit, outcome, now);
        }
    }
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        if matches!(self.fate, Fate::Aborted | Fate::TooLarge) {
            self.record(Outcome::Abandoned, self.last);
        }
        if let Some(permit) = self.permit.take() {
            self.view.upstream(self.upstream).upstream.borrow_mut().release(permit, self.last);
        }
        self.copies.in_flight.set(self.copies.in_flight.get() - 1);
        self.copies.count(self.fate);
    }
}

impl Copies {
    fn count(&self, fate: Fate) {
        let count = &self.fates[fate as usize];
        count.set(count.get() + 1);
    }
}

impl View {
    /// This core's copies of a route, if it has a mirror.
    fn copies(&self, route: usize) -> Option<&Rc<Copies>> {
        self.copies.get(route)?.as_ref()
    }

    /// The copies of a route in the next plan: those of the same name go on.
    pub(super) fn copies_of(&self, route: &RoutePlan) -> Option<Rc<Copies>> {
        route.mirror.as_ref()?;
        let before = self.plan.routes.iter().zip(&self.copies).find(|(other, _)| other.name == route.name);
        Some(before.and_then(|(_, copies)| copies.clone()).unwrap_or_default())
    }

    /// Copies so far, by route and fate.
    pub(super) fn copied<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = Count> + 'a {
        let routes = plan.routes.iter().zip(&self.copies).filter_map(|(route, copies)| Some((route, copies.as_ref()?)));
        routes.flat_map(|(route, copies)| {
            copies.fates.iter().zip(FATES).map(|(count, fate)| Count {
                family: Family::MirrorRequests,
                labels: [route.name.clone(), fate.into()],
                total: count.get(),
            })
        })
    }
}
