//! `cargo bench --bench micro`: nanoseconds and instructions for a pick of each strategy among 3, 10, 64 and 100 endpoints, requests in flight coming
//! and going, without and with a circuit breaker for each endpoint and the upstream; what a circuit breaker, a split, a rate limit,
//! a route, the cache and recording response times cost alone.
//!
//! An upstream is asked as the gateway asks it: `admit` is the pick and its bookkeeping, and each request ends 16 requests later.

mod cache;
mod cost;
mod latency;
mod limiter;
mod router;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ringway::balancer::{Balance, Choice, Member, STRATEGIES, Tried, WEIGHT_UNIT, mix};
use ringway::breaker::{self, Attempt, Breaker};
use ringway::clock::Instant;
use ringway::config::{self, CircuitBreaker};
use ringway::router::Split;
use ringway::upstream::{Ask, Outcome, Permit, Seat, Switches, Upstream};

use cost::{Cost, cost};

fn main() {
    println!("Each figure: nanoseconds of the fastest round, then instructions.");
    cache::run();
    let sizes = [3, 10, 64, 100];
    let heads = sizes.map(|size| format!("{size:>15}")).concat();
    for (title, breaker) in [("strategy", None), ("with circuit breakers", Some(breaker()))] {
        println!("{title:<24}{heads}   an attempt: admit, record, release");
        for entry in STRATEGIES {
            let costs = sizes.map(|size| measure(&mut upstream(entry.strategy, size, breaker.clone())).to_string());
            println!("{:<24}{}", format!("{:?}", entry.strategy), costs.concat());
        }
    }
    println!("{:<24}{heads}   a pick alone, each tenth not eligible", "pick");
    for entry in STRATEGIES {
        let costs = sizes.map(|size| pick((entry.make)(Seat { core: 0, cores: 1 }, 1.25), entry.tracks_load, size).to_string());
        println!("{:<24}{}", format!("{:?}", entry.strategy), costs.concat());
    }
    let costs = sizes.map(|size| pick(Box::new(Nobody), false, size).to_string());
    println!("{:<24}{}   what of it is the measuring: a draw, a choice made of it, and a call that picks nobody", "nobody", costs.concat());
    println!("{:<24}{}   to pass a closed breaker and tell it of a good answer", "circuit breaker", breaker_alone());
    let splits = [2, 3, 8].map(|arms| split(arms).to_string());
    println!("{:<24}{}   to choose among 2, 3 and 8 arms of a split", "split", splits.concat());
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

fn pick(mut balance: Box<dyn Balance>, tracks_load: bool, size: u32) -> Cost {
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
    cost(
        REQUESTS,
        |round| round,
        |&mut round, request| {
            let draw = mix(round * REQUESTS + request);
            let choice = Choice {
                open: &open,
                tried: Tried::NONE,
                key: draw,
                client: draw,
                draw,
                now: Instant::ZERO,
                in_flight: &in_flight,
                weights: &weights,
                total_in_flight,
                total_weight,
            };
            black_box(balance.pick(black_box(&choice)));
        },
    )
}

/// One with every rule in use.
fn breaker() -> CircuitBreaker {
    CircuitBreaker { scope: config::BreakerScope::Both, latency: Some(config::BreakerLatency::default()), ..CircuitBreaker::default() }
}

fn breaker_alone() -> Cost {
    let rules = breaker();
    let mut breaker = Breaker::new(&rules, 0, 1);
    cost(
        REQUESTS,
        |_| (),
        |(), request| {
            let now = Instant::ZERO + Duration::from_micros(request);
            let trial = !black_box(&mut breaker).is_closed() && breaker.pass(now);
            let verdict = breaker::verdict(black_box(Ok(200)), Duration::from_micros(request % 999), &rules).expect("an answer");
            black_box(breaker.record(Attempt { started: now, trial, first: true }, verdict, &rules, now));
        },
    )
}

fn split(arms: u32) -> Cost {
    let names = ["stable", "canary", "c", "d", "e", "f", "g", "h"];
    let split = Split::new(names.into_iter().zip(1..=arms));
    cost(
        REQUESTS,
        |round| round,
        |&mut round, request| {
            black_box(split.arm(black_box(round * REQUESTS + request), 0));
        },
    )
}

fn measure(upstream: &mut Upstream) -> Cost {
    let mut running: [Option<Permit>; 16] = Default::default();
    cost(
        REQUESTS,
        |round| round,
        |&mut round, request| {
            let draw = mix(round * REQUESTS + request);
            let now = Instant::ZERO + Duration::from_micros(round * REQUESTS + request);
            let place = &mut running[request as usize % 16];
            if let Some(mut permit) = place.take() {
                upstream.record(&mut permit, Outcome::Answered { status: 200 }, now);
                upstream.release(permit, now);
            }
            *place = black_box(upstream.admit(&Ask { key: draw, client: draw, ..Ask::default() }, now, draw)).ok();
        },
    )
}

const REQUESTS: u64 = 100_000;
