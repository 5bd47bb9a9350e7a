//! TLS towards endpoints.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::{HTTP1, HTTP2, pem, provider, versions};
use crate::config::{Protocol, UpstreamTls, Wrong};

/// What an upstream's endpoints are asked with. The sessions that can be resumed are remembered here.
#[derive(Clone, Debug)]
pub struct Client {
    /// For rustls.
    pub config: Arc<ClientConfig>,
    /// The name that certificates must have, if it isn't that of the endpoint's URL.
    name: Option<ServerName<'static>>,
}

/// What keeps these settings from being used.
pub fn client_problems(settings: &UpstreamTls) -> Option<Wrong> {
    Client::new(settings, Protocol::Http1).err()
}

impl Client {
    /// As the settings say, for an endpoint that speaks this above it.
    ///
    /// # Errors
    /// What of the settings can't be used.
    pub fn new(settings: &UpstreamTls, protocol: Protocol) -> Result<Self, Wrong> {
        let roots = match settings.ca.as_str() {
            "" => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            ca => pem::roots("ca", ca)?,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(settings.min_version))
            .map_err(|error| Wrong::new("min_version", &error.to_string(), ""))?
            .with_root_certificates(roots);
        let mut config = match (settings.client_cert.as_str(), settings.client_key.as_str()) {
            ("", "") => builder.with_no_client_auth(),
            (cert, key) => {
                let certified = pem::certified(["client_cert", "client_key"], cert, key)?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
            }
        };
        let spoken = match protocol {
            Protocol::Http1 => HTTP1,
            Protocol::H2 => HTTP2,
        };
        config.alpn_protocols = vec![spoken.to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let name = match settings.server_name.as_str() {
            "" => None,
            name => Some(ServerName::try_from(name.to_owned()).map_err(|_| Wrong::new("server_name", "is no host name", ""))?),
        };
        Ok(Client { config: Arc::new(config), name })
    }

    /// The same with sessions of its own.
    pub fn own(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Client { config: Arc::new(config), name: self.name.clone() }
    }

    /// The name that the certificate of the endpoint with this URL must have; `None` if it isn't asked by TLS.
    pub fn name_of(&self, url: &str) -> Option<ServerName<'static>> {
        let authority = url.strip_prefix("https://")?;
        let authority = authority.trim_end_matches('/');
        if let Some(name) = &self.name {
            return Some(name.clone());
        }
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next()?,
            None => authority.split(':').next()?,
        };
        ServerName::try_from(host.to_owned()).ok()
    }
}

/// Endpoints of an upstream whose sessions a core remembers.
const SESSIONS: usize = 256;
