//! Circuit breakers: what fails gets nothing, then a few trials; what is said about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, Wire, get, until, up};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BAD: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno";

/// What an endpoint does, changed while it runs.
#[derive(Clone, Default)]
struct Mood(Arc<AtomicUsize>);

const WELL: usize = 0;
const FAILING: usize = 1;
const SLOW: usize = 2;

impl Mood {
    fn set(&self, mood: usize) {
        self.0.store(mood, SeqCst);
    }

    fn endpoint(&self) -> Hostile {
        let mood = self.clone();
        Hostile::start(move |peer| {
            while peer.request().is_some() {
                let mood = mood.0.load(SeqCst);
                if mood == SLOW {
                    // The time it takes is what is tested.
                    std::thread::sleep(Duration::from_millis(60));
                }
                if peer.try_send(if mood == FAILING { BAD } else { OK }).is_err() {
                    return;
                }
            }
        })
    }
}

fn guarded(endpoints: &[&str], breaker: Value) -> Gateway {
    let mut upstream = up(endpoints);
    upstream["circuit_breaker"] = breaker;
    let features = json!({ "outlier_detection": false, "retries": false });
    Gateway::with("", json!({ "upstreams": [upstream], "features": features }))
}

fn series(name: &str, endpoint: &str, more: &str) -> String {
    format!("gateway_circuit_breaker_{name}{{upstream=\"up\",endpoint=\"{endpoint}\"{more}}}")
}

/// Asks on one connection until the answer has this status.
fn ask_until(client: &mut Wire, status: u16) {
    until(&format!("an answer {status}"), || (client.ask(get("/")).status() == status).then_some(()));
}

#[test]
fn the_other_endpoint_is_used_until_trials_go_well() {
    let mood = Mood::default();
    let (sick, well) = (mood.endpoint(), Hostile::answering(OK));
    let url = format!("http://{}", sick.address);
    let gateway = guarded(&[&sick.address, &well.address], json!({ "consecutive_failures": 3, "open_time": "2s" }));
    mood.set(FAILING);
    let mut client = gateway.connect();
    let failed = (0..40).filter(|_| client.ask(get("/")).status() == 500).count();
    assert_eq!(failed, 3, "this core needs nobody to tell it");
    gateway.wait(&series("transitions_total", &url, ",to=\"open\""), 1.0);
    gateway.wait_log(&format!("circuit breaker has opened upstream=up endpoint={url} for="));
    gateway.wait_log("cause=consecutive_failures");
    let page = gateway.page("GET", "/upstreams").json();
    assert_ne!(page["upstreams"][0]["endpoints"][0]["circuit_breaker"], "closed");
    assert_eq!(page["upstreams"][0]["endpoints"][1]["circuit_breaker"], "closed");
    gateway.wait_log("circuit breaker is half-open");
    mood.set(WELL);
    until("trials to close it", || {
        client.ask(get("/"));
        (gateway.metric(&series("state", &url, "")) == 0.0).then_some(())
    });
    gateway.wait_log(&format!("circuit breaker has closed upstream=up endpoint={url}"));
    let before = sick.seen().len();
    for _ in 0..8 {
        (0..4).for_each(|_| assert_eq!(gateway.get("/").status(), 200));
    }
    assert!(sick.seen().len() > before + 4, "it has its share again");
}

#[test]
fn where_all_are_open_the_answer_is_at_once_and_says_why() {
    for scope in ["endpoint", "upstream"] {
        let mood = Mood::default();
        mood.set(FAILING);
        let sick = mood.endpoint();
        let breaker = json!({ "scope": scope, "consecutive_failures": 2, "open_time": "10s", "trials": 1 });
        let gateway = guarded(&[&sick.address], breaker);
        let mut client = gateway.connect();
        ask_until(&mut client, 503);
        let seen = sick.seen().len();
        let answer = client.ask(get("/"));
        let wait: u32 = answer.field("Retry-After").expect("a Retry-After").parse().unwrap();
        assert!((8..=10).contains(&wait), "{wait}");
        assert_eq!(answer.refusal(), (503, "circuit_open"));
        assert_eq!(sick.seen().len(), seen, "nothing is asked");
        until("both refusals to be counted", || (gateway.refusals("circuit_open") >= 2.0).then_some(()));
        let endpoint = if scope == "endpoint" { format!("http://{}", sick.address) } else { String::new() };
        gateway.wait(&series("state", &endpoint, ""), 2.0);
        // The other core hears of it too: new connections go to either.
        until("every core to know", || (0..8).all(|_| gateway.get("/").status() == 503).then_some(()));
        until("the refusals to be told of", || {
            gateway
                .metric_if_there("gateway_upstream_failures_total{upstream=\"up\",reason=\"circuit_open\"}")
                .filter(|count| *count >= 3.0)
        });
    }
}

#[test]
fn shadow_mode_only_tells() {
    let mood = Mood::default();
    mood.set(FAILING);
    let sick = mood.endpoint();
    let gateway = guarded(&[&sick.address], json!({ "mode": "shadow", "consecutive_failures": 2, "open_time": "10s" }));
    let mut client = gateway.connect();
    (0..30).for_each(|_| assert_eq!(client.ask(get("/")).status(), 500));
    assert_eq!(sick.seen().len(), 30);
    let url = format!("http://{}", sick.address);
    gateway.wait_log(&format!("circuit breaker has opened upstream=up endpoint={url} mode=shadow for="));
    gateway.wait(&series("shadow_attempts_total", &url, ""), 28.0);
    gateway.wait_idle();
    assert_eq!(gateway.refusals("circuit_open"), 0.0);
}

#[test]
fn slowness_is_a_reason_too() {
    let mood = Mood::default();
    mood.set(SLOW);
    let slow = mood.endpoint();
    let latency = json!({ "quantile": 0.5, "over": "30ms" });
    let gateway = guarded(&[&slow.address], json!({ "latency": latency, "min_requests": 4, "open_time": "10s" }));
    ask_until(&mut gateway.connect(), 503);
    gateway.wait_log("s cause=latency");
}

#[test]
fn it_can_be_switched_off_and_set_for_all() {
    let mood = Mood::default();
    mood.set(FAILING);
    let sick = mood.endpoint();
    let config = |features: Value| {
        crate::harness::config(
            &sick.address,
            json!({
                "circuit_breaker": { "consecutive_failures": 2, "open_time": "10s" }, "features": features,
                "routes": [{ "path": "/", "upstream": "up", "retry_count": 0 }],
            }),
        )
    };
    let gateway = Gateway::start(&config(json!({ "circuit_breaker": false })));
    let mut client = gateway.connect();
    (0..30).for_each(|_| assert_eq!(client.ask(get("/")).status(), 500));
    assert_eq!(gateway.reload(&config(json!({}))).status(), 200);
    ask_until(&mut client, 503);
    assert_eq!(gateway.reload(&config(json!({ "circuit_breaker": false }))).status(), 200);
    ask_until(&mut client, 500);
}
