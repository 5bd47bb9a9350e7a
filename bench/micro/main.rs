//! Nanoseconds for a pick of each strategy among 3, 10, 64 and 100 endpoints, requests in flight coming and going, without and with
//! a circuit breaker for each endpoint and the upstream: `cargo bench --bench micro`.
//!
//! An upstream is asked as the gateway asks it: `admit` is the pick and its bookkeeping, and each request ends 16 requests later.

mod cache;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ringway::balancer::{STRATEGIES, mix};
use ringway::breaker::{self, Attempt, Breaker};
use ringway::clock::{Clock, Instant};
use ringway::config::{self, CircuitBreaker};
use ringway::upstream::{Ask, Outcome, Permit, Seat, Switches, Upstream};

fn main() {
    cache::run();
    let sizes = [3, 10, 64, 100];
    for (title, breaker) in [("strategy", None), ("with circuit breakers", Some(breaker()))] {
        let heads = sizes.map(|size| format!("{size:>12}")).concat();
        println!("{title:<24}{heads}   ns an attempt: admit, record, release");
        for entry in STRATEGIES {
            let nanos = sizes.map(|size| format!("{:>12.1}", measure(&mut upstream(entry.strategy, size, breaker.clone()))));
            println!("{:<24}{}", format!("{:?}", entry.strategy), nanos.concat());
        }
    }
    println!("{:<24}{:>12.1}   ns to pass a closed breaker and tell it of a good answer", "circuit breaker", breaker_alone());
}

fn upstream(strategy: config::Strategy, endpoints: u32, circuit_breaker: Option<CircuitBreaker>) -> Upstream {
    let endpoint = |number: u32| config::Endpoint {
        url: format!("http://127.0.0.1:{}", 9000 + number),
        weight: 1 + number % 3,
        ..config::Endpoint::default()
    };
    let settings =
        config::Upstream { endpoints: (0..endpoints).map(endpoint).collect(), strategy, circuit_breaker, ..config::Upstream::default() };
    let switches = Switches { health_checks: true, outlier_detection: true, retries: true };
    Upstream::new(Arc::new(settings), switches, Seat { core: 0, cores: 1 }, Instant::ZERO)
}

/// One with every rule in use.
fn breaker() -> CircuitBreaker {
    CircuitBreaker { scope: config::BreakerScope::Both, latency: Some(config::BreakerLatency::default()), ..CircuitBreaker::default() }
}

fn breaker_alone() -> f64 {
    let (clock, rules) = (Clock::start(), breaker());
    let mut breaker = Breaker::new(&rules, 0, 1);
    let mut round = |_: u64| {
        let begun = clock.now();
        for request in 0..REQUESTS {
            let now = begun + Duration::from_micros(request);
            let trial = !black_box(&mut breaker).is_closed() && breaker.pass(now);
            let verdict = breaker::verdict(black_box(Ok(200)), Duration::from_micros(request % 999), &rules).expect("an answer");
            black_box(breaker.record(Attempt { started: now, trial, first: true }, verdict, &rules, now));
        }
        clock.now().since(begun).as_nanos() as f64 / REQUESTS as f64
    };
    (0..ROUNDS).map(&mut round).fold(f64::MAX, f64::min)
}

/// The fastest of several rounds.
fn measure(upstream: &mut Upstream) -> f64 {
    let clock = Clock::start();
    let mut running: [Option<Permit>; 16] = Default::default();
    let mut round = |number: u64| {
        let begun = clock.now();
        for request in 0..REQUESTS {
            let draw = mix(number * REQUESTS + request);
            let now = begun + Duration::from_micros(request);
            let place = &mut running[request as usize % 16];
            if let Some(mut permit) = place.take() {
                upstream.record(&mut permit, Outcome::Answered { status: 200 }, now);
                upstream.release(permit, now);
            }
            *place = black_box(upstream.admit(&Ask { key: draw, client: draw, ..Ask::default() }, now, draw)).ok();
        }
        clock.now().since(begun).as_nanos() as f64 / REQUESTS as f64
    };
    (0..ROUNDS).map(&mut round).fold(f64::MAX, f64::min)
}

const REQUESTS: u64 = 100_000;
const ROUNDS: u64 = 10;
