//! The cache from outside: what is answered from it, what isn't, and what other clients, endpoints and operators do meanwhile.

mod fills;
mod hits;
mod purges;

use serde_json::{Value, json};

use crate::harness::{DRIVERS, Gateway, Hostile, Message, config};

/// A gateway that caches everything the endpoint allows to.
fn caching(endpoint: &str, workers: u32, driver: &str) -> Gateway {
    Gateway::start(&cached(endpoint, json!({}), workers, driver))
}

fn cached(endpoint: &str, cache: Value, workers: u32, driver: &str) -> Value {
    let routes = json!([{ "path": "/", "upstream": "up", "cache": {}, "retry_count": 0 }]);
    let runtime = json!({ "workers": workers, "driver": driver });
    config(endpoint, json!({ "runtime": runtime, "cache": cache, "routes": routes, "features": { "outlier_detection": false } }))
}

fn each_driver(endpoint: &str, test: impl Fn(Gateway)) {
    DRIVERS.into_iter().for_each(|driver| test(caching(endpoint, 1, driver)));
}

/// An endpoint that answers each request with these header lines, and a body that tells how many came before.
fn counting(fields: &'static [&'static str]) -> Hostile {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Hostile::start(move |peer| {
        while let Some(request) = peer.request() {
            let count = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let body = if request.method() == "HEAD" { String::new() } else { format!("body {count}") };
            if peer.try_send(answer(fields, &body)).is_err() {
                return;
            }
        }
    })
}

fn answer(fields: &[&str], body: &str) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn with(target: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")
}

/// What `Cache-Status` says, without the seconds.
fn said(answer: &Message) -> String {
    let status = answer.field("cache-status").unwrap_or_else(|| panic!("it says how it got on with the cache: {answer:?}"));
    let parts = status.strip_prefix("ringway; ").expect("our name").split("; ").filter(|part| !part.starts_with("ttl="));
    parts.collect::<Vec<_>>().join("; ")
}

fn results(gateway: &Gateway, result: &str) -> f64 {
    gateway.metric(&format!("gateway_cache_requests_total{{result=\"{result}\"}}"))
}
