//! What is translated is parsed as the same by `http1`, or it is refused.

use ::http::request::Parts;
use ::http::{HeaderMap, Method, Request};
use proptest::prelude::*;

use super::*;
use crate::clock::Instant;
use crate::error::Reason;
use crate::http::{self, Framing, Known, RequestHead, ResponseHead};
use crate::http1::{Limits, parse_request, parse_response};

fn parts(method: &str, uri: &str, fields: &[(&str, &[u8])]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, ::http::HeaderValue::from_bytes(value).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

fn written(parts: &Parts, ended: bool) -> Result<(String, Body), Reason> {
    let mut out = Vec::new();
    let body = write_request(&mut out, parts, ended.then_some(0), None)?;
    Ok((String::from_utf8_lossy(&out).into_owned(), body))
}

#[test]
fn a_request_is_said_in_http_1_1() {
    let fields: &[(&str, &[u8])] = &[
        ("accept", b"*/*"),
        ("cookie", b"a=1"),
        ("te", b"trailers"),
        ("x-a", b"1"),
        ("x-a", b""),
        ("cookie", b"b=2"),
        ("host", b"A.example:80"),
    ];
    let (text, body) = written(&parts("GET", "https://a.example:80/p?q=1", fields), true).unwrap();
    assert_eq!(
        text,
        "GET /p?q=1 HTTP/1.1\r\nHost: a.example:80\r\naccept: */*\r\nx-a: 1\r\nx-a: \r\nte: trailers\r\ncookie: a=1; b=2\r\n\r\n"
    );
    assert_eq!(body, Body::None);
    let (text, body) = written(&parts("POST", "http://a/", &[]), false).unwrap();
    assert_eq!((text.as_str(), body), ("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n", Body::Chunked));
    let (text, body) = written(&parts("PUT", "http://a/", &[("content-length", b"007")]), false).unwrap();
    assert_eq!((text.as_str(), body), ("PUT / HTTP/1.1\r\nHost: a\r\ncontent-length: 7\r\n\r\n", Body::Length(7)));
    let mut out = Vec::new();
    assert_eq!(write_request(&mut out, &parts("POST", "http://a/", &[]), Some(5), None), Ok(Body::Length(5)));
    assert!(out.ends_with(b"content-length: 5\r\n\r\n"));
    assert_eq!(write_request(&mut out, &parts("POST", "http://a/", &[("content-length", b"4")]), Some(5), None), Err(Reason::BadLength));
    let (text, _) = written(&parts("GET", "/", &[("host", b"a")]), true).unwrap();
    assert_eq!(text, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (text, _) = written(&parts("DELETE", "http://a/", &[("content-length", b"0")]), true).unwrap();
    assert!(text.ends_with("content-length: 0\r\n\r\n"));
}

#[test]
fn an_extended_connect_is_an_upgrade() {
    let asked = parts("CONNECT", "http://a/chat", &[("sec-websocket-version", b"13"), ("sec-websocket-key", b"mine"), ("te", b"trailers")]);
    let switch = |protocol| Switch { protocol, nonce: *b"0123456789abcdef" };
    let mut out = Vec::new();
    assert_eq!(write_request(&mut out, &asked, None, Some(&switch("websocket"))), Ok(Body::Switched));
    let text = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\
                sec-websocket-version: 13\r\nte: trailers\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), text);
    let mut parsed = RequestHead::default();
    assert!(parse_request(text.as_bytes(), &Limits::default(), &mut parsed).unwrap() && parsed.connection.upgrade);
    let refused = |parts: &Parts, protocol| write_request(&mut Vec::new(), parts, None, Some(&switch(protocol))).unwrap_err();
    assert_eq!(refused(&asked, "web socket"), Reason::BadHeaderValue);
    assert_eq!(refused(&parts("GET", "http://a/", &[]), "websocket"), Reason::ConnectRefused);
    assert_eq!(refused(&parts("CONNECT", "http://a/", &[("content-length", b"5")]), "websocket"), Reason::BadLength);
}

#[test]
fn what_has_no_meaning_or_two_is_refused() {
    let url = "http://a/";
    let cases: &[(Parts, bool, Reason)] = &[
        (parts("CONNECT", "a:443", &[]), true, Reason::ConnectRefused),
        (parts("GET", "ftp://a/", &[]), true, Reason::BadTarget),
        (parts("GET", url, &[("host", b"b")]), true, Reason::AuthorityDiffers),
        (parts("GET", url, &[("host", b"a"), ("host", b"a")]), true, Reason::RepeatedHost),
        (parts("GET", url, &[("connection", b"close")]), true, Reason::ConnectionField),
        (parts("GET", url, &[("transfer-encoding", b"chunked")]), false, Reason::ConnectionField),
        (parts("GET", url, &[("upgrade", b"websocket")]), true, Reason::ConnectionField),
        (parts("GET", url, &[("keep-alive", b"1")]), true, Reason::ConnectionField),
        (parts("GET", url, &[("proxy-connection", b"close")]), true, Reason::ConnectionField),
        (parts("GET", url, &[("te", b"gzip")]), true, Reason::ConnectionField),
        (parts("GET", url, &[("x", b" a")]), true, Reason::BadHeaderValue),
        (parts("GET", url, &[("x", b"a\t")]), true, Reason::BadHeaderValue),
        (parts("POST", url, &[("content-length", b"1"), ("content-length", b"1")]), false, Reason::DifferingLengths),
        (parts("POST", url, &[("content-length", b"+1")]), false, Reason::BadLength),
        (parts("POST", url, &[("content-length", b"")]), false, Reason::BadLength),
        (parts("POST", url, &[("content-length", b"1234567890123456789")]), false, Reason::BadLength),
        (parts("POST", url, &[("content-length", b"1")]), true, Reason::BadLength),
    ];
    for (parts, ended, reason) in cases {
        assert_eq!(written(parts, *ended).unwrap_err(), *reason, "{parts:?}");
    }
    let mut nameless = parts("GET", url, &[]);
    nameless.uri = "/".parse().unwrap();
    assert_eq!(written(&nameless, true).unwrap_err(), Reason::MissingHost);
    let mut anything = parts("OPTIONS", url, &[]);
    let mut uri = anything.uri.clone().into_parts();
    uri.path_and_query = Some("*".parse().unwrap());
    anything.uri = ::http::Uri::from_parts(uri).unwrap();
    assert!(written(&anything, true).unwrap().0.starts_with("OPTIONS * HTTP/1.1\r\n"));
    anything.method = Method::GET;
    assert_eq!(written(&anything, true).unwrap_err(), Reason::BadTarget);
}

proptest! {
    #[test]
    fn what_is_written_is_parsed_as_the_same(
        method in "[A-Za-z!#$%&'*+.^_`|~0-9-]{1,8}",
        host in "[a-z0-9.-]{1,12}(:[0-9]{1,4})?",
        target in "/[!-~\u{80}-\u{ff}]{0,20}",
        fields in proptest::collection::vec(("[a-z0-9!#$%&'*+.^_`|~-]{1,8}", proptest::collection::vec(any::<u8>(), 0..12)), 0..8),
        length in proptest::option::of(0u64..3),
        whole in proptest::option::of(0u64..3),
    ) {
        let Ok(uri) = format!("http://{host}{target}").parse::<::http::Uri>() else { return Ok(()) };
        let Ok(mut request) = Request::builder().method(method.as_str()).uri(uri).body(()) else { return Ok(()) };
        for (name, value) in &fields {
            if let Ok(value) = ::http::HeaderValue::from_bytes(value) {
                request.headers_mut().append(::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
            }
        }
        if let Some(length) = length {
            request.headers_mut().insert("content-length", length.into());
        }
        let head = request.into_parts().0;
        let mut out = Vec::new();
        let Ok(body) = write_request(&mut out, &head, whole, None) else { return Ok(()) };
        let length = out.len();
        out.extend_from_slice(b"GET /smuggled HTTP/1.1\r\n");
        let mut parsed = RequestHead::default();
        // What is refused by the parser is no danger either.
        let Ok(complete) = parse_request(&out, &Limits::default(), &mut parsed) else { return Ok(()) };
        prop_assert!(complete);
        prop_assert_eq!(parsed.length, length, "the head ends where it was to end");
        prop_assert_eq!(parsed.method_name.of(&out), head.method.as_str().as_bytes());
        prop_assert_eq!(parsed.target.of(&out), head.uri.path_and_query().unwrap().as_str().as_bytes());
        prop_assert_eq!(parsed.host.of(&out), head.uri.authority().unwrap().as_str().as_bytes());
        let framing = match body {
            Body::None => Framing::None,
            Body::Length(length) => Framing::Length(length),
            Body::Chunked => Framing::Chunked,
            Body::Switched => unreachable!("nothing asked for it"),
        };
        prop_assert_eq!(parsed.framing, framing);
        prop_assert!(parsed.connection.keep_alive && !parsed.connection.upgrade);
        let mut got = HeaderMap::<Vec<u8>>::default();
        for field in parsed.fields.iter().filter(|field| !matches!(field.known, Known::Host | Known::TransferEncoding | Known::ContentLength | Known::Cookie)) {
            got.append(::http::HeaderName::from_bytes(field.name.of(&out)).unwrap(), field.value.of(&out).to_vec());
        }
        let mut sent = HeaderMap::<Vec<u8>>::default();
        for (name, value) in &head.headers {
            if !matches!(name.as_str(), "host" | "content-length" | "cookie") {
                sent.append(name.clone(), value.as_bytes().to_vec());
            }
        }
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn frames_are_counted_however_they_are_cut(kinds in proptest::collection::vec((0u8..12, 0usize..40), 0..60), cut in 1usize..50) {
        let mut bytes = PREFACE.to_vec();
        let first = (4, 6);
        for &(kind, length) in [first].iter().chain(&kinds) {
            bytes.extend_from_slice(&[0, 0, length as u8, kind, 0, 0, 0, 0, 0]);
            bytes.resize(bytes.len() + length, 0xff);
        }
        let control = kinds.iter().filter(|(kind, _)| ![0, 1, 3, 8, 9].contains(kind)).count() as u32 + 1;
        let resets = kinds.iter().filter(|(kind, _)| *kind == 3).count() as u32;
        for (rates, enough) in [((control, resets), true), ((control - 1, resets), false), ((control, resets.wrapping_sub(1)), resets == 0)] {
            let mut meter = Meter::new(Rates { control: rates.0, resets: rates.1 }, PREFACE.len(), Instant::ZERO);
            let good = bytes.chunks(cut).all(|piece| meter.take(piece, Instant::ZERO).is_ok());
            prop_assert_eq!(good, enough);
        }
    }
}

#[test]
fn resets_that_are_sent_are_told_with_their_codes_however_they_are_cut() {
    let frame = |kind: u8, payload: &[u8]| [&[0, 0, payload.len() as u8, kind, 0, 0, 0, 0, 1], payload].concat();
    // What looks like a reset within another frame is none.
    let bytes =
        [frame(4, &[]), frame(3, &[0, 0, 0, 8]), frame(0, &frame(3, &[1; 4])), frame(3, &[0, 1, 2, 3]), frame(3, &[0, 0, 0, 1])].concat();
    for cut in 1..bytes.len() {
        let (mut resets, mut codes) = (Resets::default(), Vec::new());
        bytes.chunks(cut).for_each(|piece| resets.take(piece, |code| codes.push(code)));
        assert_eq!(codes, [8, 0x010203, 1], "{cut}");
    }
}

#[test]
fn a_second_later_frames_are_counted_anew() {
    let [settings, ping] = [4, 6].map(|kind| [0, 0, 0, kind, 0, 0, 0, 0, 0]);
    let mut meter = Meter::new(Rates { control: 2, resets: 0 }, 0, Instant::ZERO);
    assert_eq!(meter.take(&[settings, ping].concat(), Instant::ZERO), Ok(()));
    assert_eq!(meter.take(&ping, Instant::ZERO + std::time::Duration::from_millis(999)), Err(Abuse::Flood));
    assert_eq!(meter.take(&ping, Instant::ZERO + std::time::Duration::from_secs(1)), Ok(()));
}

#[test]
fn the_first_frame_is_settings() {
    for kind in 0..12 {
        let mut meter = Meter::new(Rates { control: 9, resets: 9 }, 0, Instant::ZERO);
        let first = meter.take(&[0, 0, 0, kind, 0, 0, 0, 0, 0], Instant::ZERO);
        assert_eq!(first, if kind == 4 { Ok(()) } else { Err(Abuse::NoSettings) });
    }
}

#[test]
fn a_response_loses_what_belongs_to_its_connection() {
    let bytes = b"HTTP/1.1 404 Not Found\r\nDate: x\r\nSet-Cookie: a\r\nConnection: close, x-hop\r\nKeep-Alive: 1\r\nX-Hop: 1\r\nSet-Cookie: b\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut parsed = ResponseHead::default();
    assert_eq!(parse_response(bytes, http::Method::Get, &Limits::default(), &mut parsed), Err(Reason::BadResponseFraming));
    let bytes = b"HTTP/1.1 404 Not Found\r\nDate: x\r\nSet-Cookie: a\r\nConnection: close, x-hop\r\nKeep-Alive: 1\r\nX-Hop: 1\r\nSet-Cookie: b\r\nContent-Length: 3\r\n\r\n";
    assert!(parse_response(bytes, http::Method::Get, &Limits::default(), &mut parsed).unwrap());
    let response = Heads::default().response(&parsed, bytes).unwrap();
    assert_eq!(response.status(), 404);
    let fields: Vec<_> = response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(fields, [("date", "x"), ("set-cookie", "a"), ("set-cookie", "b"), ("content-length", "3")]);
}

proptest! {
    #[test]
    fn a_head_is_the_same_whatever_was_before_it(
        all in proptest::collection::vec(proptest::collection::vec(("[aAb]|Via|Connection|keep-alive", "[ab]{0,2}"), 0..4), 1..6),
    ) {
        let mut heads = Heads::default();
        for (number, lines) in all.iter().enumerate() {
            let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let bytes = format!("HTTP/1.1 {} Ok\r\nContent-Length: 0\r\n{lines}\r\n", 200 + number);
            let mut parsed = ResponseHead::default();
            prop_assert!(parse_response(bytes.as_bytes(), http::Method::Get, &Limits::default(), &mut parsed).unwrap());
            let alone = Heads::default().response(&parsed, bytes.as_bytes()).unwrap();
            let among = heads.response(&parsed, bytes.as_bytes()).unwrap();
            prop_assert_eq!(alone.status(), among.status());
            prop_assert_eq!(alone.headers(), among.headers());
        }
    }
}

#[test]
fn trailers_are_the_same_there_and_back() {
    let lines = b"grpc-status: 0\r\ngrpc-message: it: went well\r\nx: \r\nx: 2\r\n";
    let mut out = Vec::new();
    write_fields(&mut out, &fields(lines)).unwrap();
    assert_eq!(out, lines);
    let mut heads = Heads::default();
    for lines in [lines, &b"grpc-status: 1\r\n"[..], b"grpc-status: 1\r\n", b""] {
        assert_eq!(heads.trailers(lines), fields(lines));
    }
}

#[test]
fn the_preface_is_known_as_soon_as_it_can_be_no_other_request() {
    assert!(!is_preface(b"PRI * HTTP/"), "HTTP/1 refuses that by what follows");
    assert!(is_preface(b"PRI * HTTP/2") && is_preface(PREFACE) && is_preface(&[PREFACE, b"more"].concat()));
    assert!(!is_preface(b"PRI * HTTP/2.0\r\n\r\nSX") && !is_preface(b"GET / HTTP/1.1\r\n\r\n") && !is_preface(b""));
}

#[test]
fn an_endpoints_first_frame_is_seen_however_it_is_cut() {
    for (frame, extra) in [(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9][..], 3), (&[0, 0, 0, 4, 0, 0, 0, 0, 0], 0)] {
        for size in 1..=frame.len() {
            let mut greeting = Greeting::default();
            let pieces: Vec<bool> = frame.chunks(size).map(|piece| greeting.take(piece)).collect();
            let (last, before) = pieces.split_last().unwrap();
            assert!(*last && !before.contains(&true), "{size}");
        }
        assert!(Greeting::default().take(&[frame, &vec![7; extra]].concat()));
    }
    let frame = [0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 4, 0, 1, 2, 3, 0, 1, 0, 0, 0, 4];
    for size in 1..=frame.len() {
        let mut greeting = Greeting::default();
        assert_eq!(greeting.window, 65_535);
        assert!(frame.chunks(size).map(|piece| greeting.take(piece)).last().unwrap());
        assert_eq!(greeting.window, 0x10203, "{size}");
    }
}

#[test]
fn an_upgrade_is_said_in_either_terms() {
    let bytes =
        b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, x-hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut head = RequestHead::default();
    assert!(parse_request(bytes, &Limits::default(), &mut head).unwrap());
    let (request, key) = connect_of(&head, bytes, true).unwrap();
    assert_eq!((request.method(), request.uri().to_string().as_str()), (&::http::Method::CONNECT, "https://a/chat"));
    assert_eq!(request.extensions().get::<h2::ext::Protocol>().unwrap().as_str(), "websocket");
    assert_eq!(request.headers().keys().collect::<Vec<_>>(), ["sec-websocket-version"]);
    let mut fields = ::http::HeaderMap::new();
    fields.insert("x-a", "1".parse().unwrap());
    let mut out = Vec::new();
    write_switched(&mut out, &fields, "websocket", key.as_ref()).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nx-a: 1\r\n\r\n"
    );
    fields.insert("transfer-encoding", "chunked".parse().unwrap());
    assert_eq!(write_switched(&mut Vec::new(), &fields, "x", None), Err(Reason::BadResponseHead));
}

#[test]
fn only_the_switch_asked_for_is_one() {
    let asked = |protocol| Switch { protocol, nonce: *b"0123456789abcdef" };
    let said = |lines: &str, protocol| {
        let (text, mut head) = (format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{lines}\r\n"), ResponseHead::default());
        assert!(parse_response(text.as_bytes(), http::Method::Get, &Limits::default(), &mut head).unwrap());
        switched(&head, text.as_bytes(), &asked(protocol)).map(|response| response.status().as_u16())
    };
    let proof = http::websocket_accept(b"MDEyMzQ1Njc4OWFiY2RlZg==");
    assert_eq!(said(&format!("Upgrade: WebSocket\r\nSec-WebSocket-Accept: {proof}\r\n"), "websocket"), Ok(200));
    assert_eq!(said("Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n", "websocket"), Err(Reason::BadResponseHead));
    assert_eq!(said("Upgrade: websocket\r\n", "websocket"), Err(Reason::BadResponseHead));
    assert_eq!(said("Upgrade: other\r\n", "other"), Ok(200));
    assert_eq!(said("Upgrade: more\r\n", "other"), Err(Reason::BadResponseHead));
    assert_eq!(
        write_response(&mut Vec::new(), ::http::StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new(), http::Method::Get, true),
        Err(Reason::BadResponseHead)
    );
}
