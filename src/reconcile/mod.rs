//! The coordinator's decisions: the reports of all cores become one truth, which goes back to each core as an update.
//!
//! ```text
//! reports -> on_report --\
//! probes  -> on_probe ----> upstreams, endpoints, divisions of limits -> tick -> one update a core
//! names   -> on_resolved -/
//! ```
//!
//! Reports and updates are snapshots. Those that are lost, late or repeated cost freshness, never a limit.

mod account;
mod breaker;
mod change;
mod counts;
mod divide;
mod division;
mod endpoint;
mod limits;
mod message;
mod reconciler;
#[cfg(test)]
mod tests;
mod upstream;

pub use breaker::{BreakerState, Tally};
pub use change::{Cause, Change, What};
pub use limits::{KEYS_MAX, LimiterState, Limits};
pub use message::{
    EndpointReport, EndpointUpdate, Hedges, Report, ShareGrant, ShareKey, ShareReport, Update, UpstreamReport, UpstreamTally,
    UpstreamUpdate,
};
pub use reconciler::{Lookup, Probe, ProbeId, Reconciler, State, UpstreamState};
