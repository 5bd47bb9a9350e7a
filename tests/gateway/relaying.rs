//! Ordinary messages, one by one: framing both ways, trailers, interim and early answers, old clients and endpoints.

use crate::harness::{Hostile, Origin, each_driver, get};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

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
        assert_eq!((&answer["method"], &answer["body"]["bytes"]), (&"POST".into(), &5.into()), "{answer}");
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
