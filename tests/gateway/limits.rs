//! So many requests at once and no more: for the gateway, a route, an endpoint; who may wait, and for how long.

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, Wire, get, up};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An endpoint that answers `/held` when it is told, and all else at once.
fn endpoint() -> Hostile {
    Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/held" {
                peer.wait_told();
            }
            if peer.try_send(OK).is_err() {
                return;
            }
        }
    })
}

fn gateway(endpoint: &Hostile, changes: Value) -> Gateway {
    let mut changes = changes;
    changes["runtime"] = json!({ "workers": 1 });
    Gateway::with(&endpoint.address, changes)
}

/// Begins a request that is held at the endpoint.
fn hold(gateway: &Gateway, endpoint: &Hostile) -> Wire {
    let before = endpoint.seen().len();
    let mut client = gateway.connect();
    client.send(get("/held"));
    crate::harness::until("the request to arrive", || (endpoint.seen().len() > before).then_some(()));
    client
}

/// One request may be served and one may wait: the third is refused, the second is served in its turn.
fn one_and_one(endpoint: &Hostile, gateway: &Gateway, full: &str) {
    for _ in 0..2 {
        let mut first = hold(gateway, endpoint);
        let waits = gateway.metric("gateway_queue_waits_total");
        let mut second = gateway.connect();
        second.send(get("/"));
        gateway.wait("gateway_queue_waits_total", waits + 1.0);
        let third = gateway.get("/");
        assert_eq!((third.refusal(), third.field("retry-after")), ((503, full), Some("1")));
        assert_eq!(gateway.get("/livez").status(), 200, "pages are served all the same");
        endpoint.tell();
        assert_eq!((first.message().status(), second.message().status()), (200, 200));
        gateway.wait_idle();
    }
}

#[test]
fn of_the_whole_gateway() {
    let endpoint = endpoint();
    let gateway = gateway(&endpoint, json!({ "limits": { "max_concurrent_requests": 1, "queue": 1, "queue_timeout": "20s" } }));
    one_and_one(&endpoint, &gateway, "queue_full");
}

#[test]
fn of_a_route() {
    let endpoint = endpoint();
    let gateway = gateway(
        &endpoint,
        json!({
            "limits": { "queue": 1, "queue_timeout": "20s" },
            "routes": [{ "path": "/", "upstream": "up", "max_concurrent_requests": 1 }, { "path": "/free", "upstream": "up" }],
        }),
    );
    one_and_one(&endpoint, &gateway, "queue_full");
    let mut held = hold(&gateway, &endpoint);
    assert_eq!(gateway.get("/free").status(), 200, "other routes have their own");
    endpoint.tell();
    assert_eq!(held.message().status(), 200);
}

#[test]
fn of_an_endpoint() {
    let endpoint = endpoint();
    let mut upstream = up(&[&endpoint.address]);
    upstream["endpoints"][0]["max_concurrent_requests"] = json!(1);
    upstream["queue"] = json!({ "length": 1, "timeout": "20s" });
    let gateway = gateway(&endpoint, json!({ "upstreams": [upstream] }));
    one_and_one(&endpoint, &gateway, "endpoints_busy");
}

#[test]
fn waiting_ends() {
    let endpoint = endpoint();
    let gateway = gateway(&endpoint, json!({ "limits": { "max_concurrent_requests": 1, "queue": 10, "queue_timeout": "100ms" } }));
    let mut held = hold(&gateway, &endpoint);
    let answer = gateway.get("/");
    assert_eq!((answer.refusal(), answer.field("retry-after")), ((503, "queue_timeout"), Some("1")));
    endpoint.tell();
    assert_eq!(held.message().status(), 200);
    assert_eq!(gateway.get("/").status(), 200);
}

#[test]
fn a_busy_endpoint_is_passed_over() {
    let (busy, free) = (endpoint(), endpoint());
    let mut upstream = up(&[&busy.address, &free.address]);
    upstream["endpoints"][0]["max_concurrent_requests"] = json!(1);
    let gateway = gateway(&busy, json!({ "upstreams": [upstream] }));
    let mut held = hold_at_either(&gateway, &busy, &free);
    let before = busy.seen().len();
    (0..10).for_each(|_| assert_eq!(gateway.get("/").status(), 200));
    assert_eq!(busy.seen().len(), before);
    busy.tell();
    assert_eq!(held.message().status(), 200);
}

/// Begins requests until one is held at `wanted`.
fn hold_at_either(gateway: &Gateway, wanted: &Hostile, other: &Hostile) -> Wire {
    loop {
        let (here, there) = (wanted.seen().len(), other.seen().len());
        let mut client = gateway.connect();
        client.send(get("/held"));
        let arrived = crate::harness::until("the request to arrive", || {
            (wanted.seen().len() > here).then_some(true).or_else(|| (other.seen().len() > there).then_some(false))
        });
        if arrived {
            return client;
        }
        other.tell();
        assert_eq!(client.message().status(), 200);
    }
}

#[test]
fn never_exceeded_over_all_cores() {
    let endpoint = Hostile::start({
        let (now, most) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(0));
        use std::sync::atomic::Ordering::SeqCst;
        move |peer| {
            while peer.request().is_some() {
                let here = now.fetch_add(1, SeqCst) + 1;
                let most = most.fetch_max(here, SeqCst).max(here);
                std::thread::sleep(std::time::Duration::from_millis(1));
                now.fetch_sub(1, SeqCst);
                if peer.try_send(format!("HTTP/1.1 200 OK\r\nX-Most: {most}\r\nContent-Length: 0\r\n\r\n")).is_err() {
                    return;
                }
            }
        }
    });
    let limits = json!({ "limits": { "max_concurrent_requests": 4, "queue": 1000, "queue_timeout": "20s" } });
    let gateway = Gateway::with(&endpoint.address, limits);
    let most = crate::harness::at_once(16, |_| {
        let mut client = gateway.connect();
        (0..25).map(|_| client.ask(get("/")).field("x-most").expect("served in turn").parse::<usize>().unwrap()).max()
    });
    let most = most.into_iter().flatten().max().unwrap();
    assert!((2..=4).contains(&most), "{most} at once");
}

#[test]
fn that_an_upstream_finds_itself() {
    let endpoint = endpoint();
    let mut upstream = up(&[&endpoint.address]);
    upstream["adaptive_concurrency"] = json!({ "min": 1, "max": 1, "initial": 1 });
    upstream["queue"] = json!({ "length": 1, "timeout": "20s" });
    let gateway = gateway(&endpoint, json!({ "upstreams": [upstream] }));
    one_and_one(&endpoint, &gateway, "concurrency_limited");
    gateway.wait("gateway_upstream_concurrency_limit{upstream=\"up\"}", 1.0);
}
