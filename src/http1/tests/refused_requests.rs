//! Requests that are refused, each for one exact reason.

use super::*;
use Reason::*;

/// Request lines and what is wrong with each. A Host and the blank line follow.
const LINES: &[(&[u8], Reason)] = &[
    (b"GET  / HTTP/1.1\r\n", BadRequestLine),
    (b"GET /  HTTP/1.1\r\n", BadRequestLine),
    (b" GET / HTTP/1.1\r\n", BadRequestLine),
    (b"\tGET / HTTP/1.1\r\n", BadRequestLine),
    (b"GET\t/ HTTP/1.1\r\n", BadRequestLine),
    (b"GET /\tHTTP/1.1\r\n", BadRequestLine),
    (b"GET / HTTP/1.1 \r\n", BadRequestLine),
    (b"GET / HTTP/1.1\t\r\n", BadRequestLine),
    (b"GET / HTTP/1.1x\r\n", BadRequestLine),
    (b"GET / HTTP/1.10\r\n", BadRequestLine),
    (b"GET / x HTTP/1.1\r\n", BadRequestLine),
    (b"GET /\r\n", BadRequestLine),
    (b"GET / \r\n", BadRequestLine),
    (b"GET\r\n", BadRequestLine),
    (b"GET \r\n", BadRequestLine),
    (b"GET / HTTP\r\n", BadRequestLine),
    (b"GET / http/1.1\r\n", BadRequestLine),
    (b"GET / FTP/1.1\r\n", BadRequestLine),
    (b"GET HTTP/1.1\r\n", BadRequestLine),
    (b"HTTP/1.1 200 OK\r\n", BadMethod),
    (b"\r\n\r\n\r\nGET / HTTP/1.1\r\n", BadRequestLine),
    (b"G(T / HTTP/1.1\r\n", BadMethod),
    (b"GET: / HTTP/1.1\r\n", BadMethod),
    (b"G\x80T / HTTP/1.1\r\n", BadMethod),
    (b"{\"a\":1}\r\n", BadMethod),
    (b"\x16\x03\x01\x02\x00\x01\r\n", ControlByte),
    (b"\0GET / HTTP/1.1\r\n", ControlByte),
    (b"GET\0 / HTTP/1.1\r\n", ControlByte),
    (b"GET /\0 HTTP/1.1\r\n", ControlByte),
    (b"GET /\x7f HTTP/1.1\r\n", ControlByte),
    (b"GET /\x0b HTTP/1.1\r\n", ControlByte),
    (b"GET / HTTP/1.1\0\r\n", ControlByte),
    (b"GET / HTTP/1.\x01\r\n", ControlByte),
    (b"GET /# HTTP/1.1\r\n", BadTarget),
    (b"GET /a?b#c HTTP/1.1\r\n", BadTarget),
    (b"GET /\xc3\xa9 HTTP/1.1\r\n", BadTarget),
    (b"GET /\xff HTTP/1.1\r\n", BadTarget),
    (b"GET /?\x80 HTTP/1.1\r\n", BadTarget),
    (b"GET http://h/#f HTTP/1.1\r\n", BadTarget),
    (b"OPTIONS *# HTTP/1.1\r\n", BadTarget),
    (b"CONNECT h:1#f HTTP/1.1\r\n", BadTarget),
    (b"GET a HTTP/1.1\r\n", BadTarget),
    (b"GET ?a HTTP/1.1\r\n", BadTarget),
    (b"GET * HTTP/1.1\r\n", BadTarget),
    (b"OPTIONS ** HTTP/1.1\r\n", BadTarget),
    (b"OPTIONS *?a HTTP/1.1\r\n", BadTarget),
    (b"GET h:80 HTTP/1.1\r\n", BadTarget),
    (b"GET http: HTTP/1.1\r\n", BadTarget),
    (b"GET http:// HTTP/1.1\r\n", BadTarget),
    (b"GET http:/// HTTP/1.1\r\n", BadTarget),
    (b"GET http://?a HTTP/1.1\r\n", BadTarget),
    (b"GET http:/h/ HTTP/1.1\r\n", BadTarget),
    (b"GET ftp://h/ HTTP/1.1\r\n", BadTarget),
    (b"GET http://user@h/ HTTP/1.1\r\n", BadTarget),
    (b"GET http://h:99999/ HTTP/1.1\r\n", BadTarget),
    (b"GET http://h:/ HTTP/1.1\r\n", BadTarget),
    (b"GET http://[::1/ HTTP/1.1\r\n", BadTarget),
    (b"GET http://a,b/ HTTP/1.1\r\n", BadTarget),
    (b"GET http://h\\x/ HTTP/1.1\r\n", BadTarget),
    (b"CONNECT h:443 HTTP/1.1\r\n", ConnectRefused),
    (b"CONNECT / HTTP/1.1\r\n", ConnectRefused),
    (b"GET / HTTP/2.0\r\n", BadVersion),
    (b"PRI * HTTP/2.0\r\n", BadVersion),
    (b"GET / HTTP/1.2\r\n", BadVersion),
    (b"GET / HTTP/0.9\r\n", BadVersion),
    (b"GET / HTTP/1,1\r\n", BadVersion),
    (b"GET / HTTP/11\r\n", BadVersion),
    (b"GET / HTTP/1\r\n", BadVersion),
    (b"GET / HTTP/\r\n", BadVersion),
    (b"GET / HTTP/1.1\n", BareLf),
    (b"GET /\n", BareLf),
    (b"GET\n", BareLf),
    (b"\nGET / HTTP/1.1\r\n", BareLf),
    (b"\r\n\nGET / HTTP/1.1\r\n", BareLf),
    (b"\r\n\r\n\nGET / HTTP/1.1\r\n", BareLf),
    (b"GET / HTTP/1.1\n\r\n", BareLf),
    (b"GET / HTTP/1.1\r\r\n", BareCr),
    (b"GET / HTTP/1.1\rHost: x\r\n", BareCr),
    (b"GET /\rx HTTP/1.1\r\n", BareCr),
    (b"GET\r/ HTTP/1.1\r\n", BareCr),
    (b"\rGET / HTTP/1.1\r\n", BareCr),
    (b"\r\r\nGET / HTTP/1.1\r\n", BareCr),
];

#[test]
fn request_lines() {
    for &(line, reason) in LINES {
        let bytes = [line, b"Host: h\r\n\r\n"].concat();
        assert_eq!(request(&bytes, &Limits::default()), Err(reason), "{}", line.escape_ascii());
    }
}

/// Headers, after the request line and a Host, and what is wrong with each. The blank line follows.
const HEADERS: &[(&[u8], Reason)] = &[
    // Lines and names.
    (b"A: b\nC: d\r\n", BareLf),
    (b"A: b\n", BareLf),
    (b"A: b\r\n\n", BareLf),
    (b"\n", BareLf),
    (b"A:\n", BareLf),
    (b"A: \nB: c\r\n", BareLf),
    (b"A\n: b\r\n", BareLf),
    (b"A: b\n c\r\n", BareLf),
    (b"A: b\n\nGET /x HTTP/1.1\r\nHost: h\r\n", BareLf),
    (b"A: b\r\r\n", BareCr),
    (b"A: b\rC: d\r\n", BareCr),
    (b"A: \r\r\n", BareCr),
    (b"A:\r\r\n", BareCr),
    (b"A\r: b\r\n", BareCr),
    (b"\rA: b\r\n", BareCr),
    (b"\r\r\n", BareCr),
    (b"A: b\r\n c\r\n", ObsFold),
    (b"A: b\r\n\tc: d\r\n", ObsFold),
    (b"A:\r\n b\r\n", ObsFold),
    (b" A: b\r\n", ObsFold),
    (b"Transfer-Encoding:\r\n chunked\r\n", ObsFold),
    (b"A : b\r\n", SpaceBeforeColon),
    (b"A\t: b\r\n", SpaceBeforeColon),
    (b"A \t : b\r\n", SpaceBeforeColon),
    (b"Transfer-Encoding : chunked\r\n", SpaceBeforeColon),
    (b"Content-Length : 5\r\n", SpaceBeforeColon),
    (b"A b: c\r\n", BadHeaderName),
    (b"A \r\n", BadHeaderName),
    (b"A\r\n", BadHeaderName),
    (b": b\r\n", BadHeaderName),
    (b":\r\n", BadHeaderName),
    (b"A(b: c\r\n", BadHeaderName),
    (b"A\"b: c\r\n", BadHeaderName),
    (b"A,B: c\r\n", BadHeaderName),
    (b"A/b: c\r\n", BadHeaderName),
    (b"\xc3\xa9: c\r\n", BadHeaderName),
    (b"A\x80: c\r\n", BadHeaderName),
    (b"[A]: c\r\n", BadHeaderName),
    (b"A\0: b\r\n", ControlByte),
    (b"\0A: b\r\n", ControlByte),
    (b"A: b\0\r\n", ControlByte),
    (b"A: \0\r\n", ControlByte),
    (b"A: b\x01c\r\n", ControlByte),
    (b"A: b\x08c\r\n", ControlByte),
    (b"A: b\x1bc\r\n", ControlByte),
    (b"A: b\x7fc\r\n", ControlByte),
    (b"A: 0123456789012345678901234567890123456789\x0c\r\n", ControlByte),
    (b"Transfer-Encoding: \x0bchunked\r\n", ControlByte),
    (b"Transfer-Encoding:\x0bchunked\r\n", ControlByte),
    (b"Transfer-Encoding: chunked\x0c\r\n", ControlByte),
    (b"Transfer-Encoding\x0b: chunked\r\n", ControlByte),
    (b"Content-Length: 5\0\r\n", ControlByte),
    (b"Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,1,2,3,4,5,6,7\r\n", BadHeaderValue),
    // Host.
    (b"Host: h\r\n", RepeatedHost),
    (b"host: other\r\n", RepeatedHost),
    (b"Host:\r\n", RepeatedHost),
    // Content-Length.
    (b"Content-Length: +5\r\n", BadLength),
    (b"Content-Length: -5\r\n", BadLength),
    (b"Content-Length: -0\r\n", BadLength),
    (b"Content-Length: 5, 5\r\n", BadLength),
    (b"Content-Length: 5,6\r\n", BadLength),
    (b"Content-Length: 5,\r\n", BadLength),
    (b"Content-Length: 0x5\r\n", BadLength),
    (b"Content-Length: 5 5\r\n", BadLength),
    (b"Content-Length: 5;\r\n", BadLength),
    (b"Content-Length: 5.0\r\n", BadLength),
    (b"Content-Length: 1e3\r\n", BadLength),
    (b"Content-Length: 1_000\r\n", BadLength),
    (b"Content-Length: \"5\"\r\n", BadLength),
    (b"Content-Length: five\r\n", BadLength),
    (b"Content-Length: \xd9\xa5\r\n", BadLength),
    (b"Content-Length:\r\n", BadLength),
    (b"Content-Length: \t \r\n", BadLength),
    (b"Content-Length: 05\r\n", BadLength),
    (b"Content-Length: 00\r\n", BadLength),
    (b"Content-Length: 5\r\nContent-Length: 05\r\n", BadLength),
    (b"Content-Length: 1000000000000000000\r\n", BadLength),
    (b"Content-Length: 18446744073709551615\r\n", BadLength),
    (b"Content-Length: 18446744073709551621\r\n", BadLength),
    (b"Content-Length: 5\r\nContent-Length: x\r\n", BadLength),
    (b"Content-Length:\r\nContent-Length: 5\r\n", BadLength),
    (b"Content-Length: 5\r\nContent-Length: 6\r\n", DifferingLengths),
    (b"Content-Length: 0\r\nA: b\r\ncontent-length: 1\r\n", DifferingLengths),
    (b"Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 6\r\n", DifferingLengths),
    // Transfer-Encoding.
    (b"Transfer-Encoding: xchunked\r\n", UnknownCoding),
    (b"Transfer-Encoding: chunkedx\r\n", UnknownCoding),
    (b"Transfer-Encoding: chunke\r\n", UnknownCoding),
    (b"Transfer-Encoding: identity\r\n", UnknownCoding),
    (b"Transfer-Encoding: gzip\r\n", UnknownCoding),
    (b"Transfer-Encoding: gzip, chunked\r\n", UnknownCoding),
    (b"Transfer-Encoding: identity, chunked\r\n", UnknownCoding),
    (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", UnknownCoding),
    (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", UnknownCoding),
    (b"Transfer-Encoding:\r\n", UnknownCoding),
    (b"Transfer-Encoding: , chunked\r\n", UnknownCoding),
    (b"Transfer-Encoding: \"chunked\"\r\n", UnknownCoding),
    (b"Transfer-Encoding: 'chunked'\r\n", UnknownCoding),
    (b"Transfer-Encoding: chunked;q=1\r\n", UnknownCoding),
    (b"Transfer-Encoding: chunked foo\r\n", UnknownCoding),
    (b"Transfer-Encoding: chun\xc3\xb0ed\r\n", UnknownCoding),
    (b"Transfer-Encoding: \xc2\xa0chunked\r\n", UnknownCoding),
    (b"Transfer-Encoding: chun\xe2\x84\xaaed\r\n", UnknownCoding),
    (b"Transfer-Encoding: chunked, chunked\r\n", RepeatedCoding),
    (b"Transfer-Encoding: chunked,chunked\r\n", RepeatedCoding),
    (b"Transfer-Encoding: chunked, identity\r\n", RepeatedCoding),
    (b"Transfer-Encoding: chunked, gzip\r\n", RepeatedCoding),
    (b"Transfer-Encoding: chunked,\r\n", RepeatedCoding),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", RepeatedCoding),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", RepeatedCoding),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", RepeatedCoding),
    // Both.
    (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", LengthWithCoding),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", LengthWithCoding),
    (b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", LengthWithCoding),
    (b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n", LengthWithCoding),
    (b"Content-Length: 0\r\ntransfer-encoding: xchunked\r\n", LengthWithCoding),
    (b"Connection: content-length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", LengthWithCoding),
    // Expect.
    (b"Expect: 200-ok\r\n", BadExpectation),
    (b"Expect:\r\n", BadExpectation),
    (b"Expect: 100-continue, x\r\n", BadExpectation),
    (b"Expect: 100-continue\r\nExpect: x\r\n", BadExpectation),
];

#[test]
fn headers() {
    for &(header, reason) in HEADERS {
        let bytes = [b"POST / HTTP/1.1\r\nHost: h\r\n", header, b"\r\n"].concat();
        assert_eq!(request(&bytes, &Limits::default()), Err(reason), "{}", header.escape_ascii());
    }
}

#[test]
fn whole_heads() {
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], MissingHost),
        (b"GET / HTTP/1.1\r\nX-Host: h\r\n\r\n", MissingHost),
        (b"GET http://h/ HTTP/1.1\r\n\r\n", MissingHost),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", RepeatedHost),
        (b"GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n", BadHost),
        (b"GET / HTTP/1.0\r\nHost: a@b\r\n\r\n", BadHost),
        (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", BadHeaderName),
        (b"GET / HTTP/1.1\r\n\tA: b\r\nHost: h\r\n\r\n", BadHeaderName),
        (b"GET / HTTP/1.1\n\n", BareLf),
        (b"GET / HTTP/1.1\r\n\n", BareLf),
        (b"GET / HTTP/1.1\n\r\n", BareLf),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\rX", BareCr),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", CodingInHttp10),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\n", CodingInHttp10),
    ] {
        assert_eq!(request(bytes, &Limits::default()), Err(reason), "{}", bytes.escape_ascii());
    }
}

#[test]
fn hosts() {
    for host in [
        "",
        " ",
        ":80",
        "h:",
        "h:x",
        "h:-1",
        "h:+1",
        "h:65536",
        "h:123456",
        "h:8 0",
        "h:80:80",
        "a b",
        "a,b",
        "a/b",
        "a?b",
        "a#b",
        "a@b",
        "a%2eb",
        "a\\b",
        "http://h",
        "[",
        "[]",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]:",
        "[::1]:x",
        "[1.2.3.4]",
        "[fe80::1%eth0]",
        "[v1.a]",
        "h\u{e9}",
        "*",
        "<h>",
        "a;b",
        "\"h\"",
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(request(bytes.as_bytes(), &Limits::default()), Err(BadHost), "{host}");
    }
}

#[test]
fn limits_hold_for_whole_and_for_partial_heads() {
    let limits = Limits { head: 200, headers: 3, uri: 20, ..Limits::default() };
    let line = |uri: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(uri - 1));
    assert!(matches!(request(line(20).as_bytes(), &limits), Ok(Some(_))));
    assert_eq!(request(line(21).as_bytes(), &limits), Err(UriTooLong));
    assert_eq!(request(line(300).as_bytes(), &limits), Err(UriTooLong));
    assert_eq!(request(&line(300).as_bytes()[..24], &limits), Ok(None));
    assert_eq!(request(&line(300).as_bytes()[..25], &limits), Err(UriTooLong));
    assert_eq!(request(format!("GET /#{}", "x".repeat(20)).as_bytes(), &limits), Err(BadTarget));

    let head = |padding: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "x".repeat(padding));
    let fits = 200 - head(0).len();
    assert!(matches!(request(head(fits).as_bytes(), &limits), Ok(Some(_))));
    assert_eq!(request(head(fits + 1).as_bytes(), &limits), Err(HeadTooLarge));
    assert_eq!(request(&head(500).as_bytes()[..199], &limits), Ok(None));
    assert_eq!(request(&head(500).as_bytes()[..200], &limits), Err(HeadTooLarge));
    assert_eq!(request(format!("\r\n{}", head(fits)).as_bytes(), &limits), Err(HeadTooLarge));
    assert_eq!(request("M".repeat(300).as_bytes(), &limits), Err(HeadTooLarge));

    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert!(matches!(request(fields(3).as_bytes(), &limits), Ok(Some(_))));
    assert_eq!(request(fields(4).as_bytes(), &limits), Err(TooManyHeaders));
    assert_eq!(request(fields(4).strip_suffix("\r\n").unwrap().as_bytes(), &limits), Err(TooManyHeaders));
    assert_eq!(request(b"GET / HTTP/1.1\r\n\r\n", &Limits { headers: 0, ..limits }), Err(MissingHost));
    assert_eq!(request(fields(1).as_bytes(), &Limits { headers: 0, ..limits }), Err(TooManyHeaders));
    let limits = Limits { headers: 150, ..Limits::default() };
    for (count, parsed) in [(150, Ok(true)), (151, Err(TooManyHeaders))] {
        assert_eq!(parse_request(fields(count).as_bytes(), &limits, &mut RequestHead::default()), parsed);
    }
}

#[test]
fn very_long_parts() {
    let long = "x".repeat(70 << 10);
    let limits = Limits::default();
    for (bytes, reason) in [
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{long}: a\r\n\r\n"), HeadTooLarge),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nA: {long}\r\n\r\n"), HeadTooLarge),
        (format!("GET / HTTP/1.1\r\nHost: {long}\r\n\r\n"), HeadTooLarge),
        (format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"), UriTooLong),
        (format!("{long} / HTTP/1.1\r\nHost: h\r\n\r\n"), HeadTooLarge),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(20_000)), TooManyHeaders),
    ] {
        let mut head = RequestHead::default();
        assert_eq!(parse_request(bytes.as_bytes(), &limits, &mut head), Err(reason));
        assert_eq!(parse_request(&bytes.as_bytes()[..60 << 10], &limits, &mut head), Err(reason));
    }
    let generous = Limits { head: 1 << 20, ..limits };
    let bytes = format!("GET / HTTP/1.1\r\nHost: h\r\n{long}: a\r\n\r\n");
    assert_eq!(parse_request(bytes.as_bytes(), &generous, &mut RequestHead::default()), Ok(true));
}
