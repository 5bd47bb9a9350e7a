//! The model's breakers: of the same kind as the upstream's and told of the same, as their own rules are tested where they are.

use super::super::circuit::rules;
use super::known::SEAT;
use super::model::{World, name};
use super::*;
use crate::breaker::{self, Attempt};
use crate::config::{BreakerScope, CircuitBreaker};

pub(super) fn guard(rules: &CircuitBreaker) -> Breaker {
    Breaker::new(rules, SEAT.core, SEAT.cores)
}

impl World {
    pub(super) fn tell_breakers(&mut self, index: usize, outcome: Outcome) {
        let (held, now) = (&mut self.held[index], self.now);
        let Some(settings) = &self.settings.circuit_breaker else { return };
        let ending = match outcome {
            Outcome::Abandoned => return,
            Outcome::Answered { status } => Ok(status),
            Outcome::Failed(reason) => Err(reason),
        };
        let Some(mut verdict) = breaker::verdict(ending, now.since(held.started), settings) else { return };
        let first = !held.told.0;
        if !first {
            verdict.slow = false;
        }
        if !first && (held.told.1 || verdict.is_good()) {
            return;
        }
        held.told = (true, !verdict.is_good());
        let attempt = |level: usize| Attempt { started: held.started, trial: held.trials[level], first };
        let known = self.known.get_mut(&held.name).expect("a permit keeps it");
        let here = known.moves == held.moves;
        let endpoints = known.breaker.as_mut().filter(|_| here).is_some_and(|breaker| breaker.record(attempt(0), verdict, settings, now));
        let whole = self.whole.as_mut().is_some_and(|breaker| breaker.record(attempt(1), verdict, settings, now));
        if endpoints || whole {
            self.refresh();
        }
    }

    /// The coordinator's word on a breaker: open for so long, or closed; so many trials here.
    pub(super) fn hear_of_breaker(&mut self, number: usize, millis: Option<u64>, limit: u32) {
        self.version += 1;
        let now = self.now;
        let until = millis.map(|millis| now + Duration::from_millis(millis));
        let grant = Grant { version: self.version, limit, queue: 0 };
        let word = breaker::Update { episode: now + Duration::from_nanos(self.version), until, opens: 1, trials: Some(grant) };
        let Some(known) = self.known.get_mut(&number).filter(|known| !known.leaving) else {
            // One of a name that isn't there stands for the upstream as a whole.
            self.real.apply(&UpstreamUpdate { breaker: Some(word.clone()), ..update(self.version, vec![]) }, now);
            self.whole.iter_mut().for_each(|breaker| breaker.apply(&word, now));
            return self.refresh();
        };
        known.breaker.iter_mut().for_each(|breaker| breaker.apply(&word, now));
        let (ejected_until, ejections) = (known.ejected, known.ejections);
        let truth = EndpointUpdate { ejected_until, ejections, breaker: Some(word), ..truth(&name(number), known.healthy) };
        self.real.apply(&update(self.version, vec![truth]), now);
        self.refresh();
    }

    pub(super) fn place_breakers(&mut self) {
        let rules = rules(&self.settings, BreakerScope::Endpoint);
        for known in self.known.values_mut().filter(|known| known.breaker.is_none()) {
            known.breaker = rules.map(guard);
        }
    }
}
