//! Stopping: no request is lost, and the exit code says how it went.

use serde_json::{Value, json};

use crate::harness::{DRIVERS, End, Gateway, Hostile, Load, Origin, Wire, get, until};

fn gateway(endpoint: &str, driver: &str, timeouts: Value) -> Gateway {
    Gateway::with(endpoint, json!({ "runtime": { "driver": driver }, "timeouts": timeouts }))
}

#[test]
fn no_request_is_lost_under_load() {
    let origin = Origin::start();
    for driver in DRIVERS {
        for signal in ["TERM", "INT"] {
            let mut gateway = gateway(&origin.address, driver, json!({ "drain_delay": "200ms" }));
            let load = Load::start(&gateway, "/size/1000");
            load.wait(300);
            gateway.signal(signal);
            let answered = load.join();
            assert_eq!(gateway.ended(), 0, "after {answered} answers");
            assert!(gateway.log().contains("stopped: all requests were finished"));
        }
    }
}

#[test]
fn readiness_fails_at_once_and_clients_are_served_on() {
    let origin = Origin::start();
    let mut gateway = gateway(&origin.address, "auto", json!({ "drain_delay": "700ms" }));
    let mut client = gateway.connect();
    assert_eq!(client.ask(get("/readyz")).status(), 200);
    gateway.signal("TERM");
    until("readiness to fail", || (gateway.get("/readyz").status() == 503).then_some(()));
    assert_eq!(gateway.page("GET", "/readyz").status(), 503);
    assert_eq!(gateway.get("/livez").status(), 200);
    for _ in 0..10 {
        let answer = gateway.get("/size/5");
        assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
    }
    // What was open before is told by its next answer.
    assert_eq!(client.ask(get("/size/5")).field("connection"), Some("close"));
    client.assert_closed();
    assert_eq!(gateway.ended(), 0);
}

#[test]
fn what_is_in_flight_ends_in_its_own_time() {
    let endpoint = Hostile::start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        peer.wait_told();
        peer.send("world");
    });
    for driver in DRIVERS {
        let mut gateway = gateway(&endpoint.address, driver, json!({}));
        let mut client = gateway.connect();
        client.send(get("/"));
        let mut begun = Vec::new();
        while !begun.ends_with(b"hello") {
            begun.extend(client.piece());
        }
        let mut idle = gateway.connect();
        assert_eq!(idle.ask(get("/livez")).status(), 200);
        gateway.signal("TERM");
        idle.assert_closed();
        until("the port to be closed", || std::net::TcpStream::connect(&gateway.address).is_err().then_some(()));
        endpoint.tell();
        assert_eq!(client.bytes(5), b"world");
        client.assert_closed();
        assert_eq!(gateway.ended(), 0);
    }
}

#[test]
fn the_last_answer_says_that_it_is_the_last() {
    let origin = Origin::start();
    for driver in DRIVERS {
        let mut gateway = gateway(&origin.address, driver, json!({}));
        let mut client = gateway.connect();
        // The second request is behind the first already.
        client.send(get("/delay/300ms/size/5"));
        gateway.wait("gateway_http_requests_in_flight", 1.0);
        gateway.signal("TERM");
        gateway.wait_log("no further connections");
        let answer = client.message();
        assert_eq!((answer.body.len(), answer.status()), (5, 200));
        client.assert_closed();
        assert_eq!(gateway.ended(), 0);
    }
}

#[test]
fn the_time_for_it_ends() {
    let origin = Origin::start();
    let mut gateway = gateway(&origin.address, "auto", json!({ "drain": "300ms" }));
    let mut client = gateway.connect();
    client.send(get("/hang"));
    gateway.wait("gateway_http_requests_in_flight", 1.0);
    gateway.signal("TERM");
    assert_eq!(gateway.ended(), 4);
    assert!(gateway.log().contains("timeouts.drain is over"));
    assert!(matches!(client.try_message(true), Err((_, End::Closed | End::Reset))));
}

#[test]
fn a_second_signal_stops_at_once() {
    let origin = Origin::start();
    for signals in [["INT", "INT"], ["INT", "TERM"]] {
        let mut gateway = gateway(&origin.address, "auto", json!({}));
        let mut client = gateway.connect();
        client.send(get("/hang"));
        gateway.wait("gateway_http_requests_in_flight", 1.0);
        gateway.signal(signals[0]);
        gateway.wait_log("no further connections");
        gateway.signal(signals[1]);
        assert_eq!(gateway.ended(), 4);
        assert!(gateway.log().contains("second signal"));
    }
}

#[test]
fn an_upgraded_connection_is_cut_only_when_the_time_is_over() {
    let endpoint = Hostile::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        loop {
            match peer.piece() {
                piece if piece.is_empty() => return,
                piece => peer.send(piece),
            };
        }
    });
    let mut gateway = gateway(&endpoint.address, "auto", json!({}));
    let mut client: Wire = gateway.connect();
    client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    gateway.signal("TERM");
    gateway.wait_log("no further connections");
    client.send("still here");
    assert_eq!(client.bytes(10), b"still here");
    client.finish();
    client.assert_closed();
    drop(client);
    assert_eq!(gateway.ended(), 0);
}

#[test]
fn an_idle_gateway_stops_at_once() {
    for signal in ["TERM", "INT"] {
        let gateway = Gateway::to("127.0.0.1:9");
        let begun = std::time::Instant::now();
        assert_eq!(gateway.stop(signal), 0);
        assert!(begun.elapsed().as_secs() < 3, "{:?}", begun.elapsed());
    }
}
