//! One endpoint on one core, and how endpoints keep their slots through a reconfiguration.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::Upstream;
use super::circuit::Circuit;
use crate::address::Address;
use crate::balancer::{Member, WEIGHT_MAX, below, mix};
use crate::breaker::Breaker;
use crate::clock::Instant;
use crate::config::{self, Target};
use crate::limiter::Share;

/// One endpoint on one core.
#[derive(Debug)]
pub struct Endpoint {
    pub(super) name: Arc<str>,
    pub(super) settings: config::Endpoint,
    pub(super) target: Option<Target>,
    unix: Option<Arc<Path>>,
    /// Where a host name leads.
    pub(super) addresses: Arc<[SocketAddr]>,
    pub(super) share: Share,
    pub(super) breaker: Option<Box<Breaker>>,
    pub(super) circuit: Circuit,
    /// It is gone from the settings; its slot is kept until its last attempt is released.
    pub(super) leaving: bool,
    /// What the probes say.
    pub(super) healthy: bool,
    /// Until when this core has ejected it.
    pub(super) ejected_here_until: Instant,
    /// Until when the coordinator has ejected it.
    pub(super) ejected_until: Instant,
    pub(super) ejections: u32,
    pub(super) consecutive_failures: u32,
    pub(super) attempts: u64,
    pub(super) failures: u64,
    /// Whether it was healthy and not ejected when last looked at; new ones and those that moved count as not.
    pub(super) was_well: bool,
    /// Since when it is in slow start.
    pub(super) ramp_from: Option<Instant>,
}

impl Endpoint {
    /// Its name in logs and metrics.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its settings.
    pub fn settings(&self) -> &config::Endpoint {
        &self.settings
    }

    /// Where it is; `None` for a `url` that can't be read, which a checked configuration doesn't have.
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Requests in flight on this core.
    pub fn in_flight(&self) -> u32 {
        self.share.in_flight()
    }

    /// What this core may have in flight to it; [`Share::UNLIMITED`] is no limit.
    pub fn limit(&self) -> u32 {
        self.share.limit()
    }

    /// What the probes say.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Until when it is ejected, in this core's view; in the past, it is not.
    pub fn ejected_until(&self) -> Instant {
        self.ejected_here_until.max(self.ejected_until)
    }

    /// Whether it is gone from the settings and only waits for its last attempt.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    pub(super) fn new(settings: &config::Endpoint, share: Share, well: bool) -> Self {
        let mut endpoint = Endpoint {
            name: settings.name().into(),
            settings: settings.clone(),
            target: None,
            unix: None,
            addresses: Arc::from([]),
            share,
            breaker: None,
            circuit: Circuit::Closed,
            leaving: false,
            healthy: true,
            ejected_here_until: Instant::ZERO,
            ejected_until: Instant::ZERO,
            ejections: 0,
            consecutive_failures: 0,
            attempts: 0,
            failures: 0,
            was_well: well,
            ramp_from: None,
        };
        endpoint.locate();
        endpoint
    }

    fn locate(&mut self) {
        self.target = self.settings.url.parse().ok();
        self.unix = match &self.target {
            Some(Target::Unix(path)) => Some(path.as_path().into()),
            _ => None,
        };
        self.addresses = Arc::from([]);
    }

    /// Takes over changed settings; true if it is elsewhere now, and so another server.
    fn reconfigure(&mut self, settings: &config::Endpoint, core: u32, cores: u32, now: Instant) -> bool {
        let moved = settings.url != self.settings.url;
        self.share.reconfigure(settings.max_concurrent_requests, 0, core, cores);
        self.settings = settings.clone();
        if moved {
            self.locate();
            self.healthy = true;
            self.ejected_here_until = Instant::ZERO;
            self.ejected_until = Instant::ZERO;
            self.ejections = 0;
            self.consecutive_failures = 0;
            self.was_well = false;
            if let Some(breaker) = &mut self.breaker {
                breaker.reset(now);
            }
        }
        moved
    }

    pub(super) fn is_resolved(&self) -> bool {
        match &self.target {
            Some(Target::Address(_) | Target::Unix(_)) => true,
            Some(Target::Name { .. }) => !self.addresses.is_empty(),
            None => false,
        }
    }

    pub(super) fn address(&self, draw: u64) -> Option<Address> {
        match self.target.as_ref()? {
            Target::Address(address) => Some(Address::Tcp(*address)),
            Target::Unix(_) => self.unix.clone().map(Address::Unix),
            Target::Name { .. } => {
                let index = below(draw, self.addresses.len() as u64) as usize;
                self.addresses.get(index).copied().map(Address::Tcp)
            }
        }
    }

    /// Whether requests may go there as far as the settings say.
    pub(super) fn is_usable(&self) -> bool {
        self.weight() > 0 && self.is_resolved()
    }

    pub(super) fn weight(&self) -> u32 {
        if self.leaving { 0 } else { self.settings.weight.min(WEIGHT_MAX) }
    }

    pub(super) fn member(&self) -> Member {
        Member { id: name_hash(&self.name), weight: self.weight() }
    }
}

impl Upstream {
    /// Brings the slots in line with the settings. At the very beginning endpoints don't go through slow start.
    pub(super) fn place_endpoints(&mut self, beginning: bool, now: Instant) {
        let settings = Arc::clone(&self.settings);
        let wanted: HashSet<&str> = settings.endpoints.iter().map(config::Endpoint::name).collect();
        for endpoint in self.slots.iter_mut().flatten() {
            endpoint.leaving = endpoint.leaving || !wanted.contains(&*endpoint.name);
        }
        self.free_left_slots();
        let occupied = |(slot, endpoint): (usize, &Option<Endpoint>)| endpoint.as_ref().map(|endpoint| (Arc::clone(&endpoint.name), slot));
        let known: HashMap<Arc<str>, usize> = self.slots.iter().enumerate().filter_map(occupied).collect();
        let mut empty = (0..self.slots.len()).filter(|&slot| self.slots[slot].is_none()).collect::<Vec<_>>().into_iter();
        for wanted in &settings.endpoints {
            if let Some(&slot) = known.get(wanted.name()) {
                let endpoint = self.slots[slot].as_mut().expect("just found");
                if endpoint.leaving {
                    endpoint.leaving = false;
                    endpoint.share.begin_again(wanted.max_concurrent_requests, 0, self.seat.core, self.seat.cores);
                    if let (Some(breaker), Some(rules)) = (&mut endpoint.breaker, &settings.circuit_breaker) {
                        breaker.begin_again(rules, self.seat.core, self.seat.cores, now);
                    }
                }
                if endpoint.reconfigure(wanted, self.seat.core, self.seat.cores, now) {
                    self.generations[slot] = self.generations[slot].wrapping_add(1);
                }
                continue;
            }
            let share = Share::new(wanted.max_concurrent_requests, 0, self.seat.core, self.seat.cores);
            let endpoint = Endpoint::new(wanted, share, beginning);
            match empty.next() {
                Some(slot) => self.slots[slot] = Some(endpoint),
                None => {
                    self.slots.push(Some(endpoint));
                    self.generations.push(0);
                    self.in_flight.push(0);
                    self.weights.push(0);
                }
            }
        }
        let words = self.slots.len().div_ceil(64);
        self.eligible.resize(words, 0);
        self.open.resize(words, 0);
        self.thinned.resize(words, 0);
    }

    fn free_left_slots(&mut self) {
        for slot in 0..self.slots.len() {
            self.free_if_left(slot);
        }
    }

    /// Empties a slot whose endpoint is gone from the settings and has nothing in flight.
    pub(super) fn free_if_left(&mut self, slot: usize) {
        if self.slots[slot].as_ref().is_some_and(|endpoint| endpoint.leaving) && self.in_flight[slot] == 0 {
            self.slots[slot] = None;
            self.generations[slot] = self.generations[slot].wrapping_add(1);
        }
    }
}

/// FNV-1a, then mixed: stable over processes and versions, as hashing strategies place endpoints by it.
fn name_hash(name: &str) -> u64 {
    mix(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}
