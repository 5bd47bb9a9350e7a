//! Tests of parsing. Every case runs whole, byte by byte, and with bytes of a next message behind it.

mod again;
mod body;
mod laws;
mod refused_requests;
mod requests;
mod responses;

use std::fmt::Debug;

use super::{Limits, parse_request, parse_response};
use crate::error::Reason;
use crate::http::{Framing, Method, RequestHead, ResponseHead};

/// A complete head, a wish for more bytes, or a refusal.
type Parsed<T> = Result<Option<T>, Reason>;

fn request(bytes: &[u8], limits: &Limits) -> Parsed<RequestHead> {
    let mut head = RequestHead::default();
    let parsed = three_ways(bytes, |bytes| {
        let done = parse_request(bytes, limits, &mut head)?;
        Ok(done.then(|| (head.clone(), head.length)))
    });
    if let Ok(Some(head)) = &parsed {
        check_fields(bytes, head);
    }
    parsed
}

fn response(bytes: &[u8], method: Method, limits: &Limits) -> Parsed<ResponseHead> {
    let mut head = ResponseHead::default();
    three_ways(bytes, |bytes| {
        let done = parse_response(bytes, method, limits, &mut head)?;
        Ok(done.then(|| (head.clone(), head.length)))
    })
}

/// Parses the bytes whole, then checks that every part of them from the start wants more bytes or is refused for the
/// same reason, and that bytes behind them change nothing.
fn three_ways<T: Debug + PartialEq>(bytes: &[u8], mut parse: impl FnMut(&[u8]) -> Parsed<(T, usize)>) -> Parsed<T> {
    let whole = parse(bytes);
    let mut ended = false;
    for end in 0..bytes.len() {
        let part = parse(&bytes[..end]);
        ended |= part != Ok(None);
        if ended {
            assert_eq!(part, whole, "{end} bytes of {}", bytes.escape_ascii());
        }
        if let Ok(Some((_, length))) = &part {
            assert!(*length <= end);
        }
    }
    if whole != Ok(None) {
        for next in [&b"GET /next HTTP/1.1\r\nHost: n\r\n\r\n"[..], b"\0", b"\r\n\r\n", b"\n", b" ", b":", &[b'a'; 300]] {
            assert_eq!(parse(&[bytes, next].concat()), whole, "{} and {}", bytes.escape_ascii(), next.escape_ascii());
        }
    }
    whole.map(|head| head.map(|(head, _)| head))
}

/// What must hold of any accepted request.
fn check_fields(bytes: &[u8], head: &RequestHead) {
    for field in &head.fields {
        let value = field.value.of(bytes);
        assert!(!field.name.is_empty());
        assert_eq!(bytes[field.name.end as usize], b':');
        assert!(value.iter().all(|b| !b"\r\n\0".contains(b)));
        assert_eq!(value, super::grammar::trim(value));
    }
    assert!(bytes[..head.length].ends_with(b"\r\n\r\n"));
    assert!(matches!(head.path.of(bytes).first(), Some(b'/' | b'*')));
    assert_ne!(head.framing, Framing::UntilClose);
}
