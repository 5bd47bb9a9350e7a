//! A request's head: bytes in, a head, a wish for more bytes or a named refusal out.

use std::mem::MaybeUninit;

use httparse::{Error, Header, Request, Status};

use super::fields::{Facts, HEAD_MAX, HEADERS_INLINE, gather, span};
use super::{Limits, refusal, target};
use crate::error::Reason;
use crate::http::{Connection, Method, RequestHead, Version};

/// Parses a request's head from the start of `bytes`. `Ok(true)`: `head` is complete and `head.length` bytes of `bytes`
/// are used up. `Ok(false)`: more bytes are needed, nothing is wrong so far; `head` holds nothing of use.
///
/// Up to two empty lines before the request line are skipped (RFC 9112 section 2.2).
pub fn parse_request(bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<bool, Reason> {
    let window = &bytes[..bytes.len().min(limits.head).min(HEAD_MAX)];
    let start = match window.first() {
        Some(b'\r' | b'\n') => empty_lines(window, limits)?,
        _ => 0,
    };
    let mut storage = [const { MaybeUninit::uninit() }; HEADERS_INLINE];
    let headers = &mut storage[..limits.headers.min(HEADERS_INLINE)];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(&window[start..], headers) {
        Ok(Status::Complete(length)) => accept(window, start + length, &request, limits, head),
        Err(Error::TooManyHeaders) if limits.headers > HEADERS_INLINE => parse_many(window, start, limits, head),
        Ok(Status::Partial) => more(window, request.method, request.path, limits),
        Err(_) => refuse(window, limits),
    }
}

/// As above, for more headers than fit the stack.
#[cold]
fn parse_many(window: &[u8], start: usize, limits: &Limits, head: &mut RequestHead) -> Result<bool, Reason> {
    let mut storage: Vec<MaybeUninit<Header<'_>>> = vec![MaybeUninit::uninit(); limits.headers.min(window.len())];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(&window[start..], &mut storage) {
        Ok(Status::Complete(length)) => accept(window, start + length, &request, limits, head),
        Ok(Status::Partial) => more(window, request.method, request.path, limits),
        Err(_) => refuse(window, limits),
    }
}

/// Holds a head that httparse accepts to what httparse doesn't check.
#[inline]
fn accept(bytes: &[u8], length: usize, request: &Request<'_, '_>, limits: &Limits, head: &mut RequestHead) -> Result<bool, Reason> {
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return refuse(bytes, limits);
    };
    let Some(facts) = gather(bytes, length, request.headers, &mut head.fields) else { return refuse(bytes, limits) };
    if target.len() > limits.uri || !target.is_ascii() {
        return refuse(bytes, limits);
    }
    head.length = length;
    head.method = Method::from_bytes(method.as_bytes());
    head.method_name = span(bytes, method.as_bytes());
    head.target = span(bytes, target.as_bytes());
    head.version = if version == 1 { Version::Http11 } else { Version::Http10 };
    let form = match target::split(bytes, head.target, head.method)? {
        Some(form) => form,
        None => return refuse(bytes, limits),
    };
    head.path = form.path;
    head.query = form.query;
    head.has_query = form.has_query;
    match facts.hosts {
        0 if head.version == Version::Http11 => return Err(Reason::MissingHost),
        0 => {}
        1 if target::is_authority(facts.host.of(bytes)) => {}
        1 => return Err(Reason::BadHost),
        _ => return Err(Reason::RepeatedHost),
    }
    head.host = form.authority.unwrap_or(facts.host);
    finish(bytes, &facts, head)
}

/// Framing, connection and expectation.
#[inline]
fn finish(bytes: &[u8], facts: &Facts, head: &mut RequestHead) -> Result<bool, Reason> {
    let modern = head.version == Version::Http11;
    head.framing = facts.framing.request(head.version)?;
    facts.options.mark(bytes, &mut head.fields)?;
    head.connection = Connection {
        keep_alive: !facts.options.close && (modern || facts.options.keep_alive),
        upgrade: modern && facts.options.upgrade && facts.upgrade,
    };
    if facts.expect_other {
        return Err(Reason::BadExpectation);
    }
    // RFC 9110 section 10.1.1: ignored in HTTP/1.0.
    head.expect_continue = modern && facts.expect_continue;
    head.te_trailers = facts.te_trailers;
    Ok(true)
}

/// How many bytes of empty lines to skip.
#[cold]
fn empty_lines(window: &[u8], limits: &Limits) -> Result<usize, Reason> {
    let mut start = 0;
    while start < 2 * refusal::EMPTY_LINES_MAX && window[start..].starts_with(b"\r\n") {
        start += 2;
    }
    match window.get(start) {
        Some(b'\n') => {}
        Some(b'\r') if start == 2 * refusal::EMPTY_LINES_MAX => {}
        _ => return Ok(start),
    }
    refuse(window, limits).map(|_| start)
}

/// The head is incomplete: it may exceed a limit already.
#[cold]
fn more(window: &[u8], method: Option<&str>, target: Option<&str>, limits: &Limits) -> Result<bool, Reason> {
    let long = match (method, target) {
        (_, Some(target)) => target.len() > limits.uri,
        (Some(method), None) => {
            let begin = span(window, method.as_bytes()).end as usize + 1;
            window.len().saturating_sub(begin) > limits.uri
        }
        (None, None) => false,
    };
    if long || window.len() >= limits.head.min(HEAD_MAX) { refuse(window, limits) } else { Ok(false) }
}

/// Names what is wrong: the first fault in the bytes, or that they're too many. Needs more bytes if that can't be told
/// yet.
#[cold]
fn refuse(window: &[u8], limits: &Limits) -> Result<bool, Reason> {
    match refusal::of_request(window, limits) {
        Some(reason) => Err(reason),
        None if window.len() >= limits.head.min(HEAD_MAX) => Err(Reason::HeadTooLarge),
        None => Ok(false),
    }
}
