//! Who sent a request, as endpoints are told: its address, its port, whether by TLS and with whose certificate.

use std::net::IpAddr;

use super::{Known, RequestHead};

/// Who sent a request, as far as the endpoint is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// The peer's address as text.
    pub(super) peer: String,
    /// The peer is a trusted proxy: what it says about the client is believed and passed on.
    pub trusted: bool,
    /// It speaks HTTP/2.
    pub http2: bool,
    /// The connection has TLS.
    pub tls: bool,
    /// The header line that tells whom its certificate is for, with its line end; empty without one.
    pub certificate: Vec<u8>,
    /// The port that the request came in on, as text.
    pub(super) port: String,
    /// What endpoints are told of a peer that isn't trusted, up to the value of `X-Forwarded-Host`.
    pub(super) lines: Vec<u8>,
}

impl Sender {
    /// A sender that isn't trusted, on a port of the gateway; whether by TLS.
    pub fn new(peer: IpAddr, port: &str, tls: bool) -> Self {
        let peer = peer.to_string();
        let scheme = scheme(tls);
        let lines = format!(
            "X-Forwarded-For: {peer}\r\nX-Real-IP: {peer}\r\nX-Forwarded-Proto: {scheme}\r\nX-Forwarded-Port: {port}\r\nX-Forwarded-Host: "
        );
        Sender { peer, trusted: false, http2: false, tls, certificate: Vec::new(), port: port.to_owned(), lines: lines.into_bytes() }
    }

    /// Whether this request of it came over TLS, as far as it or a trusted proxy tells.
    #[inline]
    pub fn is_secure(&self, head: &RequestHead, bytes: &[u8]) -> bool {
        self.tls || (self.trusted && told_https(head, bytes))
    }

    /// Whether answers to it can't go over TLS, not even behind a proxy that is trusted.
    #[inline]
    pub fn is_bare(&self) -> bool {
        !self.tls && !self.trusted
    }
}

/// The first proxy, which knows, stands first.
fn told_https(head: &RequestHead, bytes: &[u8]) -> bool {
    let told = head.known(bytes, Known::XForwardedProto).and_then(|value| value.split(|&byte| byte == b',').next());
    told.is_some_and(|scheme| scheme.trim_ascii().eq_ignore_ascii_case(b"https"))
}

/// The scheme of URLs.
pub(super) const fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}
