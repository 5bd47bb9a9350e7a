//! Settings that protect upstreams: circuit breakers, adaptive concurrency, hedging.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{StatusRange, Time};

/// Sending nothing to what fails, until trials show that it's well again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CircuitBreaker {
    /// Whether it acts.
    pub mode: BreakerMode,
    /// What has a breaker.
    pub scope: BreakerScope,
    /// Failures in a row, on one core, that open it; 0 doesn't.
    pub consecutive_failures: u32,
    /// Percentage of failures within `window` that opens it; 0 doesn't.
    #[schemars(range(max = 100))]
    pub failure_rate: u8,
    /// Requests within `window` below which neither `failure_rate` nor `latency` is judged.
    #[schemars(range(min = 1))]
    pub min_requests: u32,
    /// The time that `failure_rate` and `latency` look back.
    pub window: Time,
    /// Opens it when answers take too long; by default, it doesn't.
    pub latency: Option<BreakerLatency>,
    /// How long it stays open; twice as long each time that a trial fails.
    pub open_time: Time,
    /// The longest that it stays open.
    pub open_time_max: Time,
    /// Half-open: so many requests at once, over all cores, and after so many good ones it closes.
    #[schemars(range(min = 1, max = 1000))]
    pub trials: u32,
    /// What counts as a failure.
    pub failures: BreakerFailures,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        CircuitBreaker {
            mode: BreakerMode::default(),
            scope: BreakerScope::default(),
            consecutive_failures: 5,
            failure_rate: 50,
            min_requests: 20,
            window: Time::from_secs(10),
            latency: None,
            open_time: Time::from_secs(5),
            open_time_max: Time::from_secs(60),
            trials: 3,
            failures: BreakerFailures::default(),
        }
    }
}

/// Whether a breaker acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerMode {
    /// Requests are kept away while it is open.
    #[default]
    Enforce,
    /// It only counts and logs what it would do.
    Shadow,
    /// There is none: for an upstream, where the gateway as a whole has one.
    Off,
}

/// What has a breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerScope {
    /// Each endpoint: others go on being used, and only if all are open, requests get 503.
    #[default]
    Endpoint,
    /// The upstream as a whole, for endpoints that fail together, as those in front of one database do.
    Upstream,
    /// Both.
    Both,
}

/// When answers take too long: when a part of them does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerLatency {
    /// Which quantile of the time to an answer's head is looked at: 0.95 is the time within which 95 % were there.
    #[schemars(range(min = 0.01, max = 0.9999))]
    pub quantile: f64,
    /// It opens if that is longer than this.
    pub over: Time,
}

impl Default for BreakerLatency {
    fn default() -> Self {
        BreakerLatency { quantile: 0.95, over: Time::from_secs(1) }
    }
}

/// What counts as a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerFailures {
    /// Answers with these statuses.
    pub status: Vec<StatusRange>,
    /// Connections that can't be opened, and host names without an address.
    pub connect_errors: bool,
    /// Whatever takes longer than its timeout, the request's own included.
    pub timeouts: bool,
    /// Connections that are closed too early, and answers that can't be understood.
    pub broken_answers: bool,
}

impl Default for BreakerFailures {
    fn default() -> Self {
        BreakerFailures { status: vec![StatusRange { low: 500, high: 599 }], connect_errors: true, timeouts: true, broken_answers: true }
    }
}

/// A limit of requests in flight that finds itself, by how much longer answers take than they need to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveConcurrency {
    /// The limit never goes below this; like the others over all cores, of which each has an even part, one at least.
    #[schemars(range(min = 1, max = 1000000))]
    pub min: u32,
    /// It never goes above this.
    #[schemars(range(min = 1, max = 1000000))]
    pub max: u32,
    /// It begins with this.
    #[schemars(range(min = 1, max = 1000000))]
    pub initial: u32,
    /// How many times the time that answers need they may take before the limit shrinks.
    #[schemars(range(min = 1.0, max = 10.0))]
    pub tolerance: f64,
}

impl Default for AdaptiveConcurrency {
    fn default() -> Self {
        AdaptiveConcurrency { min: 4, max: 1000, initial: 40, tolerance: 1.5 }
    }
}

/// Asking a second endpoint as well, where the first takes longer than most: for requests without a body that may be sent twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hedge {
    /// Which part of answers there are by the time that a second endpoint is asked, as measured live: with 0.95, the slowest 5 % of
    /// requests are sent twice.
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub after_percentile: f64,
    /// It isn't asked before this.
    pub min_delay: Time,
    /// At most so many percent of such requests are sent twice; what is saved up allows ten at once.
    #[schemars(range(min = 1, max = 100))]
    pub budget_percent: u8,
}

impl Default for Hedge {
    fn default() -> Self {
        Hedge { after_percentile: 0.95, min_delay: Time::from_millis(5), budget_percent: 10 }
    }
}
