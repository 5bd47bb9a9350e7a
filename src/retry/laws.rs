//! Laws of retrying: the verdict over all situations, the wait, and the budget.

use proptest::prelude::*;

use super::*;
use crate::config::{GrpcStatus, StatusRange, Time};
use crate::error::Fault;

fn settings() -> config::Retry {
    config::Retry {
        on_status: vec![StatusRange { low: 502, high: 504 }, StatusRange { low: 429, high: 429 }],
        on_grpc_status: vec![GrpcStatus::ResourceExhausted, GrpcStatus::Unavailable],
        ..config::Retry::default()
    }
}

/// Every situation there can be, and some that there can't.
fn situations() -> impl Iterator<Item = Situation> {
    let answers = [200, 404, 428, 429, 430, 500, 501, 502, 504, 505].map(Ending::Answered);
    let calls = (0..=16).map(|code| Ending::Called { code, counts_as: 503 });
    let endings: Vec<Ending> = answers.into_iter().chain(calls).chain(Reason::ALL.iter().map(|&reason| Ending::Failed(reason))).collect();
    endings.into_iter().flat_map(|ending| {
        (0..128_u32).flat_map(move |bits| {
            [0, 1, 3].map(|retries_left| Situation {
                idempotent: bits & 1 != 0,
                reused: bits & 2 != 0,
                sent_anything: bits & 4 != 0,
                response_started: bits & 8 != 0,
                relayed: bits & 16 != 0,
                body_lost: bits & 32 != 0,
                stale_retried: bits & 64 != 0,
                ending,
                retries_left,
            })
        })
    })
}

/// Whether an endpoint may have begun to do what the request asks for.
fn may_have_been_processed(situation: &Situation) -> bool {
    match situation.ending {
        Ending::Failed(
            Reason::Unresolved
            | Reason::ConnectFailed
            | Reason::TlsFailed
            | Reason::CertificateRefused
            | Reason::ConnectTimeout
            | Reason::StreamRefused,
        ) => false,
        Ending::Failed(Reason::SendFailed | Reason::ClosedBeforeHead) => situation.sent_anything || situation.response_started,
        _ => true,
    }
}

#[test]
fn nothing_unsafe_is_repeated() {
    for situation in situations() {
        let verdict = verdict(&situation, &settings());
        if verdict == Verdict::GiveUp {
            continue;
        }
        assert!(!situation.relayed && !situation.body_lost, "{situation:?}");
        let called = matches!(situation.ending, Ending::Called { .. });
        assert!(situation.idempotent || called || !may_have_been_processed(&situation), "{situation:?}");
        match situation.ending {
            Ending::Answered(status) => assert!([429, 502, 504].contains(&status), "{situation:?}"),
            Ending::Called { code, .. } => assert!([8, 14].contains(&code), "{situation:?}"),
            Ending::Failed(reason) => assert_eq!(reason.fault(), Fault::Upstream, "{situation:?}"),
        }
        match verdict {
            Verdict::Retry => assert!(situation.retries_left > 0, "{situation:?}"),
            _ => assert!(situation.reused && !situation.stale_retried && !situation.response_started, "{situation:?}"),
        }
    }
}

#[test]
fn what_is_safe_and_may_help_is_repeated() {
    let can_help = |situation: &Situation| match situation.ending {
        Ending::Answered(status) => [429, 502, 504].contains(&status),
        Ending::Called { code, .. } => [8, 14].contains(&code),
        Ending::Failed(reason) => matches!(
            reason,
            Reason::Unresolved
                | Reason::ConnectFailed
                | Reason::TlsFailed
                | Reason::CertificateRefused
                | Reason::ConnectTimeout
                | Reason::SendFailed
                | Reason::SendTimeout
                | Reason::ClosedBeforeHead
                | Reason::StreamRefused
                | Reason::FirstByteTimeout
        ),
    };
    let safe = |situation: &Situation| {
        let repeatable = situation.idempotent || matches!(situation.ending, Ending::Called { .. }) || !may_have_been_processed(situation);
        !situation.relayed && !situation.body_lost && repeatable
    };
    for situation in situations().filter(|situation| can_help(situation) && safe(situation)) {
        let closed = matches!(situation.ending, Ending::Failed(Reason::SendFailed | Reason::ClosedBeforeHead | Reason::StreamRefused));
        let stale = closed && situation.reused && !situation.stale_retried && !situation.response_started;
        let expected = if stale {
            Verdict::RetryStale
        } else if situation.retries_left > 0 {
            Verdict::Retry
        } else {
            Verdict::GiveUp
        };
        assert_eq!(verdict(&situation, &settings()), expected, "{situation:?}");
    }
}

proptest! {
    #[test]
    fn the_wait_doubles_up_to_its_limit(first in 0..10_000_u64, most in 0..100_000_u64, attempt in 1..100_u32, draw in any::<u64>()) {
        let settings = config::Retry { backoff: Time::from_millis(first), backoff_max: Time::from_millis(most), ..settings() };
        let whole = Duration::from_millis(most.min(first.saturating_mul(1_u64.checked_shl(attempt - 1).unwrap_or(u64::MAX))));
        let wait = backoff(&settings, attempt, draw);
        prop_assert!(wait >= whole / 2 && wait <= whole, "{:?} of {:?}", wait, whole);
        prop_assert!(backoff(&settings, attempt, 0) <= wait && wait <= backoff(&settings, attempt, u64::MAX));
    }

    #[test]
    fn the_budget_is_never_exceeded(percent in 0..=100_u8, min in 0..5_u32, ops in prop::collection::vec(0..5_u8, 0..300)) {
        let settings = config::Retry { budget_percent: percent, budget_min: min, ..settings() };
        let mut budget = Budget::new(&settings);
        let (mut active, mut retries) = (0_u32, 0_u32);
        for op in ops {
            match op {
                0 | 1 => {
                    budget.begin();
                    active += 1;
                }
                2 if active > 0 => {
                    budget.end();
                    active -= 1;
                }
                3 => {
                    let allowed = f64::from(retries) < f64::from(min) || f64::from(retries + 1) <= f64::from(active) * f64::from(percent) / 100.0;
                    prop_assert_eq!(budget.try_retry(), allowed);
                    retries += u32::from(allowed);
                }
                4 if retries > 0 => {
                    budget.end_retry();
                    retries -= 1;
                }
                _ => {}
            }
            prop_assert_eq!((budget.active(), budget.retries()), (active, retries));
        }
    }
}
