//! `cargo bench --bench micro`: nanoseconds for a pick of each strategy among 3, 10, 64 and 100 endpoints, requests in flight coming
//! and going, without and with a circuit breaker for each endpoint and the upstream; what a circuit breaker, a split, a rate limit,
//! a route, the cache and recording response times cost alone.
//!
//! An upstream is asked as the gateway asks it: `admit` is the pick and its bookkeeping, and each request ends 16 requests later.

mod cache;
mod latency;
mod limiter;
mod router;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ringway::balancer::{Balance, Choice, Member, STRATEGIES, Tried, WEIGHT_UNIT, mix};
use ringway::breaker::{self, Attempt, Breaker};
use ringway::clock::{Clock, Instant};
use ringway::config::{self, CircuitBreaker};
use ringway::router::Split;
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
    let heads = sizes.map(|size| format!("{size:>12}")).concat();
    println!("{:<24}{heads}   ns a pick alone, each tenth not eligible", "pick");
    for entry in STRATEGIES {
        let nanos = sizes.map(|size| format!("{:>12.1}", pick((entry.make)(Seat { core: 0, cores: 1 }, 1.25), entry.tracks_load, size)));
        println!("{:<24}{}", format!("{:?}", entry.strategy), nanos.concat());
    }
    let nanos = sizes.map(|size| format!("{:>12.1}", pick(Box::new(Nobody), false, size)));
    println!("{:<24}{}   what of it is the measuring: a draw, a choice made of it, and a call that picks nobody", "nobody", nanos.concat());
    println!("{:<24}{:>12.1}   ns to pass a closed breaker and tell it of a good answer", "circuit breaker", breaker_alone());
    let splits = [2, 3, 8].map(|arms| format!("{:>12.1}", split(arms)));
    println!("{:<24}{}   ns to choose among 2, 3 and 8 arms of a split", "split", splits.concat());
    latency::print();
    limiter::print();
    router::print();
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

/// Picks nobody.
#[derive(Debug)]
struct Nobody;

impl Balance for Nobody {
    fn pick(&mut self, _: &Choice<'_>) -> Option<u32> {
        None
    }
}

fn pick(mut balance: Box<dyn Balance>, tracks_load: bool, size: u32) -> f64 {
    let clock = Clock::start();
    let members: Vec<Member> = (0..size).map(|slot| Member { id: mix(slot.into()), weight: 1 + slot % 3 }).collect();
    balance.arrange(&members);
    let eligible = |slot: u32| slot % 10 != 9;
    let weights: Vec<u32> = (0..size).map(|slot| if eligible(slot) { members[slot as usize].weight * WEIGHT_UNIT } else { 0 }).collect();
    balance.reweigh(&weights);
    let in_flight: Vec<u32> = (0..size).map(|slot| slot % 4).collect();
    (0..size).filter(|_| tracks_load).for_each(|slot| balance.load_changed(slot, in_flight[slot as usize]));
    let mut open = vec![0_u64; size.div_ceil(64) as usize];
    (0..size).filter(|&slot| eligible(slot)).for_each(|slot| open[slot as usize / 64] |= 1 << (slot % 64));
    let sum = |numbers: &[u32]| numbers.iter().map(|&number| u64::from(number)).sum();
    let (total_in_flight, total_weight) = (sum(&in_flight), sum(&weights));
    let mut round = |number: u64| {
        let begun = clock.now();
        for request in 0..REQUESTS {
            let draw = mix(number * REQUESTS + request);
            let choice = Choice {
                open: &open,
                tried: Tried::NONE,
                key: draw,
                client: draw,
                draw,
                now: begun,
                in_flight: &in_flight,
                weights: &weights,
                total_in_flight,
                total_weight,
            };
            black_box(balance.pick(black_box(&choice)));
        }
        clock.now().since(begun).as_nanos() as f64 / REQUESTS as f64
    };
    (0..ROUNDS).map(&mut round).fold(f64::MAX, f64::min)
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

fn split(arms: u32) -> f64 {
    let (clock, names) = (Clock::start(), ["stable", "canary", "c", "d", "e", "f", "g", "h"]);
    let split = Split::new(names.into_iter().zip(1..=arms));
    let mut round = |number: u64| {
        let begun = clock.now();
        for request in 0..REQUESTS {
            black_box(split.arm(black_box(number * REQUESTS + request), 0));
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
