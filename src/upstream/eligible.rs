//! Who is eligible: worked out when something changes, so that a pick only reads bits.

use std::time::Duration;

use super::circuit::{self, Circuit};
use super::{Endpoint, Upstream};
use crate::balancer::{Ramp, WEIGHT_UNIT};
use crate::clock::Instant;
use crate::config::BreakerScope;

impl Upstream {
    /// Works out anew who is eligible and with which weight, and when that changes by itself.
    pub(super) fn refresh(&mut self, now: Instant) {
        self.recheck_at = Instant::MAX;
        let breakers = circuit::rules(&self.settings, BreakerScope::Endpoint);
        let whole = circuit::rules(&self.settings, BreakerScope::Upstream);
        self.circuit = Circuit::of(self.breaker.as_deref(), whole, now, &mut self.recheck_at);
        let (mut usable, mut well) = (0_usize, 0_usize);
        for endpoint in self.slots.iter_mut().flatten() {
            let is_well = is_well(endpoint, self.switches.health_checks, now);
            if is_well && !endpoint.was_well && self.settings.slow_start.is_some() {
                endpoint.ramp_from = Some(now);
            }
            endpoint.was_well = is_well;
            endpoint.circuit = Circuit::of(endpoint.breaker.as_deref(), breakers, now, &mut self.recheck_at);
            if endpoint.ejected_until() > now {
                self.recheck_at = self.recheck_at.min(endpoint.ejected_until());
            }
            if endpoint.is_usable() {
                usable += 1;
                well += usize::from(is_well);
            }
        }
        self.panicking = well * 100 < usable * usize::from(self.settings.panic_threshold);
        self.eligible.fill(0);
        self.open.fill(0);
        self.ramping.clear();
        self.total_in_flight = 0;
        self.total_weight = 0;
        let slow_start = self.settings.slow_start.map_or(Duration::ZERO, |time| time.get());
        let mut reweighed = false;
        for slot in 0..self.slots.len() {
            let mut weight = 0;
            if let Some(endpoint) = &mut self.slots[slot]
                && endpoint.is_usable()
                && (endpoint.was_well || self.panicking)
                && endpoint.circuit != Circuit::Open
            {
                weight = endpoint.weight() * WEIGHT_UNIT;
                if let Some(part) = ramp(endpoint, slow_start, now) {
                    self.recheck_at = self.recheck_at.min(now + slow_start / RAMP_STEPS);
                    if self.entry.ramp == Ramp::Weight {
                        weight = ((u64::from(weight) * u64::from(part)) >> 16).max(1) as u32;
                    } else {
                        self.ramping.push((slot as u32, part));
                    }
                }
                self.eligible[slot / 64] |= 1 << (slot % 64);
                if endpoint.has_room() {
                    self.open[slot / 64] |= 1 << (slot % 64);
                }
                self.total_in_flight += u64::from(self.in_flight[slot]);
                self.total_weight += u64::from(weight);
            }
            reweighed |= self.weights[slot] != weight;
            self.weights[slot] = weight;
        }
        if reweighed {
            self.balance.reweigh(&self.weights);
        }
    }

    /// Keeps the bit of a slot in line with the room that its endpoint has.
    #[inline]
    pub(super) fn set_open(&mut self, slot: usize, free: bool) {
        let bit = 1_u64 << (slot % 64);
        if free {
            self.open[slot / 64] |= bit & self.eligible[slot / 64];
        } else {
            self.open[slot / 64] &= !bit;
        }
    }

    pub(super) fn is_eligible(&self, slot: usize) -> bool {
        self.eligible[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// Counts usable endpoints, and those of them that are ejected.
    pub(super) fn count_ejected(&self, now: Instant) -> (usize, usize) {
        let usable = self.slots.iter().flatten().filter(|endpoint| endpoint.is_usable());
        usable.fold((0, 0), |(all, ejected), endpoint| (all + 1, ejected + usize::from(endpoint.ejected_until() > now)))
    }
}

fn is_well(endpoint: &Endpoint, health_checks: bool, now: Instant) -> bool {
    (endpoint.healthy || !health_checks) && endpoint.ejected_until() <= now
}

/// How much of its share an endpoint in slow start gets, of 65,536: in proportion to the time since it became healthy.
fn ramp(endpoint: &mut Endpoint, slow_start: Duration, now: Instant) -> Option<u32> {
    let since = now.since(endpoint.ramp_from?);
    if since >= slow_start {
        endpoint.ramp_from = None;
        return None;
    }
    let part = (since.as_nanos() << 16) / slow_start.as_nanos().max(1);
    Some((part as u32).max(RAMP_MIN))
}

/// Steps in which an endpoint in slow start comes to its whole share.
const RAMP_STEPS: u32 = 64;

/// What it begins with, of 65,536.
const RAMP_MIN: u32 = 65_536 / RAMP_STEPS;
