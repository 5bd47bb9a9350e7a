//! Answers that can't be trusted: a 502 with its reason, or a cut where the body has begun, never a message that looks whole.

use serde_json::json;

use crate::harness::{DRIVERS, End, Gateway, Hostile, get};

/// What the endpoint sends before it closes, and the reason.
const HEADS: &[(&[u8], &str)] = &[
    (b"", "upstream_closed_before_head"),
    (b"HTTP/1.1 200 OK\r\nContent-Le", "upstream_closed_before_head"),
    (b"HTTP/1.1 100 Continue\r\n\r\n", "upstream_closed_before_head"),
    (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n", "bad_response_head"),
    (b"\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n", "bad_response_head"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_response_head"),
    (b"HTTP/2.0 200 OK\r\n\r\n", "bad_response_head"),
    (b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "bad_response_head"),
    (b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "bad_response_head"),
    (b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "bad_response_head"),
    (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bad_response_head"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", "bad_response_head"),
    (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", "bad_response_head"),
    (b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n", "bad_response_head"),
    (b"HTTP/1.1 200 OK\r\nA: b\0\r\nContent-Length: 0\r\n\r\n", "bad_response_head"),
    (b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c\r\nContent-Length: 0\r\n\r\n", "bad_response_head"),
    (b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n", "bad_response_head"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_response_framing"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", "bad_response_framing"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad_response_framing"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab", "bad_response_framing"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "bad_response_framing"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "bad_response_framing"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "bad_response_framing"),
    (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_response_framing"),
    (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "unexpected_upgrade"),
];

/// Bodies that break off or go wrong, behind the head of a 200, and the reason that is counted.
const BODIES: &[(&str, &str)] = &[
    ("Content-Length: 10\r\n\r\nhello", "upstream_closed_mid_body"),
    ("Transfer-Encoding: chunked\r\n\r\n", "upstream_closed_mid_body"),
    ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "upstream_closed_mid_body"),
    ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "upstream_closed_mid_body"),
    ("Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "upstream_closed_mid_body"),
    ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n", "bad_response_body"),
    ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", "bad_response_body"),
    ("Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "bad_response_body"),
    ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA : b\r\n\r\n", "bad_response_body"),
];

fn gateway(endpoint: &Hostile, driver: &str) -> Gateway {
    Gateway::with(&endpoint.address, json!({ "runtime": { "driver": driver, "workers": 1 }, "features": { "retries": false } }))
}

/// An endpoint that answers `/n` with the n-th of these and closes.
fn table(answers: Vec<Vec<u8>>) -> Hostile {
    Hostile::start(move |peer| {
        if let Some(request) = peer.request() {
            let index: usize = request.target()[1..].parse().unwrap();
            let _ = peer.try_send(&answers[index]);
        }
    })
}

#[test]
fn each_bad_head_has_its_reason() {
    let endpoint = table(HEADS.iter().map(|(head, _)| head.to_vec()).collect());
    for driver in DRIVERS {
        let gateway = gateway(&endpoint, driver);
        let mut client = gateway.connect();
        for (index, (head, reason)) in HEADS.iter().enumerate() {
            let mut answer = client.ask(get(&format!("/{index}")));
            if answer.status() == 100 {
                answer = client.message();
            }
            assert_eq!(answer.refusal(), (502, *reason), "{}", head.escape_ascii());
            assert!(answer.field("proxy-status").is_some_and(|status| status.contains(reason) && status.ends_with("next-hop=\"up\"")));
            assert_eq!(answer.field("connection"), None, "the client did nothing wrong: its connection stays");
        }
        gateway.wait_idle();
        assert_eq!(gateway.metric("gateway_requests_failed_total"), HEADS.len() as f64);
        endpoint.wait_open(0);
    }
}

#[test]
fn a_body_that_breaks_off_is_cut_never_completed() {
    let endpoint = table(BODIES.iter().map(|(rest, _)| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes()).collect());
    for driver in DRIVERS {
        let gateway = gateway(&endpoint, driver);
        for (index, (rest, reason)) in BODIES.iter().enumerate() {
            let before = gateway.refusals(reason);
            let mut client = gateway.connect();
            client.send(get(&format!("/{index}")));
            let (cut, _) = client.try_message(true).expect_err("a body that breaks off");
            assert_eq!(cut.status(), 200, "{rest:?}");
            assert!(b"hello".starts_with(&cut.body), "{rest:?} came as {cut:?}");
            gateway.wait(&format!("gateway_refusals_total{{reason=\"{reason}\"}}"), before + 1.0);

            // Where the end of the connection is the end of the body, only a reset tells an old client.
            let mut old = gateway.connect();
            old.send(format!("GET /{index} HTTP/1.0\r\n\r\n"));
            let (cut, end) = old.try_message(true).expect_err("a body that breaks off");
            assert!(cut.field("content-length").is_some() || end == End::Reset, "{rest:?} came as {cut:?} {end:?}");
        }
        gateway.wait_idle();
    }
}

#[test]
fn a_reset_mid_body_is_no_end_of_it() {
    let endpoint = Hostile::start(|peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\n\r\nhello");
            // Once the client has the beginning, it says so.
            peer.wait_told();
            peer.reset_on_close();
        }
    });
    for driver in DRIVERS {
        let gateway = gateway(&endpoint, driver);
        let mut client = gateway.connect();
        client.send(get("/"));
        assert!(!client.piece().is_empty());
        endpoint.tell();
        let (rest, end) = client.rest();
        assert!(end == End::Reset || !rest.ends_with(b"0\r\n\r\n"), "{end:?} after {}", rest.escape_ascii());
        gateway.wait("gateway_refusals_total{reason=\"upstream_closed_mid_body\"}", 1.0);
    }
}

#[test]
fn bytes_behind_an_answer_are_no_answer() {
    let extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    for honest in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
    ] {
        let endpoint = Hostile::answering(format!("{honest}{extra}"));
        let gateway = gateway(&endpoint, "auto");
        let mut client = gateway.connect();
        for _ in 0..4 {
            let answer = client.ask(get("/"));
            assert_ne!(answer.body, b"forged");
        }
        assert_eq!(gateway.metric("gateway_upstream_connections_reused_total"), 0.0, "{honest:?}");
    }
}

#[test]
fn bytes_on_a_connection_at_rest_end_it() {
    let endpoint = Hostile::start(|peer| {
        while peer.request().is_some() && peer.try_send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").is_ok() {
            peer.wait_told();
            let _ = peer.try_send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
        }
    });
    let gateway = gateway(&endpoint, "auto");
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), "good");
        gateway.wait("gateway_upstream_connections{state=\"idle\"}", 1.0);
        endpoint.tell();
        gateway.wait("gateway_upstream_connections{state=\"idle\"}", 0.0);
    }
    assert_eq!(endpoint.connections(), 3);
}

#[test]
fn limits_of_an_answer() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            let size: usize = request.target()[1..].parse().unwrap();
            let empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: \r\n\r\n";
            if peer.try_send(empty.replace("A: ", &format!("A: {}", "x".repeat(size - empty.len())))).is_err() {
                return;
            }
        }
    });
    let mut upstream = crate::harness::up(&[&endpoint.address]);
    upstream["keep_alive"] = json!({ "head": "4KiB" });
    let gateway = Gateway::with(&endpoint.address, json!({ "upstreams": [upstream] }));
    assert_eq!(gateway.get("/4096").status(), 200);
    assert_eq!(gateway.get("/4097").refusal(), (502, "response_head_too_large"));
    assert_eq!(gateway.get("/100000").refusal(), (502, "response_head_too_large"));
    let endpoint = Hostile::answering(format!("{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 102 X\r\n\r\n".repeat(17)));
    let gateway = Gateway::to(&endpoint.address);
    let mut client = gateway.connect();
    client.send(get("/"));
    let answers: Vec<u16> = (0..17).map(|_| client.message().status()).collect();
    assert_eq!(answers, [vec![102; 16], vec![502]].concat(), "interim answers without end are refused");
}

#[test]
fn what_is_forwarded_is_framed_anew() {
    let endpoint =
        Hostile::answering("HTTP/1.1 200\r\nContent-Length: 0005\r\nContent-Length: 0005\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\nhello");
    let gateway = gateway(&endpoint, "auto");
    let mut client = gateway.connect();
    let answer = client.ask(
        "\r\nPOST http://other.example/a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\ncontent-length: 3\r\nExpect: 100-continue\r\n\r\nabc",
    );
    assert!(answer.head.starts_with("HTTP/1.1 200 \r\nContent-Length: 5\r\n"), "{}", answer.head);
    assert_eq!(answer.field("x-hop"), None);
    let seen = endpoint.last();
    assert_eq!(seen.start(), "POST /a?b HTTP/1.1");
    assert_eq!((seen.field("host"), seen.field("content-length")), (Some("other.example"), Some("3")));

    let chunks = "00005;name=value\r\nhello\r\n1 \r\n".replace("1 ", "1;");
    client.ask(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n{chunks}!\r\n000\r\n\r\n"));
    let seen = endpoint.last();
    assert_eq!((seen.field("transfer-encoding"), seen.body.as_slice()), (Some("chunked"), &b"hello!"[..]));
}
