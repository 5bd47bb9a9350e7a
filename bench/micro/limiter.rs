//! Asking a rate limit about one of 100,000 keys by chance.

use std::hint::black_box;
use std::time::Duration;

use ringway::balancer::mix;
use ringway::clock::Instant;
use ringway::limiter::{Buckets, Limit, Terms};

use super::cost::{Cost, cost};

const KEYS: u64 = 100_000;
const ASKS: u64 = 1_000_000;

/// Prints a line for one core alone, and for one of eight.
pub fn print() {
    for cores in [1, 8] {
        println!("{:<24}{}   a check of 100,000 keys, one of {cores} cores", "rate limit", check(cores));
    }
}

fn check(cores: u32) -> Cost {
    let limit = Limit { count: 100, per: Duration::from_secs(1), burst: 200, cost: 1, kind: 0 };
    let mut buckets = Buckets::new(Terms::new(limit, cores), 131_072, 0, cores, 1);
    let keys: Vec<u128> = (0..KEYS).map(|number| u128::from(mix(number)) << 64 | u128::from(mix(!number))).collect();
    let asked: Vec<u128> = (0..ASKS).map(|ask| keys[(mix(ask) % KEYS) as usize]).collect();
    // As time passes while requests are served, so that hardly any is refused.
    let mut at = Instant::ZERO + Duration::from_secs(1);
    cost(
        ASKS,
        |_| (),
        |(), ask| {
            at = at + Duration::from_nanos(1_000);
            black_box(buckets.check(asked[ask as usize], at, false));
        },
    )
}
