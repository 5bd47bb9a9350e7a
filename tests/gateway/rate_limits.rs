//! Rate limits: what a client gets over several cores, what it is told, what counts as a client.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, Wire, at_once, get, until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn limited(endpoint: &Hostile, workers: usize, limits: Value) -> Gateway {
    Gateway::with(&endpoint.address, json!({ "runtime": { "workers": workers }, "middlewares": limits }))
}

fn with(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// How many of so many requests on this connection are let through; the others are refused for the rate.
fn admitted(client: &mut Wire, requests: usize, request: &str) -> usize {
    let let_through = |answer: &crate::harness::Message| match answer.status() {
        200 => true,
        _ => {
            assert_eq!(answer.refusal(), (429, "rate_limited"));
            false
        }
    };
    (0..requests).filter(|_| let_through(&client.ask(request))).count()
}

fn decisions(gateway: &Gateway, limiter: &str, decision: &str) -> f64 {
    gateway.metric(&format!("gateway_rate_limit_decisions_total{{limiter=\"{limiter}\",decision=\"{decision}\"}}"))
}

#[test]
fn a_burst_is_let_through_whole_on_whichever_cores_and_then_refused_with_all_there_is_to_know() {
    let endpoint = Hostile::answering(OK);
    let gateway = limited(&endpoint, 4, json!([{ "rate_limit": { "rate": "10/h", "legacy_headers": true } }]));
    let mut clients: Vec<Wire> = (0..12).map(|_| gateway.connect()).collect();
    let first = clients[0].ask(get("/"));
    assert_eq!(first.status(), 200);
    assert_eq!(first.field("ratelimit-policy"), Some("\"rate_limit\";q=10;w=3600"));
    assert_eq!(first.field("x-ratelimit-limit"), Some("10"));
    let told = first.field("ratelimit").unwrap();
    assert!(told.starts_with("\"rate_limit\";r=") && told.contains(";t="), "{told}");
    let mut got = 1;
    until("the whole burst", || {
        got += clients.iter_mut().map(|client| admitted(client, 1, &get("/"))).sum::<usize>();
        (got >= 10).then_some(())
    });
    got += clients.iter_mut().map(|client| admitted(client, 10, &get("/"))).sum::<usize>();
    assert_eq!(got, 10);
    let refused = clients[0].ask(get("/"));
    assert_eq!(refused.refusal(), (429, "rate_limited"));
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=360).contains(&wait), "{wait}");
    assert_eq!(refused.field("ratelimit-policy"), Some("\"rate_limit\";q=10;w=3600"));
    assert!(refused.field("ratelimit").unwrap().starts_with("\"rate_limit\";r=0;t="));
    assert_eq!(refused.field("x-ratelimit-remaining"), Some("0"));
    until("the counters", || (decisions(&gateway, "rate_limit", "allowed") == 10.0).then_some(()));
    until("the counters", || (decisions(&gateway, "rate_limit", "limited") > 100.0).then_some(()));
    assert_eq!(decisions(&gateway, "rate_limit", "shadow"), 0.0);
    assert!((0.0..=1.0).contains(&gateway.metric("gateway_rate_limit_error_ratio{limiter=\"rate_limit\"}")));
}

/// The bound, on real cores: clients on as many connections as there are threads ask for more than they may have.
#[test]
fn the_rate_is_kept_and_given_over_all_cores() {
    const RATE: f64 = 300.0;
    const BURST: f64 = 150.0;
    let endpoint = Hostile::answering(OK);
    let gateway = limited(&endpoint, 4, json!([{ "rate_limit": { "rate": "300/s", "burst": 150 } }]));
    // All cores have reported once before it counts.
    until("the first reports", || (gateway.metric("gateway_rate_limit_keys{limiter=\"rate_limit\"}") == 0.0).then_some(()));
    let begun = Instant::now();
    let (got, late) = (AtomicUsize::new(0), AtomicUsize::new(0));
    at_once(8, |_| {
        let mut client = gateway.connect();
        while begun.elapsed() < Duration::from_millis(3_000) {
            let first_second = begun.elapsed() < Duration::from_millis(1_000);
            if admitted(&mut client, 1, &get("/")) == 1 {
                got.fetch_add(1, SeqCst);
                late.fetch_add(usize::from(!first_second), SeqCst);
            }
        }
    });
    let (got, late, took) = (got.load(SeqCst) as f64, late.load(SeqCst) as f64, begun.elapsed().as_secs_f64());
    assert!(got <= BURST + RATE * took + RATE * 0.05, "{got} in {took} s");
    assert!(got >= 0.95 * (BURST + RATE * 3.0), "{got} in {took} s");
    assert!(late >= 0.95 * RATE * 2.0, "{late} in the two seconds after the first");
}

#[test]
fn a_client_that_goes_from_core_to_core_takes_its_tokens_along() {
    let endpoint = Hostile::answering(OK);
    let gateway = limited(&endpoint, 4, json!([{ "rate_limit": { "rate": "40/h" } }]));
    let mut got = 0;
    until("the whole burst", || {
        // Each connection may come to another core.
        got += admitted(&mut gateway.connect(), 9, &get("/"));
        (got >= 40).then_some(())
    });
    got += admitted(&mut gateway.connect(), 20, &get("/"));
    assert_eq!(got, 40);
}

#[test]
fn shadow_refuses_nothing_counts_and_logs() {
    let endpoint = Hostile::answering(OK);
    let gateway = limited(&endpoint, 1, json!([{ "rate_limit": { "rate": "5/h", "mode": "shadow" } }]));
    let mut client = gateway.connect();
    assert!((0..20).all(|_| client.ask(get("/")).status() == 200));
    until("the counters", || (decisions(&gateway, "rate_limit", "shadow") == 15.0).then_some(()));
    assert_eq!((decisions(&gateway, "rate_limit", "allowed"), decisions(&gateway, "rate_limit", "limited")), (5.0, 0.0));
    gateway.wait_log("rate limit would have refused limiter=rate_limit requests=");
}

#[test]
fn each_combination_of_what_is_named_has_a_bucket_of_its_own() {
    let endpoint = Hostile::answering(OK);
    let limit = json!({ "rate": "2/h", "key": ["header:X-Tenant", "cookie:session"] });
    let gateway = limited(&endpoint, 1, json!([{ "rate_limit": limit }]));
    let mut client = gateway.connect();
    for lines in [
        &["X-Tenant: a", "Cookie: session=1"][..],
        &["X-Tenant: a", "Cookie: session=2"],
        &["X-Tenant: b", "Cookie: session=1"],
        &["X-Tenant: a"],
        // Without either it is the address.
        &[],
    ] {
        assert_eq!(admitted(&mut client, 5, &with(lines)), 2, "{lines:?}");
        assert_eq!(admitted(&mut client, 1, &with(lines)), 0, "{lines:?}");
    }
}

#[test]
fn addresses_are_those_that_trusted_proxies_tell_and_ipv6_counts_by_network() {
    let endpoint = Hostile::answering(OK);
    let config = json!({
        "listener": { "trusted_proxies": ["127.0.0.0/8"] },
        "runtime": { "workers": 1 },
        "middlewares": [{ "rate_limit": { "rate": "2/h" } }],
    });
    let gateway = Gateway::with(&endpoint.address, config);
    let mut client = gateway.connect();
    let mut from = |address: &str| admitted(&mut client, 1, &with(&[&format!("X-Forwarded-For: {address}")]));
    assert_eq!([from("2001:db8::1"), from("2001:db8::2"), from("2001:db8:0:0:ffff::3")], [1, 1, 0], "one /64");
    assert_eq!([from("2001:db8:0:1::1"), from("192.0.2.1"), from("192.0.2.2")], [1, 1, 1], "others");
    assert_eq!([from("::ffff:192.0.2.1"), from("192.0.2.1")], [1, 0], "one address in two forms");
}

#[test]
fn a_request_passes_all_limits_of_its_route_each_with_its_cost() {
    let endpoint = Hostile::answering(OK);
    let config = json!({
        "runtime": { "workers": 1 },
        "middlewares": [{ "rate_limit": { "rate": "100/h", "key": ["ip"] } }],
        "routes": [
            { "path": "/", "upstream": "up" },
            { "path": "/dear", "id": "dear", "upstream": "up",
              "middlewares": [{ "id": "dear", "rate_limit": { "rate": "10/h", "cost": 4, "key": ["route"], "headers": false } }] },
        ],
    });
    let gateway = Gateway::with(&endpoint.address, config);
    let mut client = gateway.connect();
    assert_eq!(admitted(&mut client, 5, &get("/dear")), 2, "10 tokens are two requests of 4");
    let answer = client.ask(get("/dear"));
    assert_eq!(answer.all("ratelimit-policy"), ["\"rate_limit\";q=100;w=3600"], "the other one keeps silent");
    assert_eq!(admitted(&mut client, 3, &get("/")), 3);
    until("the counters", || (decisions(&gateway, "dear/dear", "limited") == 4.0).then_some(()));
    assert_eq!(decisions(&gateway, "rate_limit", "allowed"), 9.0);
}

#[test]
fn a_reload_keeps_what_was_used_even_if_the_mode_changes() {
    let endpoint = Hostile::answering(OK);
    let config = |more: Value| {
        let mut limit = json!({ "rate": "6/h" });
        limit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        crate::harness::config(&endpoint.address, json!({ "middlewares": [{ "rate_limit": limit }], "runtime": { "workers": 2 } }))
    };
    let gateway = Gateway::start(&config(json!({})));
    let mut clients: Vec<Wire> = (0..6).map(|_| gateway.connect()).collect();
    let mut got = 0;
    until("the whole burst", || {
        got += clients.iter_mut().map(|client| admitted(client, 1, &get("/"))).sum::<usize>();
        (got >= 6).then_some(())
    });
    for (more, status) in [(json!({ "headers": false }), 429), (json!({ "mode": "shadow" }), 200), (json!({}), 429)] {
        let generation = gateway.metric("gateway_config_generation");
        assert_eq!(gateway.reload(&config(more.clone())).status(), 200);
        gateway.wait("gateway_config_generation", generation + 1.0);
        for client in &mut clients {
            until("the new plan", || (client.ask(get("/")).status() == status).then_some(()));
            assert_eq!(client.ask(get("/")).status(), status, "{more}");
        }
    }
    // Another limit begins anew.
    assert_eq!(gateway.reload(&config(json!({ "burst": 3 }))).status(), 200);
    until("a fresh bucket", || (clients[0].ask(get("/")).status() == 200).then_some(()));
}

#[test]
fn a_flood_of_keys_takes_no_room_and_frees_nobody() {
    let endpoint = Hostile::answering(OK);
    let limit = json!({ "rate": "20/h", "key": ["header:X-Key"], "keys_max": 64 });
    let gateway = limited(&endpoint, 1, json!([{ "rate_limit": limit }]));
    let mut client = gateway.connect();
    let mut got = admitted(&mut client, 30, &with(&["X-Key: victim"]));
    assert_eq!(got, 20);
    for round in 0..10 {
        for key in 0..300 {
            assert_eq!(admitted(&mut client, 1, &with(&[&format!("X-Key: {round}-{key}")])), 1, "strangers are served");
        }
        got += admitted(&mut client, 30, &with(&["X-Key: victim"]));
    }
    assert!(got <= 30, "{got}: one request for each time it was put out, not a burst");
    until("the counters", || (gateway.metric("gateway_rate_limit_evicted_total{limiter=\"rate_limit\"}") > 2000.0).then_some(()));
    assert!(gateway.metric("gateway_rate_limit_keys{limiter=\"rate_limit\"}") <= 65.0);
}

#[test]
fn all_limits_can_be_switched_off_at_once() {
    let endpoint = Hostile::answering(OK);
    let config = json!({ "features": { "rate_limit": false }, "middlewares": [{ "rate_limit": { "rate": "1/d" } }] });
    let gateway = Gateway::with(&endpoint.address, config);
    let mut client = gateway.connect();
    for _ in 0..5 {
        let answer = client.ask(get("/"));
        assert_eq!((answer.status(), answer.field("ratelimit-policy"), answer.field("ratelimit")), (200, None, None));
    }
}
