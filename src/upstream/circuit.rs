//! The circuit breakers of an upstream and its endpoints, as they bear on who is eligible and what an attempt is.

use super::attempt::{Outcome, Permit, Unavailable};
use super::{Endpoint, Upstream};
use crate::breaker::{self, Attempt, Breaker, State, Verdict};
use crate::clock::Instant;
use crate::config::{self, BreakerMode, BreakerScope, CircuitBreaker};

/// What a breaker means for attempts, worked out when it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Circuit {
    /// There is none, or it is closed: nothing needs to be looked at.
    #[default]
    Closed,
    /// It isn't closed, but in shadow mode: attempts are made and counted.
    Shadowed,
    /// Attempts are trials, of which there are few.
    HalfOpen,
    /// No attempts.
    Open,
}

impl Circuit {
    /// By a breaker's state; `recheck_at` becomes earlier if that changes by itself before.
    pub(super) fn of(breaker: Option<&Breaker>, rules: Option<&CircuitBreaker>, now: Instant, recheck_at: &mut Instant) -> Circuit {
        let Some((breaker, rules)) = breaker.zip(rules) else { return Circuit::Closed };
        match breaker.state(now) {
            State::Closed => Circuit::Closed,
            _ if rules.mode == BreakerMode::Shadow => Circuit::Shadowed,
            State::HalfOpen => Circuit::HalfOpen,
            State::Open(until) => {
                *recheck_at = until.min(*recheck_at);
                Circuit::Open
            }
        }
    }
}

/// Marks of a permit, as bits.
pub(super) mod marks {
    /// It holds a trial of its endpoint's breaker.
    pub const ENDPOINT_TRIAL: u8 = 1;
    /// It holds a trial of the upstream's breaker.
    pub const UPSTREAM_TRIAL: u8 = 2;
    /// Breakers were told how it went.
    pub const TOLD: u8 = 4;
    /// And that it went wrong.
    pub const TOLD_WRONG: u8 = 8;
    /// Its connection was upgraded.
    pub const SWITCHED: u8 = 16;
}

/// What breakers of this scope go by; `None` if there are none.
pub(super) fn rules(settings: &config::Upstream, scope: BreakerScope) -> Option<&CircuitBreaker> {
    let wanted = |rules: &&CircuitBreaker| rules.mode != BreakerMode::Off && (rules.scope == scope || rules.scope == BreakerScope::Both);
    settings.circuit_breaker.as_ref().filter(wanted)
}

impl Endpoint {
    /// Whether it could take one request more.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.share.free() > 0 && (self.circuit != Circuit::HalfOpen || self.has_trial())
    }

    #[cold]
    fn has_trial(&self) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| breaker.trials().free() > 0)
    }

    /// Its circuit breaker, if it has or had one.
    pub fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_deref()
    }
}

impl Upstream {
    /// The breaker of the upstream as a whole, if it has or had one.
    pub fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_deref()
    }

    /// Brings breakers in line with the settings. One that isn't wanted any more keeps its part of the trials: it may come back, and
    /// other cores may not have heard that it was gone.
    pub(super) fn place_breakers(&mut self, now: Instant) {
        let settings = &*self.settings;
        let (core, cores) = (self.seat.core, self.seat.cores);
        let place = |breaker: &mut Option<Box<Breaker>>, scope| match (&mut *breaker, rules(settings, scope)) {
            (None, None) => {}
            (Some(breaker), None) => breaker.reset(now),
            (Some(breaker), Some(rules)) => breaker.reconfigure(rules, core, cores),
            (none, Some(rules)) => *none = Some(Box::new(Breaker::new(rules, core, cores))),
        };
        place(&mut self.breaker, BreakerScope::Upstream);
        for endpoint in self.slots.iter_mut().flatten() {
            place(&mut endpoint.breaker, BreakerScope::Endpoint);
        }
    }

    /// Whether the upstream's own breaker lets an attempt through; when it's worth asking again if it doesn't.
    #[cold]
    pub(super) fn pass_upstream(&mut self, now: Instant) -> Result<(), Unavailable> {
        let Some(breaker) = self.breaker.as_ref().filter(|breaker| self.circuit != Circuit::Shadowed && !breaker.has_room(now)) else {
            return Ok(());
        };
        let until = if let State::Open(until) = breaker.state(now) { until } else { now };
        self.kept_away += 1;
        Err(Unavailable::CircuitOpen(until))
    }

    /// An attempt is made where a breaker isn't closed; whether the endpoint is full with it, and which trials it
    /// holds.
    #[cold]
    pub(super) fn mark(&mut self, slot: usize, now: Instant) -> (bool, u8) {
        let mut all = 0;
        let endpoint = self.slots[slot].as_mut().expect("an eligible slot holds an endpoint");
        for (circuit, breaker, mark) in
            [(endpoint.circuit, &mut endpoint.breaker, marks::ENDPOINT_TRIAL), (self.circuit, &mut self.breaker, marks::UPSTREAM_TRIAL)]
        {
            if let Some(breaker) = breaker.as_mut().filter(|_| circuit != Circuit::Closed) {
                all |= if breaker.pass(now) { mark } else { 0 };
            }
        }
        (!endpoint.has_room(), all)
    }

    /// Tells breakers how an attempt went. Once it was said to have gone wrong, nothing more is said.
    pub(super) fn tell_breakers(&mut self, permit: &mut Permit, outcome: Outcome, now: Instant) {
        let Some(settings) = &self.settings.circuit_breaker else { return };
        let ending = match outcome {
            Outcome::Abandoned => return,
            Outcome::Answered { status } => Ok(status),
            Outcome::Failed(reason) => Err(reason),
        };
        let Some(mut verdict) = breaker::verdict(ending, now.since(permit.started), settings) else { return };
        let first = permit.marks & marks::TOLD == 0;
        if !first {
            if permit.marks & marks::TOLD_WRONG != 0 || !verdict.failed {
                return;
            }
            // Its body took time, not its head.
            verdict = Verdict { slow: false, ..verdict };
        }
        permit.marks |= if verdict.is_good() { marks::TOLD } else { marks::TOLD | marks::TOLD_WRONG };
        let slot = permit.endpoint.slot as usize;
        let attempt = |mark| Attempt { started: permit.started, trial: permit.marks & mark != 0, first };
        let mut opened = false;
        if self.generations[slot] == permit.endpoint.generation
            && let Some(breaker) = self.slots[slot].as_mut().and_then(|endpoint| endpoint.breaker.as_mut())
            && let Some(rules) = rules(&self.settings, BreakerScope::Endpoint)
        {
            opened |= breaker.record(attempt(marks::ENDPOINT_TRIAL), verdict, rules, now);
        }
        if let Some(breaker) = &mut self.breaker
            && let Some(rules) = rules(&self.settings, BreakerScope::Upstream)
        {
            opened |= breaker.record(attempt(marks::UPSTREAM_TRIAL), verdict, rules, now);
        }
        if opened {
            self.refresh(now);
        }
    }

    /// Gives back the trials that an attempt holds.
    #[cold]
    pub(super) fn give_trials(&mut self, permit: &Permit) {
        let endpoint = self.slots[permit.endpoint.slot as usize].as_mut().expect("a permit keeps its endpoint");
        if permit.marks & marks::ENDPOINT_TRIAL != 0 {
            endpoint.breaker.as_mut().expect("a trial keeps its breaker").give();
        }
        if permit.marks & marks::UPSTREAM_TRIAL != 0 {
            self.breaker.as_mut().expect("a trial keeps its breaker").give();
        }
    }

    /// Whether breakers keep requests away from every endpoint that could be used; when it's worth asking again if so.
    pub(super) fn circuit_open(&mut self, now: Instant) -> Option<Unavailable> {
        let mut earliest = None::<Instant>;
        for endpoint in self.slots.iter().flatten().filter(|endpoint| endpoint.is_usable() && (endpoint.was_well || self.panicking)) {
            let until = match (endpoint.circuit, &endpoint.breaker) {
                (Circuit::Open, Some(breaker)) if let State::Open(until) = breaker.state(now) => until,
                (Circuit::Open, _) => now,
                (Circuit::HalfOpen, _) if !endpoint.has_trial() => now,
                _ => return None,
            };
            earliest = Some(earliest.map_or(until, |earliest| earliest.min(until)));
        }
        self.kept_away += u64::from(earliest.is_some());
        earliest.map(Unavailable::CircuitOpen)
    }

    /// Whether there were requests since this was last asked, which could have been trials.
    pub(super) fn had_requests(&mut self) -> bool {
        let seen = self.kept_away + self.slots.iter().flatten().map(|endpoint| endpoint.attempts).sum::<u64>();
        self.in_flight() > 0 || self.waiting() > 0 || std::mem::replace(&mut self.seen, seen) != seen
    }
}
