//! What TLS is spoken with: certificates and keys made ready for rustls, which one a client is shown, what certificates say.

mod client;
mod names;
mod pem;
mod server;
mod x509;

use std::sync::{Arc, OnceLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};

use crate::config::TlsVersion;

pub use client::{Client, client_problems};
pub use server::{Server, Tickets, server_problems};
pub use x509::{Facts, facts};

/// Protocols above TLS, as ALPN names them (RFC 7301 section 6, RFC 9113 section 3.2).
const HTTP1: &[u8] = b"http/1.1";
/// HTTP/2.
pub const HTTP2: &[u8] = b"h2";

/// The algorithms, the same for all.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())).clone()
}

/// The versions from this one on.
fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match least {
        TlsVersion::V12 => &ALL,
        TlsVersion::V13 => &ALL[..1],
    }
}
