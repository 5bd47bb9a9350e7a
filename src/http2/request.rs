//! A request's head from HTTP/2 as one of HTTP/1.1, or why not (RFC 9113 sections 8.2 and 8.3).

use ::http::header::{COOKIE, HOST};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderValue, Method};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::response::is_of_connection;
use crate::error::Reason;
use crate::http::{Known, is_token, is_within, write_line};

/// How the body follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Bytes of another protocol, once the answer has switched to it (RFC 8441).
    Switched,
}

/// What an extended CONNECT asks for (RFC 8441 section 4).
pub struct Switch<'a> {
    /// The protocol.
    pub protocol: &'a str,
    /// 128 bits by chance, as HTTP/1.1 shakes hands with (RFC 6455 section 4.1).
    pub nonce: [u8; 16],
}

impl Switch<'_> {
    pub(super) fn is_websocket(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("websocket")
    }

    /// What a WebSocket's handshake has as its key (RFC 6455 section 4.1).
    pub(super) fn key(&self) -> String {
        STANDARD.encode(self.nonce)
    }
}

/// Appends a request's head as HTTP/1.1; `whole` is the length of its body, if all of it is there. One that asks to switch to another
/// protocol becomes what HTTP/1.1 has for that; nothing may be sent behind it before it has switched.
///
/// # Errors
/// When it is malformed, or can't be said in HTTP/1.1 without meaning something else. `out` holds part of it then.
pub fn write_request(out: &mut Vec<u8>, head: &Parts, whole: Option<u64>, switch: Option<&Switch<'_>>) -> Result<Body, Reason> {
    if (head.method == Method::CONNECT) != switch.is_some() {
        return Err(Reason::ConnectRefused);
    }
    if !is_token(head.method.as_str()) {
        return Err(Reason::BadMethod);
    }
    // h2, which insists on a scheme, tells it of requests with an authority only.
    if !matches!(head.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Reason::BadTarget);
    }
    let target = head.uri.path_and_query().map_or("", |target| target.as_str()).as_bytes();
    let form = target.first() == Some(&b'/') || (target == b"*" && head.method == Method::OPTIONS);
    if !form || !is_within(target, b'!') {
        return Err(Reason::BadTarget);
    }
    out.extend_from_slice(if switch.is_some() { "GET" } else { head.method.as_str() }.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host = host(head)?;
    write_line(out, b"Host", host);
    if let Some(switch) = switch {
        write_switch(out, switch)?;
    }
    let (mut length, mut hosts, mut trailers, mut cookies) = (None, 0, false, false);
    for (name, value) in &head.headers {
        let value = sound(value)?;
        let name = name.as_str().as_bytes();
        match Known::from_name(name) {
            Known::Host if hosts > 0 => return Err(Reason::RepeatedHost),
            Known::Host if !value.eq_ignore_ascii_case(host) => return Err(Reason::AuthorityDiffers),
            Known::Host => hosts += 1,
            Known::ContentLength if switch.is_some() => return Err(Reason::BadLength),
            Known::ContentLength if length.is_some() => return Err(Reason::DifferingLengths),
            Known::ContentLength => length = Some(value),
            Known::Te if !value.eq_ignore_ascii_case(b"trailers") => return Err(Reason::ConnectionField),
            Known::Te => trailers = true,
            Known::Cookie => cookies = true,
            Known::Other if name == b"http2-settings" => return Err(Reason::ConnectionField),
            Known::Other if name == b"sec-websocket-key" && switch.is_some() => {}
            known if is_of_connection(known) => return Err(Reason::ConnectionField),
            _ => write_line(out, name, value),
        }
    }
    let body = if switch.is_some() { Body::Switched } else { body(length, whole)? };
    if trailers {
        out.extend_from_slice(b"te: trailers\r\n");
    }
    if cookies {
        write_cookies(out, &head.headers);
    }
    match body {
        Body::Length(length) => write_line(out, b"content-length", itoa::Buffer::new().format(length).as_bytes()),
        Body::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Body::None | Body::Switched => {}
    }
    out.extend_from_slice(b"\r\n");
    Ok(body)
}

fn write_switch(out: &mut Vec<u8>, switch: &Switch<'_>) -> Result<(), Reason> {
    if !is_token(switch.protocol) {
        return Err(Reason::BadHeaderValue);
    }
    out.extend_from_slice(b"Connection: Upgrade\r\n");
    write_line(out, b"Upgrade", switch.protocol.as_bytes());
    if switch.is_websocket() {
        write_line(out, b"Sec-WebSocket-Key", switch.key().as_bytes());
    }
    Ok(())
}

/// The host asked for: `:authority`, or `Host` where that is missing; both must agree (RFC 9113 section 8.3.1).
fn host(head: &Parts) -> Result<&[u8], Reason> {
    let host = match head.uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => head.headers.get(HOST).ok_or(Reason::MissingHost)?.as_bytes(),
    };
    if host.is_empty() || !is_within(host, b'!') {
        return Err(Reason::BadHost);
    }
    Ok(host)
}

/// How the body follows; what was announced must be possible.
pub(super) fn body(length: Option<&[u8]>, whole: Option<u64>) -> Result<Body, Reason> {
    let Some(digits) = length else {
        return Ok(match whole {
            Some(0) => Body::None,
            Some(length) => Body::Length(length),
            None => Body::Chunked,
        });
    };
    if !(1..=18).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Reason::BadLength);
    }
    let length = digits.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0'));
    if whole.is_some_and(|whole| whole != length) {
        return Err(Reason::BadLength);
    }
    Ok(Body::Length(length))
}

/// A value that stays one line, with nothing at its ends that HTTP/1.1 doesn't count as part of it (RFC 9113 section 8.2.1).
pub(super) fn sound(value: &HeaderValue) -> Result<&[u8], Reason> {
    let value = value.as_bytes();
    if !is_within(value, b' ') && value.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(Reason::ControlByte);
    }
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_space(value.first()) || is_space(value.last()) {
        return Err(Reason::BadHeaderValue);
    }
    Ok(value)
}

/// The cookies, of which there are some, may come in crumbs, each a field (RFC 9113 section 8.2.3).
fn write_cookies(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (index, crumb) in fields.get_all(COOKIE).iter().enumerate() {
        out.extend_from_slice(if index == 0 { &b"cookie: "[..] } else { b"; " });
        out.extend_from_slice(crumb.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_sound_as_each_of_its_bytes_is() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = byte;
                    let value = HeaderValue::from_bytes(&bytes).map(|value| sound(&value).is_ok());
                    let inside = at > 0 && at + 1 < length;
                    let is = byte >= 0x20 && byte != 0x7f && (inside || byte != b' ') || inside && byte == b'\t';
                    assert_eq!(value.unwrap_or(false), is, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }
}
