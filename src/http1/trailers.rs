//! Which trailer lines are well formed, and which fields may stand in trailers (RFC 9110 section 6.5.1).

use super::grammar::is_control;
use crate::error::Reason;
use crate::http::{is_disguised, is_token_byte};

/// Whether to forward this line, given with its line end: true, or false if a field of this name says nothing in
/// trailers. A malformed line is refused, and so is a field that a recipient which merges trailers into the headers
/// would frame, route or authenticate the message by.
pub(super) fn keep(line: &[u8]) -> Result<bool, Reason> {
    let line = line.strip_suffix(b"\r\n").ok_or(Reason::BadTrailer)?;
    let colon = line.iter().position(|&b| !is_token_byte(b)).ok_or(Reason::BadTrailer)?;
    if colon == 0 || line[colon] != b':' || line[colon..].iter().any(|&b| is_control(b)) {
        return Err(Reason::BadTrailer);
    }
    let names = |list: &[&str]| list.iter().any(|name| line[..colon].eq_ignore_ascii_case(name.as_bytes()));
    if names(REFUSED) {
        return Err(Reason::BadTrailer);
    }
    Ok(!names(DROPPED) && !is_disguised(&line[..colon]))
}

/// Framing, routing, connections, credentials.
const REFUSED: &[&str] = &[
    "Authorization",
    "Connection",
    "Content-Length",
    "Cookie",
    "Expect",
    "Host",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Set-Cookie",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "WWW-Authenticate",
];

/// What must be known before the content, and what gateways say about who forwarded it.
const DROPPED: &[&str] = &[
    "Age",
    "Cache-Control",
    "Content-Encoding",
    "Content-Range",
    "Content-Type",
    "Date",
    "Expires",
    "Forwarded",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Location",
    "Max-Forwards",
    "Pragma",
    "Range",
    "Retry-After",
    "Vary",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Request-ID",
];
