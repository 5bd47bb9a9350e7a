//! Nanoseconds for a pick of each strategy among 3, 10 and 100 endpoints, requests in flight coming and going: `cargo bench --bench micro`.
//!
//! An upstream is asked as the gateway asks it: `admit` is the pick and its bookkeeping, and each request ends 16 requests later.

mod cache;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ringway::balancer::{STRATEGIES, mix};
use ringway::clock::{Clock, Instant};
use ringway::config;
use ringway::upstream::{Ask, Outcome, Permit, Seat, Switches, Upstream};

fn main() {
    cache::run();
    println!("{:<24}{:>12}{:>12}{:>12}   ns an attempt: admit, record, release", "strategy", 3, 10, 100);
    for entry in STRATEGIES {
        let nanos = [3, 10, 100].map(|endpoints| format!("{:>12.1}", measure(&mut upstream(entry.strategy, endpoints))));
        println!("{:<24}{}", format!("{:?}", entry.strategy), nanos.concat());
    }
}

fn upstream(strategy: config::Strategy, endpoints: u32) -> Upstream {
    let endpoint = |number: u32| config::Endpoint {
        url: format!("http://127.0.0.1:{}", 9000 + number),
        weight: 1 + number % 3,
        ..config::Endpoint::default()
    };
    let settings = config::Upstream { endpoints: (0..endpoints).map(endpoint).collect(), strategy, ..config::Upstream::default() };
    let switches = Switches { health_checks: true, outlier_detection: true, retries: true };
    Upstream::new(Arc::new(settings), switches, Seat { core: 0, cores: 1 }, Instant::ZERO)
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
