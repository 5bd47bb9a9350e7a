//! Each limit counts only against who is waited for: what was set for one wait doesn't end the next.

use serde_json::json;

use crate::harness::{DRIVERS, Gateway, Hostile, Origin, get, post, settled, until};

fn gateway(endpoint: &str, driver: &str, timeouts: serde_json::Value) -> Gateway {
    Gateway::with(
        endpoint,
        json!({ "runtime": { "driver": driver, "workers": 1 }, "timeouts": timeouts, "features": { "retries": false } }),
    )
}

#[test]
fn a_slow_answer_leaves_the_connection_usable() {
    let origin = Origin::start();
    for driver in DRIVERS {
        // The first request follows the accept, the second an answer, and the third's head comes in two pieces.
        let gateway = gateway(&origin.address, driver, json!({ "read": "200ms", "idle": "400ms" }));
        let mut client = gateway.connect();
        for begin in ["", "", "GET /delay/800ms HTTP/1.1\r\n"] {
            client.send(begin);
            let rest = get("/delay/800ms");
            assert_eq!(client.ask(&rest[begin.len()..]).status(), 200);
            // What the gateway received before it closes would be answered all the same.
            gateway.wait_idle();
        }
        assert_eq!(client.ask(get("/size/1")).status(), 200);
    }
}

#[test]
fn an_endpoint_that_pauses_is_not_a_client_that_stalls() {
    let origin = Origin::start();
    let interim = Hostile::start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 103 Early Hints\r\n\r\n");
        std::thread::sleep(std::time::Duration::from_millis(400));
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    for driver in DRIVERS {
        let gateway = gateway(&origin.address, driver, json!({ "write": "100ms" }));
        for target in ["/trickle/15:400ms/size/30", "/trickle/15:400ms/size/30/chunked"] {
            assert_eq!(gateway.get(target).body.len(), 30);
        }
        let gateway = self::gateway(&interim.address, driver, json!({ "write": "100ms" }));
        let mut client = gateway.connect();
        assert_eq!(client.ask(get("/")).status(), 103);
        assert_eq!(client.message().text(), "ok");
    }
}

#[test]
fn a_client_that_pauses_is_not_an_endpoint_that_stalls() {
    let origin = Origin::start();
    for driver in DRIVERS {
        let gateway = gateway(&origin.address, driver, json!({ "body_idle": "500ms", "first_byte": "500ms" }));
        for target in ["/bytes/33554432", "/chunked/bytes/33554432"] {
            let mut client = gateway.connect();
            client.send(get(target));
            // Longer in all than the endpoint may take.
            for _ in 0..3 {
                settled(|| gateway.metric("gateway_sent_bytes_total"));
            }
            assert_eq!(client.message().body.len(), 32 << 20);
        }
    }
}

#[test]
fn an_upload_that_ends_does_not_free_its_answer_of_limits() {
    // The answer begins at once and never ends; the upload's end comes when the client has long stopped reading.
    let endpoint = Hostile::start(|peer| {
        peer.head();
        let mut receiving = peer.split();
        let answer = vec![b'x'; 64 << 20];
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len()));
        let sender = std::thread::spawn({
            let mut sending = peer.split();
            move || drop(sending.try_send(&answer))
        });
        receiving.rest();
        sender.join().unwrap();
    });
    for driver in DRIVERS {
        let gateway = gateway(&endpoint.address, driver, json!({ "write": "1s" }));
        let mut client = gateway.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
        settled(|| gateway.metric("gateway_sent_bytes_total"));
        client.send("world");
        gateway.wait("gateway_refusals_total{reason=\"client_stalled\"}", 1.0);
        gateway.wait_idle();
        gateway.wait("gateway_active_connections", 0.0);
    }
}

#[test]
fn an_uploads_time_is_not_its_answers() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/silent" {
                return drop(peer.rest());
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let limit = std::time::Duration::from_millis(400);
    let edits = json!([{ "transform": { "request": { "remove": ["x"] } } }]);
    for driver in DRIVERS {
        let routes = json!([{ "path": "/", "upstream": "up" }, { "path": "/edited", "upstream": "up", "middlewares": edits }]);
        let changes = json!({
            "runtime": { "driver": driver, "workers": 1 },
            "timeouts": { "request": "400ms" },
            "features": { "retries": false },
            "routes": routes,
        });
        let gateway = Gateway::with(&endpoint.address, changes);
        // The body comes when the limit is over, as that of another request says.
        let upload = |target: &str| {
            let mut client = gateway.connect();
            client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{{\"a\""));
            assert_eq!(gateway.get("/silent").refusal(), (504, "request_timeout"));
            let sent = std::time::Instant::now();
            (client.ask(":10}"), sent.elapsed())
        };
        for target in ["/", "/edited"] {
            assert_eq!(upload(target).0.status(), 200, "{target}");
        }
        let (answer, took) = upload("/silent");
        assert_eq!(answer.refusal(), (504, "request_timeout"));
        assert!(took >= limit, "{took:?} from its end");
    }
}

#[test]
fn time_that_the_gateway_slept_is_nobodys() {
    let endpoint = Hostile::start(|peer| {
        peer.head();
        peer.wait_told();
        peer.skip(32 << 20);
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    for driver in DRIVERS {
        let gateway = gateway(&endpoint.address, driver, json!({ "body_idle": "2s" }));
        let mut client = gateway.connect();
        let mut sending = client.split();
        let request = post(32 << 20);
        let sender = std::thread::spawn(move || drop(sending.try_send(request)));
        until("the upload to begin", || (gateway.metric("gateway_received_bytes_total") > 0.0).then_some(()));
        // By then it waits for the endpoint to take more.
        std::thread::sleep(std::time::Duration::from_millis(200));
        gateway.signal("STOP");
        endpoint.tell();
        std::thread::sleep(std::time::Duration::from_millis(2500));
        gateway.signal("CONT");
        assert_eq!(client.message().text(), "ok");
        sender.join().unwrap();
    }
}
