//! Balancing: which of an upstream's endpoints gets a request. One file a strategy, all under the laws in `laws.rs`.
//!
//! Eligibility is decided before: a strategy only chooses among those that may be used. Each core has its own cursors; they
//! start at different offsets (`Seat`), so that few requests on many cores still spread.

mod choice;
mod ip_hash;
mod least_connections;
mod lottery;
mod maglev;
mod peak_ewma;
mod random;
mod ring_hash;
mod round_robin;
mod tournament;
mod turns;
mod two_choices;
mod weighted_round_robin;

pub use crate::chance::mix;
pub use choice::{Choice, Ones, Tried, WEIGHT_MAX, WEIGHT_UNIT, below};

use std::time::Duration;

use crate::clock::Instant;
use crate::config::Strategy;

/// A balancing strategy with its state on one core.
pub trait Balance: std::fmt::Debug {
    /// Picks one of the slots that may be used; `None` only if there is none. Allocates nothing.
    fn pick(&mut self, choice: &Choice<'_>) -> Option<u32>;

    /// The set of endpoints or their configured weights have changed. Indexed by slot. `reweigh` follows.
    fn arrange(&mut self, _members: &[Member]) {}

    /// The effective weights have changed: health, slow start, a new arrangement. Indexed by slot.
    fn reweigh(&mut self, _weights: &[u32]) {}

    /// An endpoint's requests in flight have changed, by a pick or otherwise. Called only if [`Entry::tracks_load`].
    fn load_changed(&mut self, _slot: u32, _in_flight: u32) {}

    /// An attempt has shown how long an endpoint takes. Called only if [`Entry::tracks_latency`].
    fn observed(&mut self, _slot: u32, _latency: Duration, _failed: bool, _now: Instant) {}
}

/// An endpoint as a strategy sees it when arranging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Hash of its name: what hashing strategies place it by, the same on every core and after every reload.
    pub id: u64,
    /// Its configured weight, at most [`WEIGHT_MAX`]; 0 for an empty slot.
    pub weight: u32,
}

/// Which of the cores this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its number, from 0.
    pub core: u32,
    /// How many there are.
    pub cores: u32,
}

impl Seat {
    /// Where this core's cursor starts in a circle of so many positions: cores are spread evenly.
    pub fn offset(self, positions: usize) -> usize {
        if positions == 0 { 0 } else { self.core as usize * positions / self.cores.max(1) as usize % positions }
    }
}

/// What a strategy is and does.
#[derive(Debug)]
pub struct Entry {
    /// Its name in the configuration.
    pub strategy: Strategy,
    /// Makes one for a core.
    pub make: fn(Seat, LoadBound) -> Box<dyn Balance>,
    /// How an endpoint in slow start gets less.
    pub ramp: Ramp,
    /// Whether it is told of each change of requests in flight.
    pub tracks_load: bool,
    /// Whether it is told of each attempt's latency.
    pub tracks_latency: bool,
    /// Whether each endpoint gets requests in proportion to its weight.
    pub weighted: bool,
}

/// Times the fair share that hashing strategies load an endpoint with.
pub type LoadBound = f64;

/// How an endpoint in slow start gets less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ramp {
    /// The strategy goes by effective weights.
    Weight,
    /// It is left out of so many choices, by chance.
    Chance,
    /// It is left out for so many keys: the strategy goes by [`Choice::key`].
    Key,
    /// It is left out for so many clients: the strategy goes by [`Choice::client`].
    Client,
}

/// Every strategy. What is added here is configurable and under the laws.
pub static STRATEGIES: &[Entry] = &[
    round_robin::ENTRY,
    weighted_round_robin::ENTRY,
    least_connections::ENTRY,
    ip_hash::ENTRY,
    random::ENTRY,
    two_choices::ENTRY,
    ring_hash::ENTRY,
    maglev::ENTRY,
    peak_ewma::ENTRY,
];

/// The entry of a strategy.
pub fn entry(strategy: Strategy) -> &'static Entry {
    STRATEGIES.iter().find(|entry| entry.strategy == strategy).expect("every strategy has an entry")
}

#[cfg(test)]
mod laws;
