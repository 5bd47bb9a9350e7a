//! Copies of what the coordinator knows of upstreams, for the pages.

use std::net::SocketAddr;

use super::limits::Rates;
use crate::admin::{self, Circuit, EndpointState, Shared, UpstreamState};
use crate::config::Config;
use crate::metrics::Family;
use crate::reconcile::{BreakerState, Change, Reconciler, What};
use crate::{breaker, middleware};

/// Replaces what pages show.
pub(super) fn publish(reconciler: &Reconciler, rates: &mut Rates, shared: &Shared) {
    let (limits, shadowed) = rates.show();
    shared.set_rate_limits(limits);
    for (limiter, requests) in shadowed {
        tracing::info!(%limiter, requests, "rate limit would have refused");
    }
    let endpoints = reconciler.snapshot().into_iter().map(|state| EndpointState {
        upstream: state.upstream.to_string(),
        endpoint: state.endpoint.to_string(),
        url: state.url,
        resolved: state.resolved,
        healthy: state.healthy,
        probe_error: state.probe_error,
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
        let told = before.iter().find(|told| told.family == count.family && told.labels == count.labels).map_or(0, |told| told.total);
        let ([rule, other], requests) = (&count.labels, count.total.saturating_sub(told));
        match count.family {
            Family::IpFilterShadow if requests > 0 => {
                tracing::info!(filter = %rule, route = %other, requests, "IP filter would have refused")
            }
            Family::AuthShadow if requests > 0 => {
                tracing::info!(auth = %rule, reason = %other, requests, "auth, which isn't enforced, would have refused");
            }
            _ => {}
        }
    }
    shared.set_counts(counts);
}

/// Writes it to the log.
pub(super) fn tell(change: &Change) {
    let Change { upstream, shadow, what, .. } = change;
    let endpoint = change.endpoint.as_deref();
    let mode = shadow.then_some("shadow");
    let (time, cause) = change.cause().unzip();
    let time = time.map(|time| format!("{:.1}s", time.as_secs_f64()));
    let addresses = match what {
        What::Resolved(addresses) => Some(addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")),
        _ => None,
    };
    if change.is_trouble() {
        tracing::warn!(%upstream, endpoint, mode, "for" = time, cause, "{}", change.text());
    } else {
        tracing::info!(%upstream, endpoint, mode, addresses, "{}", change.text());
    }
}

/// Tells of each `auth` that refuses nobody: nobody is to take that for protection.
pub(super) fn warn_of_trials(config: &Config) {
    if !config.features.authentication {
        return;
    }
    let routes = config.routes.iter().map(|route| (route.name(), &route.middlewares[..]));
    for auth in middleware::unenforced(&config.middlewares, routes) {
        tracing::warn!(auth, "auth is not enforced, everybody is let in: its mode is \"shadow\"");
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::log;
    use crate::reconcile::Cause;

    #[test]
    fn changes_read_as_lines() {
        let line = |endpoint: Option<&str>, shadow, what| {
            let change = Change { upstream: "users".into(), endpoint: endpoint.map(Into::into), shadow, what };
            log::gathered(|| tell(&change)).concat()
        };
        assert_eq!(line(Some("a"), false, What::Up), "info  endpoint is up upstream=users endpoint=a\n");
        let ejected = What::Ejected(Duration::from_secs(30), Cause::ErrorRate);
        let told = "warn  endpoint is ejected upstream=users endpoint=a for=30.0s cause=error_rate\n";
        assert_eq!(line(Some("a"), false, ejected), told);
        let opened = What::Opened(Duration::from_secs(5), breaker::Cause::Latency);
        let told = "warn  circuit breaker has opened upstream=users mode=shadow for=5.0s cause=latency\n";
        assert_eq!(line(None, true, opened), told);
        assert_eq!(line(Some("a"), false, What::Closed), "info  circuit breaker has closed upstream=users endpoint=a\n");
        let addresses = Arc::from(["10.0.0.1:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap()]);
        let told = "info  endpoint has these addresses now upstream=users endpoint=a addresses=10.0.0.1:80,10.0.0.2:80\n";
        assert_eq!(line(Some("a"), false, What::Resolved(addresses)), told);
    }
}
