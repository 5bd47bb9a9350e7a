//! A response's head: bytes in, a head, a wish for more bytes or a named refusal out.

use super::fields::{Facts, HEAD_MAX, Stop, line_end, scan as scan_fields, span};
use super::{Limits, as_response, scan};
use crate::error::Reason;
use crate::http::{Connection, Known, Method, ResponseHead, Version};

/// Parses the head of a response to a request with `request_method` from the start of `bytes`. `Ok(true)`: `head` is
/// complete and `head.length` bytes of `bytes` are used up. `Ok(false)`: more bytes are needed, nothing is wrong so far;
/// `head` holds nothing of use.
///
/// Interim responses (1xx) are heads of their own. Refusals are `BadResponseHead`, `BadResponseFraming` and
/// `ResponseHeadTooLarge`.
pub fn parse_response(bytes: &[u8], request_method: Method, limits: &Limits, head: &mut ResponseHead) -> Result<bool, Reason> {
    let window = &bytes[..bytes.len().min(limits.head).min(HEAD_MAX)];
    if head.asked == request_method && head.seen.is_front_of(window) && head.fields.len() <= limits.headers {
        return Ok(true);
    }
    head.seen.forget();
    let mut facts = Facts::default();
    match read(window, limits, head, &mut facts) {
        Ok(()) => {
            accept(window, &facts, request_method, head)?;
            head.asked = request_method;
            head.seen.remember(&window[..head.length]);
            Ok(true)
        }
        Err(Stop::TooMany) => Err(Reason::ResponseHeadTooLarge),
        Err(Stop::More) if window.len() >= limits.head.min(HEAD_MAX) => Err(Reason::ResponseHeadTooLarge),
        Err(Stop::More) => Ok(false),
        Err(Stop::Fault) => Err(Reason::BadResponseHead),
    }
}

/// Finds the head's parts.
#[inline]
fn read(bytes: &[u8], limits: &Limits, head: &mut ResponseHead, facts: &mut Facts) -> Result<(), Stop> {
    let Some(line) = bytes.first_chunk::<13>() else {
        return Err(if is_start(bytes) { Stop::More } else { Stop::Fault });
    };
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', a @ b'1'..=b'9', b, c, after] = *line else {
        return Err(Stop::Fault);
    };
    if !b.is_ascii_digit() || !c.is_ascii_digit() {
        return Err(Stop::Fault);
    }
    head.version = if minor == b'1' { Version::Http11 } else { Version::Http10 };
    head.status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    // Some servers leave out the space before a phrase that they leave out too.
    let start = match after {
        b' ' => 13,
        b'\r' => 12,
        _ => return Err(Stop::Fault),
    };
    let end = scan::value(bytes, start);
    head.phrase = span(start, end);
    head.length = scan_fields(bytes, line_end(bytes, end)?, limits.headers, &mut head.fields, facts)?;
    Ok(())
}

/// Whether so few bytes may begin a status line.
#[cold]
fn is_start(bytes: &[u8]) -> bool {
    bytes.iter().zip(b"HTTP/1.").all(|(byte, wanted)| byte == wanted)
        && bytes.get(7).is_none_or(|minor| matches!(minor, b'0' | b'1'))
        && bytes.get(8).is_none_or(|&space| space == b' ')
        && bytes.get(9).is_none_or(|digit| matches!(digit, b'1'..=b'9'))
        && bytes.iter().skip(10).take(2).all(u8::is_ascii_digit)
}

#[inline]
fn accept(bytes: &[u8], facts: &Facts, request_method: Method, head: &mut ResponseHead) -> Result<(), Reason> {
    let (framing, sound) = facts.framing.response(head.version, head.status, request_method)?;
    head.framing = framing;
    facts.options.mark(bytes, &mut head.fields).map_err(as_response)?;
    let ResponseHead { version, status, .. } = *head;
    head.connection = Connection {
        keep_alive: sound && status != 101 && !facts.options.close && (version == Version::Http11 || facts.options.keep_alive),
        upgrade: status == 101 && facts.options.upgrade && facts.upgrade && !facts.h2c,
    };
    if status < 200 || status == 204 {
        drop_lengths(head);
    }
    Ok(())
}

/// These have no Content-Length (RFC 9110 section 8.6), though some servers send one.
#[cold]
fn drop_lengths(head: &mut ResponseHead) {
    for field in head.fields.iter_mut().filter(|field| field.known == Known::ContentLength) {
        field.hop = true;
    }
}
