//! A request's head: bytes in, a head, a wish for more bytes or a named refusal out.

use super::fields::{Facts, HEAD_MAX, Stop, gather, line_end, span};
use super::{Limits, refusal, scan, target};
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
    let settled = std::mem::take(&mut head.settled).then_some(head.version);
    let mut facts = Facts::default();
    match read(window, start, limits, settled, head, &mut facts) {
        Ok(same) => {
            let accepted = accept(window, &facts, same, limits, head);
            head.settled &= accepted == Ok(true);
            if accepted != Ok(true) {
                head.lines.clear();
            }
            accepted
        }
        // Only a head of some length can be too long already.
        Err(Stop::More) if window.len() <= limits.uri && window.len() < limits.head => Ok(false),
        Err(_) => refuse(window, limits),
    }
}

/// Finds the head's parts. `Ok(true)`: all but the request line is the same, and where it was, as in the head before, which was
/// accepted with the version `settled`.
#[inline]
fn read(
    bytes: &[u8],
    start: usize,
    limits: &Limits,
    settled: Option<Version>,
    head: &mut RequestHead,
    facts: &mut Facts,
) -> Result<bool, Stop> {
    let method = scan::token(bytes, start);
    let target = space(bytes, start, method)?;
    let version = scan::visible(bytes, target);
    let line = space(bytes, target, version)?;
    head.version = match bytes.get(line..line + 8) {
        Some(b"HTTP/1.1") => Version::Http11,
        Some(b"HTTP/1.0") => Version::Http10,
        Some(_) => return Err(Stop::Fault),
        None => return Err(if b"HTTP/1.".starts_with(&bytes[line..bytes.len().min(line + 7)]) { Stop::More } else { Stop::Fault }),
    };
    head.method_name = span(start, method);
    head.method = Method::from_bytes(&bytes[start..method]);
    head.target = span(target, version);
    let fields = line_end(bytes, line + 8)?;
    let unmoved = head.fields.first().is_some_and(|first| first.name.start as usize == fields) && head.fields.len() <= limits.headers;
    if settled == Some(head.version)
        && bytes[target] == b'/'
        && unmoved
        && !head.lines.is_empty()
        && bytes[fields..].starts_with(&head.lines)
    {
        head.length = fields + head.lines.len();
        return Ok(true);
    }
    head.length = gather(bytes, fields, limits.headers, &mut head.fields, &mut head.lines, facts)?;
    Ok(false)
}

/// The first byte after the one space at `end`, before which there must be something.
#[inline]
fn space(bytes: &[u8], start: usize, end: usize) -> Result<usize, Stop> {
    match bytes.get(end) {
        Some(b' ') if end > start => Ok(end + 1),
        Some(_) => Err(Stop::Fault),
        None => Err(Stop::More),
    }
}

/// Holds the parts to what they must be together.
#[inline]
fn accept(bytes: &[u8], facts: &Facts, same: bool, limits: &Limits, head: &mut RequestHead) -> Result<bool, Reason> {
    if head.target.end - head.target.start > u32::try_from(limits.uri).unwrap_or(u32::MAX) {
        return refuse(bytes, limits);
    }
    let form = match target::split(bytes, head.target, head.method)? {
        Some(form) => form,
        None => return refuse(bytes, limits),
    };
    head.path = form.path;
    head.query = form.query;
    head.has_query = form.has_query;
    head.settled = form.authority.is_none();
    if same {
        return Ok(true);
    }
    match facts.hosts {
        0 if head.version == Version::Http11 => return Err(Reason::MissingHost),
        0 => {}
        1 if facts.repeated || target::is_authority(facts.host.of(bytes)) => {}
        1 => return Err(Reason::BadHost),
        _ => return Err(Reason::RepeatedHost),
    }
    head.host = form.authority.unwrap_or(facts.host);
    finish(bytes, facts, head)
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
