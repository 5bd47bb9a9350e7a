//! Rules of circuit breakers and adaptive concurrency.

use super::Rules;
use crate::config::{AdaptiveConcurrency, BreakerMode, CircuitBreaker, Time};

/// Those of the breaker that is set at this path.
pub(super) fn breaker(rules: &mut Rules<'_>, breaker: &CircuitBreaker, path: &str) {
    if breaker.mode == BreakerMode::Off {
        return;
    }
    let at = |setting: &str| format!("{path}.{setting}");
    rules.at_least(&|| at("window"), breaker.window, Time::from_millis(100));
    rules.at_least(&|| at("open_time"), breaker.open_time, Time::from_millis(10));
    if breaker.open_time > breaker.open_time_max {
        rules.broken(at("open_time"), "must not be longer than open_time_max", "shorten it, or raise the other");
    }
    if breaker.consecutive_failures == 0 && breaker.failure_rate == 0 && breaker.latency.is_none() {
        let hint = "set consecutive_failures, failure_rate or latency; \"mode\": \"off\" is the way to have none";
        rules.broken(path, "never opens, as nothing opens it", hint);
    }
    if let Some(latency) = &breaker.latency {
        rules.at_least(&|| at("latency.over"), latency.over, Time::from_millis(1));
    }
}

/// Those of the limit that is set at this path.
pub(super) fn adaptive(rules: &mut Rules<'_>, adaptive: &AdaptiveConcurrency, path: &str) {
    let AdaptiveConcurrency { min, max, initial, .. } = *adaptive;
    if min > max {
        rules.broken(format!("{path}.min"), "must not be greater than max", "lower it, or raise the other");
    } else if !(min..=max).contains(&initial) {
        rules.broken(format!("{path}.initial"), format!("must be from min to max, {min} to {max}, is {initial}"), "");
    }
}
