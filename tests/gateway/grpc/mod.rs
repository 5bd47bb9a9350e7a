//! gRPC from end to end: its own library as client and as endpoint.

mod health;
mod statuses;
mod web;

pub use statuses::ending;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::harness::{Gateway, Hostile, run};

/// A server of gRPC's own library.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Server {
        Server::with(&[])
    }

    /// As `start`, with a certificate and a key.
    fn with(files: &[&str]) -> Server {
        let mut command = Command::new("python3");
        command.args(["tests/grpc_peer.py", "server"]).args(files).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        assert!(!port.is_empty(), "grpcio serves; tools/check installs it");
        Server { process, address: format!("127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn gateway(endpoint: &str) -> Gateway {
    let upstream = json!({ "id": "up", "protocol": "h2", "endpoints": [{ "url": format!("http://{endpoint}") }] });
    Gateway::with(endpoint, json!({ "upstreams": [upstream] }))
}

fn check(gateway: &Gateway, name: &str) {
    run("python3", &["tests/grpc_peer.py", "client", &gateway.address, name]);
}

#[test]
fn all_kinds_of_calls_with_metadata_and_messages_of_any_size() {
    let server = Server::start();
    let gateway = gateway(&server.address);
    for name in ["kinds", "chat", "large", "fails"] {
        check(&gateway, name);
    }
    gateway.wait_idle();
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    assert_eq!(
        gateway.metric("gateway_upstream_connections_opened_total").min(2.0),
        gateway.metric("gateway_upstream_connections_opened_total")
    );
}

#[test]
fn deadlines_and_cancelled_calls_reach_the_endpoint() {
    let server = Server::start();
    let gateway = gateway(&server.address);
    check(&gateway, "deadline");
    check(&gateway, "cancel");
    gateway.wait_idle();
    assert!(gateway.refusals("client_left") >= 1.0);
}

#[test]
fn the_gateway_refuses_in_terms_of_grpc() {
    let closed = Hostile::start(|_| ()).address.clone();
    check(&gateway(&closed), "unavailable");
}
