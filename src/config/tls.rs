//! Settings of TLS, towards clients and towards endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Time;

/// The listener for HTTPS. It is there if it has certificates. Changes of `enabled`, `address` and `port` need a restart; all else, the
/// certificates' files included, is read again on reload, and no connection notices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Whether it listens, if there are certificates.
    pub enabled: bool,
    /// IP address to listen on; `0.0.0.0` is every IPv4 address, `::` every address.
    pub address: String,
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// Certificates. A client is shown the first one that has the name it asks for (SNI), as it is or by a wildcard, with a key that the
    /// client can check; one that names nothing, or something unknown, is shown the first of all.
    pub certificates: Vec<Certificate>,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
    /// Whether clients are asked for a certificate.
    pub client_auth: ClientAuth,
    /// Certificates (PEM) of the authorities that sign clients' certificates; most often `${file:/etc/ringway/clients.pem}`.
    pub client_ca: String,
    /// The header that tells endpoints the subject of the client's certificate (RFC 4514), which was verified. With `client_auth`, no
    /// client can send it itself, on whatever port; empty sends none.
    pub client_subject_header: String,
    /// For a whole handshake, from the accept.
    pub handshake_timeout: Time,
    /// Handshakes under way at once, per worker; further connections are closed.
    #[schemars(range(min = 1, max = 1000000))]
    pub handshakes: u32,
    /// Whether requests without TLS are sent to `https://` (308). Built-in pages and `/.well-known/acme-challenge/` are served all the same.
    pub redirect: bool,
    /// The port they are sent to; else `port`.
    pub redirect_port: Option<u16>,
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            enabled: true,
            address: "0.0.0.0".into(),
            port: 8443,
            certificates: Vec::new(),
            min_version: TlsVersion::default(),
            client_auth: ClientAuth::default(),
            client_ca: String::new(),
            client_subject_header: "X-Client-Cert-Subject".into(),
            handshake_timeout: Time::from_secs(10),
            handshakes: 1000,
            redirect: false,
            redirect_port: None,
        }
    }
}

impl Tls {
    /// Whether there is such a listener.
    pub fn listens(&self) -> bool {
        self.enabled && !self.certificates.is_empty()
    }

    /// The header that tells endpoints of clients' certificates, if any does.
    pub fn subject_header(&self) -> Option<&str> {
        let told = self.listens() && self.client_auth != ClientAuth::Off && !self.client_subject_header.is_empty();
        told.then_some(self.client_subject_header.as_str())
    }
}

/// A certificate and its key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Certificate {
    /// The certificate, followed by those of the authorities between it and the root (PEM); most often `${file:/etc/ringway/cert.pem}`.
    /// The names it is for are taken from it.
    pub cert: String,
    /// Its private key (PEM): PKCS#8, PKCS#1 or SEC1, without a password.
    pub key: String,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They aren't.
    #[default]
    Off,
    /// They are; a bad one ends the handshake, none doesn't.
    Optional,
    /// Without a good one there is no connection.
    Required,
}

/// TLS towards endpoints: those whose `url` begins with `https://`. Their certificates are verified, always; one that no public authority
/// has signed needs `ca`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// Certificates (PEM) of the authorities that sign endpoints' certificates, in place of those that browsers trust; most often
    /// `${file:/etc/ringway/ca.pem}`.
    pub ca: String,
    /// The name that endpoints' certificates must have, and that they are asked by (SNI); else the host of each one's `url`.
    pub server_name: String,
    /// The certificate that the gateway shows endpoints, if they ask for one (PEM).
    pub client_cert: String,
    /// Its private key (PEM).
    pub client_key: String,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
}
