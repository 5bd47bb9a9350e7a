//! What `Cache-Status` (RFC 9211) says, and what metrics count.

use super::Ask;
use super::key::{Key, Rewritten};

/// Why a request went to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// Nothing is stored of this URL.
    UriMiss,
    /// What is stored of this URL was chosen by other request headers.
    VaryMiss,
    /// What is stored is stale, or must be asked for before each use.
    Stale,
    /// What is stored isn't new enough for the request.
    Request,
    /// The method isn't answered from the store.
    Method,
    /// The request isn't one for a cache: an upgrade, a body, a condition that only the endpoint can judge.
    Bypass,
}

impl Forwarded {
    const fn token(self) -> &'static str {
        match self {
            Forwarded::UriMiss => "uri-miss",
            Forwarded::VaryMiss => "vary-miss",
            Forwarded::Stale => "stale",
            Forwarded::Request => "request",
            Forwarded::Method => "method",
            Forwarded::Bypass => "bypass",
        }
    }
}

/// How a request went, as metrics count it: `gateway_cache_requests_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered from the store while fresh.
    Hit,
    /// Answered from the store though stale.
    Stale,
    /// Answered from what another request was fetching.
    Collapsed,
    /// Answered from the store after the endpoint said that it is still valid.
    Revalidated,
    /// Answered by an endpoint.
    Miss,
    /// Answered by an endpoint, because it wasn't a request for a cache.
    Bypass,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 6] = [Outcome::Hit, Outcome::Stale, Outcome::Collapsed, Outcome::Revalidated, Outcome::Miss, Outcome::Bypass];

    /// Its word in metrics and the access log.
    pub const fn word(self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::Stale => "stale",
            Outcome::Collapsed => "collapsed",
            Outcome::Revalidated => "revalidated",
            Outcome::Miss => "miss",
            Outcome::Bypass => "bypass",
        }
    }
}

/// What `Cache-Status` says of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Why it went to an endpoint; `None` if it didn't.
    pub(super) forwarded: Option<Forwarded>,
    /// The endpoint's status.
    pub(super) code: Option<u16>,
    /// It was stored.
    pub(super) stored: bool,
    /// Another request fetched it.
    pub(super) collapsed: bool,
    /// Seconds it is still fresh.
    pub(super) ttl: Option<i64>,
    /// A word more.
    pub(super) detail: Option<&'static str>,
    pub(super) outcome: Outcome,
}

impl Status {
    /// Of an answer from the store.
    pub(super) const fn hit(outcome: Outcome) -> Status {
        Status { forwarded: None, code: None, stored: false, collapsed: false, ttl: None, detail: None, outcome }
    }

    /// Of an answer from an endpoint.
    pub(super) const fn forwarded(why: Forwarded, code: u16) -> Status {
        let outcome = if matches!(why, Forwarded::Method | Forwarded::Bypass) { Outcome::Bypass } else { Outcome::Miss };
        Status { forwarded: Some(why), code: Some(code), ..Status::hit(outcome) }
    }

    /// As metrics count it.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The word more that it says: why an answer wasn't stored, for one.
    pub fn detail(&self) -> Option<&'static str> {
        self.detail
    }

    /// Appends the header line.
    pub fn write(&self, out: &mut Vec<u8>, ask: &Ask<'_>) {
        if ask.policy.show_key {
            self.write_with(out, Some(&Key::of_ask(ask, &mut Rewritten::default(), &foldhash::fast::FixedState::default()).text()));
        } else {
            self.write_with(out, None);
        }
    }

    /// Appends the header line without the key.
    pub fn write_plain(&self, out: &mut Vec<u8>) {
        self.write_with(out, None);
    }

    pub(super) fn write_with(&self, out: &mut Vec<u8>, key: Option<&[u8]>) {
        out.reserve(USUAL);
        out.extend_from_slice(b"Cache-Status: ringway");
        match self.forwarded {
            None => out.extend_from_slice(b"; hit"),
            Some(why) => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(why.token().as_bytes());
            }
        }
        if let Some(code) = self.code {
            out.extend_from_slice(b"; fwd-status=");
            out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
        }
        if self.stored {
            out.extend_from_slice(b"; stored");
        }
        if self.collapsed {
            out.extend_from_slice(b"; collapsed");
        }
        if let Some(ttl) = self.ttl {
            out.extend_from_slice(b"; ttl=");
            out.extend_from_slice(itoa::Buffer::new().format(ttl).as_bytes());
        }
        if let Some(key) = key {
            out.extend_from_slice(b"; key=\"");
            for &byte in key.iter().filter(|byte| byte.is_ascii_graphic()) {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            out.extend_from_slice(detail.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Bytes of a line that isn't unusually long.
const USUAL: usize = 128;
