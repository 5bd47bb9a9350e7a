//! Responses: what their heads say, how they are framed, and which are refused.

use super::*;
use crate::http::{Known, Version};

fn accepted(bytes: &[u8], method: Method) -> ResponseHead {
    match response(bytes, method, &Limits::default()) {
        Ok(Some(head)) => head,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

#[test]
fn all_parts_of_a_head_are_found() {
    let bytes = b"HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 2\r\nKeep-Alive: 5\r\n\r\nno";
    let head = accepted(bytes, Method::Get);
    assert_eq!((head.length, head.status, head.version), (bytes.len() - 2, 404, Version::Http11));
    assert_eq!(head.phrase.of(bytes), b"Not Found");
    assert_eq!(head.framing, Framing::Length(2));
    assert!(head.connection.keep_alive && !head.connection.upgrade);
    assert_eq!(head.fields.len(), 3);
    assert_eq!(head.known(bytes, Known::Server), Some(&b"x"[..]));
    assert_eq!(head.fields.iter().map(|field| field.hop).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn phrases() {
    for (line, phrase) in [
        ("HTTP/1.1 200 OK", &b"OK"[..]),
        ("HTTP/1.1 200 ", b""),
        ("HTTP/1.1 200", b""),
        ("HTTP/1.0 299 a  b\tc ", b"a  b\tc "),
        ("HTTP/1.1 999 \u{e9}t\u{e9}", "\u{e9}t\u{e9}".as_bytes()),
    ] {
        let bytes = format!("{line}\r\nContent-Length: 0\r\n\r\n").into_bytes();
        assert_eq!(accepted(&bytes, Method::Get).phrase.of(&bytes), phrase, "{line}");
    }
}

#[test]
fn framing() {
    use Framing::{Chunked, Length, None, UntilClose};
    use Method::{Connect, Get, Head};
    for (method, status, headers, framing, keep_alive) in [
        (Get, "200", "", UntilClose, false),
        (Get, "200", "Connection: keep-alive\r\n", UntilClose, false),
        (Get, "200", "Content-Length: 0\r\n", Length(0), true),
        (Get, "200", "Content-Length: 12\r\nContent-Length: 12\r\n", Length(12), true),
        (Get, "200", "Content-Length: 0000012\r\n", Length(12), true),
        (Get, "200", "Content-Length: 12\r\nConnection: close\r\n", Length(12), false),
        (Get, "200", "Transfer-Encoding: Chunked\r\n", Chunked, true),
        (Get, "205", "Content-Length: 3\r\n", Length(3), true),
        (Get, "500", "Transfer-Encoding: chunked\r\n", Chunked, true),
        (Head, "200", "", None, true),
        (Head, "200", "Content-Length: 12\r\n", None, true),
        (Head, "404", "Transfer-Encoding: chunked\r\n", None, true),
        (Get, "304", "Content-Length: 12\r\n", None, true),
        (Get, "304", "Transfer-Encoding: chunked\r\n", None, true),
        (Get, "204", "", None, true),
        (Get, "204", "Content-Length: 0\r\n", None, true),
        (Get, "204", "Content-Length: 1\r\n", None, false),
        (Get, "204", "Transfer-Encoding: chunked\r\n", None, false),
        (Get, "100", "", None, true),
        (Get, "103", "Link: </a>\r\n", None, true),
        (Head, "100", "Content-Length: 1\r\n", None, false),
        (Connect, "200", "Content-Length: 12\r\n", None, false),
        (Connect, "299", "Transfer-Encoding: chunked\r\n", None, false),
        (Connect, "400", "Content-Length: 12\r\n", Length(12), true),
    ] {
        let bytes = format!("HTTP/1.1 {status} X\r\n{headers}\r\n").into_bytes();
        let head = accepted(&bytes, method);
        assert_eq!((head.framing, head.connection.keep_alive), (framing, keep_alive), "{method:?} {status} {headers}");
    }
}

#[test]
fn old_servers() {
    for (headers, framing, keep_alive) in [
        ("", Framing::UntilClose, false),
        ("Content-Length: 1\r\n", Framing::Length(1), false),
        ("Content-Length: 1\r\nConnection: keep-alive\r\n", Framing::Length(1), true),
        ("Connection: keep-alive\r\n", Framing::UntilClose, false),
    ] {
        let head = accepted(format!("HTTP/1.0 200 OK\r\n{headers}\r\n").as_bytes(), Method::Get);
        assert_eq!((head.version, head.framing, head.connection.keep_alive), (Version::Http10, framing, keep_alive));
    }
}

#[test]
fn switching_protocols() {
    for (status, headers, upgrade) in [
        ("101", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true),
        ("101", "Connection: Upgrade\r\n", false),
        ("101", "Upgrade: websocket\r\n", false),
        ("200", "Connection: Upgrade\r\nUpgrade: h2\r\nContent-Length: 0\r\n", false),
        ("426", "Connection: Upgrade\r\nUpgrade: h2\r\nContent-Length: 0\r\n", false),
    ] {
        let head = accepted(format!("HTTP/1.1 {status} X\r\n{headers}\r\n").as_bytes(), Method::Get);
        assert_eq!(head.connection.upgrade, upgrade, "{status} {headers}");
        assert_eq!(head.connection.keep_alive, status != "101");
    }
}

#[test]
fn a_length_where_none_may_be_is_not_forwarded() {
    for (status, expected) in [("204", true), ("101", true), ("304", false), ("200", false)] {
        let head = accepted(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes(), Method::Get);
        assert_eq!(head.fields[0].hop, expected, "{status}");
    }
}

#[test]
fn refused_framing() {
    for headers in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 1 2\r\n",
        "Content-Length: 9999999999999999999\r\n",
    ] {
        for method in [Method::Get, Method::Head] {
            for status in [200, 204, 304] {
                let bytes = format!("HTTP/1.1 {status} X\r\n{headers}\r\n");
                assert_eq!(response(bytes.as_bytes(), method, &Limits::default()), Err(Reason::BadResponseFraming), "{bytes}");
            }
        }
    }
    let old = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(response(old, Method::Get, &Limits::default()), Err(Reason::BadResponseFraming));
}

#[test]
fn refused_heads() {
    for bytes in [
        &b"\r\nHTTP/1.1 200 OK\r\n\r\n"[..],
        b"\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\r\n",
        b"HTTP/1.1 200 OK\r\n\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n\n",
        b"HTTP/1.1 200\n\r\n",
        b"HTTP/1.1 200 OK\r\r\n\r\n",
        b"HTTP/1.1 200 O\rK\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 200 O\x7fK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1\t200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n",
    ] {
        assert_eq!(response(bytes, Method::Get, &Limits::default()), Err(Reason::BadResponseHead), "{}", bytes.escape_ascii());
    }
    let many = format!("HTTP/1.1 200 OK\r\nConnection: {}\r\n\r\n", "a,".repeat(40));
    assert_eq!(response(many.as_bytes(), Method::Get, &Limits::default()), Err(Reason::BadResponseHead));
}

#[test]
fn limits_hold_for_whole_and_for_partial_heads() {
    let limits = Limits { head: 100, headers: 3, ..Limits::default() };
    let head = |padding: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(padding));
    let fits = 100 - head(0).len();
    assert!(matches!(response(head(fits).as_bytes(), Method::Get, &limits), Ok(Some(_))));
    assert_eq!(response(head(fits + 1).as_bytes(), Method::Get, &limits), Err(Reason::ResponseHeadTooLarge));
    assert_eq!(response(&head(500).as_bytes()[..100], Method::Get, &limits), Err(Reason::ResponseHeadTooLarge));
    assert_eq!(response(&head(500).as_bytes()[..99], Method::Get, &limits), Ok(None));
    let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(matches!(response(fields(3).as_bytes(), Method::Get, &limits), Ok(Some(_))));
    assert_eq!(response(fields(4).as_bytes(), Method::Get, &limits), Err(Reason::ResponseHeadTooLarge));
    let limits = Limits { headers: 200, ..Limits::default() };
    for (count, ok) in [(129, true), (200, true), (201, false)] {
        let parsed = parse_response(fields(count).as_bytes(), Method::Get, &limits, &mut ResponseHead::default());
        assert_eq!(parsed, if ok { Ok(true) } else { Err(Reason::ResponseHeadTooLarge) });
    }
}
