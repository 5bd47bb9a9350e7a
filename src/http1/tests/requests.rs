//! Requests that are served, and what their heads say.

use super::*;
use crate::http::{Known, Version};

fn accepted(bytes: &[u8]) -> RequestHead {
    match request(bytes, &Limits::default()) {
        Ok(Some(head)) => head,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

/// Names of the fields that are not forwarded.
fn dropped(bytes: &[u8]) -> Vec<String> {
    let head = accepted(bytes);
    let hops = head.fields.iter().filter(|field| field.hop);
    hops.map(|field| String::from_utf8(field.name.of(bytes).to_vec()).unwrap()).collect()
}

#[test]
fn all_parts_of_a_head_are_found() {
    let bytes = b"POST /a%20b/c?x=1&y=? HTTP/1.1\r\nHost: example.com:8080\r\nX-Empty:\r\nX-Space: \t two words \t\r\nContent-Length: 5\r\n\r\nhello";
    let head = accepted(bytes);
    assert_eq!(head.length, bytes.len() - 5);
    assert_eq!((head.method, head.method_name.of(bytes)), (Method::Post, &b"POST"[..]));
    assert_eq!(head.target.of(bytes), b"/a%20b/c?x=1&y=?");
    assert_eq!(head.path.of(bytes), b"/a%20b/c");
    assert_eq!((head.has_query, head.query.of(bytes)), (true, &b"x=1&y=?"[..]));
    assert_eq!(head.host.of(bytes), b"example.com:8080");
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.framing, Framing::Length(5));
    assert!(head.connection.keep_alive && !head.connection.upgrade);
    assert!(!head.expect_continue && !head.te_trailers);
    assert_eq!(head.fields.len(), 4);
    assert_eq!(head.known(bytes, Known::ContentLength), Some(&b"5"[..]));
    assert_eq!(head.header(bytes, "x-empty"), Some(&b""[..]));
    assert_eq!(head.header(bytes, "x-space"), Some(&b"two words"[..]));
    assert_eq!(head.header(bytes, "x-none"), None);
}

#[test]
fn a_head_is_reused_without_traces() {
    let mut head = RequestHead::default();
    let limits = Limits::default();
    let full = b"OPTIONS http://h/p?q HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nExpect: 100-continue\r\nConnection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(parse_request(full, &limits, &mut head), Ok(true));
    let plain = b"GET / HTTP/1.0\r\n\r\n";
    assert_eq!(parse_request(plain, &limits, &mut head), Ok(true));
    let mut fresh = RequestHead::default();
    assert_eq!(parse_request(plain, &limits, &mut fresh), Ok(true));
    assert_eq!(head, fresh);
}

#[test]
fn parsing_again_does_not_allocate_fields() {
    let mut head = RequestHead::default();
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n";
    parse_request(bytes, &Limits::default(), &mut head).unwrap();
    let (memory, capacity) = (head.fields.as_ptr(), head.fields.capacity());
    for _ in 0..10 {
        parse_request(bytes, &Limits::default(), &mut head).unwrap();
        assert_eq!((head.fields.as_ptr(), head.fields.capacity()), (memory, capacity));
    }
}

#[test]
fn targets_in_all_forms() {
    for (line, path, query, host) in [
        ("GET /", "/", None, "h"),
        ("GET /?", "/", Some(""), "h"),
        ("GET /a?b?c", "/a", Some("b?c"), "h"),
        ("GET //a/../b", "//a/../b", None, "h"),
        ("GET /a:b@c;d=e,f|g{h}\\\"", "/a:b@c;d=e,f|g{h}\\\"", None, "h"),
        ("OPTIONS *", "*", None, "h"),
        ("OPTIONS /a", "/a", None, "h"),
        ("GET http://x.org/a?b", "/a", Some("b"), "x.org"),
        ("GET HTTP://x.org:80/", "/", None, "x.org:80"),
        ("GET https://x.org", "/", None, "x.org"),
        ("GET http://x.org?b", "/", Some("b"), "x.org"),
        ("GET http://x.org/?", "/", Some(""), "x.org"),
        ("GET hTTps://[::1]:8/x", "/x", None, "[::1]:8"),
        ("GET http://1.2.3.4//", "//", None, "1.2.3.4"),
    ] {
        let bytes = format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
        let head = accepted(&bytes);
        assert_eq!(head.path.of(&bytes), path.as_bytes(), "{line}");
        assert_eq!(head.has_query.then(|| head.query.of(&bytes)), query.map(str::as_bytes), "{line}");
        assert_eq!(head.host.of(&bytes), host.as_bytes(), "{line}");
    }
}

#[test]
fn hosts() {
    for host in ["h", "a-b_c.d~e", "127.0.0.1", "EXAMPLE.com.", "h:0", "h:65535", "[::1]", "[2001:db8::1]:443", "1"] {
        let bytes = format!("GET / HTTP/1.1\r\nhOST:{host}\r\n\r\n").into_bytes();
        assert_eq!(accepted(&bytes).host.of(&bytes), host.as_bytes());
    }
    let bytes = b"GET / HTTP/1.0\r\n\r\n";
    assert!(accepted(bytes).host.is_empty());
    let bytes = b"GET http://a/ HTTP/1.0\r\n\r\n";
    assert_eq!(accepted(bytes).host.of(bytes), b"a");
}

#[test]
fn methods() {
    for (name, method) in [("GET", Method::Get), ("get", Method::Other), ("PURGE", Method::Other), ("M-SEARCH", Method::Other)] {
        let bytes = format!("{name} / HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
        let head = accepted(&bytes);
        assert_eq!((head.method, head.method_name.of(&bytes)), (method, name.as_bytes()));
    }
    for method in [Method::Head, Method::Post, Method::Put, Method::Delete, Method::Options, Method::Patch, Method::Trace] {
        assert_eq!(accepted(format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", method.as_str()).as_bytes()).method, method);
    }
}

#[test]
fn empty_lines_before_a_request() {
    for lines in ["", "\r\n", "\r\n\r\n"] {
        let bytes = format!("{lines}GET /p HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
        let head = accepted(&bytes);
        assert_eq!(head.length, bytes.len());
        assert_eq!(head.path.of(&bytes), b"/p");
        assert_eq!(head.host.of(&bytes), b"h");
    }
    for part in ["", "\r", "\r\n", "\r\n\r", "\r\n\r\n", "\r\n\r\nG"] {
        assert_eq!(request(part.as_bytes(), &Limits::default()), Ok(None));
    }
}

#[test]
fn framing() {
    for (version, headers, framing) in [
        ("1.1", "", Framing::None),
        ("1.1", "Content-Length: 0\r\n", Framing::Length(0)),
        ("1.0", "Content-Length: 7\r\n", Framing::Length(7)),
        ("1.1", "content-length:7\r\nCONTENT-LENGTH: \t7\t\r\n", Framing::Length(7)),
        ("1.1", "Content-Length: 999999999999999999\r\n", Framing::Length(999_999_999_999_999_999)),
        ("1.1", "Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("1.1", "transfer-ENCODING:\t CHUNKED \r\n", Framing::Chunked),
        ("1.1", "X-Transfer-Encoding: gzip\r\nTransfer-Encodin: x\r\nContent-Lengths: x\r\n", Framing::None),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: h\r\n{headers}\r\n").into_bytes();
        assert_eq!(accepted(&bytes).framing, framing, "{headers}");
    }
}

#[test]
fn a_repeated_length_is_forwarded_once() {
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
    let hops: Vec<bool> = accepted(bytes).fields.iter().map(|field| field.hop).collect();
    assert_eq!(hops, [false, false, true, true]);
}

#[test]
fn connection_options() {
    for (version, headers, keep_alive, upgrade) in [
        ("1.1", "", true, false),
        ("1.1", "Connection: close\r\n", false, false),
        ("1.1", "Connection: CLOSE\r\n", false, false),
        ("1.1", "Connection: keep-alive\r\n", true, false),
        ("1.1", "Connection: keep-alive, close\r\n", false, false),
        ("1.1", "Connection: close\r\nConnection: keep-alive\r\n", false, false),
        ("1.1", "Connection: , ,close,\r\n", false, false),
        ("1.1", "Connection: closed\r\n", true, false),
        ("1.1", "Connection: close;x\r\n", true, false),
        ("1.1", "Connection:\r\n", true, false),
        ("1.0", "", false, false),
        ("1.0", "Connection: Keep-Alive\r\n", true, false),
        ("1.0", "Connection: foo, keep-alive\r\n", true, false),
        ("1.0", "Connection: keep-alive, close\r\n", false, false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false, false),
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true, true),
        ("1.1", "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n", true, true),
        ("1.1", "Upgrade: websocket\r\n", true, false),
        ("1.1", "Connection: upgrade\r\n", true, false),
        ("1.1", "Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", true, false),
        ("1.1", "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n", true, false),
        ("1.1", "Connection: upgrade\r\nUpgrade:\r\n", true, false),
        ("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", false, false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: h\r\n{headers}\r\n").into_bytes();
        let connection = accepted(&bytes).connection;
        assert_eq!((connection.keep_alive, connection.upgrade), (keep_alive, upgrade), "{version} {headers}");
    }
}

#[test]
fn fields_of_one_connection_are_marked() {
    for (headers, expected) in [
        ("A: b\r\nTrailer: x\r\nCookie: c\r\n", vec![]),
        ("Connection: close\r\nKeep-Alive: 5\r\n", vec!["Connection", "Keep-Alive"]),
        ("TE: trailers\r\nUpgrade: h2c\r\n", vec!["TE", "Upgrade"]),
        ("Proxy-Connection: x\r\nProxy-Authorization: x\r\n", vec!["Proxy-Connection", "Proxy-Authorization"]),
        ("Transfer-Encoding: chunked\r\nA: b\r\n", vec!["Transfer-Encoding"]),
        ("Connection: x-a, X-b\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n", vec!["Connection", "X-A", "X-B"]),
        ("X-A: 1\r\nX-A: 1\r\nConnection: keep-alive,x-a,close\r\n", vec!["X-A", "X-A", "Connection"]),
        ("HTTP2-Settings: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", vec!["HTTP2-Settings", "Connection", "Upgrade"]),
        ("Connection: a\r\nConnection: b\r\nA: 1\r\nB: 1\r\n", vec!["Connection", "Connection", "A", "B"]),
        ("Connection: cookie, authorization\r\nCookie: a\r\nAuthorization: b\r\n", vec!["Connection", "Cookie", "Authorization"]),
        ("Connection: host, content-length, expect\r\nContent-Length: 0\r\n", vec!["Connection"]),
        ("Connection: X-Forwarded-For, via, x-real-ip, forwarded\r\nX-Forwarded-For: a\r\nVia: b\r\n", vec!["Connection"]),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n").into_bytes();
        assert_eq!(dropped(&bytes), expected, "{headers}");
    }
}

#[test]
fn expectations_and_trailers() {
    for (version, headers, expects, trailers) in [
        ("1.1", "Expect: 100-continue\r\n", true, false),
        ("1.1", "expect:100-Continue\r\n", true, false),
        ("1.0", "Expect: 100-continue\r\n", false, false),
        ("1.1", "TE: trailers\r\n", false, true),
        ("1.1", "TE: gzip;q=0.5, Trailers\r\n", false, true),
        ("1.1", "TE: gzip\r\nTE: trailers\r\n", false, true),
        ("1.1", "TE: trailersx\r\n", false, false),
        ("1.1", "TE:\r\n", false, false),
    ] {
        let bytes = format!("POST / HTTP/{version}\r\nHost: h\r\n{headers}\r\n").into_bytes();
        let head = accepted(&bytes);
        assert_eq!((head.expect_continue, head.te_trailers), (expects, trailers), "{version} {headers}");
    }
}

#[test]
fn values_may_hold_what_the_grammar_allows() {
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nX: \x80\xff a\tb~!\"\\\r\n!#$%&'*+-.^_`|~0aZ: y\r\n\r\n";
    let head = accepted(bytes);
    assert_eq!(head.header(bytes, "x"), Some(&b"\x80\xff a\tb~!\"\\"[..]));
    assert_eq!(head.header(bytes, "!#$%&'*+-.^_`|~0Az"), Some(&b"y"[..]));
}

#[test]
fn more_headers_than_the_stack_holds() {
    let limits = Limits { headers: 1000, ..Limits::default() };
    for count in [127usize, 128, 129, 300, 999] {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: h\r\n".to_vec();
        (1..count).for_each(|n| bytes.extend_from_slice(format!("X-{n}: {n}\r\n").as_bytes()));
        assert_eq!(parse_request(&bytes, &limits, &mut RequestHead::default()), Ok(false));
        bytes.extend_from_slice(b"\r\n");
        let mut head = RequestHead::default();
        assert_eq!(parse_request(&bytes, &limits, &mut head), Ok(true));
        assert_eq!(head.fields.len(), count);
    }
}
