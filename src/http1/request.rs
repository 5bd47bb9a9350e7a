//! A request's head: bytes in, a head, a wish for more bytes or a named refusal out.

use super::fields::{Facts, HEAD_MAX, Stop, line_end, scan as scan_fields, span};
use super::{Limits, refusal, scan, target};
use crate::error::Reason;
use crate::http::{Connection, Method, RequestHead, Span, Version};

/// Parses a request's head from the start of `bytes`. `Ok(true)`: `head` is complete and `head.length` bytes of `bytes`
/// are used up. `Ok(false)`: more bytes are needed, nothing is wrong so far; `head` holds nothing of use.
///
/// Up to two empty lines before the request line are skipped (RFC 9112 section 2.2).
pub fn parse_request(bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<bool, Reason> {
    let window = &bytes[..bytes.len().min(limits.head).min(HEAD_MAX)];
    if head.seen.is_front_of(window)
        && head.fields.len() <= limits.headers
        && head.target.end - head.target.start <= u32::try_from(limits.uri).unwrap_or(u32::MAX)
    {
        return Ok(true);
    }
    head.seen.heads += 1;
    let start = match window.first() {
        Some(b'\r' | b'\n') => empty_lines(window, limits)?,
        _ => 0,
    };
    let mut facts = Facts::default();
    let accepted = match read(window, start, limits, head, &mut facts) {
        Ok(same) => accept(window, &facts, same, limits, head),
        // Only a head of some length can be too long already.
        Err(Stop::More) if window.len() <= limits.uri && window.len() < limits.head => Ok(false),
        Err(_) => refuse(window, limits),
    };
    if accepted == Ok(true) {
        head.seen.remember(&window[..head.length]);
    } else {
        head.seen.bytes.clear();
    }
    accepted
}

/// Finds the head's parts. `Ok(true)`: the lines are those of the head before, and mean what they meant there.
#[inline]
fn read(bytes: &[u8], start: usize, limits: &Limits, head: &mut RequestHead, facts: &mut Facts) -> Result<bool, Stop> {
    let method = scan::token(bytes, start);
    let target = space(bytes, start, method)?;
    let version = scan::visible(bytes, target);
    let line = space(bytes, target, version)?;
    let before = head.version;
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
    let settled = head.seen.settled && before == head.version && bytes[target] == b'/' && head.fields.len() <= limits.headers;
    if settled && let Some(end) = same_lines(bytes, fields, head) {
        head.length = end;
        return Ok(true);
    }
    head.seen.lines += 1;
    head.length = scan_fields(bytes, fields, limits.headers, &mut head.fields, facts)?;
    Ok(false)
}

/// Where the head ends, if its lines from `at` on are those of the head before; moves its fields there.
#[inline]
fn same_lines(bytes: &[u8], at: usize, head: &mut RequestHead) -> Option<usize> {
    let before = head.fields.first()?.name.start;
    let lines = head.seen.bytes.get(before as usize..).filter(|lines| bytes[at..].starts_with(lines))?;
    if lines.is_empty() {
        return None;
    }
    let end = at + lines.len();
    let by = (at as u32).wrapping_sub(before);
    if by != 0 {
        let moved = |span: &mut Span| *span = Span { start: span.start.wrapping_add(by), end: span.end.wrapping_add(by) };
        // Without a Host, which only HTTP/1.0 may leave out, it is at no place at all.
        if !head.host.is_empty() {
            moved(&mut head.host);
        }
        for field in &mut head.fields {
            moved(&mut field.name);
            moved(&mut field.value);
        }
    }
    Some(end)
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
    head.seen.settled = form.authority.is_none();
    if same {
        return Ok(true);
    }
    match facts.hosts {
        0 if head.version == Version::Http11 => return Err(Reason::MissingHost),
        0 => {}
        1 if target::is_authority(facts.host.of(bytes)) => {}
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
        upgrade: modern && facts.options.upgrade && facts.upgrade && !facts.h2c,
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
