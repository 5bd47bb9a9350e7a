//! Nanoseconds to ask a rate limit about one of 100,000 keys by chance.

use std::hint::black_box;
use std::time::Duration;

use ringway::balancer::mix;
use ringway::clock::{Clock, Instant};
use ringway::limiter::{Buckets, Limit, Terms};

const KEYS: u64 = 100_000;
const ASKS: u64 = 1_000_000;
const ROUNDS: u64 = 10;

/// Prints a line for one core alone, and for one of eight.
pub fn print() {
    for cores in [1, 8] {
        println!("{:<24}{:>12.1}   ns a check of 100,000 keys, one of {cores} cores", "rate limit", check(cores));
    }
}

/// The fastest of several rounds.
fn check(cores: u32) -> f64 {
    let limit = Limit { count: 100, per: Duration::from_secs(1), burst: 200, cost: 1, kind: 0 };
    let mut buckets = Buckets::new(Terms::new(limit, cores), 131_072, 0, cores, 1);
    let keys: Vec<u128> = (0..KEYS).map(|number| u128::from(mix(number)) << 64 | u128::from(mix(!number))).collect();
    let asked: Vec<u128> = (0..ASKS).map(|ask| keys[(mix(ask) % KEYS) as usize]).collect();
    let clock = Clock::start();
    // As time passes while requests are served, so that hardly any is refused.
    let mut at = Instant::ZERO + Duration::from_secs(1);
    let mut round = |_: u64| {
        let begun = clock.now();
        for &key in &asked {
            at = at + Duration::from_nanos(1_000);
            black_box(buckets.check(key, at, false));
        }
        clock.now().since(begun).as_nanos() as f64 / ASKS as f64
    };
    (0..ROUNDS).map(&mut round).fold(f64::MAX, f64::min)
}
