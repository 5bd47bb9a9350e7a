//! One attempt: a permit from the pick to the body's last byte.

use super::circuit::{Circuit, marks};
use super::{EndpointId, Upstream};
use crate::balancer::{Choice, Ones, Ramp, Tried, mix};
use crate::clock::Instant;
use crate::error::Reason;
use crate::health;

/// What a request brings along for the pick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Hash of what [`Upstream::hash_key`] names.
    pub key: u64,
    /// Hash of the client's address, if [`Upstream::hashes_client`].
    pub client: u64,
    /// Endpoints that this request has tried: others go before them.
    pub tried: Tried,
    /// If there are no others, none at all: those that were tried have taken their time.
    pub only_others: bool,
    /// The request waits in the upstream's queue and it is its turn. One that doesn't wait isn't served before those that do.
    pub queued: bool,
}

/// The right to send one request to one endpoint. Counts as in flight until given to [`Upstream::release`].
#[must_use = "an attempt that isn't released counts as in flight for ever"]
#[derive(Debug)]
pub struct Permit {
    pub(super) endpoint: EndpointId,
    pub(super) started: Instant,
    recorded: bool,
    /// Bits of [`marks`].
    pub(super) marks: u8,
}

impl Permit {
    /// The endpoint to send to.
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// When it was given.
    pub fn started(&self) -> Instant {
        self.started
    }
}

/// How an attempt went, as far as the endpoint's health is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The head of the final answer has arrived.
    Answered {
        /// Its status.
        status: u16,
    },
    /// There was none. Counts against the endpoint only if the reason is an endpoint's doing.
    Failed(Reason),
    /// It ended before anything could be said about the endpoint: the client left, or a kept connection turned out closed.
    Abandoned,
}

/// Why no endpoint can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// All are unhealthy, ejected, or of weight 0.
    NoneHealthy,
    /// None has an address yet.
    Unresolved,
    /// Those that might be used are at their concurrency limit, or others wait for them: `try_queue`.
    Busy,
    /// The adaptive concurrency limit is reached, or others wait: `try_queue`.
    Limited,
    /// A circuit breaker keeps requests away from all that could be used; it's worth asking again then.
    CircuitOpen(Instant),
    /// There are only those that were tried, and those aren't wanted.
    AllTried,
}

impl Unavailable {
    /// The reason it gives a request that can't wait.
    pub const fn reason(self) -> Reason {
        match self {
            Unavailable::NoneHealthy | Unavailable::AllTried => Reason::NoHealthyEndpoint,
            Unavailable::Limited => Reason::ConcurrencyLimited,
            Unavailable::CircuitOpen(_) => Reason::CircuitOpen,
            Unavailable::Unresolved => Reason::Unresolved,
            Unavailable::Busy => Reason::EndpointsBusy,
        }
    }
}

impl Upstream {
    /// Picks an endpoint and counts the attempt as in flight. Endpoints that were tried are picked only if there is no other.
    pub fn admit(&mut self, ask: &Ask, now: Instant, draw: u64) -> Result<Permit, Unavailable> {
        if now >= self.recheck_at {
            self.refresh(now);
        }
        if self.circuit != Circuit::Closed {
            self.pass_upstream(now)?;
        }
        let behind = self.queue.waiting() > 0 && !ask.queued;
        if let Some(adaptive) = &self.adaptive
            && (behind || !adaptive.has_room())
        {
            return Err(Unavailable::Limited);
        }
        if behind {
            return Err(Unavailable::Busy);
        }
        let Some(slot) = self.pick(ask, now, draw) else { return Err(self.unavailable(ask, now)) };
        let index = slot as usize;
        let endpoint = self.slots[index].as_mut().expect("an eligible slot holds an endpoint");
        let taken = endpoint.share.try_take();
        assert!(taken, "a slot was open that had no share left");
        let (mut full, mut marks) = (endpoint.share.free() == 0, 0);
        if endpoint.circuit != Circuit::Closed || self.circuit != Circuit::Closed {
            (full, marks) = self.mark(index, now);
        }
        self.in_flight[index] += 1;
        self.total_in_flight += 1;
        if full {
            self.set_open(index, false);
        }
        if self.entry.tracks_load {
            self.balance.load_changed(slot, self.in_flight[index]);
        }
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.begin();
        }
        Ok(Permit { endpoint: EndpointId { slot, generation: self.generations[index] }, started: now, recorded: false, marks })
    }

    /// Says how an attempt went, once per permit, when its answer's head or its failure is known. A failure later on, in the
    /// answer's body, may be recorded as well.
    pub fn record(&mut self, permit: &mut Permit, outcome: Outcome, now: Instant) {
        if self.settings.circuit_breaker.is_some() {
            self.tell_breakers(permit, outcome, now);
        }
        if self.measured && !permit.recorded {
            self.measure(permit, outcome, now);
        }
        let failed = match outcome {
            Outcome::Abandoned => return,
            Outcome::Answered { status } => health::is_failure_status(status),
            Outcome::Failed(reason) if health::is_failure(reason) => true,
            Outcome::Failed(_) => return,
        };
        let slot = permit.endpoint.slot;
        if self.generations[slot as usize] != permit.endpoint.generation {
            // It has moved: this says nothing about the server that is there.
            return;
        }
        let endpoint = self.slots[slot as usize].as_mut().expect("a permit keeps its endpoint");
        if !permit.recorded {
            endpoint.attempts += 1;
            if self.entry.tracks_latency {
                self.balance.observed(slot, now.since(permit.started), failed, now);
            }
        }
        permit.recorded = true;
        if !failed {
            endpoint.consecutive_failures = 0;
            return;
        }
        endpoint.failures = (endpoint.failures + 1).min(endpoint.attempts);
        endpoint.consecutive_failures += 1;
        let limit = self.settings.outlier_detection.consecutive_failures;
        if limit > 0 && endpoint.consecutive_failures >= limit {
            self.eject(slot as usize, now);
        }
    }

    /// Ends an attempt: its answer's last byte has gone, or it was given up.
    pub fn release(&mut self, permit: Permit, _now: Instant) {
        let slot = permit.endpoint.slot as usize;
        if permit.marks & (marks::ENDPOINT_TRIAL | marks::UPSTREAM_TRIAL) != 0 {
            self.give_trials(&permit);
        }
        let endpoint = self.slots[slot].as_mut().expect("a permit keeps its endpoint");
        endpoint.share.give();
        let free = endpoint.has_room();
        let leaving = endpoint.leaving;
        self.in_flight[slot] = self.in_flight[slot].checked_sub(1).expect("released more attempts than were admitted");
        if self.is_eligible(slot) {
            self.total_in_flight -= 1;
        }
        if free {
            self.set_open(slot, true);
        }
        if permit.marks & marks::SWITCHED != 0 {
            self.switched -= 1;
        } else if let Some(adaptive) = &mut self.adaptive {
            adaptive.end();
        }
        if self.entry.tracks_load {
            self.balance.load_changed(permit.endpoint.slot, self.in_flight[slot]);
        }
        if leaving {
            self.free_if_left(slot);
        }
    }

    #[inline]
    fn pick(&mut self, ask: &Ask, now: Instant, draw: u64) -> Option<u32> {
        let thinned = !self.ramping.is_empty() && self.thin(ask, draw);
        if let Some(slot) = self.pick_from(thinned, ask, now, draw) {
            return Some(slot);
        }
        if thinned && let Some(slot) = self.pick_from(false, ask, now, draw) {
            return Some(slot);
        }
        if ask.tried.is_empty() || ask.only_others {
            return None;
        }
        self.pick_from(false, &Ask { tried: Tried::NONE, ..*ask }, now, draw)
    }

    #[inline]
    fn pick_from(&mut self, thinned: bool, ask: &Ask, now: Instant, draw: u64) -> Option<u32> {
        let choice = Choice {
            open: if thinned { &self.thinned } else { &self.open },
            tried: ask.tried,
            key: ask.key,
            client: ask.client,
            draw,
            now,
            in_flight: &self.in_flight,
            weights: &self.weights,
            total_in_flight: self.total_in_flight,
            total_weight: self.total_weight,
        };
        self.balance.pick(&choice)
    }

    /// Leaves endpoints in slow start out of this choice, as often as their ramp says.
    fn thin(&mut self, ask: &Ask, draw: u64) -> bool {
        self.thinned.copy_from_slice(&self.open);
        let ground = match self.entry.ramp {
            Ramp::Key => ask.key,
            Ramp::Client => ask.client,
            Ramp::Chance | Ramp::Weight => draw,
        };
        let mut thinned = false;
        for &(slot, part) in &self.ramping {
            if (mix(ground ^ mix(u64::from(slot))) & 0xffff) as u32 >= part {
                self.thinned[slot as usize / 64] &= !(1 << (slot % 64));
                thinned = true;
            }
        }
        thinned
    }

    #[cold]
    fn unavailable(&mut self, ask: &Ask, now: Instant) -> Unavailable {
        if let Some(open) = self.circuit_open(now) {
            return open;
        }
        if ask.only_others && !self.has_other(&ask.tried) {
            return Unavailable::AllTried;
        }
        if self.eligible.iter().any(|&word| Ones(word).next().is_some()) {
            return Unavailable::Busy;
        }
        let mut present = self.slots.iter().flatten().filter(|endpoint| endpoint.weight() > 0).peekable();
        if present.peek().is_some() && present.all(|endpoint| !endpoint.is_resolved()) {
            return Unavailable::Unresolved;
        }
        Unavailable::NoneHealthy
    }

    fn eject(&mut self, slot: usize, now: Instant) {
        let (endpoints, ejected) = self.count_ejected(now);
        let settings = &self.settings.outlier_detection;
        let endpoint = self.slots[slot].as_mut().expect("a permit keeps its endpoint");
        if !settings.enabled
            || !self.switches.outlier_detection
            || endpoint.leaving
            || endpoint.ejected_until() > now
            || !health::may_eject(settings, endpoints, ejected)
        {
            return;
        }
        endpoint.ejected_here_until = now + health::ejection_time(settings, endpoint.ejections);
        endpoint.ejections = endpoint.ejections.saturating_add(1);
        endpoint.consecutive_failures = 0;
        self.refresh(now);
    }
}
