//! Simulation of the deciding half: several cores and the coordinator on one thread in virtual time. Endpoints fail by script,
//! messages are lost, late, repeated and out of order, the configuration is reloaded in between.
//!
//! Everything follows from one number. A failure prints it: `RINGWAY_SEED=17 cargo test --test simulation` replays that run;
//! `RINGWAY_SEEDS=5000` tries so many.

mod chance;
mod check;
mod core;
mod goals;
mod rates;
mod scenario;
mod servers;
mod splits;
mod traffic;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Runs by default.
const SEEDS: u64 = 250;

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
fn whatever_happens_the_rules_hold() {
    for_all_seeds(SEEDS, world::run);
}

#[test]
fn a_rate_limit_keeps_its_bound_however_requests_are_spread() {
    for_all_seeds(SEEDS, rates::run);
}

#[test]
fn what_is_paid_for_a_request_that_has_given_up_is_not_lost() {
    for_all_seeds(SEEDS, rates::late::run);
}

#[test]
fn users_of_a_split_stay_but_for_those_who_are_due() {
    for_all_seeds(SEEDS, splits::run);
}

fn for_all_seeds(seeds: u64, run: fn(u64)) {
    if let Some(seed) = from_environment("RINGWAY_SEED") {
        return run(seed);
    }
    let (seeds, next) = (from_environment("RINGWAY_SEEDS").unwrap_or(seeds), AtomicU64::new(0));
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    if std::panic::catch_unwind(|| run(seed)).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "of {seeds} seeds these failed: {failed:?}");
}
