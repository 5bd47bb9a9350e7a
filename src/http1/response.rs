//! A response's head: bytes in, a head, a wish for more bytes or a named refusal out.

use std::mem::MaybeUninit;

use httparse::{Error, Header, Response, Status};

use super::fields::{HEAD_MAX, HEADERS_INLINE, gather, span};
use super::{Limits, as_response};
use crate::error::Reason;
use crate::http::{Connection, Known, Method, ResponseHead, Span, Version};

/// Parses the head of a response to a request with `request_method` from the start of `bytes`. `Ok(true)`: `head` is
/// complete and `head.length` bytes of `bytes` are used up. `Ok(false)`: more bytes are needed, nothing is wrong so far;
/// `head` holds nothing of use.
///
/// Interim responses (1xx) are heads of their own. Refusals are `BadResponseHead`, `BadResponseFraming` and
/// `ResponseHeadTooLarge`.
pub fn parse_response(bytes: &[u8], request_method: Method, limits: &Limits, head: &mut ResponseHead) -> Result<bool, Reason> {
    let window = &bytes[..bytes.len().min(limits.head).min(HEAD_MAX)];
    // httparse skips empty lines; before a response they are bytes of some other message.
    if matches!(window.first(), Some(b'\r' | b'\n')) {
        return Err(Reason::BadResponseHead);
    }
    let mut storage = [const { MaybeUninit::uninit() }; HEADERS_INLINE];
    let headers = &mut storage[..limits.headers.min(HEADERS_INLINE)];
    let mut response = Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, window, headers) {
        Ok(Status::Complete(length)) => accept(window, length, &response, request_method, head),
        Err(Error::TooManyHeaders) if limits.headers > HEADERS_INLINE => parse_many(window, request_method, limits, head),
        other => unfinished(window, other, limits),
    }
}

/// As above, for more headers than fit the stack.
#[cold]
fn parse_many(window: &[u8], request_method: Method, limits: &Limits, head: &mut ResponseHead) -> Result<bool, Reason> {
    let mut storage: Vec<MaybeUninit<Header<'_>>> = vec![MaybeUninit::uninit(); limits.headers.min(window.len())];
    let mut response = Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, window, &mut storage) {
        Ok(Status::Complete(length)) => accept(window, length, &response, request_method, head),
        other => unfinished(window, other, limits),
    }
}

#[cold]
fn unfinished(window: &[u8], result: httparse::Result<usize>, limits: &Limits) -> Result<bool, Reason> {
    match result {
        Ok(_) if window.len() >= limits.head.min(HEAD_MAX) => Err(Reason::ResponseHeadTooLarge),
        Ok(_) => Ok(false),
        Err(Error::TooManyHeaders) => Err(Reason::ResponseHeadTooLarge),
        Err(_) => Err(Reason::BadResponseHead),
    }
}

#[inline]
fn accept(
    bytes: &[u8],
    length: usize,
    response: &Response<'_, '_>,
    request_method: Method,
    head: &mut ResponseHead,
) -> Result<bool, Reason> {
    let (Some(version), Some(status @ 100..)) = (response.version, response.code) else { return Err(Reason::BadResponseHead) };
    let facts = gather(bytes, length, response.headers, &mut head.fields).ok_or(Reason::BadResponseHead)?;
    head.length = length;
    head.status = status;
    head.phrase = phrase(bytes, response.reason.unwrap_or_default());
    head.version = if version == 1 { Version::Http11 } else { Version::Http10 };
    let (framing, sound) = facts.framing.response(head.version, status, request_method)?;
    head.framing = framing;
    facts.options.mark(bytes, &mut head.fields).map_err(as_response)?;
    head.connection = Connection {
        keep_alive: sound && status != 101 && !facts.options.close && (head.version == Version::Http11 || facts.options.keep_alive),
        upgrade: status == 101 && facts.options.upgrade && facts.upgrade,
    };
    if status < 200 || status == 204 {
        drop_lengths(head);
    }
    Ok(true)
}

/// These have no Content-Length (RFC 9110 section 8.6), though some servers send one.
#[cold]
fn drop_lengths(head: &mut ResponseHead) {
    for field in head.fields.iter_mut().filter(|field| field.known == Known::ContentLength) {
        field.hop = true;
    }
}

/// Where the reason phrase is. httparse hands out an empty one, which lies elsewhere, if it isn't ASCII.
#[inline]
fn phrase(bytes: &[u8], phrase: &str) -> Span {
    if !phrase.is_empty() {
        return span(bytes, phrase.as_bytes());
    }
    let end = memchr::memchr(b'\r', bytes).unwrap_or(PHRASE_START);
    Span { start: PHRASE_START.min(end) as u32, end: end as u32 }
}

/// Bytes before the phrase: `HTTP/1.1 200 `.
const PHRASE_START: usize = 13;
