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

/// What has changed: where, for how long, why.
fn lines(reconciler: &mut Reconciler) -> Vec<String> {
    let line = |change: &Change| {
        let mut line = format!("{} upstream={}", change.text(), change.upstream);
        line.extend(change.endpoint.iter().map(|endpoint| format!(" endpoint={endpoint}")));
        line.push_str(if change.shadow { " mode=shadow" } else { "" });
        line.extend(change.cause().map(|(time, cause)| format!(" for={:.1}s cause={cause}", time.as_secs_f64())));
        if let What::Resolved(addresses) = &change.what {
            line.extend([format!(" addresses={}", addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))]);
        }
        line
    };
    reconciler.changes().iter().map(line).collect()
}

/// What core 0 is told of an endpoint next.
fn told(reconciler: &mut Reconciler, index: usize, now: Instant) -> EndpointUpdate {
    let updates = reconciler.tick(now);
    updates[0].upstreams[0].endpoints[index].clone()
}
