//! What cores and the coordinator tell each other about rate limits. Lost, late and repeated messages cost freshness, never a limit.

use std::sync::Arc;

use super::{Limit, Tat, Terms};
use crate::clock::Instant;

/// From a core to the coordinator, about rate limits: at once where a key is short, else with the tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitReport {
    /// Which core.
    pub core: u32,
    /// Grows with each report of a core; late ones are ignored.
    pub sequence: u64,
    /// The newest update that was taken over.
    pub applied: u64,
    /// All rate limits of the core's plan.
    pub limiters: Vec<LimiterReport>,
}

/// What a core says of a rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimiterReport {
    /// Its `id`.
    pub name: Arc<str>,
    /// Its settings on that core.
    pub limit: Limit,
    /// Since which plan the core takes it to be known.
    pub born: u64,
    /// What it decided so far.
    pub tally: Tally,
    /// Keys that were asked for.
    pub usages: Vec<Usage>,
    /// The buckets of keys of which parts were given up by the last update, as they were then.
    pub gave_up: Vec<(u128, Tat)>,
}

/// From the coordinator to a core, about rate limits. The next one is made only when this one was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitUpdate {
    /// One more than that of the update before.
    pub version: u64,
    /// Those that there is something to say of.
    pub limiters: Vec<LimiterUpdate>,
}

/// What a core is to hold of a rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimiterUpdate {
    /// Its `id`.
    pub name: Arc<str>,
    /// Its settings.
    pub limit: Limit,
    /// Since which plan it is known.
    pub born: u64,
    /// Keys of which the core is to hold something else.
    pub allots: Vec<Allot>,
}

/// What a rate limit decided on one core, and the keys it knows there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests let through.
    pub allowed: u64,
    /// Requests refused.
    pub limited: u64,
    /// Requests let through that would have been refused, but for `shadow`.
    pub shadowed: u64,
    /// Keys known.
    pub keys: u64,
    /// Keys put out of the table before their bucket was full again.
    pub evicted: u64,
}

/// What is asked of a key on one core, as it tells the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Whose.
    pub key: u128,
    /// Requests since the last report.
    pub asked: u32,
    /// One of them found too little.
    pub short: bool,
    /// Requests that wait and aren't paid for.
    pub waiting: u32,
    /// Payments that were of no use.
    pub lapsed: Lapsed,
}

/// Payments for requests that were not made in time, since the core holds something of the key that was granted: what nobody used
/// goes back. All only grow, so that a report may get lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lapsed {
    /// Requests.
    pub requests: u64,
    /// Payments, each of them for one or more.
    pub payments: u64,
    /// When they were made: the sum of all of these moments, in nanoseconds of the clock.
    pub paid_at: u128,
}

/// What a core is to hold of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allot {
    /// Whose.
    pub key: u128,
    /// Parts of the whole.
    pub parts: u64,
    /// The moment of those that it gains.
    pub gained: Tat,
    /// Requests paid for from what no core holds; nothing after `until`.
    pub prepaid: u32,
    /// Until when they may be used.
    pub until: Instant,
    /// What goes back to its bucket of payments that lapsed: worth what the whole limit earns until then.
    pub returned: Instant,
    /// It holds its first part again, and the coordinator forgets the key.
    pub forget: bool,
}

impl Allot {
    /// So many parts, and nothing else.
    pub fn parts(key: u128, parts: u64, now: Instant) -> Self {
        Allot { key, parts, gained: Terms::empty(now), prepaid: 0, until: now, returned: now, forget: false }
    }
}
