//! Exchange with the coordinator: what this core has seen goes out, the truth over all cores comes in.

use std::sync::Arc;

use super::Upstream;
use super::circuit::rules;
use crate::clock::Instant;
use crate::config::BreakerScope;
use crate::limiter::Claim;
use crate::reconcile::{EndpointReport, EndpointUpdate, ShareGrant, ShareKey, ShareReport, UpstreamReport, UpstreamUpdate};

impl Upstream {
    /// Takes over what the coordinator says, unless something newer was taken over. Endpoints that aren't there are skipped.
    /// Concurrency shares may have grown: those who wait in the queue should ask again.
    pub fn apply(&mut self, update: &UpstreamUpdate, now: Instant) {
        if update.version <= self.version {
            return;
        }
        self.version = update.version;
        if let (Some(breaker), Some(truth)) = (&mut self.breaker, &update.breaker) {
            breaker.apply(truth, now);
        }
        let mut next = 0;
        for truth in &update.endpoints {
            if let Some(slot) = self.find(&truth.endpoint, &mut next) {
                self.apply_to(slot, truth, now);
            }
        }
        let mut next = 0;
        for share in &update.shares {
            self.apply_share(share, &mut next);
        }
        self.refresh(now);
    }

    fn apply_to(&mut self, slot: usize, truth: &EndpointUpdate, now: Instant) {
        let endpoint = self.slots[slot].as_mut().expect("just found");
        endpoint.healthy = truth.healthy;
        endpoint.ejected_until = truth.ejected_until;
        endpoint.ejections = truth.ejections;
        if let (Some(breaker), Some(truth)) = (&mut endpoint.breaker, &truth.breaker) {
            breaker.apply(truth, now);
        }
        if !truth.addresses.is_empty() && endpoint.addresses != truth.addresses {
            let known = !endpoint.addresses.is_empty();
            endpoint.addresses = Arc::clone(&truth.addresses);
            if known {
                self.generations[slot] = self.generations[slot].wrapping_add(1);
            }
        }
    }

    fn apply_share(&mut self, share: &ShareGrant, next: &mut usize) {
        match &share.key {
            ShareKey::Upstream(_) => self.queue.apply(share.grant),
            ShareKey::Endpoint(_, endpoint) => {
                if let Some(slot) = self.find(endpoint, next) {
                    self.slots[slot].as_mut().expect("just found").share.apply(share.grant);
                }
            }
            ShareKey::Gateway | ShareKey::Route(_) => {}
        }
    }

    /// The slot of an endpoint that is part of the settings. Looks from slot `next` on and leaves there the one after: lists are
    /// mostly in order of the slots, if with gaps.
    fn find(&self, name: &str, next: &mut usize) -> Option<usize> {
        let here = |&slot: &usize| self.slots[slot].as_ref().is_some_and(|endpoint| !endpoint.leaving && &*endpoint.name == name);
        let slot = (*next..self.slots.len()).chain(0..*next).find(here)?;
        *next = slot + 1;
        Some(slot)
    }

    /// What this core has seen; begins a new span of demand.
    pub fn report(&mut self, now: Instant) -> UpstreamReport {
        let queue = self.queue.claim();
        let wanted = self.had_requests();
        let whole = rules(&self.settings, BreakerScope::Upstream);
        let rules = rules(&self.settings, BreakerScope::Endpoint);
        let breaker = self.breaker.as_mut().zip(whole).map(|(breaker, rules)| breaker.report(wanted, rules, now));
        // Trials of endpoints are for the cores that have some of the upstream's: else one core might wait for each kind.
        let wanted = wanted && self.breaker.as_ref().is_none_or(|breaker| breaker.is_closed() || breaker.trials().limit() > 0);
        let mut report = UpstreamReport {
            upstream: Arc::clone(&self.name),
            endpoints: Vec::new(),
            shares: Vec::new(),
            breaker,
            tally: self.tally.clone(),
        };
        report.tally.concurrency_limit = self.adaptive.as_ref().map(|adaptive| u64::from(adaptive.limit()));
        let limited = |endpoint: &&mut super::Endpoint| endpoint.share.is_limited();
        let waited_for = self.slots.iter_mut().flatten().filter(limited).count().max(1) as u32;
        for endpoint in self.slots.iter_mut().flatten().filter(|endpoint| !endpoint.leaving) {
            let ejected_until = if endpoint.ejected_here_until > now { endpoint.ejected_here_until } else { Instant::ZERO };
            report.endpoints.push(EndpointReport {
                endpoint: Arc::clone(&endpoint.name),
                attempts: endpoint.attempts,
                failures: endpoint.failures,
                in_flight: endpoint.in_flight(),
                ejected_until,
                breaker: endpoint.breaker.as_mut().zip(rules).map(|(breaker, rules)| breaker.report(wanted, rules, now)),
            });
            if endpoint.share.is_limited() {
                let own = endpoint.share.claim();
                // Who waits for an endpoint waits in the upstream's queue: each endpoint gets its part of that demand.
                let demand = own.demand.saturating_add(queue.queue_demand.div_ceil(waited_for));
                let key = ShareKey::Endpoint(Arc::clone(&self.name), Arc::clone(&endpoint.name));
                report.shares.push(ShareReport { key, claim: Claim { demand, ..own } });
            }
        }
        report.shares.push(ShareReport { key: ShareKey::Upstream(Arc::clone(&self.name)), claim: queue });
        report
    }
}
