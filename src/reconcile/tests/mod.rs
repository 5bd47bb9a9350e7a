//! Tests of the coordinator's decisions.

mod breaking;
mod ejecting;
mod names;
mod probing;
mod rates;
mod shares;

use std::time::Duration;

use super::*;
use crate::clock::Instant;
use crate::config::{self, Config};

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn endpoint(name: &str, url: &str) -> config::Endpoint {
    config::Endpoint { id: Some(name.into()), url: url.into(), ..config::Endpoint::default() }
}

/// One upstream `u` with these endpoints.
fn config(endpoints: &[(&str, &str)], change: impl FnOnce(&mut config::Upstream)) -> Config {
    let endpoints = endpoints.iter().map(|(name, url)| endpoint(name, url)).collect();
    let mut upstream = config::Upstream { id: "u".into(), endpoints, ..config::Upstream::default() };
    change(&mut upstream);
    Config { upstreams: vec![upstream], ..Config::default() }
}

fn lines(reconciler: &mut Reconciler) -> Vec<String> {
    reconciler.changes().iter().map(Change::to_string).collect()
}

/// What core 0 is told of an endpoint next.
fn told(reconciler: &mut Reconciler, index: usize, now: Instant) -> EndpointUpdate {
    let updates = reconciler.tick(now);
    updates[0].upstreams[0].endpoints[index].clone()
}
