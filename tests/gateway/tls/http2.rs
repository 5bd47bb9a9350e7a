//! HTTP/2 above TLS, agreed on in the handshake.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::{LAST, OK, fetched, gateway, s_client};
use crate::harness::http2::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame};
use crate::harness::{Authority, DRIVERS, Gateway, Hostile, config, until};

#[test]
fn clients_agree_on_it_in_the_handshake() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let ours = gateway(&endpoint.address, json!({ "runtime": { "driver": driver } }));
        for version in ["1.2", "1.3"] {
            let arguments = ["--http2", "--include", "--tls-max", version];
            let answer = fetched(&ours, "a.example", "/", &arguments);
            assert!(answer.starts_with("HTTP/2 200") && answer.ends_with("\r\n\r\nok"), "{answer}");
            let seen = endpoint.last();
            assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
            assert!(seen.field("host").unwrap().starts_with("a.example:"));
        }
        assert_eq!(ours.metric("gateway_http2_connections_total"), 2.0);
        let said = s_client(&ours, &["-alpn", "http/1.1"], LAST);
        assert!(said.contains("ALPN protocol: http/1.1") && said.contains("HTTP/1.1 200 OK"), "{said}");
        // Whoever has agreed on it and says something else isn't answered in what wasn't agreed on.
        let said = s_client(&ours, &["-alpn", "h2"], LAST);
        assert!(said.contains("ALPN protocol: h2") && !said.contains("HTTP/1.1"), "{said}");
        let broken = || (ours.metric("gateway_http2_protocol_errors_total{ended=\"connection\"}") == 1.0).then_some(());
        until("the wrong preface is counted", broken);
        let without = gateway(&endpoint.address, json!({ "runtime": { "driver": driver }, "http2": { "enabled": false } }));
        assert!(fetched(&without, "a.example", "/", &["--http2", "--include"]).starts_with("HTTP/1.1 200 OK"));
    }
}

#[test]
fn endpoints_are_asked_by_it() {
    let endpoint = Hostile::answering(OK);
    let behind = gateway(&endpoint.address, json!({}));
    for driver in DRIVERS {
        let mut front = config("", json!({ "runtime": { "driver": driver, "workers": 1 } }));
        front["upstreams"][0]["endpoints"] = json!([{ "url": format!("https://{}", behind.secure) }]);
        front["upstreams"][0]["protocol"] = json!("h2");
        front["upstreams"][0]["tls"] = json!({ "ca": Authority::ours().pem });
        let before = behind.metric("gateway_http2_connections_total");
        let front = Gateway::start(&front);
        for _ in 0..5 {
            assert_eq!(front.get("/").text(), "ok", "{}", front.log());
        }
        assert_eq!(behind.metric("gateway_http2_connections_total"), before + 1.0, "one connection for all");
    }
}

#[test]
fn requests_say_that_they_come_over_it() {
    let ours = Authority::ours();
    let pair = ours.issue(&["127.0.0.1"]);
    let builder = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let mut server = builder.with_single_cert(chain, key).unwrap();
    server.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = std::thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::new(server)).unwrap(), stream);
        stream.write_all(&frame(SETTINGS, 0, 0, b"")).unwrap();
        stream.read_exact(&mut [0; 24]).unwrap();
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).unwrap();
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            stream.read_exact(&mut payload).unwrap();
            if head[3] == HEADERS {
                // ":status: 200" of the static table (RFC 7541, Appendix A).
                stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88])).unwrap();
                let _ = stream.read(&mut [0]);
                return payload;
            }
        }
    });
    let mut front = config("", json!({}));
    front["upstreams"][0]["endpoints"] = json!([{ "url": format!("https://{address}") }]);
    front["upstreams"][0]["protocol"] = json!("h2");
    front["upstreams"][0]["tls"] = json!({ "ca": ours.pem });
    let front = Gateway::start(&front);
    assert_eq!(front.get("/").status(), 200, "{}", front.log());
    drop(front);
    let fields = endpoint.join().unwrap();
    assert_eq!(fields[..2], [0x82, 0x87], "\":method: GET\", \":scheme: https\" of the static table");
}
