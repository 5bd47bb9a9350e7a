//! Key sets over TLS: whom an issuer's certificate has to be from.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use serde_json::json;

use super::signer::Signer;
use super::tokens::{bearing, claims};
use super::{OK, guarded};
use crate::harness::{Gateway, Hostile, until};

// Made with openssl, of P-256, good for 127.0.0.1 until the year 2126: `own` by the authority `own-ca`, `other` by one that nobody has.
const CA: &str = include_str!("tls/own-ca.pem");
const OWN: [&str; 2] = [include_str!("tls/own.pem"), include_str!("tls/own.key")];
const OTHER: [&str; 2] = [include_str!("tls/other.pem"), include_str!("tls/other.key")];

/// An issuer that shows the certificate, and has the key set, that the test says.
struct Issuer {
    address: SocketAddr,
    says: Arc<Mutex<(Arc<ServerConfig>, String)>>,
    stop: Arc<AtomicBool>,
}

fn identity([certificate, key]: [&str; 2]) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap())
}

impl Issuer {
    fn start(shown: [&str; 2], signer: &Signer) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let says = Arc::new(Mutex::new((identity(shown), signer.set().to_string())));
        let issuer = Issuer { address: listener.local_addr().unwrap(), says: says.clone(), stop: Arc::default() };
        let stop = issuer.stop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().take_while(|_| !stop.load(SeqCst)) {
                let (config, set) = says.lock().unwrap().clone();
                // Whoever doesn't trust it says so and leaves.
                let _ = answer(stream.unwrap(), config, &set);
            }
        });
        issuer
    }

    fn says(&self, shown: [&str; 2], signer: &Signer) {
        *self.says.lock().unwrap() = (identity(shown), signer.set().to_string());
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(mut stream: TcpStream, config: Arc<ServerConfig>, set: &str) -> std::io::Result<()> {
    let mut tls = ServerConnection::new(config).unwrap();
    let mut stream = Stream::new(&mut tls, &mut stream);
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        seen.push(byte[0]);
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{set}", set.len())?;
    stream.flush()
}

fn trusting(endpoint: &Hostile, host: &str, issuer: &Issuer, ca: &str) -> Gateway {
    let url = format!("https://{host}:{}/jwks.json", issuer.address.port());
    guarded(endpoint, json!({ "any": [{ "jwt": { "jwks_url": url, "jwks_ca": ca, "refresh": "1s" } }] }))
}

#[test]
fn keys_come_from_whom_the_named_authority_vouches_for() {
    let (endpoint, old, new) = (Hostile::answering(OK), Signer::new(), Signer::new());
    let issuer = Issuer::start(OWN, &old);
    let gateway = trusting(&endpoint, "127.0.0.1", &issuer, CA);
    let tokens = [&old, &new].map(|signer| signer.sign("ES256", "ES256", &claims()));
    let outcomes = || tokens.each_ref().map(|token| bearing(&gateway, token).status());
    until("the first keys", || (outcomes() == [200, 401]).then_some(()));
    issuer.says(OTHER, &new);
    gateway.wait_log("UnknownIssuer");
    assert_eq!(outcomes(), [200, 401], "the keys known before stay in use, those of a stranger don't count");
    issuer.says(OWN, &new);
    until("the next keys", || (outcomes() == [401, 200]).then_some(()));
}

#[test]
fn a_certificate_that_nobody_vouches_for_or_of_another_name_is_refused() {
    let (endpoint, signer) = (Hostile::answering(OK), Signer::new());
    let issuer = Issuer::start(OWN, &signer);
    let token = signer.sign("ES256", "ES256", &claims());
    for (host, ca, told) in [("127.0.0.1", "", "UnknownIssuer"), ("localhost", CA, "not valid for name")] {
        let gateway = trusting(&endpoint, host, &issuer, ca);
        gateway.wait_log("key set not fetched");
        assert!(gateway.log().contains(told), "{told}:\n{}", gateway.log());
        assert_eq!(bearing(&gateway, &token).refusal(), (503, "auth_unavailable"));
    }
}
