//! Large bodies, with a window of 16 KiB: nothing is gathered, and whoever is slow slows the other side down.

use serde_json::json;

use crate::harness::{DRIVERS, Gateway, Hostile, Origin, get, post, settled, until};

const LARGE: usize = 64 << 20;
/// More than a gateway may need for what it relays, whatever its size.
const GROWTH: u64 = 16 << 20;

fn gateway(endpoint: &str, driver: &str) -> Gateway {
    let gateway = Gateway::with(endpoint, json!({ "runtime": { "driver": driver, "workers": 1, "buffer": "16KiB" } }));
    gateway.get("/health");
    gateway
}

#[test]
fn a_large_upload_needs_no_memory() {
    let origin = Origin::start();
    let piece = vec![b'x'; 1 << 20];
    for driver in DRIVERS {
        let gateway = gateway(&origin.address, driver);
        let before = gateway.memory_peak();
        let mut client = gateway.connect();
        client.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
        for _ in 0..LARGE >> 20 {
            client.send(&piece);
        }
        assert_eq!(client.message().json()["body"]["bytes"], LARGE);
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..LARGE >> 20 {
            client.send("100000\r\n").send(&piece).send("\r\n");
        }
        client.send("0\r\n\r\n");
        assert_eq!(client.message().json()["body"]["bytes"], LARGE);
        assert!(gateway.memory_peak() - before < GROWTH, "grew by {} KiB", (gateway.memory_peak() - before) >> 10);
    }
}

#[test]
fn a_large_download_needs_no_memory() {
    let origin = Origin::start();
    for driver in DRIVERS {
        let gateway = gateway(&origin.address, driver);
        let before = gateway.memory_peak();
        let mut client = gateway.connect();
        for target in ["/bytes/67108864", "/chunked/bytes/67108864"] {
            assert_eq!(client.ask(get(target)).body.len(), LARGE);
        }
        assert!(gateway.memory_peak() - before < GROWTH, "grew by {} KiB", (gateway.memory_peak() - before) >> 10);
    }
}

#[test]
fn a_client_that_reads_slowly_slows_the_endpoint() {
    let origin = Origin::start();
    for (driver, target) in [("auto", "/bytes/67108864"), ("epoll", "/chunked/bytes/67108864")] {
        let gateway = gateway(&origin.address, driver);
        let before = gateway.memory_peak();
        let mut client = gateway.connect();
        client.send(get(target));
        let sent = settled(|| gateway.metric("gateway_sent_bytes_total"));
        assert!(sent < LARGE as f64 / 2.0, "{sent} bytes were taken from the endpoint though the client reads nothing");
        assert_eq!(client.message().body.len(), LARGE);
        assert!(gateway.memory_peak() - before < GROWTH);
    }
}

#[test]
fn an_endpoint_that_reads_slowly_slows_the_client() {
    for driver in DRIVERS {
        let endpoint = Hostile::start(|peer| {
            peer.head();
            peer.wait_told();
            peer.skip(LARGE);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        let gateway = Gateway::with(&endpoint.address, json!({ "runtime": { "driver": driver, "workers": 1 } }));
        gateway.get("/livez");
        let before = gateway.memory_peak();
        let mut client = gateway.connect();
        let mut sending = client.split();
        let request = post(LARGE);
        let sender = std::thread::spawn(move || _ = sending.send(request));
        let received = || gateway.metric("gateway_received_bytes_total");
        until("the upload to begin", || (received() > 0.0).then_some(()));
        let received = settled(received);
        assert!(received < LARGE as f64 / 2.0, "{received} bytes were taken though the endpoint reads nothing");
        endpoint.tell();
        assert_eq!(client.message().text(), "ok");
        sender.join().unwrap();
        assert!(gateway.memory_peak() - before < GROWTH);
    }
}

#[test]
fn both_directions_flow_at_once() {
    let origin = Origin::start();
    let gateway = gateway(&origin.address, "auto");
    let mut client = gateway.connect();
    let mut sending = client.split();
    let body: Vec<u8> = (0..LARGE / 4).map(|at| (at % 251) as u8).collect();
    let sent = body.clone();
    let sender = std::thread::spawn(move || {
        sending.send(format!("POST /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len())).send(&sent);
    });
    assert!(client.message().body == body);
    sender.join().unwrap();
}
