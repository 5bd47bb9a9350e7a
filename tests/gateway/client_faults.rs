//! Clients that fail or mean ill: what they hold is given back, and others notice nothing.

use serde_json::json;

use crate::harness::{DRIVERS, Gateway, Hostile, Origin, Wire, config, get, until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn one_that_leaves_in_an_upload() {
    let endpoint = Hostile::start(|peer| {
        assert!(peer.request().is_none_or(|request| request.method() == "GET"), "half an upload must not look whole");
        let _ = peer.try_send(OK);
    });
    for driver in DRIVERS {
        let gateway = Gateway::with(&endpoint.address, json!({ "runtime": { "driver": driver } }));
        for (count, framing) in
            ["Content-Length: 100000\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"].iter().enumerate()
        {
            for reset in [false, true] {
                let mut client = gateway.connect();
                client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
                endpoint.wait_open(1);
                if reset {
                    client.reset();
                } else {
                    drop(client);
                }
                endpoint.wait_open(0);
                gateway.wait_idle();
                gateway.wait("gateway_refusals_total{reason=\"client_left\"}", (count * 2 + usize::from(reset) + 1) as f64);
            }
        }
        assert_eq!(gateway.get("/").status(), 200);
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    }
}

#[test]
fn one_that_leaves_in_a_download() {
    let origin = Origin::start();
    for driver in DRIVERS {
        let gateway = Gateway::with(&origin.address, json!({ "runtime": { "driver": driver, "workers": 1 } }));
        for (count, target) in ["/bytes/1073741824", "/chunked/bytes/1073741824", "/trickle/10:5ms/size/1000000"].iter().enumerate() {
            let mut client = gateway.connect();
            client.send(get(target));
            assert!(!client.piece().is_empty());
            client.reset();
            gateway.wait("gateway_refusals_total{reason=\"client_left\"}", (count + 1) as f64);
            gateway.wait_idle();
        }
        assert_eq!(gateway.metric("gateway_upstream_connections{state=\"idle\"}"), 0.0, "half used connections are closed");
        assert_eq!(gateway.get("/size/1").status(), 200);
    }
}

#[test]
fn one_that_sends_a_byte_at_a_time() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let gateway = Gateway::with(&endpoint.address, json!({ "runtime": { "driver": driver }, "timeouts": { "read": "300ms" } }));
        let mut client = gateway.connect();
        let mut sending = client.split();
        let slow = std::thread::spawn(move || {
            for byte in get("/").as_bytes().chunks(1) {
                if sending.try_send(byte).is_err() {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(30));
            }
        });
        let answer = client.message();
        assert_eq!((answer.refusal(), answer.field("connection")), ((408, "request_head_timeout"), Some("close")));
        drop(client);
        slow.join().unwrap();
        gateway.wait("gateway_active_connections", 0.0);
    }
    assert_eq!(endpoint.connections(), 0);
}

#[test]
fn one_that_says_nothing() {
    for driver in DRIVERS {
        let timeouts = json!({ "runtime": { "driver": driver }, "timeouts": { "read": "200ms", "idle": "300ms" } });
        let endpoint = Hostile::answering(OK);
        let gateway = Gateway::with(&endpoint.address, timeouts);
        let mut silent = gateway.connect();
        silent.assert_closed();
        let mut kept = gateway.connect();
        kept.ask(get("/"));
        let begun = std::time::Instant::now();
        kept.assert_closed();
        assert!(begun.elapsed().as_millis() >= 200, "a kept connection has its own time: {:?}", begun.elapsed());
        gateway.wait("gateway_active_connections", 0.0);
        assert_eq!(gateway.metric("gateway_requests_total"), 1.0, "saying nothing is no request");
    }
}

#[test]
fn one_that_stalls_in_its_body() {
    let endpoint = Hostile::start(|peer| assert!(peer.request().is_none()));
    for driver in DRIVERS {
        let gateway = Gateway::with(&endpoint.address, json!({ "runtime": { "driver": driver }, "timeouts": { "body_idle": "200ms" } }));
        for framing in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
            let mut client = gateway.connect();
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
            let answer = client.message();
            assert_eq!((answer.refusal(), answer.field("connection")), ((408, "request_body_timeout"), Some("close")));
            client.assert_closed();
            endpoint.wait_open(0);
        }
        gateway.wait_idle();
    }
}

#[test]
fn one_that_does_not_read() {
    let origin = Origin::start();
    for driver in DRIVERS {
        let gateway = Gateway::with(&origin.address, json!({ "runtime": { "driver": driver }, "timeouts": { "write": "300ms" } }));
        let mut client = gateway.connect();
        client.send(get("/bytes/1073741824"));
        gateway.wait("gateway_refusals_total{reason=\"client_stalled\"}", 1.0);
        gateway.wait_idle();
        gateway.wait("gateway_active_connections", 0.0);
    }
}

#[test]
fn too_many_connections() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let gateway =
            Gateway::with(&endpoint.address, json!({ "runtime": { "driver": driver, "workers": 1 }, "limits": { "connections": 3 } }));
        let mut held: Vec<Wire> = (0..3).map(|_| gateway.connect()).collect();
        gateway.wait("gateway_active_connections", 3.0);
        let mut extra = gateway.connect();
        let answer = extra.message();
        assert_eq!((answer.refusal(), answer.field("retry-after")), ((503, "too_many_connections"), Some("1")));
        extra.assert_closed();
        held.iter_mut().for_each(|client| assert_eq!(client.ask(get("/")).status(), 200));
        drop(held);
        gateway.wait("gateway_active_connections", 0.0);
        assert_eq!(gateway.get("/").status(), 200);
    }
}

#[test]
fn out_of_descriptors() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let gateway = Gateway::with_descriptors(
            40,
            &config(&endpoint.address, json!({ "runtime": { "driver": driver, "workers": 1 }, "admin": { "port": 0 } })),
        );
        // More than there are descriptors for; the kernel accepts the rest on the gateway's behalf.
        let held: Vec<Wire> = (0..60).map(|_| gateway.connect()).collect();
        gateway.wait_log("can't be accepted");
        drop(held);
        until("the gateway to recover", || {
            let mut client = gateway.connect();
            (client.send(get("/")).try_message(true).ok()?.status() == 200).then_some(())
        });
        gateway.wait("gateway_active_connections", 0.0);
        assert!(gateway.metric("gateway_accept_errors_total") >= 1.0);
    }
}

#[test]
fn no_descriptor_for_the_endpoint() {
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::with_descriptors(40, &config(&endpoint.address, json!({ "runtime": { "workers": 1 } })));
    let mut held = Vec::new();
    // Until no further connection is accepted, all descriptors are clients'.
    until("no descriptor left", || {
        held.push(gateway.connect());
        gateway.log().contains("can't be accepted").then_some(())
    });
    let answer = held[0].ask(get("/"));
    assert_eq!((answer.refusal(), answer.field("retry-after")), ((503, "out_of_descriptors"), Some("1")));
    assert_eq!(held[0].ask(get("/livez")).status(), 200);
    let mut first = held.swap_remove(0);
    drop(held);
    until("descriptors to come back", || (first.ask(get("/")).status() == 200).then_some(()));
}

#[test]
fn a_storm_of_resets_leaves_nothing_behind() {
    let origin = Origin::start();
    for driver in DRIVERS {
        let gateway = Gateway::with(&origin.address, json!({ "runtime": { "driver": driver } }));
        crate::harness::at_once(8, |thread| {
            for round in 0..40 {
                let mut client = gateway.connect();
                let whole = format!("POST /mirror?delay=1ms HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n{}", "x".repeat(50_000));
                let _ = client.try_send(&whole.as_bytes()[..(thread * 977 + round * 1301) % whole.len()]);
                client.reset();
            }
        });
        gateway.wait("gateway_active_connections", 0.0);
        gateway.wait_idle();
        assert_eq!(gateway.metric("gateway_panics_total"), 0.0);
        assert_eq!(gateway.get("/size/1").status(), 200);
    }
}
