//! Configurations by chance, and how a reload changes them.

use std::time::Duration;

use ringway::balancer::STRATEGIES;
use ringway::config::{
    AdaptiveConcurrency, BreakerLatency, BreakerMode, BreakerScope, CircuitBreaker, Config, Endpoint, HashKey, Hedge, Outlier, Queue,
    Route, StatusRange, Target, Time, Upstream,
};

use crate::chance::Chance;

/// Makes configurations; ports are never used twice.
pub struct Scenario {
    port: u16,
    names: u32,
}

impl Scenario {
    pub fn new() -> Self {
        Scenario { port: 1000, names: 0 }
    }

    /// A first configuration, in which the first upstream has the strategy that the seed says.
    pub fn config(&mut self, seed: u64, chance: &mut Chance) -> Config {
        let mut config = Config::default();
        config.timeouts.first_byte = Time::from_millis(600);
        config.timeouts.request = Time::from_millis(chance.between(500, 3_000));
        config.limits.queue_timeout = Time::from_millis(chance.between(100, 1_000));
        config.health_check_interval = Some(Time::from_millis(400));
        limits(&mut config, chance);
        for index in 0..chance.between(1, 2) {
            let mut upstream = self.upstream(format!("u{index}"), chance);
            let strategies = STRATEGIES.len() as u64;
            upstream.strategy = STRATEGIES[((seed + index) % strategies) as usize].strategy;
            config.upstreams.push(upstream);
        }
        for index in 0..chance.between(1, 3) {
            let upstream = chance.one_of(&config.upstreams).id.clone();
            let mut route = Route { id: Some(format!("r{index}")), path: format!("/r{index}/*"), upstream, ..Route::default() };
            route.retry_count = Some(chance.between(0, 3) as u32);
            route.max_concurrent_requests = limit(chance, 12);
            config.routes.push(route);
        }
        config
    }

    fn upstream(&mut self, id: String, chance: &mut Chance) -> Upstream {
        let mut upstream = Upstream { id, ..Upstream::default() };
        upstream.hash_key = if chance.percent(50) { HashKey::Path } else { HashKey::Ip };
        upstream.health_check.enabled = chance.percent(70);
        upstream.health_check.timeout = Time::from_millis(200);
        upstream.outlier_detection = Outlier {
            enabled: chance.percent(70),
            consecutive_failures: chance.between(0, 6) as u32,
            window: Time::from_secs(2),
            ejection_time: Time::from_millis(200),
            ..Outlier::default()
        };
        upstream.circuit_breaker = chance.percent(60).then(|| breaker(chance));
        upstream.hedge = chance.percent(30).then(|| Hedge {
            after_percentile: 0.8,
            min_delay: Time::from_millis(2),
            budget_percent: chance.between(5, 100) as u8,
        });
        upstream.adaptive_concurrency =
            chance.percent(25).then(|| AdaptiveConcurrency { min: 2, max: 60, initial: 20, ..AdaptiveConcurrency::default() });
        upstream.panic_threshold = *chance.one_of(&[0, 0, 50]);
        upstream.slow_start = chance.percent(30).then(|| Time::from_millis(500));
        upstream.resolve_interval = Some(Time::from_millis(500));
        upstream.queue = Queue { length: chance.between(0, 12) as u32, timeout: Time::from_millis(chance.between(100, 800)) };
        upstream.retry.on_status = vec![StatusRange { low: 503, high: 503 }];
        upstream.retry.budget_percent = chance.between(0, 50) as u8;
        upstream.retry.budget_min = chance.between(0, 4) as u32;
        for _ in 0..chance.between(1, 5) {
            let endpoint = self.endpoint(chance);
            upstream.endpoints.push(endpoint);
        }
        upstream
    }

    fn endpoint(&mut self, chance: &mut Chance) -> Endpoint {
        self.names += 1;
        let id = Some(format!("e{}", self.names));
        let weight = chance.between(1, 4) as u32;
        Endpoint { id, url: self.url(chance), weight, max_concurrent_requests: limit(chance, 8) }
    }

    fn url(&mut self, chance: &mut Chance) -> String {
        self.port += 1;
        match chance.between(0, 3) {
            0 => format!("unix:/{}", self.port),
            1 => format!("http://server.local:{}", self.port),
            _ => format!("http://127.0.0.1:{}", self.port),
        }
    }

    /// Another configuration: a few things differ. `spare` are endpoints that were taken away
    /// from an upstream, and may come back to it.
    pub fn change(&mut self, config: &Config, spare: &mut Vec<(String, Endpoint)>, chance: &mut Chance) -> Config {
        let mut config = config.clone();
        if chance.percent(40) {
            limits(&mut config, chance);
        }
        for route in &mut config.routes {
            if chance.percent(40) {
                route.max_concurrent_requests = limit(chance, 12);
            }
        }
        config.features.retries = chance.percent(90);
        config.features.outlier_detection = chance.percent(90);
        config.features.circuit_breaker = chance.percent(85);
        for upstream in &mut config.upstreams {
            if chance.percent(20) {
                upstream.strategy = chance.one_of(STRATEGIES).strategy;
            }
            if let Some(breaker) = &mut upstream.circuit_breaker {
                breaker.mode = mode(chance);
            }
            if chance.percent(30) {
                upstream.queue.length = chance.between(0, 12) as u32;
            }
            for endpoint in &mut upstream.endpoints {
                if chance.percent(30) {
                    endpoint.max_concurrent_requests = limit(chance, 8);
                }
                if chance.percent(30) {
                    endpoint.weight = chance.between(1, 4) as u32;
                }
                if chance.percent(15) {
                    endpoint.url = self.url(chance);
                }
            }
            if chance.percent(40) && upstream.endpoints.len() > 1 {
                let gone = upstream.endpoints.remove(chance.draw() as usize % upstream.endpoints.len());
                spare.push((upstream.id.clone(), gone));
            }
            if chance.percent(40) {
                let back = spare.iter().position(|(from, _)| *from == upstream.id).filter(|_| chance.percent(60));
                let endpoint = back.map_or_else(|| self.endpoint(chance), |index| spare.remove(index).1);
                upstream.endpoints.insert(chance.draw() as usize % (upstream.endpoints.len() + 1), endpoint);
            }
        }
        config
    }
}

fn limits(config: &mut Config, chance: &mut Chance) {
    config.limits.max_concurrent_requests = limit(chance, 40);
    config.limits.queue = chance.between(0, 12) as u32;
}

/// The number of trials stays the same over reloads, so that it can be counted on.
fn breaker(chance: &mut Chance) -> CircuitBreaker {
    CircuitBreaker {
        mode: mode(chance),
        scope: *chance.one_of(&[BreakerScope::Endpoint, BreakerScope::Endpoint, BreakerScope::Upstream, BreakerScope::Both]),
        consecutive_failures: chance.between(2, 5) as u32,
        failure_rate: 50,
        min_requests: 6,
        window: Time::from_secs(2),
        latency: chance.percent(50).then(|| BreakerLatency { quantile: 0.75, over: Time::from_millis(100) }),
        open_time: Time::from_millis(200),
        open_time_max: Time::from_millis(800),
        trials: chance.between(1, 6) as u32,
        ..CircuitBreaker::default()
    }
}

fn mode(chance: &mut Chance) -> BreakerMode {
    *chance.one_of(&[BreakerMode::Enforce, BreakerMode::Enforce, BreakerMode::Enforce, BreakerMode::Shadow])
}

/// A limit, or none.
fn limit(chance: &mut Chance, most: u64) -> u32 {
    if chance.percent(40) { 0 } else { chance.between(1, most) as u32 }
}

/// By when all cores know what probes and requests say of servers that are well again: ejections over, probes risen, slow
/// start done, and some messages each way.
pub fn recovery(config: &Config) -> Duration {
    let messages = Duration::from_millis(1_500);
    let each = config.upstreams.iter().map(|upstream| {
        let ejection = upstream.outlier_detection.ejection_time.get() * ringway::health::EJECTIONS_MAX;
        let check = &upstream.health_check;
        let interval = check.interval.or(config.health_check_interval).map_or(Duration::from_secs(5), Time::get);
        let rise = interval * 11 / 10 * check.rise + check.timeout.get();
        // A turn for each core, where there isn't a trial for each, and once more where a trial meets a connection that was closed.
        let breaker = upstream.circuit_breaker.as_ref().map_or(Duration::ZERO, |rules| 2 * rules.open_time_max.get() + TRIALS);
        breaker + ejection.max(rise) + upstream.slow_start.map_or(Duration::ZERO, Time::get)
    });
    messages + each.max().unwrap_or_default()
}

/// By when no core sends anything to a server that is dead, if it is probed.
pub fn detection(config: &Config) -> Duration {
    let each = config.upstreams.iter().map(|upstream| {
        let check = &upstream.health_check;
        let interval = check.interval.or(config.health_check_interval).map_or(Duration::from_secs(5), Time::get);
        interval * 11 / 10 * (check.fall + 1) + check.timeout.get()
    });
    Duration::from_millis(600) + each.max().unwrap_or_default()
}

/// How long trials take, with a turn on any core that has both an upstream's and an endpoint's, from the end of the open time to everybody's knowing that the breaker is closed.
const TRIALS: Duration = Duration::from_secs(5);

/// The server that an endpoint's `url` leads to.
pub fn url_port(url: &str) -> u16 {
    match url.parse().expect("a good url") {
        Target::Address(address) => address.port(),
        Target::Name { port, .. } => port,
        Target::Unix(path) => path.to_str().and_then(|path| path[1..].parse().ok()).expect("a number"),
    }
}
