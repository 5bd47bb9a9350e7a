//! TLS towards endpoints.

use std::io::{Read, Write};

use serde_json::{Value, json};

use super::tls_config;
use crate::harness::{Authority, DRIVERS, Gateway, Hostile, Nginx, Pair, at_once, config, get, until};

/// nginx with this certificate.
fn secure(pair: &Pair, server: &str) -> Nginx {
    Nginx::secure(&format!(
        "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {}; default_type text/plain;
        location / {{ return 200 '$ssl_protocol $ssl_server_name $ssl_session_reused $host'; }} {server}",
        pair.cert_file, pair.key_file
    ))
}

fn before(endpoint: &str, tls: Value, changes: Value) -> Value {
    let mut all = config("", changes);
    all["upstreams"][0]["endpoints"] = json!([{ "url": format!("https://{endpoint}") }]);
    all["upstreams"][0]["tls"] = tls;
    all
}

#[test]
fn endpoints_are_asked_by_tls_and_their_connections_kept() {
    let ours = Authority::ours();
    let nginx = secure(&ours.issue(&["127.0.0.1", "app.example"]), "");
    for driver in DRIVERS {
        for min_version in ["1.2", "1.3"] {
            let tls = json!({ "ca": ours.pem, "min_version": min_version });
            let gateway = Gateway::start(&before(&nginx.address, tls, json!({ "runtime": { "driver": driver, "workers": 1 } })));
            assert_eq!(gateway.get("/").text(), "TLSv1.3  . a.example", "no SNI for an address");
            let mut client = gateway.connect();
            for _ in 0..20 {
                // nginx's tickets come after its first answer: they are no reason to open another connection.
                std::thread::sleep(std::time::Duration::from_millis(3));
                assert_eq!(client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").status(), 200);
            }
            assert_eq!(gateway.metric("gateway_upstream_connections_opened_total"), 1.0);
            assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
        }
    }
}

#[test]
fn sessions_are_resumed_and_an_end_is_noticed() {
    let ours = Authority::ours();
    let nginx = secure(&ours.issue(&["app.example"]), "keepalive_requests 3; ssl_session_cache shared:a:1m;");
    for driver in DRIVERS {
        let tls = json!({ "ca": ours.pem, "server_name": "app.example" });
        let changes = json!({ "runtime": { "driver": driver, "workers": 1 } });
        let mut settings = before(&nginx.address, tls, changes);
        settings["upstreams"][0]["host_header"] = json!("endpoint");
        let gateway = Gateway::start(&settings);
        let host = nginx.address.split(':').next().unwrap();
        let mut client = gateway.connect();
        let answers: Vec<String> = (0..30).map(|_| client.ask(get("/")).text().to_owned()).collect();
        assert_eq!(answers[0], format!("TLSv1.3 app.example . {host}"));
        assert_eq!(answers[29], format!("TLSv1.3 app.example r {host}"));
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    }
}

#[test]
fn one_that_is_not_who_it_should_be_gets_no_request() {
    let (ours, other) = (Authority::ours(), Authority::new("other"));
    let nginx = secure(&ours.issue(&["app.example"]), "");
    let plain = Hostile::answering(super::OK);
    let cases = [
        (&nginx.address, json!({ "ca": ours.pem }), "upstream_certificate_refused", "for another name"),
        (&nginx.address, json!({ "ca": other.pem, "server_name": "app.example" }), "upstream_certificate_refused", "by a stranger"),
        (&nginx.address, json!({ "server_name": "app.example" }), "upstream_certificate_refused", "by nobody that browsers trust"),
        (&plain.address, json!({ "ca": ours.pem }), "upstream_tls_failed", "it speaks no TLS"),
    ];
    for (endpoint, tls, reason, why) in cases {
        let mut settings = before(endpoint, tls, json!({}));
        settings["upstreams"][0]["health_check"] = json!({ "enabled": true, "interval": "50ms", "path": "/", "fall": 1000 });
        let gateway = Gateway::start(&settings);
        assert_eq!(gateway.get("/").refusal(), (502, reason), "{why}");
        until("it to be counted", || (gateway.refusals(reason) == 1.0).then_some(()));
        until("a probe to fail", || (gateway.metric("gateway_health_probes_total{result=\"failure\"}") > 0.0).then_some(()));
        assert_eq!(gateway.metric("gateway_health_probes_total{result=\"success\"}"), 0.0, "{why}");
    }
}

#[test]
fn probes_go_by_tls() {
    let ours = Authority::ours();
    let nginx = secure(&ours.issue(&["app.example"]), "");
    let mut settings = before(&nginx.address, json!({ "ca": ours.pem, "server_name": "app.example" }), json!({}));
    settings["upstreams"][0]["health_check"] = json!({ "enabled": true, "interval": "50ms", "path": "/" });
    let gateway = Gateway::start(&settings);
    until("good probes", || (gateway.metric("gateway_health_probes_total{result=\"success\"}") > 2.0).then_some(()));
    assert_eq!(gateway.metric("gateway_health_probes_total{result=\"failure\"}"), 0.0);
}

#[test]
fn the_gateway_shows_its_own_certificate() {
    let ours = Authority::ours();
    let verify = format!("ssl_verify_client on; ssl_client_certificate {}; location /who {{ return 200 '$ssl_client_s_dn'; }}", ours.file);
    let (nginx, own) = (secure(&ours.issue(&["app.example"]), &verify), ours.issue(&["gateway"]));
    let tls = json!({ "ca": ours.pem, "server_name": "app.example", "client_cert": own.cert, "client_key": own.key });
    let gateway = Gateway::start(&before(&nginx.address, tls, json!({})));
    assert_eq!(gateway.get("/who").text(), r"CN=gateway,O=Example\, Inc.");
    let tls = json!({ "ca": ours.pem, "server_name": "app.example" });
    assert_eq!(Gateway::start(&before(&nginx.address, tls, json!({}))).get("/who").status(), 400, "nginx's own refusal");
}

#[test]
fn a_body_that_ends_without_a_close_notify_was_cut() {
    use rustls::pki_types::pem::PemObject;
    let ours = Authority::ours();
    let pair = ours.issue(&["127.0.0.1"]);
    let builder = rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![rustls::pki_types::CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()];
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let server = std::sync::Arc::new(builder.with_single_cert(chain, key).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        // Whether it says that nothing more comes, it tells by the path.
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(server.clone()).unwrap(), stream);
            let mut head = vec![0; 4096];
            let Ok(count) = stream.read(&mut head) else { continue };
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it").unwrap();
            if head[..count].starts_with(b"GET /orderly ") {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    });
    for driver in DRIVERS {
        let gateway = Gateway::start(&before(&address, json!({ "ca": ours.pem }), json!({ "runtime": { "driver": driver } })));
        assert_eq!(gateway.get("/orderly").text(), "all of it");
        let mut client = gateway.connect();
        client.send(get("/cut"));
        assert!(client.try_message(true).is_err());
        until("it to be counted", || (gateway.refusals("upstream_closed_mid_body") == 1.0).then_some(()));
    }
}

#[test]
fn large_bodies_pass_both_ways_with_tls_on_either_side() {
    let ours = Authority::ours();
    let pair = ours.issue(&["localhost", "127.0.0.1"]);
    let nginx = secure(&pair, "root $DIR; location /stored { root $DIR; dav_methods PUT; }");
    for driver in DRIVERS {
        let mut settings = tls_config("", &[&pair], json!({ "runtime": { "driver": driver } }));
        settings["upstreams"][0]["endpoints"] = json!([{ "url": format!("https://{}", nginx.address) }]);
        settings["upstreams"][0]["tls"] = json!({ "ca": ours.pem });
        let gateway = Gateway::start(&settings);
        at_once(4, |index| {
            let file = format!("{}.{driver}.{index}", pair.cert_file);
            let content: Vec<u8> = (0..4_000_000 + index).map(|at| (at * 31 % (200 + index)) as u8).collect();
            std::fs::write(&file, &content).unwrap();
            let path = format!("/stored-{driver}-{index}");
            super::fetched(&gateway, "localhost", &path, &["--fail", "--upload-file", &file]);
            let back = super::curl(&gateway, "localhost", &path, &["--fail"]);
            assert!(back.stdout == content, "{index}: {} bytes", back.stdout.len());
        });
    }
}
