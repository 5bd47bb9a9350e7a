//! Connections on both sides: kept, pipelined, many at once, to a socket file or a host name.

use serde_json::json;

use crate::harness::{DRIVERS, End, Gateway, Hostile, Origin, at_once, directory, each_driver, get, until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn the_wanted_driver_runs() {
    for driver in ["io_uring", "epoll"] {
        let gateway = Gateway::with("127.0.0.1:9", json!({ "runtime": { "driver": driver } }));
        gateway.wait(&format!("gateway_workers{{driver=\"{driver}\"}}"), 2.0);
    }
}

#[test]
fn connections_are_kept_on_both_sides() {
    let endpoint = Hostile::answering(OK);
    each_driver(&endpoint.address, |gateway| {
        let before = endpoint.connections();
        let mut client = gateway.connect();
        for _ in 0..5 {
            let answer = client.ask(get("/"));
            assert_eq!((answer.status(), answer.text()), (200, "ok"));
            assert_eq!(answer.field("connection"), None);
        }
        assert_eq!(endpoint.connections(), before + 1);
        assert_eq!(gateway.metric("gateway_upstream_connections_reused_total"), 4.0);
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(answer.field("connection"), Some("close"));
        client.assert_closed();
        assert_eq!(gateway.get("/").text(), "ok");
        assert_eq!(endpoint.connections(), before + 1, "the endpoint's connection outlives the client's");
    });
}

#[test]
fn an_endpoint_that_closes_politely_costs_nothing() {
    let endpoint = Hostile::answering_once("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    each_driver(&endpoint.address, |gateway| {
        let mut client = gateway.connect();
        for _ in 0..5 {
            let answer = client.ask(get("/"));
            assert_eq!((answer.text(), answer.field("connection")), ("ok", None));
        }
        assert_eq!(gateway.metric("gateway_upstream_connections_opened_total"), 5.0);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start();
    each_driver(&origin.address, |gateway| {
        let mut client = gateway.connect();
        let mut requests = String::new();
        for size in 0..50 {
            requests += &get(&format!("/size/{size}"));
            requests += &format!("POST /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{:03}", size);
            requests += &format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{:04}\r\n0\r\n\r\n", size);
        }
        client.send(requests);
        for size in 0..50 {
            assert_eq!(client.message().body.len(), size);
            assert_eq!(client.message().text(), format!("{size:03}"));
            assert_eq!(client.message().json()["body"]["bytes"], 4);
        }
        assert_eq!(gateway.get("/size/3").body.len(), 3);
    });
}

#[test]
fn ten_thousand_pipelined_requests_disturb_nobody() {
    const COUNT: usize = 10_000;
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::with(&endpoint.address, json!({ "runtime": { "workers": 1 } }));
    let mut reading = gateway.connect();
    let mut writing = reading.split();
    std::thread::scope(|scope| {
        let sent = scope.spawn(move || writing.send(get("/").repeat(COUNT)).finish());
        let read = scope.spawn(move || {
            for number in 0..COUNT {
                assert_eq!(reading.message().status(), 200, "answer {number}");
            }
            reading.assert_closed();
        });
        let mut other = gateway.connect();
        while !read.is_finished() {
            let asked = std::time::Instant::now();
            assert_eq!(other.ask(get("/")).status(), 200);
            assert!(asked.elapsed().as_secs() < 5, "the other client waited {:?}", asked.elapsed());
        }
        sent.join().unwrap();
        read.join().unwrap();
    });
    gateway.wait_idle();
}

#[test]
fn many_clients_at_once_each_get_their_own() {
    let origin = Origin::start();
    for driver in DRIVERS {
        let gateway = Gateway::with(&origin.address, json!({ "runtime": { "driver": driver } }));
        at_once(16, |thread| {
            let mut client = gateway.connect();
            for round in 0..40 {
                let body = format!("{thread}-{round}");
                let answer = client.ask(format!("POST /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
                assert_eq!(answer.text(), body);
            }
        });
        gateway.wait("gateway_requests_total", 640.0);
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    }
}

#[test]
fn a_socket_file_is_an_endpoint() {
    let directory = directory();
    let path = directory.join("socket");
    let origin = Origin::with(&["--unix", path.to_str().unwrap(), "--name", "file"]);
    each_driver(&origin.address, |gateway| {
        let mut client = gateway.connect();
        for _ in 0..3 {
            let answer = client.ask("POST /mirror HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
            assert_eq!((answer.text(), answer.field("x-endpoint")), ("abc", Some("file")));
        }
        assert_eq!(gateway.metric("gateway_upstream_connections_opened_total"), 1.0);
    });
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn an_endpoint_may_have_a_name() {
    let origin = Origin::start();
    let port = origin.address.rsplit(':').next().unwrap();
    each_driver(&format!("localhost:{port}"), |gateway| {
        // The name is looked up beside the data path: until that is done, there is no address.
        let answer = until("the name's address", || Some(gateway.get("/size/5")).filter(|answer| answer.status() != 502));
        assert_eq!(answer.body.len(), 5);
    });
    let gateway = Gateway::to("nowhere.invalid:80");
    assert_eq!(gateway.get("/").refusal(), (502, "endpoint_unresolved"));
    gateway.wait_log("nowhere.invalid");
}

#[test]
fn a_client_that_leaves_between_requests_is_no_failure() {
    let endpoint = Hostile::answering(OK);
    each_driver(&endpoint.address, |gateway| {
        let mut client = gateway.connect();
        client.ask(get("/"));
        client.reset();
        let mut client = gateway.connect();
        client.finish();
        assert_eq!(client.rest().1, End::Closed);
        gateway.wait("gateway_active_connections", 0.0);
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    });
}
