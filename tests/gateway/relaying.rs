//! Ordinary traffic, message by message: keep-alive, pipelining, framing both ways, interim responses, old clients.

use serde_json::json;

use crate::harness::{DRIVERS, End, Gateway, Hostile, Origin, at_once, get};

/// Does `test` with a gateway on each driver before this endpoint.
fn each_driver(endpoint: &str, test: impl Fn(Gateway)) {
    for driver in DRIVERS {
        test(Gateway::with(endpoint, json!({ "runtime": { "driver": driver, "workers": 1 } })));
    }
}

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
            assert!(asked.elapsed().as_secs() < 2, "the other client waited {:?}", asked.elapsed());
        }
        sent.join().unwrap();
        read.join().unwrap();
    });
    gateway.wait_idle();
}

#[test]
fn bytes_that_trickle_in_are_the_same_request() {
    let origin = Origin::start();
    each_driver(&origin.address, |gateway| {
        let mut client = gateway.connect();
        let request = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n";
        for byte in request.as_bytes().chunks(1) {
            client.send(byte);
        }
        let answer = client.message().json();
        assert_eq!((&answer["method"], &answer["body"]["bytes"]), (&json!("POST"), &json!(5)), "{answer}");
    });
}

#[test]
fn bodies_go_both_ways_in_either_framing() {
    let origin = Origin::start();
    each_driver(&origin.address, |gateway| {
        let body = "0123456789abcdef".repeat(4096);
        let answer = gateway.connect().ask(format!("POST /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!((answer.field("content-length"), answer.field("transfer-encoding")), (Some("65536"), None));
        assert!(answer.text() == body);
        let chunks = format!("10000\r\n{body}\r\n1\r\n!\r\n0\r\n\r\n");
        let answer = gateway.connect().ask(format!("POST /mirror HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        assert_eq!((answer.field("content-length"), answer.field("transfer-encoding")), (None, Some("chunked")));
        assert!(answer.text().strip_suffix('!') == Some(body.as_str()));
        let answer = gateway.connect().ask("PUT /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!((answer.status(), answer.text()), (200, ""));
    });
}

#[test]
fn trailers_pass_both_ways() {
    let endpoint = Hostile::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Checksum\r\n\r\n2\r\nok\r\n0\r\nChecksum: 1\r\nServer-Timing: a\r\n\r\n",
    );
    each_driver(&endpoint.address, |gateway| {
        let answer = gateway.connect().ask(
            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: Digest\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: 2\r\n\r\n",
        );
        assert_eq!((answer.text(), answer.trailers.as_str()), ("ok", "Checksum: 1\r\nServer-Timing: a\r\n"));
        let seen = endpoint.last();
        assert_eq!((seen.body.as_slice(), seen.trailers.as_str()), (&b"x"[..], "Digest: 2\r\n"));
        assert_eq!(seen.field("te"), Some("trailers"));
    });
}

#[test]
fn answers_without_body_leave_the_connection_usable() {
    let origin = Origin::start();
    each_driver(&origin.address, |gateway| {
        let mut client = gateway.connect();
        client.send("HEAD /size/1000 HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.bodiless();
        assert_eq!((answer.status(), answer.field("content-length")), (200, Some("1000")));
        for status in [204, 304] {
            let answer = client.ask(get(&format!("/status/{status}")));
            assert_eq!((answer.status(), answer.field("transfer-encoding")), (status, None));
        }
        client.send("HEAD /chunked HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.bodiless().status(), 200);
        client.send("HEAD /gateway/health HTTP/1.1\r\nHost: a\r\n\r\n");
        let page = client.bodiless();
        assert!(page.field("content-length").unwrap().parse::<u32>().unwrap() > 0);
        client.send("HEAD /status/404 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.bodiless().status(), 404);
        assert_eq!(client.ask(get("/size/3")).body.len(), 3);
    });
}

#[test]
fn a_length_that_describes_no_body_is_kept() {
    let endpoint = Hostile::answering("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 5000\r\n\r\n");
    each_driver(&endpoint.address, |gateway| {
        let mut client = gateway.connect();
        let answer = client.ask(get("/"));
        assert_eq!((answer.field("content-length"), answer.field("etag")), (Some("5000"), Some("\"1\"")));
        assert_eq!(client.ask(get("/")).status(), 304);
    });
}

#[test]
fn a_request_to_continue_and_its_answer_pass() {
    let endpoint = Hostile::start(|peer| {
        while let Some(head) = peer.head() {
            assert_eq!(head.field("expect"), Some("100-continue"));
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(peer.bytes(5), b"hello");
            peer.send(OK);
        }
    });
    each_driver(&endpoint.address, |gateway| {
        let mut client = gateway.connect();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        for _ in 0..2 {
            assert_eq!(client.ask(head).status(), 100);
            let answer = client.ask("hello");
            assert_eq!((answer.status(), answer.text()), (200, "ok"));
        }
    });
}

#[test]
fn an_expectation_that_is_refused_costs_no_body() {
    let endpoint = Hostile::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        assert_eq!(peer.rest().0, b"", "nothing of the body was sent");
    });
    each_driver(&endpoint.address, |gateway| {
        let mut client = gateway.connect();
        let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!((answer.status(), answer.field("connection")), (417, Some("close")));
        client.assert_closed();
    });
}

#[test]
fn interim_answers_pass_except_to_old_clients() {
    let endpoint = Hostile::answering(format!("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{OK}"));
    each_driver(&endpoint.address, |gateway| {
        let mut client = gateway.connect();
        for _ in 0..2 {
            let hints = client.ask(get("/"));
            assert_eq!((hints.status(), hints.field("link")), (103, Some("</a.css>")));
            assert_eq!((client.message().status(), client.message().status()), (102, 200));
        }
        assert_eq!(gateway.connect().ask("GET / HTTP/1.0\r\n\r\n").status(), 200);
    });
}

#[test]
fn an_answer_that_ends_with_its_connection() {
    let endpoint = Hostile::answering_once(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000)));
    each_driver(&endpoint.address, |gateway| {
        let mut client = gateway.connect();
        for _ in 0..2 {
            let answer = client.ask(get("/"));
            assert_eq!((answer.field("transfer-encoding"), answer.body.len()), (Some("chunked"), 100_000));
        }
        let mut old = gateway.connect();
        let answer = old.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!((answer.field("transfer-encoding"), answer.field("content-length")), (None, None));
        assert_eq!(answer.body.len(), 100_000);
    });
}

#[test]
fn an_answer_is_the_same_however_it_is_split() {
    let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nA: b\r\n\r\n";
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            let (first, second) = whole.split_at(request.target()[1..].parse().unwrap());
            peer.send(first);
            // Long enough for most that the gateway receives twice.
            std::thread::sleep(std::time::Duration::from_millis(2));
            peer.send(second);
        }
    });
    each_driver(&endpoint.address, |gateway| {
        let mut client = gateway.connect();
        for at in 1..whole.len() {
            let answer = client.ask(get(&format!("/{at}")));
            assert_eq!((answer.text(), answer.trailers.as_str()), ("hello!", "A: b\r\n"), "split at {at}");
        }
        assert_eq!(gateway.metric("gateway_upstream_connections_opened_total"), 1.0);
    });
}

#[test]
fn old_clients_get_what_they_understand() {
    let origin = Origin::start();
    each_driver(&origin.address, |gateway| {
        let mut client = gateway.connect();
        assert_eq!(client.ask("GET /size/7 HTTP/1.0\r\n\r\n").body.len(), 7);
        client.assert_closed();
        let mut kept = gateway.connect();
        for _ in 0..3 {
            let answer = kept.ask("GET /size/7 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
            assert_eq!((answer.body.len(), answer.field("connection")), (7, Some("keep-alive")));
        }
        let answer = kept.ask("GET /chunked/size/70000 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!((answer.body.len(), answer.field("transfer-encoding"), answer.field("connection")), (70_000, None, None));
        let old = "GET /gateway/health HTTP/1.0\r\n\r\n";
        assert_eq!(gateway.connect().ask(old).status(), 200);
    });
}

#[test]
fn old_endpoints_are_understood() {
    let endpoint = Hostile::answering("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
    each_driver(&endpoint.address, |gateway| {
        let before = endpoint.connections();
        let mut client = gateway.connect();
        for _ in 0..3 {
            let answer = client.ask(get("/"));
            assert_eq!((answer.start(), answer.text()), ("HTTP/1.1 200 OK", "ok"));
        }
        assert_eq!(endpoint.connections(), before + 1);
    });
}

#[test]
fn an_answer_may_come_before_the_request_is_whole() {
    let endpoint = Hostile::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    each_driver(&endpoint.address, |gateway| {
        for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
            let mut client = gateway.connect();
            let answer = client.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
            assert_eq!((answer.status(), answer.text(), answer.field("connection")), (413, "no", Some("close")));
            client.assert_closed();
        }
        gateway.wait_idle();
    });
}

#[test]
fn an_early_answer_reaches_a_client_that_sends_on() {
    let origin = Origin::start();
    each_driver(&origin.address, |gateway| {
        let mut client = gateway.connect();
        let mut sending = client.split();
        let sender = std::thread::spawn(move || {
            sending.send("POST /early/status/413 HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
            // All but the last byte. The gateway may stop reading at any time.
            let _ = sending.try_send("x".repeat(2_999_999));
        });
        let answer = client.message();
        assert_eq!((answer.status(), answer.field("connection")), (413, Some("close")));
        client.rest();
        sender.join().unwrap();
        gateway.wait_idle();
    });
}

#[test]
fn a_client_may_finish_sending_before_it_reads() {
    let origin = Origin::start();
    each_driver(&origin.address, |gateway| {
        let mut client = gateway.connect();
        client.send(get("/delay/50ms/size/200000")).finish();
        assert_eq!(client.message().body.len(), 200_000);
        client.assert_closed();
        let mut client = gateway.connect();
        client.send("POST /delay/50ms/mirror HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").finish();
        assert_eq!(client.message().text(), "hello");
        client.assert_closed();
    });
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
    let directory = std::env::temp_dir().join(format!("ringway-socket-{}", std::process::id()));
    let path = directory.with_extension("sock");
    let origin = Origin::with(&["--unix", path.to_str().unwrap(), "--name", "file"]);
    each_driver(&origin.address, |gateway| {
        let mut client = gateway.connect();
        for _ in 0..3 {
            let answer = client.ask("POST /mirror HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
            assert_eq!((answer.text(), answer.field("x-endpoint")), ("abc", Some("file")));
        }
        assert_eq!(gateway.metric("gateway_upstream_connections_opened_total"), 1.0);
    });
}

#[test]
fn an_endpoint_may_have_a_name() {
    let origin = Origin::start();
    let port = origin.address.rsplit(':').next().unwrap();
    each_driver(&format!("localhost:{port}"), |gateway| {
        // The name is looked up beside the data path: until that is done, there is no address.
        let answer = crate::harness::until("the name's address", || Some(gateway.get("/size/5")).filter(|answer| answer.status() != 502));
        assert_eq!(answer.body.len(), 5);
    });
    let gateway = Gateway::to("nowhere.invalid:80");
    assert_eq!(gateway.get("/").refusal(), (502, "endpoint_unresolved"));
    gateway.wait_log("nowhere.invalid");
}

#[test]
fn a_tunnel_is_refused() {
    let endpoint = Hostile::answering(OK);
    each_driver(&endpoint.address, |gateway| {
        let mut client = gateway.connect();
        let answer = client.ask("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
        assert_eq!(answer.refusal(), (501, "connect_method_refused"));
        client.assert_closed();
    });
    assert_eq!(endpoint.connections(), 0);
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
