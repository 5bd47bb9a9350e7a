//! What pages are made of: the cells of all cores, and what the coordinator last said. Off the data path.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::latency::{History, SECONDS};
use crate::metrics::{Count, Registry};

/// Shared by workers (for the pages on the gateway's port), the coordinator (which writes it) and the private listener.
#[derive(Debug)]
pub struct Shared {
    /// All counters.
    pub registry: Registry,
    draining: AtomicBool,
    metrics_page: AtomicBool,
    loading: Mutex<Loading>,
    endpoints: Mutex<Vec<EndpointState>>,
    upstreams: Mutex<Vec<UpstreamState>>,
    counts: Mutex<Vec<Count>>,
    rate_limits: Mutex<Vec<RateLimitState>>,
    key_ages: Mutex<Vec<(Arc<str>, f64)>>,
    certificates: Mutex<Vec<(String, i64)>>,
    history: Mutex<History>,
    pace: Mutex<Vec<CorePace>>,
    rates: Mutex<VecDeque<[f64; 2]>>,
}

/// Which configuration is in force, and how that came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Loading {
    /// 1 for the configuration of the start, one more with each reload that changed it.
    pub generation: u64,
    /// Hash of the configuration in force.
    pub hash: u64,
    /// The file it was read from; empty if it came from elsewhere.
    pub path: String,
    /// When it came into force.
    pub since: SystemTime,
    /// The last reload, if there was one.
    pub last_reload: Option<ReloadResult>,
}

/// How a reload went.
#[derive(Clone, Debug, PartialEq)]
pub struct ReloadResult {
    /// When it was tried.
    pub at: SystemTime,
    /// What was wrong, a line a problem; empty if it went well. Whatever is wrong, nothing was changed.
    pub problems: Vec<String>,
    /// Settings that differ from those in force but need a restart.
    pub restart_needed: Vec<String>,
}

/// An endpoint as all cores together see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointState {
    /// Its upstream's id.
    pub upstream: String,
    /// Its name.
    pub endpoint: String,
    /// Its `url`, as configured.
    pub url: String,
    /// Whether it is known where it is; `false` while its host name has no address.
    pub resolved: bool,
    /// Whether its probes say it is well; `true` if it isn't probed.
    pub healthy: bool,
    /// Why the last probe failed, if it did.
    pub probe_error: Option<String>,
    /// Whether it is ejected for what requests showed.
    pub ejected: bool,
    /// Requests it is serving, over all cores.
    pub in_flight: u64,
    /// Its circuit breaker, if it has one.
    pub breaker: Option<BreakerState>,
}

/// An upstream as all cores together see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamState {
    /// Its id.
    pub upstream: String,
    /// The circuit breaker of the upstream as a whole, if it has one.
    pub breaker: Option<BreakerState>,
    /// Requests that ended otherwise than by an endpoint's whole answer, by reason.
    pub failures: Vec<(&'static str, u64)>,
    /// Second attempts beside slow ones: made, answered first, not made because the budget was used up.
    pub hedges: [u64; 3],
    /// The adaptive concurrency limit, if it has one.
    pub concurrency_limit: Option<u64>,
}

/// How a core does: in the last second, and so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CorePace {
    /// The part of the last second that it was busy.
    pub busy: f64,
    /// The part of it by which it came late to what it does regularly.
    pub stalled: f64,
    /// Requests that ended in the last second.
    pub requests: f64,
    /// Those of them that failed.
    pub failed: f64,
    so_far: (Duration, Duration, u64, u64),
}

/// A rate limit as all cores together see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateLimitState {
    /// Its entry's name, after that of its route if it is a route's own.
    pub limiter: String,
    /// Requests let through, refused, and let through that would have been refused but for `shadow`.
    pub decisions: [u64; 3],
    /// Keys known, over all cores.
    pub keys: u64,
    /// Keys put out of a full table before their bucket was full again.
    pub evicted: u64,
    /// Keys of which parts are moved between cores.
    pub hot: u64,
    /// Reports about keys that there was no room for: they keep an even share on each core.
    pub left_alone: u64,
    /// The largest part of a key's limit that wasn't on the core where it was asked for.
    pub error: f64,
}

/// A circuit breaker as all cores together see it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BreakerState {
    /// Whether requests get through.
    pub circuit: Circuit,
    /// How often it has opened, become half-open and closed.
    pub transitions: [u64; 3],
    /// Attempts that would not have been made, were it not for shadow mode.
    pub shadowed: u64,
}

/// Whether requests get through a circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Circuit {
    /// They do.
    #[default]
    Closed,
    /// A few do, as trials.
    HalfOpen,
    /// They don't.
    Open,
}

impl Shared {
    /// What is shared at the start, with this configuration in force.
    pub fn new(registry: Registry, path: String, hash: u64, now: SystemTime) -> Self {
        let history = Mutex::new(History::new(registry.latency.clone()));
        Shared {
            registry,
            history,
            pace: Mutex::default(),
            rates: Mutex::default(),
            draining: AtomicBool::new(false),
            metrics_page: AtomicBool::new(true),
            loading: Mutex::new(Loading { generation: 1, hash, path, since: now, last_reload: None }),
            endpoints: Mutex::default(),
            upstreams: Mutex::default(),
            counts: Mutex::default(),
            rate_limits: Mutex::default(),
            key_ages: Mutex::default(),
            certificates: Mutex::default(),
        }
    }

    /// Notes until when certificates are good, in seconds since 1970 began, by their names.
    pub fn set_certificates(&self, certificates: Vec<(String, i64)>) {
        *lock(&self.certificates) = certificates;
    }

    /// Until when certificates are good.
    pub fn certificates(&self) -> Vec<(String, i64)> {
        lock(&self.certificates).clone()
    }

    /// Whether readiness has failed because the gateway is about to stop.
    pub fn draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Makes readiness fail from here on.
    pub fn start_draining(&self) {
        self.draining.store(true, Relaxed);
    }

    /// What all cores recorded of response times.
    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Notes how all cores do; called once in `passed`.
    pub fn pace(&self, passed: Duration) {
        let mut pace = lock(&self.pace);
        pace.resize(self.registry.cores.len(), CorePace::default());
        let seconds = passed.as_secs_f64().max(1e-3);
        for (pace, core) in pace.iter_mut().zip(&self.registry.cores) {
            let (cpu, stalled, requests, failed) = pace.so_far;
            let now = (core.cpu.sum(), core.stalled.sum(), core.requests(), core.failed.count());
            let part = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() / seconds;
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            *pace = CorePace {
                busy: part(now.0, cpu).min(1.0),
                stalled: part(now.1, stalled),
                requests: rate(now.2, requests),
                failed: rate(now.3, failed),
                so_far: now,
            };
        }
        let mut rates = lock(&self.rates);
        if rates.len() == SECONDS {
            rates.pop_front();
        }
        rates.push_back([pace.iter().map(|pace| pace.requests).sum(), pace.iter().map(|pace| pace.failed).sum()]);
    }

    /// Requests a second, and how many of them failed, of all cores in each of the last seconds, the oldest first.
    pub fn rates(&self) -> VecDeque<[f64; 2]> {
        lock(&self.rates).clone()
    }

    /// How all cores do, in order.
    pub fn paces(&self) -> Vec<CorePace> {
        lock(&self.pace).clone()
    }

    /// Whether the metrics page is switched on.
    pub fn metrics_page(&self) -> bool {
        self.metrics_page.load(Relaxed)
    }

    /// Switches the metrics page on or off.
    pub fn switch_metrics_page(&self, on: bool) {
        self.metrics_page.store(on, Relaxed);
    }

    /// Which configuration is in force.
    pub fn loading(&self) -> Loading {
        lock(&self.loading).clone()
    }

    /// Notes how a reload went; `hash` is the new configuration's if it came into force.
    pub fn reloaded(&self, result: ReloadResult, hash: Option<u64>) {
        let mut loading = lock(&self.loading);
        if let Some(hash) = hash {
            loading.generation += 1;
            loading.hash = hash;
            loading.since = result.at;
        }
        loading.last_reload = Some(result);
    }

    /// All endpoints, in order of the configuration.
    pub fn endpoints(&self) -> Vec<EndpointState> {
        lock(&self.endpoints).clone()
    }

    /// All upstreams, in order of the configuration.
    pub fn upstreams(&self) -> Vec<UpstreamState> {
        lock(&self.upstreams).clone()
    }

    /// What all cores have counted by labels.
    pub fn counts(&self) -> Vec<Count> {
        lock(&self.counts).clone()
    }

    /// Replaces what all cores have counted by labels.
    pub fn set_counts(&self, counts: Vec<Count>) {
        *lock(&self.counts) = counts;
    }

    /// Replaces what is known about the upstreams.
    pub fn set_upstreams(&self, upstreams: Vec<UpstreamState>) {
        *lock(&self.upstreams) = upstreams;
    }

    /// The rate limits.
    pub fn rate_limits(&self) -> Vec<RateLimitState> {
        lock(&self.rate_limits).clone()
    }

    /// Replaces what is known about the rate limits.
    pub fn set_rate_limits(&self, limits: Vec<RateLimitState>) {
        *lock(&self.rate_limits) = limits;
    }

    /// How long ago each key set was last fetched, or first wanted, in seconds.
    pub fn key_ages(&self) -> Vec<(Arc<str>, f64)> {
        lock(&self.key_ages).clone()
    }

    /// Replaces what is known about the ages of key sets.
    pub fn set_key_ages(&self, ages: Vec<(Arc<str>, f64)>) {
        *lock(&self.key_ages) = ages;
    }

    /// Replaces what is known about the endpoints.
    pub fn set_endpoints(&self, endpoints: Vec<EndpointState>) {
        *lock(&self.endpoints) = endpoints;
    }
}

/// Whatever a panicking thread left is whole: each writer replaces plain values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
