//! Trying again: on another endpoint, only where nothing can be done twice, within the budget.

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, at_once, get, up};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

/// A gateway before two endpoints that doesn't stop asking the bad one.
fn before(endpoints: &[&str], retry: Value) -> Gateway {
    let mut upstream = up(endpoints);
    upstream["retry"] = retry;
    let changes = json!({
        "runtime": { "workers": 1 }, "upstreams": [upstream], "features": { "outlier_detection": false },
        "timeouts": { "first_byte": "300ms" },
    });
    Gateway::with("", changes)
}

#[test]
fn a_request_that_reached_nobody_goes_to_another() {
    let good = Hostile::answering(OK);
    let gateway = before(&[&good.address, "127.0.0.1:9"], json!({ "backoff": "1ms" }));
    let mut client = gateway.connect();
    for _ in 0..10 {
        assert_eq!(client.ask(get("/")).status(), 200);
        assert_eq!(client.ask(POST).status(), 200, "nobody has seen it: any method may go elsewhere");
    }
    assert_eq!(good.seen().len(), 20);
    assert!(gateway.metric("gateway_upstream_retries_total") >= 10.0);
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
}

#[test]
fn what_may_have_been_done_is_not_done_again() {
    let good = Hostile::answering(OK);
    let bad = Hostile::start(|peer| drop(peer.request()));
    let gateway = before(&[&good.address, &bad.address], json!({ "backoff": "1ms" }));
    let mut client = gateway.connect();
    let failed = (0..10).filter(|_| client.ask(POST).status() == 502).count();
    assert_eq!(failed, 5, "half of them meet the bad endpoint, and end there");
    assert_eq!((good.seen().len(), bad.seen().len()), (5, 5));
    for _ in 0..10 {
        assert_eq!(client.ask(get("/")).status(), 200);
        let put = client.ask("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(put.status(), 200, "the same twice is the same once");
    }
    assert_eq!(good.last().body, b"hi", "its body goes with it");
}

#[test]
fn an_endpoint_that_hangs_is_left_for_another() {
    let good = Hostile::answering(OK);
    let bad = Hostile::start(|peer| {
        peer.request();
        peer.rest();
    });
    let gateway = before(&[&good.address, &bad.address], json!({ "backoff": "1ms" }));
    for _ in 0..4 {
        assert_eq!(gateway.get("/").status(), 200);
    }
    bad.wait_open(0);
}

#[test]
fn an_answer_is_retried_only_on_request() {
    let good = Hostile::answering(OK);
    let bad = Hostile::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno");
    let gateway = before(&[&good.address, &bad.address], json!({}));
    assert_eq!((0..10).filter(|_| gateway.get("/").status() == 503).count(), 5);
    let gateway = before(&[&good.address, &bad.address], json!({ "on_status": [503], "backoff": "1ms" }));
    let mut client = gateway.connect();
    assert!((0..10).all(|_| client.ask(get("/")).status() == 200));
    assert_eq!((0..10).filter(|_| client.ask(POST).status() == 503).count(), 5);
    let gateway = before(&[&bad.address], json!({ "on_status": [503], "backoff": "1ms" }));
    let answer = gateway.get("/");
    assert_eq!((answer.status(), answer.text()), (503, "no"), "the last answer there is, is passed on");
}

#[test]
fn so_many_times_and_no_more() {
    let bad = Hostile::start(|peer| drop(peer.request()));
    for (count, tries) in [(0, 1), (1, 2), (3, 4)] {
        let before = bad.seen().len();
        let mut upstream = up(&[&bad.address]);
        upstream["retry"] = json!({ "backoff": "1ms" });
        let route = json!([{ "path": "/", "upstream": "up", "retry_count": count }]);
        let gateway = Gateway::with("", json!({ "runtime": { "workers": 1 }, "upstreams": [upstream], "routes": route }));
        assert_eq!(gateway.get("/").refusal(), (502, "upstream_closed_before_head"));
        assert_eq!(bad.seen().len() - before, tries);
    }
    let before = bad.seen().len();
    let gateway = Gateway::with(&bad.address, json!({ "features": { "retries": false } }));
    assert_eq!(gateway.get("/").status(), 502);
    assert_eq!(bad.seen().len() - before, 1);
}

#[test]
fn an_outage_is_not_made_worse() {
    const CLIENTS: usize = 40;
    let bad = Hostile::start(|peer| {
        peer.request();
        peer.wait_told();
    });
    let gateway = before(&[&bad.address], json!({ "budget_percent": 10, "budget_min": 1, "backoff": "200ms" }));
    let begun = std::sync::Barrier::new(CLIENTS + 1);
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            at_once(CLIENTS, |_| {
                let mut client = gateway.connect();
                client.send(get("/"));
                begun.wait();
                client.message().status()
            })
        });
        begun.wait();
        crate::harness::until("all requests at the endpoint", || (bad.seen().len() == CLIENTS).then_some(()));
        (0..CLIENTS * 2).for_each(|_| bad.tell());
        assert!(clients.join().unwrap().iter().all(|status| *status == 502 || *status == 504));
    });
    let retried = bad.seen().len() - CLIENTS;
    assert!((1..=4).contains(&retried), "{retried} retries of {CLIENTS} requests, where 10 % are allowed");
    assert!(gateway.metric("gateway_upstream_retry_budget_exhausted_total") >= 1.0);
}

#[test]
fn nothing_is_retried_once_the_answer_has_begun() {
    let good = Hostile::answering(OK);
    let bad = Hostile::start(|peer| {
        peer.request();
        let _ = peer.try_send("HTTP/1.1 103 Early Hints\r\n\r\n");
    });
    let gateway = before(&[&good.address, &bad.address], json!({ "backoff": "1ms" }));
    let mut client = gateway.connect();
    for _ in 0..6 {
        let mut answer = client.ask(get("/"));
        if answer.status() == 103 {
            answer = client.message();
            assert_eq!(answer.refusal(), (502, "upstream_closed_before_head"));
        } else {
            assert_eq!(answer.status(), 200);
        }
    }
    assert_eq!((good.seen().len(), bad.seen().len()), (3, 3));
}
