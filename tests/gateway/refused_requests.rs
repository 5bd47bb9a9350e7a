//! Requests that are refused: each with its exact status and reason, none with a trace at the endpoint.

use serde_json::json;

use crate::harness::{DRIVERS, Gateway, Hostile, Wire, get};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What is sent, and the answer's status and reason.
const HEADS: &[(&[u8], u16, &str)] = &[
    // Request lines.
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    (b"GET /\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_method"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "tls_to_plain_http"),
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET /# HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "bad_version"),
    (b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", 505, "bad_version"),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501, "connect_method_refused"),
    // Lines and names.
    (b"GET / HTTP/1.1\nHost: a\n\n", 400, "bare_lf"),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare_lf"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare_lf"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n", 400, "bare_cr"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400, "obs_fold"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400, "obs_fold"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400, "space_before_colon"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400, "space_before_colon"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", 400, "bad_header_name"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, "bad_header_name"),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "bad_header_name"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n", 400, "control_byte"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nA\0: b\r\n\r\n", 400, "control_byte"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, "control_byte"),
    // Host.
    (b"GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
    (b"GET http://a/ HTTP/1.1\r\n\r\n", 400, "missing_host"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "repeated_host"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400, "repeated_host"),
    (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_host"),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "bad_host"),
    // Framing: what two parsers may read in two ways.
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, BOTH),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, BOTH),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: xchunked\r\n\r\n", 400, BOTH),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        BOTH,
    ),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, "differing_content_lengths"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400, "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400, "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 400, "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\nhello", 400, "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello", 400, "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400, "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501, "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501, "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "repeated_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400, "repeated_transfer_coding"),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400,
        "repeated_transfer_coding",
    ),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding_in_http_1_0"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 0\r\n\r\n", 417, "bad_expectation"),
];
const BOTH: &str = "content_length_with_transfer_encoding";

/// The gateway answers in full, says that the connection ends, and ends it.
#[track_caller]
fn assert_refused(mut client: Wire, status: u16, reason: &str) {
    let answer = client.message();
    assert_eq!(answer.refusal(), (status, reason));
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(answer.field("x-request-id").is_some_and(|id| id.len() == 32));
    client.assert_closed();
}

#[test]
fn each_bad_head_has_its_reason() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let gateway = Gateway::with(&endpoint.address, json!({ "runtime": { "driver": driver } }));
        for &(request, status, reason) in HEADS {
            let mut client = gateway.connect();
            client.send(request).finish();
            let answer = client.message();
            assert_eq!(answer.refusal(), (status, reason), "{}", request.escape_ascii());
            assert_eq!(answer.field("connection"), Some("close"), "{}", request.escape_ascii());
            client.assert_closed();
        }
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0, "what clients do wrong is no failure of the gateway");
        assert_eq!(gateway.refusals("missing_host"), 2.0);
        assert_eq!(gateway.get("/").status(), 200);
    }
    assert_eq!(endpoint.connections(), DRIVERS.len(), "nothing but the good requests has reached the endpoint");
    assert_eq!(endpoint.seen().len(), DRIVERS.len());
}

#[test]
fn what_follows_a_refused_request_is_never_a_request() {
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::to(&endpoint.address);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\n",
        "GET /first HTTP/1.1\r\nHost: a\r\nA: b\n\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(format!("{head}{smuggled}{smuggled}"));
        assert!(client.message().status() >= 400);
        client.assert_closed();
    }
    assert_eq!(endpoint.seen().len(), 0);
}

#[test]
fn a_body_stays_a_body() {
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::to(&endpoint.address);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = gateway.connect();
    client.send(format!("GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}{}", smuggled.len(), get("/2")));
    assert_eq!((client.message().status(), client.message().status()), (200, 200));
    let chunked = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    client.send(format!("DELETE /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}{}", get("/4")));
    assert_eq!((client.message().status(), client.message().status()), (200, 200));
    let seen: Vec<String> = endpoint.seen().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(seen, ["/1", "/2", "/3", "/4"]);
}

#[test]
fn bad_chunks_end_the_request_on_both_sides() {
    for (body, status, reason) in [
        ("zz\r\nhello\r\n0\r\n\r\n", 400, "bad_chunk_size"),
        ("-5\r\nhello\r\n0\r\n\r\n", 400, "bad_chunk_size"),
        ("0x5\r\nhello\r\n0\r\n\r\n", 400, "bad_chunk_size"),
        ("\r\nhello\r\n0\r\n\r\n", 400, "bad_chunk_size"),
        ("10000000000000000\r\nhello", 400, "bad_chunk_size"),
        ("5\nhello\r\n0\r\n\r\n", 400, "bare_lf"),
        ("5\rXhello\r\n0\r\n\r\n", 400, "bare_cr"),
        ("5\r\nhelloo\r\n0\r\n\r\n", 400, "bad_chunk_end"),
        ("5\r\nhello\n0\r\n\r\n", 400, "bad_chunk_end"),
        ("5;a=\0\r\nhello\r\n0\r\n\r\n", 400, "control_byte"),
        ("5;a\nb\r\nhello\r\n0\r\n\r\n", 400, "bare_lf"),
        ("0\r\nA : b\r\n\r\n", 400, "bad_trailer"),
        ("0\r\nContent-Length: 5\r\n\r\n", 400, "bad_trailer"),
        ("0\r\n A: b\r\n\r\n", 400, "bad_trailer"),
    ] {
        let endpoint = Hostile::start(|peer| {
            // The request must not end well.
            let request = peer.request();
            assert!(request.is_none_or(|request| request.target() != "/bad"), "a whole request reached the endpoint");
            let _ = peer.try_send(OK);
        });
        let gateway = Gateway::to(&endpoint.address);
        let mut client = gateway.connect();
        client.send(format!("POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        let answer = client.message();
        assert_eq!(answer.refusal(), (status, reason), "{body:?}");
        client.assert_closed();
        endpoint.wait_open(0);
        assert!(endpoint.seen().is_empty(), "{body:?}");
        assert_eq!(gateway.get("/good").status(), 200);
    }
}

#[test]
fn limits_of_a_head() {
    let endpoint = Hostile::answering(OK);
    let limits = json!({ "limits": { "head": "2KiB", "headers": 10, "uri": "256B" } });
    let gateway = Gateway::with(&endpoint.address, limits);
    let ask = |request: String| {
        let mut client = gateway.connect();
        client.send(request);
        client
    };
    let uri = |length: usize| get(&format!("/{}", "x".repeat(length - 1)));
    assert_eq!(ask(uri(256)).message().status(), 200);
    assert_refused(ask(uri(257)), 414, "uri_too_long");
    let head = |length: usize| {
        let empty = "GET / HTTP/1.1\r\nHost: a\r\nA: \r\n\r\n";
        empty.replace("A: ", &format!("A: {}", "x".repeat(length - empty.len())))
    };
    assert_eq!(ask(head(2048)).message().status(), 200);
    assert_refused(ask(head(2049)), 431, "head_too_large");
    let headers = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert_eq!(ask(headers(10)).message().status(), 200);
    assert_refused(ask(headers(11)), 431, "too_many_headers");
    // A line that never ends is refused long before it has been sent.
    assert_refused(ask("x".repeat(3000)), 431, "head_too_large");
}

#[test]
fn limits_of_a_body() {
    let endpoint = Hostile::start(|peer| while peer.request().is_some() && peer.try_send(OK).is_ok() {});
    let limits = json!({ "limits": { "body": "100B", "chunk_extension": "10B", "trailers": "20B" } });
    let gateway = Gateway::with(&endpoint.address, limits);
    let counted = |length: usize| {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length)));
        client
    };
    assert_eq!(counted(100).message().status(), 200);
    // One that is there already is skipped, and the connection stays.
    let mut whole = counted(101);
    assert_eq!(whole.message().refusal(), (413, "body_too_large"));
    assert_eq!(whole.ask(get("/")).status(), 200);
    let mut waiting = gateway.connect();
    waiting.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n");
    assert_refused(waiting, 413, "body_too_large");
    let chunked = |body: &str| {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        client
    };
    let chunks = |count: usize| format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(count));
    assert_eq!(chunked(&chunks(100)).message().status(), 200);
    assert_refused(chunked(&chunks(101)), 413, "body_too_large");
    assert_eq!(chunked("1;a=1234567\r\nx\r\n0\r\n\r\n").message().status(), 200);
    assert_refused(chunked("1;a=12345678\r\nx\r\n0\r\n\r\n"), 400, "chunk_extension_too_long");
    assert_eq!(chunked("0\r\nA: 123456789012345\r\n\r\n").message().status(), 200);
    assert_refused(chunked("0\r\nA: 1234567890123456\r\n\r\n"), 431, "trailers_too_large");
}

#[test]
fn a_connection_serves_so_many_requests() {
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::with(&endpoint.address, json!({ "limits": { "requests_per_connection": 3 } }));
    let mut client = gateway.connect();
    let mut ask = || client.ask(get("/")).field("connection").map(str::to_owned);
    assert_eq!((ask(), ask(), ask()), (None, None, Some("close".into())));
    client.assert_closed();
}
