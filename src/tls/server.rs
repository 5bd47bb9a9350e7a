//! TLS towards clients.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};

use super::names::Certificates;
use super::{HTTP1, HTTP2, facts, pem, provider, versions};
use crate::config::{ClientAuth, Tls, Wrong};

/// What clients are served TLS with.
#[derive(Clone)]
pub struct Server {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// Whose tickets may be taken: a session that is resumed was verified by the rules of the time when it began.
    verified_by: (ClientAuth, String),
    /// Until when each certificate is good, in seconds since 1970 began, by its name: the first that it has.
    pub expiries: Vec<(String, i64)>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("expiries", &self.expiries).finish_non_exhaustive()
    }
}

/// Everything that keeps these settings from being served.
pub fn server_problems(settings: &Tls) -> Vec<Wrong> {
    let certificates = settings.certificates.iter().enumerate();
    let mut problems: Vec<Wrong> = certificates.filter_map(|(index, _)| certified(settings, index).err()).collect();
    if problems.is_empty() {
        problems.extend(Server::new(settings, true).err());
    }
    problems
}

fn certified(settings: &Tls, index: usize) -> Result<rustls::sign::CertifiedKey, Wrong> {
    let certificate = &settings.certificates[index];
    let at = |part: &str| format!("certificates[{index}].{part}");
    pem::certified([&at("cert"), &at("key")], &certificate.cert, &certificate.key)
}

impl Server {
    /// As the settings say, with HTTP/2 among what may be spoken above it or without. Sessions aren't resumed until it is given [`Tickets`].
    ///
    /// # Errors
    /// What of the settings can't be served.
    pub fn new(settings: &Tls, http2: bool) -> Result<Self, Wrong> {
        let all = (0..settings.certificates.len()).map(|index| certified(settings, index).map(Arc::new));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        let expiries = all.iter().filter_map(|certified| facts(certified.cert.first()?)).enumerate().map(|(index, facts)| {
            let name = facts.names.first().cloned().unwrap_or_else(|| format!("certificates[{index}]"));
            (name, facts.not_after)
        });
        let expiries = expiries.collect();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(settings.min_version))
            .map_err(|error| Wrong::new("min_version", &error.to_string(), ""))?;
        let builder = match settings.client_auth {
            ClientAuth::Off => builder.with_no_client_auth(),
            asked => {
                let roots = pem::roots("client_ca", &settings.client_ca)?;
                let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                if asked == ClientAuth::Optional {
                    verifier = verifier.allow_unauthenticated();
                }
                builder.with_client_cert_verifier(verifier.build().map_err(|error| Wrong::new("client_ca", &error.to_string(), ""))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Certificates::new(all)));
        config.alpn_protocols = PROTOCOLS[usize::from(!http2)..].iter().map(|protocol| protocol.to_vec()).collect();
        // What a core remembers no other core would know: sessions are in the clients' tickets.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let verified_by = (settings.client_auth, settings.client_ca.clone());
        Ok(Server { config: Arc::new(config), verified_by, expiries })
    }

    /// With sessions that can be resumed, on whatever core.
    pub fn with(mut self, tickets: &Tickets) -> Self {
        if let Some(ticketer) = tickets.of(&self.verified_by) {
            let config = Arc::make_mut(&mut self.config);
            config.ticketer = ticketer;
            config.send_tls13_tickets = TICKETS;
        }
        self
    }
}

/// The keys of tickets, which outlast reloads. They change every six hours; a ticket is good for twice that time. With other rules for
/// clients' certificates there are others at once: what was let in by the old ones proves itself anew.
#[derive(Default)]
pub struct Tickets(Mutex<Option<Keys>>);

/// Rules for clients' certificates, and the keys for those who were let in by them.
type Keys = ((ClientAuth, String), Arc<dyn ProducesTickets>);

impl Tickets {
    /// `None` if the system has no randomness: then no session is resumed.
    fn of(&self, rules: &(ClientAuth, String)) -> Option<Arc<dyn ProducesTickets>> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, ticketer)) = &*keys
            && known == rules
        {
            return Some(ticketer.clone());
        }
        let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().ok()?;
        *keys = Some((rules.clone(), ticketer.clone()));
        Some(ticketer)
    }
}

/// What may be spoken above TLS, the best first. A client that agrees on HTTP/2 begins with its preface, as on a plain connection.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, HTTP1];
/// Tickets that a client gets for each full handshake (TLS 1.3), as it may use each but once.
const TICKETS: usize = 2;
