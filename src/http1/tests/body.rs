//! Chunked bodies: what they decode to, and which are refused.

use super::*;
use crate::http1::{Chunked, Decoded, as_response};
use Reason::*;

/// Body, trailers and bytes left over.
type Body = (Vec<u8>, Vec<u8>, usize);

/// Decodes the bytes in pieces of at most `piece` bytes. `Ok(None)`: the body isn't done.
fn decode(bytes: &[u8], piece: usize, limits: &Limits) -> Parsed<Body> {
    let mut chunked = Chunked::new(limits);
    let (mut body, mut consumed) = (Vec::new(), 0);
    for part in bytes.chunks(piece) {
        let mut buf = part.to_vec();
        let decoded = chunked.decode(&mut buf)?;
        assert!(decoded.data <= decoded.consumed && decoded.consumed <= part.len());
        assert!(decoded.done || decoded.consumed == part.len());
        assert_eq!(decoded.done, chunked.is_done());
        body.extend_from_slice(&buf[..decoded.data]);
        consumed += decoded.consumed;
        if decoded.done {
            assert_eq!(chunked.decode(&mut buf), Ok(Decoded { data: 0, consumed: 0, done: true }));
            return Ok(Some((body, chunked.trailers().to_vec(), bytes.len() - consumed)));
        }
    }
    Ok(None)
}

/// Decodes whole, in pieces of all sizes, cut off at each place, and with a next message behind.
fn every_way(bytes: &[u8], limits: &Limits) -> Parsed<Body> {
    let whole = decode(bytes, bytes.len().max(1), limits);
    for piece in 1..bytes.len() {
        assert_eq!(decode(bytes, piece, limits), whole, "{piece} bytes at a time: {}", bytes.escape_ascii());
    }
    let mut ended = false;
    for end in 0..bytes.len() {
        match decode(&bytes[..end], end.max(1), limits) {
            Ok(None) => assert!(!ended),
            Ok(Some(body)) => {
                ended = true;
                let (data, trailers, left) = whole.clone().unwrap().unwrap();
                assert_eq!((data, trailers, left), (body.0, body.1, body.2 + bytes.len() - end));
            }
            Err(reason) => {
                ended = true;
                assert_eq!(Err(reason), whole);
            }
        }
    }
    if whole != Ok(None) {
        let next = b"GET / HTTP/1.1\r\n\r\n";
        let more = decode(&[bytes, next].concat(), usize::MAX, limits);
        let expected = whole.clone().map(|body| body.map(|(data, trailers, left)| (data, trailers, left + next.len())));
        assert_eq!(more, expected, "{} and more", bytes.escape_ascii());
    }
    whole
}

#[test]
fn bodies() {
    for (bytes, body) in [
        (&b"0\r\n\r\n"[..], &b""[..]),
        (b"000000000000000\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
        (b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789"),
        (b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello"),
        (b"5;a=\"b;\\\"c\"; d \t=\xff\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;\r\nhello\r\n0\r\n\r\n", b"hello"),
    ] {
        assert_eq!(every_way(bytes, &Limits::default()), Ok(Some((body.to_vec(), vec![], 0))), "{}", bytes.escape_ascii());
    }
}

#[test]
fn incomplete_bodies_want_more() {
    for bytes in
        [&b""[..], b"5", b"5\r", b"5\r\n", b"5\r\nhell", b"5\r\nhello", b"5\r\nhello\r", b"5\r\nhello\r\n", b"0\r\n", b"0\r\n\r", b"0\r\nA"]
    {
        assert_eq!(every_way(bytes, &Limits::default()), Ok(None), "{}", bytes.escape_ascii());
    }
    assert_eq!(every_way(b"fffffffffffffff\r\nhello", &Limits::default()), Ok(None), "the largest size");
}

#[test]
fn refused_bodies() {
    for (bytes, reason) in [
        (&b"\r\n5\r\nhello\r\n"[..], BadChunkSize),
        (b"\r\n\r\n", BadChunkSize),
        (b"\n", BadChunkSize),
        (b" 5\r\nhello\r\n", BadChunkSize),
        (b"5 \r\nhello\r\n", BadChunkSize),
        (b"5\t\r\nhello\r\n", BadChunkSize),
        (b"5 ;a\r\nhello\r\n", BadChunkSize),
        (b"+5\r\nhello\r\n", BadChunkSize),
        (b"-5\r\nhello\r\n", BadChunkSize),
        (b"-0\r\n\r\n", BadChunkSize),
        (b"0x5\r\nhello\r\n", BadChunkSize),
        (b"5h\r\nhello\r\n", BadChunkSize),
        (b"g\r\n", BadChunkSize),
        (b"5_0\r\n", BadChunkSize),
        (b"5,5\r\n", BadChunkSize),
        (b"\"5\"\r\n", BadChunkSize),
        (b";a\r\n", BadChunkSize),
        (b"0000000000000005\r\nhello\r\n", BadChunkSize),
        (b"1000000000000000\r\n", BadChunkSize),
        (b"ffffffffffffffff\r\n", BadChunkSize),
        (b"10000000000000005\r\nhello\r\n", BadChunkSize),
        (b"5\0\r\nhello\r\n", BadChunkSize),
        (b"\xef\xbc\x95\r\nhello\r\n", BadChunkSize),
        (b"5\nhello\n0\n\n", BareLf),
        (b"5\nhello\r\n", BareLf),
        (b"5;a\nhello\r\n", BareLf),
        (b"0\n\r\n", BareLf),
        (b"5\rhello\r\n", BareCr),
        (b"5\r\r\nhello\r\n", BareCr),
        (b"5;a\rb\r\nhello\r\n", BareCr),
        (b"5;a\r\r\nhello\r\n", BareCr),
        (b"5;\0\r\nhello\r\n", ControlByte),
        (b"5;a=\x0b\r\nhello\r\n", ControlByte),
        (b"5;a=\x7f\r\nhello\r\n", ControlByte),
        (b"5\r\nhello0\r\n\r\n", BadChunkEnd),
        (b"5\r\nhello\n0\r\n\r\n", BadChunkEnd),
        (b"5\r\nhello\r0\r\n\r\n", BadChunkEnd),
        (b"5\r\nhello\r\r\n0\r\n\r\n", BadChunkEnd),
        (b"5\r\nhello!\r\n0\r\n\r\n", BadChunkEnd),
        (b"5\r\nhello\r\n\r\n0\r\n\r\n", BadChunkSize),
        (b"0\r\n\n", BadTrailer),
        (b"0\r\n\rX", BadTrailer),
        (b"0\r\nA: b\n\r\n", BadTrailer),
        (b"0\r\nA: b\rc\r\n\r\n", BadTrailer),
        (b"0\r\nA: b\r\r\n\r\n", BadTrailer),
        (b"0\r\nA : b\r\n\r\n", BadTrailer),
        (b"0\r\n A: b\r\n\r\n", BadTrailer),
        (b"0\r\nA: b\r\n c\r\n\r\n", BadTrailer),
        (b"0\r\n: b\r\n\r\n", BadTrailer),
        (b"0\r\nA\r\n\r\n", BadTrailer),
        (b"0\r\nA: \0\r\n\r\n", BadTrailer),
        (b"0\r\nA\0: b\r\n\r\n", BadTrailer),
        (b"0\r\nA: \x7f\r\n\r\n", BadTrailer),
        (b"0\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", BadTrailer),
        (b"0\r\nContent-Length: 5\r\n\r\n", BadTrailer),
        (b"0\r\ntransfer-encoding: chunked\r\n\r\n", BadTrailer),
        (b"0\r\nHOST: x\r\n\r\n", BadTrailer),
        (b"0\r\nConnection: close\r\n\r\n", BadTrailer),
        (b"0\r\nA: b\r\nAuthorization: x\r\n\r\n", BadTrailer),
        (b"0\r\nCookie: x\r\n\r\n", BadTrailer),
        (b"0\r\nSet-Cookie: x\r\n\r\n", BadTrailer),
        (b"0\r\nTE: trailers\r\n\r\n", BadTrailer),
        (b"0\r\nUpgrade: x\r\n\r\n", BadTrailer),
    ] {
        assert_eq!(every_way(bytes, &Limits::default()), Err(reason), "{}", bytes.escape_ascii());
        assert_eq!(as_response(reason), BadResponseBody);
    }
}

#[test]
fn trailers_are_kept_or_dropped() {
    for (lines, kept) in [
        ("A: b\r\n", "A: b\r\n"),
        ("Grpc-Status: 0\r\ngrpc-message:\r\n", "Grpc-Status: 0\r\ngrpc-message:\r\n"),
        ("Via: x\r\nA: b\r\nX-Forwarded-For: 1\r\nC: \td\u{e9}\t\r\nDate: x\r\n", "A: b\r\nC: \td\u{e9}\t\r\n"),
        ("content-type: x\r\n", ""),
        ("Hosts: x\r\n", "Hosts: x\r\n"),
    ] {
        let bytes = format!("3\r\nabc\r\n0\r\n{lines}\r\n");
        let expected = (b"abc".to_vec(), kept.as_bytes().to_vec(), 0);
        assert_eq!(every_way(bytes.as_bytes(), &Limits::default()), Ok(Some(expected)), "{lines}");
    }
}

#[test]
fn limits_hold_at_each_split() {
    let limits = Limits { chunk_extension: 4, trailers: 12, ..Limits::default() };
    assert!(matches!(every_way(b"1;abc\r\nx\r\n1;abc\r\nx\r\n0;abc\r\n\r\n", &limits), Ok(Some(_))));
    assert_eq!(every_way(b"1;abcd\r\nx\r\n0\r\n\r\n", &limits), Err(ChunkExtensionTooLong));
    assert_eq!(every_way(b"1;a;b;\r\nx\r\n0\r\n\r\n", &limits), Err(ChunkExtensionTooLong));
    assert_eq!(every_way(b"0;abc;\r\n\r\n", &limits), Err(ChunkExtensionTooLong));
    assert!(matches!(every_way(b"0\r\nA: b\r\nA: b\r\n\r\n", &limits), Ok(Some(_))));
    assert_eq!(every_way(b"0\r\nA: b\r\nA: bc\r\n\r\n", &limits), Err(TrailersTooLarge));
    assert_eq!(every_way(b"0\r\nVia: b\r\nVia: b\r\n\r\n", &limits), Err(TrailersTooLarge), "dropped ones count");
    assert_eq!(every_way(b"0\r\nA: bcdefghijklmnop", &limits), Err(TrailersTooLarge));
    assert_eq!(as_response(TrailersTooLarge), BadResponseBody);
    assert_eq!(as_response(ChunkExtensionTooLong), BadResponseBody);
}

#[test]
fn a_decoder_is_reused() {
    let mut chunked = Chunked::new(&Limits::default());
    for _ in 0..3 {
        let mut buf = b"2;x\r\nab\r\n0\r\nA: b\r\n\r\nrest".to_vec();
        let decoded = chunked.decode(&mut buf).unwrap();
        assert_eq!(decoded, Decoded { data: 2, consumed: buf.len() - 4, done: true });
        assert_eq!(chunked.trailers(), b"A: b\r\n");
        chunked.reset();
        assert_eq!((chunked.trailers(), chunked.is_done()), (&b""[..], false));
    }
    assert!(chunked.decode(&mut b"5;toolong\0".to_vec()).is_err());
    chunked.reset();
    assert!(chunked.decode(&mut b"0\r\n\r\n".to_vec()).unwrap().done);
}

#[test]
fn trailers_of_some_names_are_left_out() {
    let body = b"0\r\nA: 1\r\nbc: 2\r\nA: 3\r\nX_Forwarded_For: 4\r\nd:\r\n\r\n";
    for (names, rest) in [
        (&[][..], "A: 1\r\nbc: 2\r\nA: 3\r\nd:\r\n"),
        (&["A"], "bc: 2\r\nd:\r\n"),
        (&["bc", "d"], "A: 1\r\nA: 3\r\n"),
        (&["A", "bc", "d"], ""),
    ] {
        let mut chunked = Chunked::new(&Limits::default());
        assert!(chunked.decode(&mut body.to_vec()).unwrap().done);
        chunked.drop_trailers(|name| names.iter().any(|other| other.as_bytes() == name));
        assert_eq!(chunked.trailers().escape_ascii().to_string(), rest.as_bytes().escape_ascii().to_string());
    }
}
