//! What is shown of upstreams and their endpoints: samples of the metrics page, and a page of their own.

use serde_json::{Value, json};

use super::pages::Response;
use super::{BreakerState, Circuit, EndpointState, Shared};
use crate::metrics::text::Text;

/// Writes the state of each upstream and endpoint.
pub(super) fn write(shared: &Shared, text: &mut Text) {
    type Read = fn(&EndpointState) -> u64;
    let endpoints = shared.endpoints();
    let shown: [(&str, &str, Read); 3] = [
        ("gateway_upstream_endpoint_healthy", "1 if probes say that the endpoint is well, or it isn't probed.", |e| u64::from(e.healthy)),
        ("gateway_upstream_endpoint_ejected", "1 while the endpoint is ejected for what requests showed.", |e| u64::from(e.ejected)),
        ("gateway_upstream_endpoint_in_flight", "Requests that the endpoint is serving.", |e| e.in_flight),
    ];
    for (name, help, read) in shown {
        text.family(name, "gauge", help);
        for state in &endpoints {
            text.sample(name, &[("upstream", &state.upstream), ("endpoint", &state.endpoint)], read(state) as f64);
        }
    }
    breakers(shared, &endpoints, text);
    let upstreams = shared.upstreams();
    let limited: Vec<_> = upstreams.iter().filter_map(|state| Some((&state.upstream, state.concurrency_limit?))).collect();
    if !limited.is_empty() {
        let help = "Requests that the upstream's adaptive concurrency lets be in flight at present.";
        text.family("gateway_upstream_concurrency_limit", "gauge", help);
        for (upstream, limit) in limited {
            text.sample("gateway_upstream_concurrency_limit", &[("upstream", upstream)], limit as f64);
        }
    }
    let hedges: [(&str, &str); 3] = [
        ("gateway_upstream_hedges_total", "Attempts made beside others that took longer than most."),
        ("gateway_upstream_hedges_won_total", "Those of them that were answered before the first."),
        ("gateway_upstream_hedge_budget_exhausted_total", "Those that were not made because the hedging budget was used up."),
    ];
    for (at, (name, help)) in hedges.into_iter().enumerate() {
        text.family(name, "counter", help);
        for state in &upstreams {
            text.sample(name, &[("upstream", &state.upstream)], state.hedges[at] as f64);
        }
    }
    let help = "Requests that ended otherwise than by an endpoint's whole answer, by the doing of the endpoints or the gateway.";
    text.family("gateway_upstream_failures_total", "counter", help);
    for state in &upstreams {
        for (reason, count) in &state.failures {
            text.sample("gateway_upstream_failures_total", &[("upstream", &state.upstream), ("reason", reason)], *count as f64);
        }
    }
}

/// Writes the state of each circuit breaker; that of an upstream as a whole has no endpoint.
fn breakers(shared: &Shared, endpoints: &[EndpointState], text: &mut Text) {
    let upstreams = shared.upstreams();
    let wholes = upstreams.iter().filter_map(|state| Some((&*state.upstream, "", state.breaker?)));
    let each = endpoints.iter().filter_map(|state| Some((&*state.upstream, &*state.endpoint, state.breaker?)));
    let all: Vec<(&str, &str, BreakerState)> = wholes.chain(each).collect();
    if all.is_empty() {
        return;
    }
    let name = "gateway_circuit_breaker_state";
    text.family(name, "gauge", "Whether requests get through: 0 closed, which means they do, 1 half-open, 2 open.");
    for (upstream, endpoint, breaker) in &all {
        text.sample(name, &[("upstream", upstream), ("endpoint", endpoint)], f64::from(breaker.circuit as u8));
    }
    let name = "gateway_circuit_breaker_transitions_total";
    text.family(name, "counter", "How often circuit breakers have changed, by what they became.");
    for (upstream, endpoint, breaker) in &all {
        for (to, count) in ["open", "half_open", "closed"].iter().zip(breaker.transitions) {
            text.sample(name, &[("upstream", upstream), ("endpoint", endpoint), ("to", to)], count as f64);
        }
    }
    let name = "gateway_circuit_breaker_shadow_attempts_total";
    text.family(name, "counter", "Attempts that would not have been made, were it not for mode \"shadow\".");
    for (upstream, endpoint, breaker) in &all {
        text.sample(name, &[("upstream", upstream), ("endpoint", endpoint)], breaker.shadowed as f64);
    }
}

/// The page about upstreams.
pub(super) fn page(shared: &Shared) -> Response {
    Response::json(200, &value(shared))
}

/// All upstreams with their endpoints.
pub(super) fn value(shared: &Shared) -> Value {
    let states = shared.upstreams();
    let mut groups: Vec<(String, Vec<Value>)> = Vec::new();
    for state in shared.endpoints() {
        let mut endpoint = json!({
            "id": state.endpoint, "url": state.url, "resolved": state.resolved, "healthy": state.healthy, "ejected": state.ejected,
            "in_flight": state.in_flight,
        });
        if let Some(error) = state.probe_error {
            endpoint["probe_error"] = error.into();
        }
        show_breaker(&mut endpoint, state.breaker);
        match groups.last_mut() {
            Some((upstream, endpoints)) if *upstream == state.upstream => endpoints.push(endpoint),
            _ => groups.push((state.upstream, vec![endpoint])),
        }
    }
    let show = |(id, endpoints): (String, Vec<Value>)| {
        let mut shown = json!({ "id": id, "endpoints": endpoints });
        if let Some(state) = states.iter().find(|state| state.upstream == id) {
            show_breaker(&mut shown, state.breaker);
            shown["failures"] = state.failures.iter().map(|&(reason, count)| (reason.to_owned(), Value::from(count))).collect();
        }
        shown
    };
    let groups: Vec<Value> = groups.into_iter().map(show).collect();
    json!({ "upstreams": groups })
}

/// Adds a breaker's state, if there is one.
fn show_breaker(shown: &mut Value, breaker: Option<BreakerState>) {
    if let Some(breaker) = breaker {
        let circuit = match breaker.circuit {
            Circuit::Closed => "closed",
            Circuit::HalfOpen => "half_open",
            Circuit::Open => "open",
        };
        shown["circuit_breaker"] = circuit.into();
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::admin::UpstreamState;
    use crate::metrics::Registry;

    #[test]
    fn breakers_and_failures_are_shown() {
        let shared = Shared::new(Registry::new(1), String::new(), 0, UNIX_EPOCH);
        let mut text = Text::default();
        write(&shared, &mut text);
        assert!(!text.finish().contains("circuit_breaker"), "where there is none, nothing is said");
        let breaker = |circuit| Some(BreakerState { circuit, transitions: [3, 2, 1], shadowed: 7 });
        let endpoint = |name: &str, breaker| EndpointState { upstream: "up".into(), endpoint: name.into(), breaker, ..Default::default() };
        shared.set_endpoints(vec![endpoint("a", breaker(Circuit::HalfOpen)), endpoint("b", None)]);
        let failures = vec![("connect_failed", 4)];
        shared.set_upstreams(vec![UpstreamState {
            upstream: "up".into(),
            breaker: breaker(Circuit::Open),
            failures,
            hedges: [5, 3, 1],
            concurrency_limit: Some(17),
        }]);
        let mut text = Text::default();
        write(&shared, &mut text);
        let text = text.finish();
        for line in [
            "gateway_circuit_breaker_state{upstream=\"up\",endpoint=\"\"} 2",
            "gateway_circuit_breaker_state{upstream=\"up\",endpoint=\"a\"} 1",
            "gateway_circuit_breaker_transitions_total{upstream=\"up\",endpoint=\"a\",to=\"open\"} 3",
            "gateway_circuit_breaker_transitions_total{upstream=\"up\",endpoint=\"a\",to=\"half_open\"} 2",
            "gateway_circuit_breaker_transitions_total{upstream=\"up\",endpoint=\"\",to=\"closed\"} 1",
            "gateway_circuit_breaker_shadow_attempts_total{upstream=\"up\",endpoint=\"a\"} 7",
            "gateway_upstream_concurrency_limit{upstream=\"up\"} 17",
            "gateway_upstream_hedges_total{upstream=\"up\"} 5",
            "gateway_upstream_hedges_won_total{upstream=\"up\"} 3",
            "gateway_upstream_hedge_budget_exhausted_total{upstream=\"up\"} 1",
            "gateway_upstream_failures_total{upstream=\"up\",reason=\"connect_failed\"} 4",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is missing:\n{text}");
        }
        assert!(!text.contains("endpoint=\"b\",to="));
        let page: Value = serde_json::from_str(&page(&shared).body).unwrap();
        let up = &page["upstreams"][0];
        assert_eq!((&up["circuit_breaker"], &up["failures"]["connect_failed"]), (&json!("open"), &json!(4)));
        assert_eq!((&up["endpoints"][0]["circuit_breaker"], &up["endpoints"][1]["circuit_breaker"]), (&json!("half_open"), &Value::Null));
    }
}
