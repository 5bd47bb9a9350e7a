//! One pass over a head's fields: spans, known names, strict line ends, and all facts that framing and forwarding need.

use super::connection::Options;
use super::framing::Given;
use super::grammar::{elements, is_space};
use super::scan as quick;
use crate::http::{Field, Known, Span};

/// What a head's fields say together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) framing: Given,
    pub(super) options: Options,
    /// The first Host.
    pub(super) host: Span,
    /// How many Hosts there are.
    pub(super) hosts: u32,
    /// There is an Upgrade.
    pub(super) upgrade: bool,
    /// It names HTTP/2. Passed on, that would open a way past everything that looks at requests; servers ignore it (RFC 9113 section 3.1).
    pub(super) h2c: bool,
    /// TE accepts trailers.
    pub(super) te_trailers: bool,
    pub(super) expect_continue: bool,
    /// An expectation other than 100-continue.
    pub(super) expect_other: bool,
}

/// Why the bytes make no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// They end too early.
    More,
    /// There are more fields than allowed.
    TooMany,
    /// Something is in them that must not be.
    Fault,
}

/// Makes `fields` of the lines from `at` on, at most `max` of them, and gathers the facts; where the head ends.
pub(super) fn scan(bytes: &[u8], mut at: usize, max: usize, fields: &mut Vec<Field>, facts: &mut Facts) -> Result<usize, Stop> {
    fields.clear();
    loop {
        if let Some(b'\r') = bytes.get(at) {
            return line_end(bytes, at);
        }
        let (name, value) = line(bytes, at)?;
        at = line_end(bytes, value.end as usize)?;
        if fields.len() == max {
            return Err(Stop::TooMany);
        }
        let value = trim_end(bytes, value);
        let known = Known::from_name(name.of(bytes));
        let hop = facts.take(bytes, known, value);
        fields.push(Field { name, value, known, hop });
    }
}

/// Where a field's name is and where its value with the white space behind it.
#[inline]
fn line(bytes: &[u8], at: usize) -> Result<(Span, Span), Stop> {
    let colon = quick::token(bytes, at);
    match bytes.get(colon) {
        Some(b':') if colon > at => {}
        Some(_) => return Err(Stop::Fault),
        None => return Err(Stop::More),
    }
    let mut start = colon + 1;
    // One space and no more, nearly always.
    if bytes.get(start) == Some(&b' ') {
        start += 1;
    }
    if bytes.get(start).is_some_and(|&byte| is_space(byte)) {
        start = after_spaces(bytes, start);
    }
    let end = quick::value(bytes, start);
    Ok((span(at, colon), span(start, end)))
}

#[cold]
fn after_spaces(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().position(|&byte| !is_space(byte)).unwrap_or(bytes.len() - at)
}

/// The first byte after the line end at `at`.
#[inline]
pub(super) fn line_end(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    match bytes.get(at..at + 2) {
        Some(b"\r\n") => Ok(at + 2),
        Some(_) => Err(Stop::Fault),
        None if matches!(bytes.get(at), None | Some(b'\r')) => Err(Stop::More),
        None => Err(Stop::Fault),
    }
}

#[inline]
fn trim_end(bytes: &[u8], mut value: Span) -> Span {
    while value.end > value.start && is_space(bytes[value.end as usize - 1]) {
        value.end -= 1;
    }
    value
}

impl Facts {
    /// Takes a field; whether it stays behind.
    #[inline(always)]
    fn take(&mut self, bytes: &[u8], known: Known, span: Span) -> bool {
        known.is_fact() && self.take_known(known, span, span.of(bytes))
    }

    #[inline]
    fn take_known(&mut self, known: Known, span: Span, value: &[u8]) -> bool {
        match known {
            Known::Connection => self.options.on_value(value),
            Known::ContentLength => return self.framing.on_length(value),
            Known::TransferEncoding => self.framing.on_coding(value),
            Known::Host => {
                if self.hosts == 0 {
                    self.host = span;
                }
                self.hosts += 1;
            }
            Known::Te => self.te_trailers |= elements(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers")),
            Known::Upgrade => {
                self.upgrade |= !value.is_empty();
                self.h2c |= elements(value).any(|protocol| protocol.eq_ignore_ascii_case(b"h2c"));
            }
            Known::Expect => {
                let known = value.eq_ignore_ascii_case(b"100-continue");
                self.expect_continue |= known;
                self.expect_other |= !known;
            }
            _ => {}
        }
        known.is_hop()
    }
}

/// The bytes from `start` to `end`; heads are shorter than [`HEAD_MAX`].
#[inline]
pub(super) const fn span(start: usize, end: usize) -> Span {
    Span { start: start as u32, end: end as u32 }
}

/// The longest head: spans are 32 bits.
pub(super) const HEAD_MAX: usize = u32::MAX as usize;
