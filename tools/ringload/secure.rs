//! Whom a run trusts that asks by TLS.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// How long a target may take for each step of its handshake when it is looked at.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// A file of authorities, in place of those that browsers trust.
    pub ca: Option<PathBuf>,
    /// Anybody is.
    pub anybody: bool,
    /// No session is resumed.
    pub forgets: bool,
}

impl Trust {
    /// What a target of this host is asked with, for HTTP/2 or HTTP/1.1, and the name that its certificate must have.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn client(&self, host: &str, http2: bool) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` can't be the name of a certificate"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let mut config = if self.anybody {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
        } else {
            builder.with_root_certificates(self.roots()?).with_no_client_auth()
        };
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        if self.forgets {
            config.resumption = Resumption::disabled();
        }
        Ok((Arc::new(config), name))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let Some(path) = &self.ca else {
            return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
        };
        let told = |error: &dyn std::fmt::Display| format!("cannot read certificates of {}: {error}", path.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| told(&error))? {
            roots.add(certificate.map_err(|error| told(&error))?).map_err(|error| told(&error))?;
        }
        Ok(roots)
    }
}

/// Whether a target can be asked by TLS, but not for HTTP/2. What else is wrong with it the run itself tells.
pub fn refuses_http2(mut stream: TcpStream, config: Arc<ClientConfig>, name: ServerName<'static>) -> bool {
    let patient = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    let Ok(mut session) = ClientConnection::new(config, name) else { return false };
    if patient.is_err() {
        return false;
    }
    while session.is_handshaking() {
        if let Err(error) = session.complete_io(&mut stream) {
            let told = error.get_ref().and_then(|error| error.downcast_ref());
            return matches!(told, Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
        }
    }
    session.alpn_protocol() != Some(b"h2")
}

/// Takes any certificate; that its owner has the key is looked at all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
