//! What else may stand before TLS or within it: a PROXY header, a WebSocket.

use std::io::{Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use serde_json::json;

use super::{OK, curl, fetched, gateway, results};
use crate::harness::{DRIVERS, Hostile};
use crate::proxy_protocol::{LOCAL, V1, V2};
use crate::websockets;

/// Where one connection is passed on to `address`, behind this header, as by a balancer.
fn balancer(address: &str, header: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (there, here) = (address.to_owned(), listener.local_addr().unwrap().to_string());
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(there).unwrap();
        server.write_all(header).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let _ = copy(&mut server, &mut client);
    });
    here
}

#[test]
fn a_balancer_says_who_the_client_is_before_the_handshake() {
    let endpoint = Hostile::answering(OK);
    for driver in DRIVERS {
        let listener = json!({ "trusted_proxies": ["127.0.0.0/8"], "proxy_protocol": true });
        let mut gateway = gateway(&endpoint.address, json!({ "runtime": { "driver": driver }, "listener": listener }));
        let own = gateway.secure.clone();
        for version in ["--http1.1", "--http2"] {
            for (header, ip) in [(V1, "203.0.113.7"), (V2, "2001:db8::7"), (LOCAL, "127.0.0.1")] {
                gateway.secure = balancer(&own, header);
                assert_eq!(fetched(&gateway, "localhost", "/", &[version]), "ok");
                let seen = endpoint.last();
                assert_eq!((seen.field("x-forwarded-for"), seen.field("x-forwarded-proto")), (Some(ip), Some("https")));
            }
        }
        gateway.secure = own;
        assert!(!curl(&gateway, "localhost", "/", &[]).status.success(), "a balancer that says nothing");
        assert_eq!((gateway.refusals("bad_proxy_header"), results(&gateway, "full")), (1.0, 6.0));
    }
}

#[test]
fn websockets_pass_within_tls() {
    let (_endpoint, address) = websockets::endpoint();
    for driver in DRIVERS {
        let gateway = gateway(&address, json!({ "runtime": { "driver": driver }, "routes": [{ "path": "/chat", "upstream": "up" }] }));
        let mut client = websockets::Python::start(&["check", &format!("wss://{}/chat", gateway.secure)]);
        assert_eq!(client.line(), "good");
        gateway.wait("gateway_upgraded_connections", 0.0);
        assert_eq!(gateway.metric("gateway_upgrades_total"), 103.0);
    }
}
