//! Endpoints that fail in every way there is: the client gets a clear answer, others notice nothing, nothing is left behind.

use serde_json::{Value, json};

use crate::harness::{DRIVERS, Gateway, Hostile, Origin, get, post, up};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// No retries, so that each fault shows; and these times, short ones only where a test waits for their end: any other might be over before
/// a busy machine has done its part.
fn strict(driver: &str, timeouts: Value) -> Value {
    json!({ "runtime": { "driver": driver, "workers": 1 }, "features": { "retries": false }, "timeouts": timeouts })
}

#[test]
fn nobody_listens() {
    for driver in DRIVERS {
        let gateway = Gateway::with("127.0.0.1:9", strict(driver, json!({})));
        let mut client = gateway.connect();
        assert_eq!(client.ask(get("/")).refusal(), (502, "connect_failed"));
        let upload = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!((upload.refusal(), upload.field("connection")), ((502, "connect_failed"), None));
        assert_eq!(client.ask(get("/livez")).status(), 200, "the connection is still good");
        let gateway = Gateway::with("unix:/nonexistent/socket", strict(driver, json!({})));
        assert_eq!(gateway.get("/").refusal(), (502, "connect_failed"));
        gateway.wait_idle();
    }
}

#[test]
fn nobody_accepts() {
    // A full queue of a listener that accepts nothing: further connections hang.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(100)) {
        held.push(stream);
    }
    for driver in DRIVERS {
        let gateway = Gateway::with(&address.to_string(), strict(driver, json!({ "connect": "200ms" })));
        assert_eq!(gateway.get("/").refusal(), (504, "connect_timeout"));
        let mut upstream = up(&[&address.to_string()]);
        upstream["connect_timeout"] = json!("10ms");
        let gateway = Gateway::with("", json!({ "upstreams": [upstream], "features": { "retries": false } }));
        let begun = std::time::Instant::now();
        assert_eq!(gateway.get("/").refusal(), (504, "connect_timeout"));
        assert!(begun.elapsed().as_secs() < 2, "the upstream's own limit goes before the gateway's");
        gateway.wait_idle();
    }
}

#[test]
fn no_answer_in_time() {
    let origin = Origin::start();
    for driver in DRIVERS {
        let mut config = strict(driver, json!({ "first_byte": "200ms" }));
        config["routes"] = json!([{ "path": "/", "upstream": "up" }, { "path": "/size/", "upstream": "up", "timeout": "10s" }]);
        let gateway = Gateway::with(&origin.address, config);
        let mut client = gateway.connect();
        let answer = client.ask(get("/hang"));
        assert_eq!((answer.refusal(), answer.field("connection")), ((504, "upstream_first_byte_timeout"), None));
        assert_eq!(client.ask(get("/size/3")).body.len(), 3);
        let answer = client.ask("POST /hang HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        assert_eq!(answer.refusal(), (504, "upstream_first_byte_timeout"));
        gateway.wait_idle();
    }
}

#[test]
fn a_head_that_never_ends() {
    let endpoint = Hostile::start(|peer| {
        peer.request();
        let _ = peer.try_send("HTTP/1.1 200 OK\r\nA: ");
        while peer.try_send("x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let gateway = Gateway::with(&endpoint.address, strict("auto", json!({ "first_byte": "200ms" })));
    assert_eq!(gateway.get("/").refusal(), (504, "upstream_first_byte_timeout"));
    endpoint.wait_open(0);
}

#[test]
fn the_whole_request_has_a_limit() {
    let origin = Origin::start();
    let gateway = Gateway::with(
        &origin.address,
        json!({
            "timeouts": { "request": "200ms" },
            "routes": [{ "path": "/", "upstream": "up" }, { "path": "/delay/", "upstream": "up", "timeout": "0s" }],
        }),
    );
    assert_eq!(gateway.get("/hang").refusal(), (504, "request_timeout"));
    assert_eq!(gateway.get("/delay/500ms").status(), 200, "a route may have another limit, or none");
}

#[test]
fn a_body_that_stalls_is_cut() {
    let endpoint = Hostile::start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        peer.rest();
    });
    for driver in DRIVERS {
        let gateway = Gateway::with(&endpoint.address, strict(driver, json!({ "body_idle": "200ms" })));
        let mut client = gateway.connect();
        client.send(get("/"));
        let (cut, _) = client.try_message(true).expect_err("a body that stalls");
        assert_eq!(cut.body, b"hello");
        gateway.wait("gateway_refusals_total{reason=\"upstream_body_timeout\"}", 1.0);
        endpoint.wait_open(0);
    }
}

#[test]
fn a_trickle_within_the_limit_is_no_fault() {
    let origin = Origin::start();
    for driver in DRIVERS {
        // 800 ms in all, though each piece has but 500.
        let gateway = Gateway::with(&origin.address, strict(driver, json!({ "body_idle": "500ms" })));
        assert_eq!(gateway.get("/trickle/10:80ms/size/100").body.len(), 100);
        assert_eq!(gateway.get("/trickle/10:80ms/size/100/chunked").body.len(), 100);
    }
}

#[test]
fn an_endpoint_that_takes_no_more() {
    let endpoint = Hostile::start(|peer| {
        peer.head();
        peer.wait_told();
    });
    // Time enough for the client, which the same limit holds for.
    let gateway = Gateway::with(&endpoint.address, strict("auto", json!({ "body_idle": "1s" })));
    let mut client = gateway.connect();
    let mut sending = client.split();
    let request = post(64 << 20);
    let sender = std::thread::spawn(move || drop(sending.try_send(request)));
    let answer = client.message();
    assert_eq!(answer.refusal(), (504, "upstream_send_timeout"));
    endpoint.tell();
    gateway.wait_idle();
    let answered = std::time::Instant::now();
    drop(client);
    sender.join().unwrap();
    assert!(answered.elapsed().as_secs() < 10, "the client, still sending, is told that nobody reads any more");
}

#[test]
fn an_endpoint_that_hangs_up_on_an_upload() {
    let endpoint = Hostile::start(|peer| {
        peer.head();
        peer.reset_on_close();
    });
    for driver in DRIVERS {
        let gateway = Gateway::with(&endpoint.address, strict(driver, json!({})));
        for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
            let mut client = gateway.connect();
            let answer = client.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
            assert!(matches!(answer.refusal(), (502, "upstream_closed_before_head" | "upstream_send_failed")), "{answer:?}");
            assert_eq!(answer.field("connection"), Some("close"));
        }
        gateway.wait_idle();
    }
}

#[test]
fn an_answer_before_the_request_is_not_its_answer() {
    let endpoint = Hostile::start(|peer| {
        let _ = peer.try_send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Early: 1\r\n\r\nforged");
        peer.request();
    });
    for driver in DRIVERS {
        let gateway = Gateway::with(&endpoint.address, strict(driver, json!({})));
        // On a new connection nothing tells an early answer from a quick one; it must not be used for a second request.
        let mut client = gateway.connect();
        client.send(get("/1"));
        let _ = client.try_message(true);
        let before = endpoint.connections();
        gateway.connect().send(get("/2")).try_message(true).ok();
        assert_eq!(endpoint.connections(), before + 1);
        gateway.wait_idle();
    }
}

#[test]
fn a_kept_connection_that_closes_just_then() {
    // Each connection serves one request, and closes when the next one has come.
    let endpoint = Hostile::start(|peer| {
        if peer.request().is_some() && peer.try_send(OK).is_ok() {
            peer.request();
        }
    });
    for driver in DRIVERS {
        let before = endpoint.seen().len();
        let gateway = Gateway::with(&endpoint.address, strict(driver, json!({})));
        let mut client = gateway.connect();
        assert_eq!(client.ask(get("/1")).status(), 200);
        assert_eq!(client.ask(get("/2")).status(), 200, "a request that may be repeated is, at once");
        assert_eq!(gateway.metric("gateway_upstream_stale_retries_total"), 1.0);
        let answer = client.ask("POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(answer.refusal(), (502, "upstream_closed_before_head"), "it may have been processed");
        let targets: Vec<String> = endpoint.seen()[before..].iter().map(|request| request.target().to_owned()).collect();
        assert_eq!(targets, ["/1", "/2", "/2", "/3"]);
    }
}

#[test]
fn a_kept_connection_that_closed_at_rest() {
    let endpoint = Hostile::start(|peer| {
        if peer.request().is_some() {
            let _ = peer.try_send(OK);
        }
    });
    for driver in DRIVERS {
        let before = endpoint.seen().len();
        let gateway = Gateway::with(&endpoint.address, strict(driver, json!({})));
        let mut client = gateway.connect();
        for _ in 0..20 {
            let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
            assert_eq!(answer.status(), 200, "{answer:?}");
            endpoint.wait_closed();
        }
        assert_eq!(endpoint.seen().len() - before, 20);
    }
}

#[test]
fn an_endpoint_that_flaps() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let mut client = gateway.connect();
    let failed = (0..100).filter(|_| client.ask(get("/fail/0.3")).status() == 503).count();
    assert_eq!(failed, 30, "what an endpoint answers is passed on as it is");
    assert_eq!(client.ask(get("/reset/1000?size=5000").replace("/reset/1000?size=5000", "/size/1")).body.len(), 1);
    client.send(get("/reset/1000/size/5000"));
    let (cut, _) = client.try_message(true).expect_err("a body that breaks off");
    assert!(cut.body.len() <= 1000);
    let answer = gateway.connect().ask(get("/reset"));
    assert_eq!(answer.refusal(), (502, "upstream_closed_before_head"));
    gateway.wait_idle();
}

#[test]
fn all_endpoints_are_down() {
    let mut upstream = up(&["127.0.0.1:9", "127.0.0.1:10"]);
    upstream["outlier_detection"] = json!({ "consecutive_failures": 1, "max_ejection_percent": 100 });
    let gateway = Gateway::with("", json!({ "runtime": { "workers": 1 }, "upstreams": [upstream] }));
    assert_eq!(gateway.get("/").refusal(), (502, "connect_failed"));
    let answer = crate::harness::until("both to be ejected", || Some(gateway.get("/")).filter(|answer| answer.status() == 503));
    assert_eq!(answer.refusal(), (503, "no_healthy_endpoint"));
    assert_eq!(answer.field("retry-after"), Some("1"));
    assert_eq!(
        answer.field("proxy-status"),
        Some("ringway; error=destination_unavailable; details=\"no_healthy_endpoint\"; next-hop=\"up\"")
    );
}

#[test]
fn one_bad_endpoint_does_not_hold_up_others() {
    let origin = Origin::start();
    let gateway = Gateway::with(&origin.address, json!({ "runtime": { "workers": 1 } }));
    let mut hanging: Vec<_> = (0..50).map(|_| gateway.connect()).collect();
    for client in &mut hanging {
        client.send(get("/hang"));
    }
    gateway.wait("gateway_http_requests_in_flight", 50.0);
    let begun = std::time::Instant::now();
    let mut client = gateway.connect();
    (0..100).for_each(|_| assert_eq!(client.ask(get("/size/1")).status(), 200));
    assert!(begun.elapsed().as_secs() < 5);
}
