//! The PROXY protocol: who a client is, as a balancer in front says and as endpoints are told.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::harness::{DRIVERS, End, Gateway, Hostile, config, get, up};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
pub const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n";
/// 2001:db8::7, port 40000, to 2001:db8::1, port 443; behind that a field that nobody here knows.
pub const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x28\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x9c\x40\x01\xbb\xee\x00\x01!";
pub const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// A gateway that takes headers from this host.
fn told(endpoint: &str, changes: Value) -> Gateway {
    Gateway::start(&telling(endpoint, changes))
}

fn telling(endpoint: &str, changes: Value) -> Value {
    let mut config = config(endpoint, json!({ "listener": { "trusted_proxies": ["127.0.0.0/8"], "proxy_protocol": true } }));
    changes.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
    config
}

fn introduced(header: &[u8], request: &str) -> Vec<u8> {
    [header, request.as_bytes()].concat()
}

#[test]
fn the_client_is_who_the_balancer_says() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let gateway = told(&endpoint.address, json!({ "runtime": { "driver": driver, "workers": 1 } }));
        for (header, ip) in [(V1, "203.0.113.7"), (V2, "2001:db8::7"), (LOCAL, "127.0.0.1"), (b"PROXY UNKNOWN\r\n", "127.0.0.1")] {
            let mut client = gateway.connect();
            assert_eq!(client.ask(introduced(header, &get("/"))).status(), 200);
            let seen = endpoint.last();
            assert_eq!((seen.field("x-forwarded-for"), seen.field("x-real-ip")), (Some(ip), Some(ip)));
            assert_eq!(client.ask(get("/")).status(), 200, "it stands before the first request alone");
            assert_eq!(endpoint.last().field("x-real-ip"), Some(ip));
            // Byte by byte.
            let mut client = gateway.connect();
            for byte in header.chunks(1) {
                client.send(byte);
            }
            assert_eq!(client.ask(get("/")).status(), 200);
            assert_eq!(endpoint.last().field("x-real-ip"), Some(ip));
        }
        assert_eq!(gateway.refusals("bad_proxy_header"), 0.0);
    }
}

#[test]
fn whatever_asks_for_the_client_gets_who_the_balancer_says() {
    let endpoint = Hostile::answering(OK);
    let middlewares = json!([
        { "access_log": { "path": "stderr" } },
        { "ip_filter": { "deny": ["2001:db8::/32"] } },
        { "rate_limit": { "rate": "1/h", "burst": 1 } },
    ]);
    let gateway = told(&endpoint.address, json!({ "middlewares": middlewares, "runtime": { "workers": 1 } }));
    let ask = |header: &[u8]| gateway.connect().ask(introduced(header, &get("/"))).status();
    assert_eq!((ask(V2), ask(V1), ask(V1)), (403, 200, 429));
    assert_eq!(ask(b"PROXY TCP4 203.0.113.8 198.51.100.1 40000 443\r\n"), 200, "another client has a bucket of its own");
    gateway.wait_log("\"client_ip\":\"203.0.113.8\"");
}

#[test]
fn what_a_client_says_itself_is_believed_only_if_it_is_a_trusted_proxy() {
    let endpoint = Hostile::answering(OK);
    let gateway = told(&endpoint.address, json!({}));
    let claims = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n";
    gateway.connect().ask(introduced(V1, claims));
    assert_eq!(endpoint.last().field("x-forwarded-for"), Some("203.0.113.7"));
    let proxy = b"PROXY TCP4 127.0.0.9 198.51.100.1 40000 443\r\n";
    gateway.connect().ask(introduced(proxy, claims));
    assert_eq!(endpoint.last().field("x-forwarded-for"), Some("1.1.1.1, 127.0.0.9"));
}

#[test]
fn a_trusted_proxy_that_says_nothing_is_not_served() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let timeouts = json!({ "read": "300ms", "drain_delay": "0s" });
        let gateway = told(&endpoint.address, json!({ "runtime": { "driver": driver }, "timeouts": timeouts }));
        for bytes in [get("/").as_bytes(), b"PROXY TCP4 203.0.113.7\r\n", b"PROXY \n", &[b'P'; 200], &V2[1..]] {
            let mut client = gateway.connect();
            client.send(bytes);
            assert_eq!(client.rest().0, b"", "not a byte is answered: {}", bytes.escape_ascii());
        }
        gateway.wait("gateway_refusals_total{reason=\"bad_proxy_header\"}", 5.0);
        gateway.wait_log("a trusted proxy's connection is closed");
        gateway.wait_log("peer=127.0.0.1:");
        gateway.wait_log("reason=bad_proxy_header");
        // Those that begin and then wait, or leave; who only looks whether somebody listens has done nothing wrong.
        gateway.connect();
        let (mut slow, mut silent, mut left) = (gateway.connect(), gateway.connect(), gateway.connect());
        slow.send(&V1[..20]);
        left.send(&V1[..20]).finish();
        assert_eq!((slow.rest(), silent.rest(), left.rest()), ((vec![], End::Closed), (vec![], End::Closed), (vec![], End::Closed)));
        gateway.wait("gateway_refusals_total{reason=\"proxy_header_timeout\"}", 2.0);
        gateway.wait("gateway_refusals_total{reason=\"bad_proxy_header\"}", 6.0);
        gateway.wait("gateway_active_connections", 0.0);
        assert!(endpoint.seen().is_empty());
    }
}

#[test]
fn nobody_else_is_believed() {
    let endpoint = Hostile::answering(OK);
    let strangers = json!({ "listener": { "address": "127.0.0.1", "port": 0, "trusted_proxies": ["10.0.0.0/8"], "proxy_protocol": true } });
    for gateway in [
        Gateway::with(&endpoint.address, strangers),
        Gateway::with(&endpoint.address, json!({ "listener": { "trusted_proxies": ["127.0.0.0/8"] } })),
    ] {
        for header in [V1, V2] {
            assert_eq!(gateway.connect().ask(introduced(header, &get("/"))).status(), 400);
        }
        assert!(endpoint.seen().is_empty());
        assert_eq!(gateway.get("/").status(), 200, "who isn't trusted has nothing to say");
        assert_eq!(endpoint.last().field("x-real-ip"), Some("127.0.0.1"));
        endpoint.forget();
    }
}

#[test]
fn a_reload_switches_it() {
    let endpoint = Hostile::answering(OK);
    let gateway = told(&endpoint.address, json!({}));
    let mut before = gateway.connect();
    assert_eq!(before.ask(introduced(V1, &get("/"))).status(), 200);
    assert_eq!(gateway.reload(&config(&endpoint.address, json!({}))).status(), 200);
    assert_eq!((before.ask(get("/")).status(), gateway.get("/").status()), (200, 200));
    assert_eq!(endpoint.last().field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(gateway.connect().ask(introduced(V1, &get("/"))).status(), 400);
}

/// An endpoint that reads a header before a connection's first request, and the headers that it got.
fn introduced_to() -> (Hostile, Receiver<Vec<u8>>) {
    let (sender, headers) = channel();
    let sender = Mutex::new(sender);
    let endpoint = Hostile::start(move |peer| {
        let mut header = peer.bytes(13);
        if header.starts_with(b"PROXY") {
            while !header.ends_with(b"\r\n") {
                header.extend(peer.bytes(1));
            }
        } else {
            header.extend(peer.bytes(3));
            let length = u16::from_be_bytes([header[14], header[15]]);
            header.extend(peer.bytes(usize::from(length)));
        }
        sender.lock().unwrap().send(header).unwrap();
        while let Some(request) = peer.request() {
            let answer = if request.target() == "/upgrade" {
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
            } else {
                OK
            };
            if peer.try_send(answer).is_err() {
                return;
            }
        }
    });
    (endpoint, headers)
}

fn telling_up(endpoint: &str, version: &str) -> Value {
    let mut up = up(&[endpoint]);
    up["proxy_protocol"] = json!(version);
    json!([up])
}

#[test]
fn endpoints_are_told_who_each_connection_is_for() {
    let (endpoint, headers) = introduced_to();
    for driver in DRIVERS {
        let config =
            |version: &str| json!({ "upstreams": telling_up(&endpoint.address, version), "runtime": { "driver": driver, "workers": 1 } });
        let gateway = Gateway::with(&endpoint.address, config("v1"));
        let mut clients = [gateway.connect(), gateway.connect()];
        let gateway_port = gateway.address.rsplit(':').next().unwrap();
        for turn in 0..4 {
            let client = &mut clients[turn % 2];
            assert_eq!(client.ask(get("/")).status(), 200);
            let told = String::from_utf8(headers.recv().unwrap()).unwrap();
            assert_eq!(told, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {gateway_port}\r\n", client.port()));
        }
        endpoint.wait_open(0);
        assert_eq!(gateway.metric("gateway_upstream_connections_reused_total"), 0.0);

        let gateway = told(&endpoint.address, config("v2"));
        let mut client = gateway.connect();
        assert_eq!(client.ask(introduced(V2, &get("/"))).status(), 200);
        // Without the field that nobody knows.
        let told = [&V2[..15], b"\x24", &V2[16..52]].concat();
        assert_eq!(headers.recv().unwrap(), told, "the address that the client connected to is the balancer's");
        assert_eq!(client.ask("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").status(), 101);
        assert_eq!(headers.recv().unwrap(), told);
        drop(client);
        endpoint.wait_open(0);
    }
}

#[test]
fn a_client_known_by_a_header_alone_has_no_port() {
    let (endpoint, headers) = introduced_to();
    let changes = json!({ "upstreams": telling_up(&endpoint.address, "v1"), "listener": { "trusted_proxies": ["127.0.0.0/8"] } });
    let gateway = Gateway::with(&endpoint.address, changes);
    let answer = gateway.connect().ask("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 2001:db8::5, 127.0.0.2\r\n\r\n");
    assert_eq!(answer.status(), 200);
    let told = String::from_utf8(headers.recv().unwrap()).unwrap();
    assert!(told.starts_with("PROXY TCP6 2001:db8::5 ::ffff:127.0.0.1 0 "), "{told}");
}

#[test]
fn probes_are_the_gateways_own() {
    for (version, header) in [("v1", &b"PROXY UNKNOWN\r\n"[..]), ("v2", LOCAL)] {
        let (endpoint, headers) = introduced_to();
        let mut upstreams = telling_up(&endpoint.address, version);
        upstreams[0]["health_check"] = json!({ "enabled": true, "interval": "50ms" });
        let gateway = Gateway::with(&endpoint.address, json!({ "upstreams": upstreams }));
        for _ in 0..2 {
            assert_eq!(headers.recv().unwrap(), header);
        }
        let url = format!("http://{}", endpoint.address);
        gateway.wait(&format!("gateway_upstream_endpoint_healthy{{upstream=\"up\",endpoint=\"{url}\"}}"), 1.0);
    }
}
