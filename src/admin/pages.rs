//! The pages: which paths they have, and what each says.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{CorePace, Shared, latency, limits, upstreams};
use crate::exchange::Page;
use crate::log::rfc3339;
use crate::metrics::text::{self, Text};
use crate::metrics::{DRIVER_EPOLL, Totals, write_labelled};

/// An answer made by the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its media type.
    pub content_type: &'static str,
    /// Its body.
    pub body: String,
}

impl Response {
    /// Plain text.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Response { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }

    /// JSON, indented for a person's eyes.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Response { status, content_type: "application/json", body: format!("{value:#}\n") }
    }
}

/// The page at this path of the private listener.
pub fn private(path: &str) -> Option<Page> {
    PRIVATE.iter().find(|(at, _)| *at == path).map(|(_, page)| *page)
}

/// The pages of the private listener; their paths are fixed.
pub(super) const PRIVATE: &[(&str, Page)] = &[
    ("/gateway/health", Page::GatewayHealth),
    ("/gateway/metrics", Page::Metrics),
    ("/metrics", Page::Metrics),
    ("/health", Page::Health),
    ("/livez", Page::Livez),
    ("/readyz", Page::Readyz),
    ("/config", Page::Config),
    ("/upstreams", Page::Upstreams),
];

/// Makes a page. Cold: locks, allocates and sums over all cores.
pub fn respond(page: Page, shared: &Shared) -> Response {
    match page {
        Page::GatewayHealth => gateway_health(&shared.registry.totals(), SystemTime::now()),
        Page::Metrics => metrics(shared, Text::default()),
        Page::Health | Page::Livez => Response::text(200, "ok\n"),
        Page::Readyz if shared.draining() => Response::text(503, "draining\n"),
        Page::Readyz => Response::text(200, "ready\n"),
        Page::Config => config(shared),
        Page::Upstreams => upstreams::page(shared),
    }
}

/// Health by success rate. Its own status is 200 whatever it says: it tells what clients saw, often the endpoints' doing, and a
/// balancer that took the gateway out for that would only add to the trouble. `/readyz` is for balancers.
fn gateway_health(totals: &Totals, now: SystemTime) -> Response {
    let status = match (totals.successful().saturating_mul(100), totals.requests) {
        (_, 0) => "healthy",
        (good, all) if good < all.saturating_mul(50) => "unhealthy",
        (good, all) if good < all.saturating_mul(90) => "degraded",
        _ => "healthy",
    };
    Response::json(
        200,
        &json!({
            "status": status,
            "timestamp": rfc3339(now),
            "metrics": {
                "total_requests": totals.requests,
                "successful_requests": totals.successful(),
                "failed_requests": totals.failed,
                "active_connections": totals.connections,
                "average_response_time_seconds": totals.response_time.as_secs_f64(),
            },
        }),
    )
}

/// The metrics page in this format.
pub(super) fn metrics(shared: &Shared, mut text: Text) -> Response {
    if !shared.metrics_page() {
        return Response::text(404, "metrics are switched off: see features.metrics in the configuration\n");
    }
    text::write(&shared.registry, &mut text);
    process(shared, &mut text);
    latency::write(shared, &mut text);
    upstreams::write(shared, &mut text);
    write_labelled(&shared.counts(), &mut text);
    limits::write(shared, &mut text);
    let ages = shared.key_ages();
    if !ages.is_empty() {
        text.family("gateway_key_set_age_seconds", "gauge", "Time since an issuer's key set was last fetched, or first wanted.");
        ages.iter().for_each(|(url, age)| text.sample("gateway_key_set_age_seconds", &[("url", url)], *age));
    }
    Response { status: 200, content_type: text.content_type(), body: text.finish() }
}

/// Writes what there is one of in the process.
fn process(shared: &Shared, text: &mut Text) {
    let loading = shared.loading();
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let certificates = shared.certificates();
    if !certificates.is_empty() {
        let name = "gateway_tls_cert_not_after_timestamp_seconds";
        text.family(name, "gauge", "When a certificate of the TLS listener ends to be good.");
        certificates.iter().for_each(|(host, end)| text.sample(name, &[("name", host)], *end as f64));
    }
    text.family("gateway_config_info", "gauge", "The configuration in force, by its hash.");
    text.sample("gateway_config_info", &[("hash", &format!("{:016x}", loading.hash))], 1.0);
    let help = "Which configuration is in force: 1 at the start, one more with each reload.";
    text.single("gateway_config_generation", "gauge", help, loading.generation as f64);
    let help = "When the configuration came into force, in seconds since 1970.";
    text.single("gateway_config_last_reload_success_timestamp_seconds", "gauge", help, seconds(loading.since));
    let failing = loading.last_reload.as_ref().is_some_and(|reload| !reload.problems.is_empty());
    let help = "1 if the last reload found a bad configuration and changed nothing.";
    text.single("gateway_config_last_reload_failed", "gauge", help, f64::from(u8::from(failing)));
    text.single("gateway_draining", "gauge", "1 once the gateway is about to stop.", f64::from(u8::from(shared.draining())));
    let help = "1 if any worker runs on epoll because io_uring is switched off or refused.";
    let epoll = shared.registry.sum(|core| core.driver.at(DRIVER_EPOLL).count());
    text.single("gateway_epoll_fallback", "gauge", help, f64::from(u8::from(epoll > 0)));
    type Read = fn(&CorePace) -> f64;
    let shown: [(&str, &str, Read); 2] = [
        ("gateway_core_busy_ratio", "The part of the last second that a core was busy.", |pace| pace.busy),
        ("gateway_core_loop_stall_seconds", "How late a core came in the last second to what it does regularly.", |pace| pace.stalled),
    ];
    for (name, help, read) in shown {
        text.family(name, "gauge", help);
        for (core, pace) in shared.paces().iter().enumerate() {
            text.sample(name, &[("core", &core.to_string())], read(pace));
        }
    }
    let help = "Log lines that were dropped because there were too many.";
    text.single("gateway_log_lines_dropped_total", "counter", help, crate::log::dropped() as f64);
    text.family("gateway_build_info", "gauge", "The version that runs.");
    text.sample("gateway_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
}

fn config(shared: &Shared) -> Response {
    let loading = shared.loading();
    let reload = loading.last_reload.map(|reload| {
        json!({
            "at": rfc3339(reload.at),
            "result": if reload.problems.is_empty() { "success" } else { "failure" },
            "problems": reload.problems,
            "restart_needed": reload.restart_needed,
        })
    });
    Response::json(
        200,
        &json!({
            "generation": loading.generation,
            "hash": format!("{:016x}", loading.hash),
            "file": loading.path,
            "since": rfc3339(loading.since),
            "last_reload": reload,
        }),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::admin::{EndpointState, ReloadResult};
    use crate::config::BuiltIn;
    use crate::metrics::Registry;

    fn shared() -> Shared {
        Shared::new(Registry::new(1), "/etc/ringway.json".into(), 0xabc, UNIX_EPOCH)
    }

    fn parsed(response: &Response) -> serde_json::Value {
        assert_eq!(response.content_type, "application/json");
        serde_json::from_str(&response.body).unwrap()
    }

    #[test]
    fn health_follows_the_success_rate() {
        let status = |good: u32, bad: u32| {
            let shared = shared();
            (0..good).for_each(|_| shared.registry.cores[0].ended(200, None, Duration::from_millis(2)));
            (0..bad).for_each(|_| shared.registry.cores[0].ended(500, None, Duration::from_millis(2)));
            parsed(&respond(Page::GatewayHealth, &shared))["status"].as_str().unwrap().to_owned()
        };
        assert_eq!(status(0, 0), "healthy");
        assert_eq!(status(90, 10), "healthy");
        assert_eq!(status(89, 11), "degraded");
        assert_eq!(status(50, 50), "degraded");
        assert_eq!(status(49, 51), "unhealthy");
        assert_eq!(status(0, 1), "unhealthy");
    }

    #[test]
    fn health_has_the_totals() {
        let shared = shared();
        shared.registry.cores[0].ended(200, None, Duration::from_millis(500));
        shared.registry.cores[0].connections.set(3);
        let page = parsed(&gateway_health(&shared.registry.totals(), UNIX_EPOCH));
        assert_eq!(
            page,
            json!({
                "status": "healthy", "timestamp": "1970-01-01T00:00:00.000Z",
                "metrics": {"total_requests": 1, "successful_requests": 1, "failed_requests": 0, "active_connections": 3,
                    "average_response_time_seconds": 0.5},
            })
        );
    }

    #[test]
    fn readiness_fails_at_once_but_health_does_not() {
        let shared = shared();
        assert_eq!(respond(Page::Readyz, &shared).status, 200);
        shared.start_draining();
        assert_eq!(respond(Page::Readyz, &shared).status, 503);
        assert_eq!(respond(Page::Livez, &shared).status, 200);
        assert_eq!(respond(Page::Health, &shared).status, 200);
    }

    #[test]
    fn the_last_reload_is_shown() {
        let shared = shared();
        let bad = ReloadResult { at: UNIX_EPOCH, problems: vec!["routes: none".into()], restart_needed: vec![] };
        shared.reloaded(bad, None);
        let page = parsed(&respond(Page::Config, &shared));
        assert_eq!((page["generation"].as_u64(), page["last_reload"]["result"].as_str()), (Some(1), Some("failure")));
        assert_eq!(page["hash"], "0000000000000abc");
        assert!(respond(Page::Metrics, &shared).body.contains("\ngateway_config_last_reload_failed 1\n"));
        let good = ReloadResult { at: UNIX_EPOCH, problems: vec![], restart_needed: vec!["listener.port".into()] };
        shared.reloaded(good, Some(0xdef));
        let page = parsed(&respond(Page::Config, &shared));
        assert_eq!((page["generation"].as_u64(), page["last_reload"]["result"].as_str()), (Some(2), Some("success")));
        assert_eq!(page["last_reload"]["restart_needed"][0], "listener.port");
        assert_eq!(page["hash"], "0000000000000def");
    }

    #[test]
    fn endpoints_are_shown_by_upstream() {
        let shared = shared();
        let state = |upstream: &str, endpoint: &str, healthy| EndpointState {
            upstream: upstream.into(),
            endpoint: endpoint.into(),
            url: "http://10.0.0.1:80".into(),
            resolved: true,
            healthy,
            probe_error: (!healthy).then(|| "says NOT_SERVING".into()),
            ejected: !healthy,
            in_flight: 2,
            breaker: None,
        };
        shared.set_endpoints(vec![state("a", "one", true), state("a", "two", false), state("b", "one", true)]);
        let page = parsed(&respond(Page::Upstreams, &shared));
        let two = json!({
            "id": "two", "url": "http://10.0.0.1:80", "resolved": true, "healthy": false, "probe_error": "says NOT_SERVING", "ejected": true, "in_flight": 2
        });
        assert_eq!(page["upstreams"][0]["endpoints"][1], two);
        assert_eq!(page["upstreams"][1]["id"], "b");
        let metrics = respond(Page::Metrics, &shared).body;
        assert!(metrics.contains("\ngateway_upstream_endpoint_healthy{upstream=\"a\",endpoint=\"two\"} 0\n"));
        assert!(metrics.contains("\ngateway_upstream_endpoint_ejected{upstream=\"a\",endpoint=\"two\"} 1\n"));
    }

    #[test]
    fn metrics_can_be_switched_off() {
        let shared = shared();
        assert_eq!(respond(Page::Metrics, &shared).status, 200);
        shared.switch_metrics_page(false);
        assert_eq!(respond(Page::Metrics, &shared).status, 404);
    }

    #[test]
    fn built_in_pages_can_be_moved_and_switched_off() {
        let mut settings = BuiltIn { health: "/up".into(), livez: String::new(), ..BuiltIn::default() };
        let pages = Page::built_in(&settings);
        assert!(pages.contains(&("/up", Page::Health)) && pages.contains(&("/readyz", Page::Readyz)));
        assert!(!pages.iter().any(|(_, page)| *page == Page::Livez));
        settings.enabled = false;
        assert!(Page::built_in(&settings).is_empty());
        assert_eq!(private("/metrics"), Some(Page::Metrics));
        assert_eq!(private("/nothing"), None);
    }
}
