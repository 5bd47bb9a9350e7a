//! Copies of what the coordinator knows of upstreams, for the pages.

use super::limits::Rates;
use crate::admin::{self, Circuit, EndpointState, Shared, UpstreamState};
use crate::config::Config;
use crate::metrics::Family;
use crate::reconcile::{BreakerState, Reconciler};
use crate::{breaker, log, middleware};

/// Replaces what pages show.
pub(super) fn publish(reconciler: &Reconciler, rates: &mut Rates, shared: &Shared) {
    let (limits, shadowed) = rates.show();
    shared.set_rate_limits(limits);
    for (limiter, requests) in shadowed {
        log::info(format_args!("rate limit would have refused limiter={limiter} requests={requests}"));
    }
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
        hedges: [state.tally.hedges.made, state.tally.hedges.won, state.tally.hedges.exhausted],
        concurrency_limit: state.tally.concurrency_limit,
    });
    shared.set_upstreams(upstreams.collect());
    let counts = reconciler.counts();
    let before = shared.counts();
    for count in &counts {
        let what = match count.family {
            Family::IpFilterShadow => ("IP filter", "filter", "route"),
            Family::AuthShadow => ("auth, which isn't enforced,", "auth", "reason"),
            _ => continue,
        };
        let told = before.iter().find(|told| told.family == count.family && told.labels == count.labels).map_or(0, |told| told.total);
        let ([rule, other], requests) = (&count.labels, count.total.saturating_sub(told));
        if requests > 0 {
            let (what, rule_is, other_is) = what;
            log::info(format_args!("{what} would have refused {rule_is}={rule} {other_is}={other} requests={requests}"));
        }
    }
    shared.set_counts(counts);
}

/// Tells of each `auth` that refuses nobody: nobody is to take that for protection.
pub(super) fn warn_of_trials(config: &Config) {
    if !config.features.authentication {
        return;
    }
    let routes = config.routes.iter().map(|route| (route.name(), &route.middlewares[..]));
    for auth in middleware::unenforced(&config.middlewares, routes) {
        log::warn(format_args!("auth is not enforced, everybody is let in: its mode is \"shadow\" auth={auth}"));
    }
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
