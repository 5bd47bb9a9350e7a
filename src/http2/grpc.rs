//! What gRPC says over HTTP/2: deadlines, and refusals in its own terms (gRPC over HTTP2, "Requests" and "Responses").

use std::time::Duration;

use crate::error::Reason;
use crate::http::{Known, RequestHead};

/// Whether a request is gRPC's.
pub fn is_grpc(head: &RequestHead, bytes: &[u8]) -> bool {
    head.known(bytes, Known::ContentType).and_then(rest_of_kind).is_some()
}

/// What stands behind `application/grpc` in the type of a call or its answer; nothing, if it is of something else.
pub fn rest_of_kind(kind: &[u8]) -> Option<&[u8]> {
    kind.strip_prefix(b"application/grpc").filter(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// How long a call may take, as its `grpc-timeout` says: at most eight digits and a unit.
pub fn timeout(head: &RequestHead, bytes: &[u8]) -> Option<Duration> {
    let (unit, digits) = head.header(bytes, "grpc-timeout")?.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A refusal's status.
pub const fn status(reason: Reason) -> u8 {
    match reason {
        Reason::RequestTimeout | Reason::FirstByteTimeout => DEADLINE_EXCEEDED,
        Reason::RateLimited | Reason::BodyTooLarge | Reason::AnswerTooLarge => RESOURCE_EXHAUSTED,
        Reason::ClientLeft | Reason::ClientStalled => CANCELLED,
        _ => match reason.status() {
            401 => UNAUTHENTICATED,
            403 => PERMISSION_DENIED,
            404 => UNIMPLEMENTED,
            502..=504 => UNAVAILABLE,
            _ => INTERNAL,
        },
    }
}

/// The status of HTTP that says the same of an endpoint's health: 5xx are its failures. A call of a method that isn't there is its client's,
/// and so is one that took longer than it gave itself (`limited`).
pub const fn counts_as(status: u8, limited: bool) -> u16 {
    match status {
        OK => 200,
        DEADLINE_EXCEEDED if limited => 408,
        DEADLINE_EXCEEDED => 504,
        RESOURCE_EXHAUSTED => 429,
        UNAVAILABLE => 503,
        UNKNOWN | INTERNAL | DATA_LOSS => 500,
        _ => 400,
    }
}

/// The status of a call whose answer has none, by its status of HTTP ("HTTP to gRPC Status Code Mapping").
pub const fn of_http(status: u16) -> u8 {
    match status {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// The status that these lines tell, each with its line end. One that isn't known is UNKNOWN.
pub fn status_in(lines: &[u8]) -> Option<u8> {
    let mut values = lines.split(|&byte| byte == b'\n').filter_map(|line| {
        let (name, value) = line.split_at_checked(STATUS.len())?;
        name.eq_ignore_ascii_case(STATUS).then(|| value.trim_ascii())
    });
    values.next_back().map(parse_status)
}

/// A status's name, as the list of status codes has it.
pub fn name(status: u8) -> &'static str {
    NAMES.get(usize::from(status)).copied().unwrap_or("UNKNOWN")
}

/// A status from its field; UNKNOWN, if it is none that is known.
pub fn parse_status(value: &[u8]) -> u8 {
    let number = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
    number.filter(|&number| usize::from(number) < NAMES.len()).unwrap_or(UNKNOWN)
}

/// A text as `grpc-message` has it: percent-encoded where it isn't printable ASCII.
pub fn message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// All of them, in order.
pub const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const STATUS: &[u8] = b"grpc-status:";

const OK: u8 = 0;
const CANCELLED: u8 = 1;
const UNKNOWN: u8 = 2;
const DEADLINE_EXCEEDED: u8 = 4;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const DATA_LOSS: u8 = 15;
const UNAUTHENTICATED: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Limits, parse_request};

    fn with<T>(line: &str, ask: impl Fn(&RequestHead, &[u8]) -> T) -> T {
        let (mut head, bytes) = (RequestHead::default(), format!("POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
        assert!(parse_request(bytes.as_bytes(), &Limits::default(), &mut head).unwrap());
        ask(&head, bytes.as_bytes())
    }

    #[test]
    fn a_call_is_known_by_its_type() {
        for (kind, yes) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web", false),
            ("text/grpc", false),
        ] {
            assert_eq!(with(&format!("Content-Type: {kind}"), is_grpc), yes, "{kind}");
        }
        assert!(!with("Accept: application/grpc", is_grpc));
    }

    #[test]
    fn deadlines_have_a_unit() {
        for (text, limit) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100000000n", None),
            ("1", None),
            ("S", None),
            ("-1S", None),
            ("1s", None),
        ] {
            assert_eq!(with(&format!("grpc-timeout: {text}"), timeout), limit, "{text}");
        }
    }

    #[test]
    fn statuses_are_found_and_weighed() {
        assert_eq!(status_in(b"grpc-status: 14\r\nx: 1\r\n"), Some(14));
        assert_eq!(status_in(b"x: 1\r\nGrpc-Status:0\r\n"), Some(0));
        assert_eq!(status_in(b"grpc-status: 99\r\n"), Some(2), "unknown ones are UNKNOWN");
        assert_eq!(status_in(b"grpc-status-x: 1\r\n\r\n"), None);
        let failures: Vec<u8> = (0..17).filter(|&status| counts_as(status, false) >= 500).collect();
        assert_eq!(failures, [2, 4, 13, 14, 15]);
        assert_eq!((counts_as(4, true), counts_as(0, false), name(14)), (408, 200, "UNAVAILABLE"));
        assert_eq!([400, 401, 403, 404, 429, 503, 500, 200].map(of_http), [13, 16, 7, 12, 14, 14, 2, 2]);
    }

    #[test]
    fn refusals_have_a_status_and_a_text_of_grpc() {
        for (reason, number) in [
            (Reason::RequestTimeout, 4),
            (Reason::RateLimited, 8),
            (Reason::AuthMissing, 16),
            (Reason::IpDenied, 7),
            (Reason::NoRoute, 12),
            (Reason::ConnectFailed, 14),
            (Reason::CircuitOpen, 14),
            (Reason::BadHost, 13),
        ] {
            assert_eq!(status(reason), number, "{}", reason.code());
        }
        assert_eq!(message("100 % sure: ä\n"), "100 %25 sure: %C3%A4%0A");
    }
}
