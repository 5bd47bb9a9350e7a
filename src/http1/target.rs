//! The four forms of a request target (RFC 9112 section 3.2), and authorities.

use std::net::Ipv6Addr;

use memchr::{memchr, memchr2};

use crate::error::Reason;
use crate::http::{Method, Span};

/// A target's parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) path: Span,
    pub(super) query: Span,
    pub(super) has_query: bool,
    /// Host and port, of the absolute form.
    pub(super) authority: Option<Span>,
}

/// Splits a target of visible ASCII. `None`: it has a fragment.
#[inline]
pub(super) fn split(bytes: &[u8], target: Span, method: Method) -> Result<Option<Form>, Reason> {
    let text = target.of(bytes);
    // No tunnel is made, so neither its own form of target nor any other is looked at.
    if method == Method::Connect {
        return if text.contains(&b'#') { Ok(None) } else { Err(Reason::ConnectRefused) };
    }
    if text[0] == b'/' {
        return Ok(split_query(bytes, target, None));
    }
    split_rare(bytes, target, method)
}

/// The asterisk and absolute forms.
#[cold]
fn split_rare(bytes: &[u8], target: Span, method: Method) -> Result<Option<Form>, Reason> {
    let text = target.of(bytes);
    if text.contains(&b'#') {
        return Ok(None);
    }
    if text == b"*" && method == Method::Options {
        let end = Span { start: target.end, end: target.end };
        return Ok(Some(Form { path: target, query: end, has_query: false, authority: None }));
    }
    let scheme = match text {
        _ if text.len() >= 7 && text[..7].eq_ignore_ascii_case(b"http://") => 7,
        _ if text.len() >= 8 && text[..8].eq_ignore_ascii_case(b"https://") => 8,
        _ => return Err(Reason::BadTarget),
    };
    let length = memchr2(b'/', b'?', &text[scheme..]).unwrap_or(text.len() - scheme);
    let start = target.start + scheme as u32;
    let authority = Span { start, end: start + length as u32 };
    if !is_authority(authority.of(bytes)) {
        return Err(Reason::BadTarget);
    }
    let rest = Span { start: authority.end, end: target.end };
    let mut form = split_query(bytes, rest, Some(authority));
    if let Some(form) = &mut form
        && form.path.is_empty()
    {
        // The path of `http://host` is `/`, and here is one.
        form.path = Span { start: start - 1, end: start };
    }
    Ok(form)
}

#[inline]
fn split_query(bytes: &[u8], text: Span, authority: Option<Span>) -> Option<Form> {
    let end = Span { start: text.end, end: text.end };
    let Some(at) = memchr2(b'?', b'#', text.of(bytes)) else {
        return Some(Form { path: text, query: end, has_query: false, authority });
    };
    let at = text.start + at as u32;
    let query = Span { start: at + 1, end: text.end };
    if bytes[at as usize] == b'#' || memchr(b'#', query.of(bytes)).is_some() {
        return None;
    }
    Some(Form { path: Span { start: text.start, end: at }, query, has_query: true, authority })
}

/// Whether this is a host and optional port as `Host` has it. Narrower than RFC 3986: no user information, no
/// percent-encoding, no sub-delimiters, no empty host or port, because those are read differently by different servers
/// and no DNS name has them.
#[inline]
pub(super) fn is_authority(text: &[u8]) -> bool {
    if text.first() == Some(&b'[') {
        return is_literal(text);
    }
    let length = text.iter().position(|&b| !is_name(b)).unwrap_or(text.len());
    length > 0 && is_port(&text[length..])
}

/// An IPv6 address in brackets.
#[cold]
fn is_literal(text: &[u8]) -> bool {
    let Some(end) = memchr(b']', text) else { return false };
    let address = std::str::from_utf8(&text[1..end]).ok().and_then(|address| address.parse::<Ipv6Addr>().ok());
    address.is_some() && is_port(&text[end + 1..])
}

/// Nothing, or a colon and a port.
#[inline]
fn is_port(text: &[u8]) -> bool {
    let [b':', digits @ ..] = text else { return text.is_empty() };
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    digits.iter().fold(0, |port, digit| port * 10 + u32::from(digit - b'0')) <= 65535
}

#[inline]
const fn is_name(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
}
