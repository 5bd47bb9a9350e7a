//! Reloading: under load nothing is lost, what is under way goes on, a bad file changes nothing.

use serde_json::{Value, json};

use crate::harness::{DRIVERS, Gateway, Hostile, Load, Origin, config, get, until, up};

fn with_route(endpoint: &str, path: &str, driver: &str) -> Value {
    let routes = json!([{ "path": "/", "upstream": "up" }, { "path": path, "upstream": "up", "add_headers": { "X-Route": path } }]);
    config(endpoint, json!({ "routes": routes, "runtime": { "driver": driver } }))
}

#[test]
fn no_request_is_lost_under_load() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    for driver in DRIVERS {
        let gateway = Gateway::with(&one.address, json!({ "runtime": { "driver": driver } }));
        let load = Load::start(&gateway, "/size/1000");
        for round in 0..6 {
            load.wait(60);
            let endpoint = if round % 2 == 0 { &two } else { &one };
            let next = with_route(&endpoint.address, &format!("/round/{round}"), driver);
            if round < 3 {
                assert_eq!(gateway.reload(&next).text(), "reloaded\n");
            } else {
                gateway.rewrite(&next);
                gateway.signal("HUP");
                gateway.wait("gateway_config_reloads_total{result=\"success\"}", f64::from(round + 1));
            }
        }
        load.wait(60);
        assert!(load.stop() >= 400);
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
        assert_eq!(gateway.page("GET", "/config").json()["generation"], 7);
        assert_eq!(gateway.get("/size/1").field("x-endpoint"), Some("one"));
    }
}

#[test]
fn what_is_under_way_goes_on() {
    let endpoint = Hostile::start(|peer| {
        while let Some(head) = peer.head() {
            if head.field("upgrade").is_some() {
                peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
                loop {
                    match peer.piece() {
                        piece if piece.is_empty() => return,
                        piece => peer.send(piece),
                    };
                }
            }
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            peer.wait_told();
            peer.send("5\r\nworld\r\n0\r\n\r\n");
        }
    });
    let elsewhere = Origin::start();
    for driver in DRIVERS {
        let mut upstream = up(&[&endpoint.address]);
        upstream["keep_alive"] = json!({ "idle": "300ms" });
        let gateway = Gateway::with("", json!({ "runtime": { "driver": driver }, "upstreams": [upstream] }));
        let mut upgraded = gateway.connect();
        upgraded.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        let mut stream = gateway.connect();
        stream.send(get("/stream"));
        let mut begun = Vec::new();
        while !begun.ends_with(b"hello\r\n") {
            begun.extend(stream.piece());
        }
        // Their endpoint is gone from the new configuration, and so is its whole upstream.
        let mut next = config(&elsewhere.address, json!({ "runtime": { "driver": driver } }));
        next["upstreams"][0]["id"] = json!("new");
        next["routes"] = json!([{ "path": "/", "upstream": "new" }]);
        assert_eq!(gateway.reload(&next).status(), 200);
        until("new requests to go elsewhere", || gateway.get("/size/1").field("x-endpoint").is_some().then_some(()));
        upgraded.send("still here");
        assert_eq!(upgraded.bytes(10), b"still here");
        endpoint.tell();
        let mut rest = Vec::new();
        while !rest.ends_with(b"0\r\n\r\n") {
            rest.extend(stream.piece());
        }
        assert!(rest.starts_with(b"5\r\nworld\r\n"), "{}", rest.escape_ascii());
        assert_eq!(stream.ask(get("/size/7")).body.len(), 7, "the client's connection is kept, and goes elsewhere too");
        drop(upgraded);
        gateway.wait_idle();
        endpoint.wait_open(0);
    }
}

#[test]
fn a_bad_file_changes_nothing_and_says_so() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let before = gateway.page("GET", "/config").json();
    let mut bad =
        config(&origin.address, json!({ "routes": [{ "path": "/", "upstream": "upp" }, { "path": "no-slash", "upstream": "up" }] }));
    bad["limts"] = json!({});
    let answer = gateway.reload(&bad);
    assert_eq!(answer.status(), 422);
    for problem in ["nothing was changed", "upp", "no-slash", "limts"] {
        assert!(answer.text().contains(problem), "{problem}: {}", answer.text());
    }
    gateway.signal("HUP");
    gateway.wait("gateway_config_reloads_total{result=\"failure\"}", 2.0);
    gateway.wait_log("reload failed: nothing was changed");
    let after = gateway.page("GET", "/config").json();
    assert_eq!((&after["generation"], &after["hash"]), (&before["generation"], &before["hash"]));
    assert_eq!(gateway.get("/size/3").body.len(), 3);
    gateway.reload(&config(&origin.address, json!({ "timeouts": { "first_byte": "100ms" } })));
    assert_eq!(gateway.get("/hang").status(), 504, "a good file comes into force after a bad one");
}

#[test]
fn routes_limits_and_pages_change() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let mut client = gateway.connect();
    assert_eq!(client.ask(get("/headers")).status(), 200);
    let next = config(
        &origin.address,
        json!({
            "routes": [{ "path": "/only", "upstream": "up", "rewrite_path": "/size/9" }],
            "limits": { "body": "1B" }, "built_in": { "livez": "/alive" },
        }),
    );
    assert_eq!(gateway.reload(&next).status(), 200);
    until("the new routes", || (client.ask(get("/headers")).status() == 404).then_some(()));
    assert_eq!(client.ask(get("/only")).body.len(), 9);
    assert_eq!(client.ask(get("/alive")).text(), "ok\n");
    let upload = gateway.connect().ask("POST /only HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(upload.refusal(), (413, "body_too_large"));
}

#[test]
fn what_needs_a_restart_is_said_and_stays() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let answer = gateway.reload(&config(&origin.address, json!({ "runtime": { "workers": 1 } })));
    assert_eq!((answer.status(), answer.text().contains("runtime.workers waits for a restart")), (200, true), "{}", answer.text());
    let same = config(&origin.address, json!({}));
    assert_eq!(gateway.reload(&same).text(), "reloaded\n");
    assert_eq!(gateway.get("/size/1").status(), 200);
}

#[test]
fn a_removed_endpoint_drains() {
    let endpoints: Vec<Hostile> = (0..2)
        .map(|_| {
            Hostile::start(|peer| {
                while let Some(request) = peer.request() {
                    if request.target() == "/held" {
                        peer.wait_told();
                    }
                    let _ = peer.try_send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            })
        })
        .collect();
    let up = |addresses: &[&str]| {
        let mut upstream = up(addresses);
        upstream["keep_alive"] = json!({ "idle": "300ms" });
        upstream
    };
    let both = up(&[&endpoints[0].address, &endpoints[1].address]);
    let changes = |upstream: Value| json!({ "upstreams": [upstream], "runtime": { "workers": 1 } });
    let gateway = Gateway::with("", changes(both));
    let mut held: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    held.iter_mut().for_each(|client| drop(client.send(get("/held"))));
    until("a request at each", || endpoints.iter().all(|endpoint| endpoint.seen().len() == 1).then_some(()));
    assert_eq!(gateway.reload(&config("", changes(up(&[&endpoints[1].address])))).status(), 200);
    until("the change to be in force", || {
        let before = endpoints[0].seen().len();
        (0..4).for_each(|_| assert_eq!(gateway.get("/").status(), 200));
        (endpoints[0].seen().len() == before).then_some(())
    });
    endpoints.iter().for_each(Hostile::tell);
    held.iter_mut().for_each(|client| assert_eq!(client.message().status(), 200));
    endpoints[0].wait_open(0);
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
}
