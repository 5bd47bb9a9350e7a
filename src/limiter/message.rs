//! What cores and the coordinator tell each other about rate limits. Lost, late and repeated messages cost freshness, never a limit.

use std::sync::Arc;

use super::{Allot, Limit, Tally, Tat, Usage};

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
