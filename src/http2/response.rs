//! Responses' heads, and trailers, between HTTP/1.1 and HTTP/2.

use ::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::request::{Body, Switch, body, sound};
use crate::error::Reason;
use crate::http::{Field, Known, ResponseHead, websocket_accept, write_line, write_status};

/// Makes heads of one stream after the other, whose fields most often are those of the one before.
#[derive(Debug, Default)]
pub struct Heads {
    fields: HeaderMap,
    /// The response's head that they are of, as it came.
    head: Vec<u8>,
    /// Trailers, and the lines that they were.
    trailers: HeaderMap,
    lines: Vec<u8>,
}

impl Heads {
    /// A response's head, parsed from `bytes`, as HTTP/2 says it: without what belongs to a connection (RFC 9113 section 8.2.2).
    ///
    /// # Errors
    /// When it has a status or field that HTTP/2 can't say.
    pub fn response(&mut self, head: &ResponseHead, bytes: &[u8]) -> Result<Response<()>, Reason> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(head.status).map_err(|_| Reason::BadResponseHead)?;
        let bytes = &bytes[..head.length];
        if self.head != bytes {
            let said = head.fields.iter().filter(|field| !field.hop && !is_of_connection(field.known));
            self.head.clear();
            self.say(said, bytes).ok_or(Reason::BadResponseHead)?;
            self.head.extend_from_slice(bytes);
        }
        *response.headers_mut() = self.fields.clone();
        Ok(response)
    }

    /// As [`fields()`].
    pub fn trailers(&mut self, lines: &[u8]) -> HeaderMap {
        if self.lines != lines {
            self.lines = lines.to_vec();
            self.trailers = fields(lines);
        }
        self.trailers.clone()
    }

    /// Makes the fields these; nothing, if HTTP/2 can't say them.
    fn say<'a>(&mut self, said: impl Iterator<Item = &'a Field> + Clone, bytes: &[u8]) -> Option<()> {
        let mut before = self.fields.iter_mut();
        let value = |field: &Field| HeaderValue::from_bytes(field.value.of(bytes)).ok();
        if !again(&mut before, said.clone(), bytes, value)? || before.next().is_some() {
            self.fields.clear();
            for field in said {
                append(&mut self.fields, field.name.of(bytes), field.value.of(bytes))?;
            }
        }
        Some(())
    }
}

/// Puts these fields' values in place of those before, if the names are the same; whether they are, with what was before beyond them left in
/// `before`. Nothing, if `value` makes none of one.
pub(super) fn again<'a>(
    before: &mut header::IterMut<'_, HeaderValue>,
    said: impl Iterator<Item = &'a Field>,
    bytes: &[u8],
    value: impl Fn(&Field) -> Option<HeaderValue>,
) -> Option<bool> {
    for field in said {
        let Some((name, old)) = before.next() else { return Some(false) };
        if !name.as_str().as_bytes().eq_ignore_ascii_case(field.name.of(bytes)) {
            return Some(false);
        }
        if old.as_bytes() != field.value.of(bytes) {
            *old = value(field)?;
        }
    }
    Some(true)
}

/// What an answer becomes that switches to the protocol asked for (RFC 8441 section 5).
///
/// # Errors
/// When HTTP/2 can't say it, or it isn't that protocol; for a WebSocket, when it doesn't prove that the request was understood (RFC 6455
/// section 4.1). Who asks over HTTP/2 sees no proof.
pub fn switched(parsed: &ResponseHead, bytes: &[u8], asked: &Switch<'_>) -> Result<Response<()>, Reason> {
    let protocol = parsed.known(bytes, Known::Upgrade).unwrap_or_default();
    let proved = || parsed.header(bytes, "sec-websocket-accept") == Some(websocket_accept(asked.key().as_bytes()).as_bytes());
    if !protocol.eq_ignore_ascii_case(asked.protocol.as_bytes()) || asked.is_websocket() && !proved() {
        return Err(Reason::BadResponseHead);
    }
    let mut response = Heads::default().response(parsed, bytes)?;
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().remove("sec-websocket-accept");
    Ok(response)
}

/// Whether such a field is about a connection of HTTP/1.1, where HTTP/2 has none (RFC 9113 section 8.2.2).
pub(super) fn is_of_connection(known: Known) -> bool {
    matches!(known, Known::Connection | Known::KeepAlive | Known::ProxyConnection | Known::TransferEncoding | Known::Upgrade)
}

/// Nothing, if it is no field, or one more than a map holds.
fn append(fields: &mut HeaderMap, name: &[u8], value: &[u8]) -> Option<()> {
    fields.try_append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?).ok()?;
    Some(())
}

/// Appends the head of HTTP/1.1 that says that the protocol was switched to, of an answer with these fields.
///
/// # Errors
/// When it is malformed. `out` holds part of it then.
pub fn write_switched(out: &mut Vec<u8>, fields: &HeaderMap, protocol: &str, key: Option<&HeaderValue>) -> Result<(), Reason> {
    write_status(out, 101, b"Switching Protocols");
    out.extend_from_slice(b"Connection: Upgrade\r\n");
    write_line(out, b"Upgrade", protocol.as_bytes());
    if let Some(key) = key {
        // What shows that it was understood is not said over HTTP/2 (RFC 8441 section 5).
        write_line(out, b"Sec-WebSocket-Accept", websocket_accept(key.as_bytes()).as_bytes());
    }
    for (name, value) in fields {
        match name.as_str() {
            "content-length" | "sec-websocket-accept" => {}
            name if is_of_connection(Known::from_name(name.as_bytes())) => return Err(Reason::BadResponseHead),
            name => write_line(out, name.as_bytes(), sound(value).map_err(|_| Reason::BadResponseHead)?),
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends an answer's head as HTTP/1.1; `ended` if its stream has ended with it.
///
/// # Errors
/// When it is malformed, or can't be said in HTTP/1.1 without meaning something else. `out` holds part of it then.
pub fn write_response(
    out: &mut Vec<u8>,
    status: StatusCode,
    fields: &HeaderMap,
    method: crate::http::Method,
    ended: bool,
) -> Result<Body, Reason> {
    // There is none in HTTP/2 (RFC 9113 section 8.6).
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Reason::BadResponseHead);
    }
    write_status(out, status.as_u16(), status.canonical_reason().unwrap_or_default().as_bytes());
    let mut length = None;
    for (name, value) in fields {
        let name = name.as_str().as_bytes();
        match Known::from_name(name) {
            Known::ContentLength if length.is_some() => return Err(Reason::BadResponseFraming),
            Known::ContentLength => length = Some(value.as_bytes()),
            known if is_of_connection(known) => return Err(Reason::BadResponseHead),
            _ => write_line(out, name, sound(value).map_err(|_| Reason::BadResponseHead)?),
        }
    }
    let bodiless = status.is_informational() || matches!(status.as_u16(), 204 | 304) || method == crate::http::Method::Head;
    let body = match body(length, (ended && !bodiless).then_some(0)).map_err(|_| Reason::BadResponseFraming)? {
        // What would be there if it were asked for.
        Body::Length(length) => {
            if !status.is_informational() && status.as_u16() != 204 {
                write_line(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
            }
            if bodiless { Body::None } else { Body::Length(length) }
        }
        _ if bodiless => Body::None,
        Body::Chunked => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Body::Chunked
        }
        Body::None | Body::Switched => {
            out.extend_from_slice(b"content-length: 0\r\n");
            Body::Length(0)
        }
    };
    out.extend_from_slice(b"\r\n");
    Ok(body)
}

/// Trailer lines, each with its line end, as HTTP/2 says them; a line that is none is left out, and so are those behind the first 24,576.
pub fn fields(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        if let Some(colon) = memchr::memchr(b':', line) {
            let _ = append(&mut fields, &line[..colon], line[colon + 1..].trim_ascii());
        }
    }
    fields
}

/// Appends trailers as lines of HTTP/1.1.
///
/// # Errors
/// When a value wouldn't stay one line.
pub fn write_fields(out: &mut Vec<u8>, fields: &HeaderMap) -> Result<(), Reason> {
    for (name, value) in fields {
        write_line(out, name.as_str().as_bytes(), sound(value)?);
    }
    Ok(())
}
