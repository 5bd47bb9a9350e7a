//! What the model knows of an endpoint, and of an attempt.

use super::ops::Wanted;
use super::*;
use crate::breaker::State;
use crate::limiter::initial_share;

pub(super) const SEAT: Seat = Seat { core: 1, cores: 2 };

/// An endpoint as the model sees it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) leaving: bool,
    pub(super) weight: u32,
    pub(super) limit: Option<u32>,
    pub(super) place: usize,
    pub(super) addresses: Vec<u8>,
    pub(super) healthy: bool,
    pub(super) ejected_here: Instant,
    pub(super) ejected: Instant,
    pub(super) ejections: u32,
    pub(super) in_a_row: u32,
    pub(super) in_flight: u32,
    /// How often it became another server.
    pub(super) moves: u32,
    pub(super) was_well: bool,
    pub(super) ramp_from: Option<Instant>,
    /// A breaker of the same kind, told of the same: its own rules are tested where it is.
    pub(super) breaker: Option<Breaker>,
}

impl Known {
    pub(super) fn new(&(_, weight, limit, place): &Wanted, was_well: bool, moves: u32) -> Known {
        Known {
            leaving: false,
            weight,
            limit: (limit > 0).then(|| initial_share(limit, SEAT.core, SEAT.cores)),
            place,
            addresses: vec![],
            healthy: true,
            ejected_here: Instant::ZERO,
            ejected: Instant::ZERO,
            ejections: 0,
            in_a_row: 0,
            in_flight: 0,
            moves,
            was_well,
            ramp_from: None,
            breaker: None,
        }
    }

    /// Whether its breaker lets one more through.
    pub(super) fn passes(&self, now: Instant) -> bool {
        self.breaker.as_ref().is_none_or(|breaker| breaker.has_room(now))
    }

    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| matches!(breaker.state(now), State::Open(_)))
    }

    /// Endpoints at the last place are host names.
    pub(super) fn usable(&self) -> bool {
        !self.leaving && self.weight > 0 && (self.place != 2 || !self.addresses.is_empty())
    }

    pub(super) fn ejected_until(&self) -> Instant {
        self.ejected.max(self.ejected_here)
    }
}

pub(super) struct Held {
    pub(super) permit: Permit,
    pub(super) name: usize,
    pub(super) moves: u32,
    pub(super) started: Instant,
    /// Trials of its endpoint's and of the upstream's breaker.
    pub(super) trials: [bool; 2],
    /// Breakers were told how it went, and that it went wrong.
    pub(super) told: (bool, bool),
}
