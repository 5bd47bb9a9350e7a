//! Retrying: whether a failed attempt may be repeated, after how long, and how many repeats are borne at once.
//!
//! Safe means: no byte of the answer has gone to the client, the request can be sent again whole, and it either can't have
//! been processed or is idempotent (RFC 9110 section 9.2.2). Calls of gRPC are repeated by their status, if the settings say so.

use std::time::Duration;

use crate::config;
use crate::error::Reason;

/// How an attempt ended, and what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The request's method is idempotent.
    pub idempotent: bool,
    /// The connection had already served a request before this one.
    pub reused: bool,
    /// At least one byte of the request was handed to the connection.
    pub sent_anything: bool,
    /// At least one byte of the endpoint's answer has arrived.
    pub response_started: bool,
    /// At least one byte of an answer, interim ones included, has gone to the client.
    pub relayed: bool,
    /// Bytes of the request's body are gone and can't be sent again.
    pub body_lost: bool,
    /// This request was already repeated once because of a stale connection.
    pub stale_retried: bool,
    /// How it ended.
    pub ending: Ending,
    /// Retries that the route's `retry_count` still allows.
    pub retries_left: u32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The endpoint answered with this status.
    Answered(u16),
    /// It ended a call of gRPC at once.
    Called {
        /// The call's status.
        code: u8,
        /// The status of HTTP that says the same of the endpoint's health.
        counts_as: u16,
    },
    /// There was no answer, for this reason.
    Failed(Reason),
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again on another endpoint, after the backoff, if the budget allows it.
    Retry,
    /// The endpoint had closed an idle connection just as the request was sent: try again at once, on a new connection, also
    /// to the same endpoint. Costs neither budget nor a retry.
    RetryStale,
    /// Answer with what there is.
    GiveUp,
}

/// Whether an attempt may be repeated.
pub fn verdict(situation: &Situation, settings: &config::Retry) -> Verdict {
    if situation.relayed || situation.body_lost {
        return Verdict::GiveUp;
    }
    let reason = match situation.ending {
        Ending::Answered(status) => {
            let wanted = settings.on_status.iter().any(|range| (range.low..=range.high).contains(&status));
            return retry_if(wanted && situation.idempotent, situation);
        }
        // No call says of itself whether it may be repeated: who sets this says it of all.
        Ending::Called { code, .. } => {
            return retry_if(settings.on_grpc_status.iter().any(|&status| status as u8 == code), situation);
        }
        Ending::Failed(reason) => reason,
    };
    match reason {
        // The request never reached a server.
        Reason::Unresolved | Reason::ConnectFailed | Reason::TlsFailed | Reason::CertificateRefused | Reason::ConnectTimeout => {
            retry_if(true, situation)
        }
        // It wasn't processed. A connection that was in use may have been about to end.
        Reason::StreamRefused if situation.reused && !situation.response_started && !situation.stale_retried => Verdict::RetryStale,
        Reason::StreamRefused => retry_if(true, situation),
        Reason::SendFailed | Reason::ClosedBeforeHead => {
            let unprocessed = !situation.sent_anything && !situation.response_started;
            let safe = unprocessed || situation.idempotent;
            if safe && situation.reused && !situation.response_started && !situation.stale_retried {
                Verdict::RetryStale
            } else {
                retry_if(safe, situation)
            }
        }
        Reason::SendTimeout | Reason::FirstByteTimeout => retry_if(situation.idempotent, situation),
        // The endpoint has answered, if badly: another answer is unlikely to be better. All others aren't an endpoint's doing.
        _ => Verdict::GiveUp,
    }
}

fn retry_if(safe: bool, situation: &Situation) -> Verdict {
    if safe && situation.retries_left > 0 { Verdict::Retry } else { Verdict::GiveUp }
}

/// How long to wait before retry number `attempt` (from 1): `backoff` doubled for each further one, at most `backoff_max`, of
/// which a random part between half and all is waited.
pub fn backoff(settings: &config::Retry, attempt: u32, draw: u64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let whole = settings.backoff.get().saturating_mul(1 << doublings).min(settings.backoff_max.get());
    let half = u64::try_from(whole.as_nanos() / 2).unwrap_or(u64::MAX);
    let part = u64::try_from((u128::from(half) * u128::from(draw)) >> 64).unwrap_or(u64::MAX);
    whole - Duration::from_nanos(half) + Duration::from_nanos(part)
}

/// The retries that one core bears at once for an upstream: a part of its requests in flight, so that a failing upstream
/// isn't buried under repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    percent: u32,
    min: u32,
    active: u32,
    retries: u32,
}

impl Budget {
    /// A budget by these settings.
    pub fn new(settings: &config::Retry) -> Self {
        Budget { percent: u32::from(settings.budget_percent), min: settings.budget_min, active: 0, retries: 0 }
    }

    /// Takes over changed settings; what is in flight stays counted.
    pub fn reconfigure(&mut self, settings: &config::Retry) {
        self.percent = u32::from(settings.budget_percent);
        self.min = settings.budget_min;
    }

    /// A request to the upstream begins.
    #[inline]
    pub fn begin(&mut self) {
        self.active += 1;
    }

    /// A request has ended, however it did.
    #[inline]
    pub fn end(&mut self) {
        self.active = self.active.checked_sub(1).expect("ended a request that had not begun");
    }

    /// Takes one retry out of the budget, if there is one left. It lasts until `end_retry`.
    pub fn try_retry(&mut self) -> bool {
        let part = u64::from(self.active) * u64::from(self.percent) / 100;
        if u64::from(self.retries) >= part.max(u64::from(self.min)) {
            return false;
        }
        self.retries += 1;
        true
    }

    /// A retry has ended.
    pub fn end_retry(&mut self) {
        self.retries = self.retries.checked_sub(1).expect("ended a retry that had not begun");
    }

    /// Requests in flight.
    pub const fn active(&self) -> u32 {
        self.active
    }

    /// Retries in flight.
    pub const fn retries(&self) -> u32 {
        self.retries
    }
}

#[cfg(test)]
mod laws;
