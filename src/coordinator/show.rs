//! Copies of what the coordinator knows of upstreams, for the pages.

use crate::admin::{self, Circuit, EndpointState, Shared, UpstreamState};
use crate::breaker;
use crate::reconcile::{BreakerState, Reconciler};

/// Replaces what pages show.
pub(super) fn publish(reconciler: &Reconciler, shared: &Shared) {
    let endpoints = reconciler.snapshot().into_iter().map(|state| EndpointState {
        upstream: state.upstream.to_string(),
        endpoint: state.endpoint.to_string(),
        url: state.url,
        resolved: state.resolved,
        healthy: state.healthy,
        ejected: state.ejected,
        in_flight: state.in_flight,
        breaker: state.breaker.map(shown),
    });
    shared.set_endpoints(endpoints.collect());
    let upstreams = reconciler.upstreams().into_iter().map(|state| UpstreamState {
        upstream: state.upstream.to_string(),
        breaker: state.breaker.map(shown),
        failures: state.tally.failures.iter().map(|&(reason, count)| (reason.code(), count)).collect(),
        concurrency_limit: state.tally.concurrency_limit,
    });
    shared.set_upstreams(upstreams.collect());
}

fn shown(breaker: BreakerState) -> admin::BreakerState {
    let BreakerState { state, tally } = breaker;
    let circuit = match state {
        breaker::State::Closed => Circuit::Closed,
        breaker::State::HalfOpen => Circuit::HalfOpen,
        breaker::State::Open(_) => Circuit::Open,
    };
    admin::BreakerState { circuit, transitions: [tally.opened, tally.half_opened, tally.closed], shadowed: tally.shadowed }
}
