//! What counts as a failure, when failures are too many, and for how long a breaker opens: the same on a core and over all.

use std::time::Duration;

use super::Cause;
use crate::config::{BreakerFailures, BreakerLatency, CircuitBreaker};
use crate::error::{Fault, Reason};
use crate::health::Counts;

/// How an attempt went, as a breaker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It counts as a failure.
    pub failed: bool,
    /// It took longer than `latency.over`.
    pub slow: bool,
}

impl Verdict {
    /// Nothing is held against it.
    #[inline]
    pub const fn is_good(self) -> bool {
        !self.failed && !self.slow
    }
}

/// How an attempt went that was answered with this status, or failed, after so long. `None` if it says nothing: the client left,
/// or the gateway itself is to blame.
#[inline]
pub fn verdict(ending: Result<u16, Reason>, took: Duration, settings: &CircuitBreaker) -> Option<Verdict> {
    let slow = settings.latency.as_ref().is_some_and(|latency| took > latency.over.get());
    let failed = match ending {
        Ok(status) => settings.failures.status.iter().any(|range| (range.low..=range.high).contains(&status)),
        Err(reason) => is_failure(reason, &settings.failures)?,
    };
    Some(Verdict { failed, slow })
}

/// Whether a failed attempt counts; `None` if it says nothing.
fn is_failure(reason: Reason, failures: &BreakerFailures) -> Option<bool> {
    match reason {
        Reason::Unresolved | Reason::ConnectFailed | Reason::TlsFailed | Reason::CertificateRefused => Some(failures.connect_errors),
        Reason::ConnectTimeout => Some(failures.connect_errors || failures.timeouts),
        Reason::SendTimeout | Reason::FirstByteTimeout | Reason::ResponseBodyTimeout | Reason::RequestTimeout => Some(failures.timeouts),
        _ if reason.fault() == Fault::Upstream => Some(failures.broken_answers),
        _ => None,
    }
}

/// Why a breaker opens that has seen this within its window, if it does.
pub fn judge(counts: Counts, settings: &CircuitBreaker) -> Option<Cause> {
    if counts.attempts < u64::from(settings.min_requests.max(1)) {
        return None;
    }
    if settings.failure_rate > 0 && counts.is_over(settings.failure_rate, 0) {
        return Some(Cause::FailureRate);
    }
    settings.latency.as_ref().filter(|latency| is_slow(counts, latency)).map(|_| Cause::Latency)
}

/// Whether the quantile is over its limit, without having any time at hand: it is exactly if more than the rest is slow. By the
/// nearest rank: of 100, the quantile 0.95 is the 95th in order of time, so six slow ones reach it and five don't.
fn is_slow(counts: Counts, latency: &BreakerLatency) -> bool {
    let quantile = (latency.quantile * MILLION as f64).round() as u64;
    counts.slow * MILLION > counts.attempts * (MILLION - quantile.min(MILLION))
}

/// How long a breaker opens that has opened so many times without having been closed: twice as long each time.
pub fn open_time(settings: &CircuitBreaker, opens: u32) -> Duration {
    settings.open_time.get().saturating_mul(1 << opens.min(20)).min(settings.open_time_max.get())
}

const MILLION: u64 = 1_000_000;
