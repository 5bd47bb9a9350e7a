//! A response's head, and trailers, between HTTP/1.1 and HTTP/2.

use ::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::request::sound;
use crate::error::Reason;
use crate::http::{Known, ResponseHead, write_line};

/// A response's head, parsed from `bytes`, as HTTP/2 says it: without what belongs to a connection (RFC 9113 section 8.2.2).
///
/// # Errors
/// When it has a status or field that HTTP/2 can't say.
pub fn head(head: &ResponseHead, bytes: &[u8]) -> Result<Response<()>, Reason> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).map_err(|_| Reason::BadResponseHead)?;
    let fields = response.headers_mut();
    fields.reserve(head.fields.len());
    for field in head.fields.iter().filter(|field| !field.hop && !is_of_connection(field.known)) {
        append(fields, field.name.of(bytes), field.value.of(bytes)).ok_or(Reason::BadResponseHead)?;
    }
    Ok(response)
}

fn is_of_connection(known: Known) -> bool {
    matches!(known, Known::Connection | Known::KeepAlive | Known::ProxyConnection | Known::TransferEncoding | Known::Upgrade)
}

fn append(fields: &mut HeaderMap, name: &[u8], value: &[u8]) -> Option<()> {
    fields.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    Some(())
}

/// The answer to a request that can't be translated, and its body.
pub fn refusal(reason: Reason) -> (Response<()>, String) {
    let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let body = format!("{status}: {}\nreason: {}\n", reason.explain(), reason.code());
    let mut response = Response::new(());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(::http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(::http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    (response, body)
}

/// Trailer lines, each with its line end, as HTTP/2 says them; a line that is none is left out.
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
