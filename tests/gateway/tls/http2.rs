//! HTTP/2 above TLS, agreed on in the handshake.

use serde_json::json;

use super::{LAST, OK, fetched, gateway, s_client};
use crate::harness::{Authority, DRIVERS, Gateway, Hostile, config};

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
