//! Copies of a share of the traffic to another upstream: what they hold, and that no client ever notices them.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{BOUND, Gateway, Hostile, Wire, config, get, until, up};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal";

/// A configuration with a mirror at this address, changed by `mirror`.
fn mirrored(endpoint: &Hostile, mirror: &str, settings: Value) -> Value {
    let mut second = up(&[mirror]);
    second["id"] = json!("second");
    let mut mirror = json!({ "upstream": "second" });
    mirror.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let changes = json!({
        "runtime": { "workers": 1 },
        "upstreams": [up(&[&endpoint.address]), second],
        "routes": [{ "id": "r", "path": "/", "upstream": "up", "mirror": mirror }],
    });
    config(&endpoint.address, changes)
}

fn series(result: &str) -> String {
    format!("gateway_mirror_requests_total{{route=\"r\",result=\"{result}\"}}")
}

#[track_caller]
fn asks(client: &mut Wire, request: impl AsRef<[u8]>) {
    let answer = client.ask(request);
    assert_eq!((answer.status(), answer.text()), (200, "real"), "{answer:?}");
}

#[track_caller]
fn wait_seen(mirror: &Hostile, count: usize) {
    until("copies at the mirror", || (mirror.seen().len() == count).then_some(()));
}

#[test]
fn a_copy_is_the_request_with_a_marker_that_clients_cannot_send() {
    let endpoint = Hostile::answering(OK);
    let mirror = Hostile::answering("HTTP/1.1 500 Oops\r\nX-Secret: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n");
    let gateway = Gateway::start(&mirrored(&endpoint, &mirror.address, json!({})));
    let mut client = gateway.connect();
    for count in 1..=3 {
        let answer = client.ask("POST /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-Mirrored: no\r\nX-More: 1\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!((answer.text(), answer.field("x-secret")), ("real", None));
        gateway.wait(&series("answered"), f64::from(count));
    }
    let (real, copy) = (endpoint.last(), mirror.last());
    assert_eq!((copy.start(), copy.text()), ("POST /a?b=c HTTP/1.1", "body"));
    for name in ["host", "x-more", "x-request-id", "x-forwarded-for", "via", "content-length"] {
        assert_eq!(copy.field(name), real.field(name), "{name}");
    }
    assert_eq!((real.field("x-mirrored"), copy.field("x-mirrored")), (None, Some("true")));
    assert_eq!(mirror.connections(), 1, "its connection is kept");
}

#[test]
fn bodies_are_copied_as_they_are_sent_and_too_large_ones_are_not() {
    let (endpoint, mirror) = (Hostile::answering(OK), Hostile::answering(OK));
    let gateway = Gateway::start(&mirrored(&endpoint, &mirror.address, json!({ "max_body": "100KiB" })));
    let mut client = gateway.connect();
    let body = |size: usize| -> Vec<u8> { (0..size).map(|index| (index % 251) as u8).collect() };
    // In pieces that the client takes its time for, of known length and chunked.
    client.send("POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 102400\r\n\r\n");
    for piece in body(102_400).chunks(30_000) {
        client.send(piece);
    }
    assert_eq!(client.message().text(), "real");
    wait_seen(&mirror, 1);
    client.send("POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    client.send("lo\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n");
    assert_eq!(client.message().text(), "real");
    wait_seen(&mirror, 2);
    assert_eq!(mirror.seen()[0].body, body(102_400));
    assert_eq!((mirror.last().text(), mirror.last().trailers), ("hello world", endpoint.last().trailers));
    // One byte more: told beforehand, or found on the way.
    client.send("POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 102401\r\n\r\n").send(body(102_401));
    assert_eq!(client.message().text(), "real");
    client.send("POST /4 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n19001\r\n").send(body(102_401)).send("\r\n0\r\n\r\n");
    assert_eq!(client.message().text(), "real");
    gateway.wait(&series("too_large"), 2.0);
    gateway.wait(&series("answered"), 2.0);
    assert_eq!((mirror.seen().len(), endpoint.seen().len()), (2, 4));
}

#[test]
fn a_client_that_leaves_in_its_body_leaves_no_copy() {
    let (endpoint, mirror) = (Hostile::answering(OK), Hostile::answering(OK));
    let gateway = Gateway::start(&mirrored(&endpoint, &mirror.address, json!({})));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\npart");
    endpoint.wait_open(1);
    drop(client);
    gateway.wait(&series("aborted"), 1.0);
    gateway.wait_idle();
    assert_eq!(mirror.seen().len(), 0);
    asks(&mut gateway.connect(), get("/"));
    wait_seen(&mirror, 1);
}

#[test]
fn a_mirror_that_hangs_delays_nobody_and_copies_in_flight_are_bounded() {
    let endpoint = Hostile::answering(OK);
    let mirror = Hostile::start(|peer| while peer.request().is_some() {});
    let gateway = Gateway::start(&mirrored(&endpoint, &mirror.address, json!({ "max_in_flight": 3, "timeout": "400ms" })));
    let (mut client, begun) = (gateway.connect(), Instant::now());
    for _ in 0..10 {
        asks(&mut client, get("/"));
    }
    assert!(begun.elapsed() < BOUND / 2);
    gateway.wait(&series("dropped"), 7.0);
    gateway.wait(&series("timeout"), 3.0);
    asks(&mut client, get("/"));
    wait_seen(&mirror, 4);
}

#[test]
fn a_mirror_that_is_down_or_talks_nonsense_is_counted_and_left_alone_and_no_client_notices() {
    let endpoint = Hostile::answering(OK);
    let mut down = mirrored(&endpoint, "127.0.0.1:1", json!({}));
    let nonsense = Hostile::answering_once("no HTTP\r\n\r\n");
    let mut silly = mirrored(&endpoint, &nonsense.address, json!({}));
    for config in [&mut down, &mut silly] {
        config["upstreams"][1]["outlier_detection"] =
            json!({ "consecutive_failures": 2, "max_ejection_percent": 100, "ejection_time": "1h" });
    }
    for config in [down, silly] {
        let gateway = Gateway::start(&config);
        let mut client = gateway.connect();
        for failed in 1..=2 {
            asks(&mut client, get("/"));
            gateway.wait(&series("failed"), f64::from(failed));
        }
        asks(&mut client, get("/"));
        gateway.wait(&series("unavailable"), 1.0);
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
        assert_eq!(gateway.reload(&config).status(), 200);
        asks(&mut client, get("/"));
        gateway.wait(&series("unavailable"), 2.0);
    }
}

#[test]
fn an_answer_that_breaks_off_is_a_failure_of_the_copy() {
    let endpoint = Hostile::answering(OK);
    let mirror = Hostile::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
    let gateway = Gateway::start(&mirrored(&endpoint, &mirror.address, json!({})));
    asks(&mut gateway.connect(), get("/"));
    gateway.wait(&series("failed"), 1.0);
    assert_eq!(gateway.metric(&series("answered")), 0.0);
}

#[test]
fn the_share_is_as_wanted() {
    let (endpoint, mirror) = (Hostile::answering(OK), Hostile::answering(OK));
    let gateway = Gateway::start(&mirrored(&endpoint, &mirror.address, json!({ "percent": 20 })));
    let mut client = gateway.connect();
    for _ in 0..1000 {
        asks(&mut client, get("/"));
    }
    let results = ["answered", "failed", "timeout", "aborted", "too_large", "dropped", "unavailable"];
    let all = || results.map(|result| gateway.metric_if_there(&series(result)).unwrap_or_default()).iter().sum::<f64>();
    // Five standard deviations about 200, once all that were made have ended.
    until("the copies", || (137.0..=263.0).contains(&all()).then_some(()));
}
