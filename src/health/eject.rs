//! Ejection: taking an endpoint out for a while because its answers are bad.

use std::time::Duration;

use crate::config;
use crate::error::{Fault, Reason};

/// How long the next ejection takes after `ejections` in a row: one more time `ejection_time` each, at most ten times.
pub fn ejection_time(settings: &config::Outlier, ejections: u32) -> Duration {
    settings.ejection_time.get().saturating_mul(ejections.saturating_add(1).min(EJECTIONS_MAX))
}

/// Whether one more of `endpoints` may be ejected when `ejected` are: at most `max_ejection_percent`, but one always may be
/// if there are others.
pub fn may_eject(settings: &config::Outlier, endpoints: usize, ejected: usize) -> bool {
    let part = endpoints * usize::from(settings.max_ejection_percent) / 100;
    ejected < part || (ejected == 0 && endpoints > 1)
}

/// Whether an answer counts as the endpoint's failure: every 5xx does, as those of a gateway in front of the real server
/// (502, 503, 504) can't be told from its own.
pub const fn is_failure_status(status: u16) -> bool {
    status >= 500
}

/// Whether a failed attempt counts as the endpoint's failure: only if it was the endpoint's doing.
pub fn is_failure(reason: Reason) -> bool {
    reason.fault() == Fault::Upstream
}

/// Ejections in a row beyond this don't take longer.
pub const EJECTIONS_MAX: u32 = 10;
