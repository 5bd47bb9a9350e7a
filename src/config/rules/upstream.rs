//! Rules of upstreams and their endpoints.

use super::gateway::{PING_TIMEOUT_MIN, PROBE_INTERVAL_MIN};
use super::{Rules, request_path};
use crate::config::{ProbeKind, Protocol, ProxyProtocol, Target, Time, Upstream, UpstreamTls};
use crate::http::is_token;
use crate::tls::client_problems;

pub(super) fn check_all(rules: &mut Rules<'_>) {
    let upstreams = &rules.config.upstreams;
    // Where a route names none, it says so itself if it needs one.
    let routes = &rules.config.routes;
    if upstreams.is_empty() && (routes.is_empty() || routes.iter().any(|route| !route.upstream.is_empty())) {
        let hint = "name a group of servers: \"upstreams\": [{ \"id\": \"app\", \"endpoints\": [{ \"url\": \"http://127.0.0.1:9001\" }] }]";
        rules.broken("upstreams", "is missing, or empty", hint);
    }
    for (index, upstream) in upstreams.iter().enumerate() {
        check(rules, upstream, &|setting: &str| format!("upstreams[{index}].{setting}"));
    }
    let ids = upstreams.iter().map(|upstream| upstream.id.as_str()).enumerate();
    rules.unique(ids, &|index| format!("upstreams[{index}].id"), "rename one of them");
}

fn check(rules: &mut Rules<'_>, upstream: &Upstream, at: &dyn Fn(&str) -> String) {
    if upstream.id.is_empty() {
        rules.broken(at("id"), "is missing", "routes name their upstream by it");
    } else {
        rules.name(&|| at("id"), &upstream.id);
    }
    endpoints(rules, upstream, at);
    health_check(rules, upstream, &|setting| at(&format!("health_check.{setting}")));
    if upstream.protocol == Protocol::H2 && upstream.proxy_protocol != ProxyProtocol::Off {
        rules.broken(
            at("proxy_protocol"),
            "can't be used with \"protocol\": \"h2\": a connection carries requests of many clients",
            "endpoints are told the client's address by X-Forwarded-For",
        );
    }
    let outlier = &upstream.outlier_detection;
    rules.at_least(&|| at("outlier_detection.window"), outlier.window, Time::from_millis(100));
    rules.at_least(&|| at("outlier_detection.ejection_time"), outlier.ejection_time, Time::from_millis(10));
    if let Some(breaker) = &upstream.circuit_breaker {
        super::protection::breaker(rules, breaker, &at("circuit_breaker"));
    }
    if let Some(adaptive) = &upstream.adaptive_concurrency {
        super::protection::adaptive(rules, adaptive, &at("adaptive_concurrency"));
    }
    rules.head(&|| at("keep_alive.head"), upstream.keep_alive.head);
    rules.at_least(&|| at("keep_alive.ping_timeout"), upstream.keep_alive.ping_timeout, PING_TIMEOUT_MIN);
    if upstream.is_secure() {
        if let Some(wrong) = client_problems(&upstream.tls) {
            rules.wrong(&at("tls"), wrong);
        }
    } else if upstream.tls != UpstreamTls::default() {
        rules.broken(at("tls"), "is there, but no endpoint's url begins with \"https://\"", "");
    }
    if upstream.retry.backoff > upstream.retry.backoff_max {
        rules.broken(at("retry.backoff"), "must not be longer than retry.backoff_max", "shorten it, or raise the other");
    }
    if let Some(interval) = upstream.resolve_interval {
        rules.at_least(&|| at("resolve_interval"), interval, Time::from_millis(100));
    }
}

fn endpoints(rules: &mut Rules<'_>, upstream: &Upstream, at: &dyn Fn(&str) -> String) {
    if upstream.endpoints.is_empty() {
        let hint = "an upstream needs one at least: [{ \"url\": \"http://127.0.0.1:9001\" }]";
        return rules.broken(at("endpoints"), "is missing, or empty", hint);
    }
    for (index, endpoint) in upstream.endpoints.iter().enumerate() {
        let here = |setting: &str| at(&format!("endpoints[{index}].{setting}"));
        if let Some(id) = &endpoint.id {
            rules.name(&|| here("id"), id);
        }
        if endpoint.url.is_empty() {
            rules.broken(here("url"), "is missing", "write \"http://host:port\" or \"unix:/path\"");
        } else if let Err(message) = endpoint.url.parse::<Target>() {
            let shown = rules.source.shown(&here("url"), &endpoint.url);
            rules.broken(here("url"), format!("{shown} can't be reached: {message}"), "");
        }
    }
    let names = upstream.endpoints.iter().map(|endpoint| endpoint.name()).enumerate();
    let setting = |index: usize| if upstream.endpoints[index].id.is_some() { "id" } else { "url" };
    let hint = "give each an \"id\" of its own; for a larger share use \"weight\"";
    rules.unique(names, &|index| at(&format!("endpoints[{index}].{}", setting(index))), hint);
    if upstream.endpoints.iter().all(|endpoint| endpoint.weight == 0) {
        rules.broken(at("endpoints"), "all have weight 0, so none gets a request", "give one a weight, or leave \"weight\" out");
    }
}

fn health_check(rules: &mut Rules<'_>, upstream: &Upstream, at: &dyn Fn(&str) -> String) {
    let check = &upstream.health_check;
    if check.kind == ProbeKind::Grpc && upstream.protocol != Protocol::H2 {
        rules.broken(at("type"), "\"grpc\" needs HTTP/2", "give the upstream \"protocol\": \"h2\"");
    }
    if check.kind != ProbeKind::Grpc && !check.service.is_empty() {
        rules.broken(at("service"), "is asked for by probes of gRPC alone", "write \"type\": \"grpc\", or leave it out");
    }
    if check.service.len() > SERVICE_MAX {
        rules.broken(at("service"), format!("is longer than {SERVICE_MAX} bytes"), "");
    }
    if let Some(message) = request_path(&check.path) {
        let shown = rules.source.shown(&at("path"), &check.path);
        rules.broken(at("path"), format!("{shown} {message}"), "");
    }
    if !is_token(&check.method) || check.method == "CONNECT" || check.method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let shown = rules.source.shown(&at("method"), &check.method);
        rules.broken(at("method"), format!("{shown} is no method for a probe"), "names are in capitals: \"GET\", \"HEAD\"");
    }
    if check.expected_status.is_empty() {
        rules.broken(at("expected_status"), "is empty, so no answer would be good", "write [\"200-299\"]");
    }
    if let Some(interval) = check.interval {
        rules.at_least(&|| at("interval"), interval, PROBE_INTERVAL_MIN);
    }
    rules.at_least(&|| at("timeout"), check.timeout, Time::from_millis(1));
}

/// Bytes of a gRPC service's name.
const SERVICE_MAX: usize = 1024;
