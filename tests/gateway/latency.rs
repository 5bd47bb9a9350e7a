//! Response times by phase: what the gateway says of them is what a client and an endpoint that knows its delays have seen.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, at_once, config, directory, get, until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An endpoint that answers each request after so many milliseconds as the request's path says, the body so much later than the head.
fn delaying() -> Hostile {
    Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            let path = request.target().to_owned();
            let mut delays =
                path.split('?').next().unwrap_or_default().trim_start_matches("/after/").split('/').map(|part| part.parse().unwrap_or(0));
            let mut pause = || sleep(Duration::from_millis(delays.next().unwrap_or(0)));
            pause();
            if path.matches('/').count() > 2 {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
                pause();
                peer.send("ok");
            } else {
                peer.send(OK);
            }
        }
    })
}

/// What `/latency` says of these, once so many requests are in it.
fn latency(gateway: &Gateway, query: &str, count: u64) -> Value {
    until("the second to be over", || {
        let page = gateway.page("GET", &format!("/latency?{query}")).json();
        let series = page["series"][0]["phases"].clone();
        (series["total"]["count"] == json!(count)).then_some(series)
    })
}

fn millis(phases: &Value, phase: &str, percentile: &str) -> f64 {
    phases[phase][percentile].as_f64().unwrap_or_else(|| panic!("no {phase} {percentile} in {phases}")) / 1000.0
}

#[test]
fn each_phase_takes_what_it_took() {
    let endpoint = delaying();
    let gateway = Gateway::to(&endpoint.address);
    let mut client = gateway.connect();
    for _ in 0..20 {
        assert_eq!(client.ask(get("/after/30")).status(), 200);
    }
    for _ in 0..20 {
        assert_eq!(client.ask(get("/after/10/50")).status(), 200);
    }
    let all = latency(&gateway, "window=all", 40);
    assert_eq!((&all["first_byte"]["count"], &all["body"]["count"]), (&json!(40), &json!(40)));
    // Half of them: by the endpoint's word, which a busy machine only adds to.
    assert!(millis(&all, "first_byte", "p50") >= 10.0 && millis(&all, "first_byte", "p75") >= 29.7, "{all}");
    assert!(millis(&all, "body", "p75") >= 49.6 && millis(&all, "total", "p75") >= 59.6, "{all}");
    // Only what came in one piece tells the gateway's own part.
    assert_eq!((&all["overhead"]["count"], &all["connect"]["count"], &all["queue"]), (&json!(20), &json!(1), &Value::Null));
    assert!(millis(&all, "overhead", "p50") < 10.0, "{all}");
    let metric = |series: &str| gateway.metric(series);
    assert_eq!(metric("gateway_http_request_duration_seconds_count{route=\"/\"}"), 40.0);
    assert_eq!(metric("gateway_http_request_duration_seconds_bucket{route=\"/\",le=\"0.01\"}"), 0.0);
    assert_eq!(metric("gateway_upstream_connect_duration_seconds_count{upstream=\"up\"}"), 1.0);
    assert!(metric("gateway_upstream_ttfb_seconds_sum{upstream=\"up\"}") >= 0.79);
    // The endpoint's first bytes and bodies took as long as it was told to, half of the 40 each.
    assert!(metric("gateway_upstream_request_duration_seconds_sum{upstream=\"up\"}") >= 1.78);
    assert_eq!(metric("gateway_upstream_request_duration_seconds_count{upstream=\"up\"}"), 40.0);
}

#[test]
fn waiting_for_a_place_is_told_apart_from_the_endpoints_time() {
    let endpoint = delaying();
    let changes = json!({ "runtime": { "workers": 1 }, "limits": { "max_concurrent_requests": 1, "queue": 10 } });
    let gateway = Gateway::with(&endpoint.address, changes);
    at_once(4, |_| assert_eq!(gateway.get("/after/40").status(), 200));
    let all = latency(&gateway, "window=all", 4);
    assert_eq!(all["queue"]["count"], json!(3), "{all}");
    assert!(millis(&all, "queue", "max") >= 119.0, "{all}");
    assert!(millis(&all, "overhead", "max") < millis(&all, "queue", "max"), "{all}");
}

#[test]
fn a_reload_keeps_what_was_recorded_and_a_switch_ends_recording() {
    let endpoint = Hostile::answering(OK);
    let settings = config(&endpoint.address, json!({}));
    let gateway = Gateway::start(&settings);
    (0..5).for_each(|_| assert_eq!(gateway.get("/").status(), 200));
    let other = config(&endpoint.address, json!({ "timeouts": { "drain": "7s" } }));
    assert_eq!(gateway.reload(&other).status(), 200);
    (0..5).for_each(|_| assert_eq!(gateway.get("/").status(), 200));
    latency(&gateway, "window=all", 10);
    let off = config(&endpoint.address, json!({ "features": { "histograms": false } }));
    assert_eq!(gateway.reload(&off).status(), 200);
    (0..5).for_each(|_| assert_eq!(gateway.get("/").status(), 200));
    assert_eq!(gateway.reload(&other).status(), 200);
    assert_eq!(gateway.get("/").status(), 200);
    latency(&gateway, "window=all", 11);
}

#[test]
fn the_slow_one_among_a_thousand_is_told_with_its_cause() {
    let endpoint = delaying();
    let gateway = Gateway::with(&endpoint.address, json!({ "runtime": { "workers": 1 } }));
    let mut client = gateway.connect();
    (0..1_100).for_each(|_| assert_eq!(client.ask(get("/after/0")).status(), 200));
    latency(&gateway, "window=all", 1_100);
    assert_eq!(client.ask(get("/after/400?secret=1")).status(), 200);
    let slow = until("the slow request", || {
        let page = gateway.page("GET", "/slow").json();
        page["slow"].as_array()?.iter().find(|slow| slow["request"] == "GET /after/400").cloned()
    });
    let cause = slow["cause"].as_str().unwrap();
    assert!(cause.contains("% waiting for the endpoint's answer (up, "), "{slow}");
    assert!(slow["microseconds"]["first_byte"].as_u64() >= Some(399_000) && slow["attempts"] == 1, "{slow}");
}

#[test]
fn the_flight_recorder_answers_for_the_past_and_outlives_the_gateway() {
    let endpoint = Hostile::answering(OK);
    let flight = directory().join("flight");
    let gateway = Gateway::with(&endpoint.address, json!({ "latency": { "directory": flight } }));
    (0..300).for_each(|_| assert_eq!(gateway.get("/").status(), 200));
    assert_eq!(gateway.stop("TERM"), 0);
    let flight = flight.to_str().unwrap();
    let ringway = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_ringway")).args(arguments).output().unwrap();
    let look = |more: &[&str]| ringway(&[&["latency", "--directory", flight, "--format", "json"], more].concat());
    let found: Value = serde_json::from_slice(&look(&["--window", "10m", "--percentile", "50,99.99"]).stdout).unwrap();
    assert_eq!((&found["count"], found["percentiles"].as_object().unwrap().len()), (&json!(300), 2));
    let nobody = look(&["--route", "nobody"]);
    assert!(!nobody.status.success() && String::from_utf8_lossy(&nobody.stderr).contains(" to "), "{nobody:?}");
    for wrong in [&["--phase", "x"][..], &["--at", "25:00"], &["--window", "x"], &["--percentile", "101"]] {
        assert_eq!(look(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let text = ringway(&["latency", "--directory", flight, "--phase", "first_byte"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("300 requests"), "{text:?}");
}
