//! Targets by TLS: whom a run trusts, and what it counts of one that it doesn't.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use crate::{all_answered, endpoint, numbers};

// Good for 127.0.0.1 until the year 2126.
const CERT: &[u8] = include_bytes!("../gateway/auth/tls/own.pem");
const KEY: &[u8] = include_bytes!("../gateway/auth/tls/own.key");
pub const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/auth/tls/own-ca.pem");

/// A target by TLS, and how often a session was resumed.
pub fn target() -> (String, Arc<AtomicUsize>) {
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![CertificateDer::from_pem_slice(CERT).unwrap()];
    let config = Arc::new(builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(KEY).unwrap()).unwrap());
    let resumed = Arc::new(AtomicUsize::new(0));
    let count = resumed.clone();
    let url = endpoint(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        loop {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                if !matches!(stream.read(&mut byte), Ok(1)) {
                    return;
                }
                head.push(byte[0]);
            }
            if head.windows(17).any(|line| line == b"Connection: close") {
                count.fetch_add(usize::from(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)), Relaxed);
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    (url.replace("http://", "https://"), resumed)
}

#[test]
fn a_target_is_asked_by_tls_if_it_is_trusted() {
    let (url, resumed) = target();
    for trust in [format!("--ca {CA}"), "--insecure".to_owned()] {
        let numbers = numbers(&format!("--rate 100 --duration 500ms {trust} {url}"));
        all_answered(&numbers, 50);
        assert_eq!(numbers["target"], format!("GET {url}"));
    }
    let numbers = numbers(&format!("--rate 100 --duration 100ms {url}"));
    assert_eq!((&numbers["answered"], &numbers["failures"]["connect"]), (&0.into(), &10.into()), "{numbers:#}");
    assert_eq!(resumed.load(Relaxed), 0);
}

#[test]
fn sessions_are_resumed_unless_each_is_to_be_new() {
    let (url, resumed) = target();
    for (forget, expected) in [("--no-resumption", 0), ("", 9)] {
        let numbers = numbers(&format!("--rate 50 --duration 200ms --connections 1 --no-keep-alive --insecure {forget} {url}"));
        all_answered(&numbers, 10);
        assert_eq!(resumed.load(Relaxed), expected);
    }
}
