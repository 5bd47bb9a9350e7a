//! WebSockets: echoes that are awaited and compared, handshakes that fail, peers that nobody here wrote.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::{Origin, Process, all_answered, endpoint, holds_together, numbers, ringload};

/// Takes a handshake; what to answer it with, or nothing at the end of the connection.
fn take_handshake(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
    assert_eq!(STANDARD.decode(key).unwrap().len(), 16, "{head}");
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()));
    Some(format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"))
}

/// An endpoint that shakes hands and then says this for each frame of 11 bytes: a message of 5 with its head and mask.
fn says(frame: &'static [u8]) -> String {
    let url = endpoint(move |mut stream| {
        let Some(answer) = take_handshake(&mut stream) else { return };
        let _ = stream.write_all(answer.as_bytes());
        while stream.read_exact(&mut [0; 11]).is_ok() && stream.write_all(frame).is_ok() {}
    });
    url.replace("http://", "ws://")
}

#[test]
fn echoes_are_answers_in_either_loop_and_by_tls() {
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/auth/tls/own");
    let (cert, key) = (format!("{tls}.pem"), format!("{tls}.key"));
    for (origin, trust) in
        [(Origin::start(), String::new()), (Origin::with(&["--cert", &cert, "--key", &key]), format!("--ca {tls}-ca.pem"))]
    {
        let url = origin.url("/any").replace("http", "ws");
        let open = numbers(&format!("--rate 200 --duration 500ms --connections 5 {trust} {url}"));
        all_answered(&open, 100);
        assert_eq!((&open["statuses"]["echo"], &open["connections_opened"]), (&100.into(), &5.into()), "{open:#}");
        let closed = numbers(&format!("--connections 3 --duration 300ms --message-size 70k {trust} {url}"));
        holds_together(&closed);
        assert_eq!((&closed["failed"], &closed["loop"], &closed["connections_opened"]), (&0.into(), &"closed".into(), &3.into()));
        let (echoes, received) = (closed["answered"].as_u64().unwrap(), closed["bytes_received"].as_u64().unwrap());
        assert!(echoes > 10 && received >= echoes * 70 * 1024, "{closed:#}");
        let deep = numbers(&format!("--connections 1 --pipeline 8 --duration 300ms --body hello {trust} {url}"));
        holds_together(&deep);
        assert!(deep["failed"] == 0 && deep["answered"].as_u64() > Some(20), "{deep:#}");
        let each = numbers(&format!("--rate 50 --duration 200ms --no-keep-alive {trust} {url}"));
        all_answered(&each, 10);
        assert_eq!(each["connections_opened"], 10);
    }
}

#[test]
fn times_count_from_when_a_message_was_due() {
    let url = endpoint(move |mut stream| {
        let Some(answer) = take_handshake(&mut stream) else { return };
        let _ = stream.write_all(answer.as_bytes());
        let mut first = true;
        while stream.read_exact(&mut [0; 11]).is_ok() {
            thread::sleep(Duration::from_millis(if std::mem::take(&mut first) { 500 } else { 0 }));
            let _ = stream.write_all(b"\x81\x05hello");
        }
    });
    let numbers = numbers(&format!("--rate 20 --duration 1s --connections 1 --body hello {}", url.replace("http", "ws")));
    all_answered(&numbers, 20);
    let (response, service) = (&numbers["response_ns"]["p75"], &numbers["service_ns"]["p75"]);
    assert!(response.as_u64() > Some(100_000_000) && service.as_u64() < Some(100_000_000), "{numbers:#}");
}

#[test]
fn what_goes_wrong_is_counted_by_its_kind() {
    let failures = |url: &str, name: &str| {
        let numbers = numbers(&format!("--rate 50 --duration 200ms --timeout 300ms --body hello {url}"));
        holds_together(&numbers);
        assert_eq!((&numbers["due"], &numbers["failures"][name]), (&10.into(), &10.into()), "{name}: {numbers:#}");
        numbers
    };
    failures(&says(b"\x81\x05hullo"), "mismatch");
    failures(&says(b"\x82\x05hello"), "mismatch");
    failures(&says(b"\x81\x06hello!"), "mismatch");
    failures(&says(b"\x81\x85\0\0\0\0hello"), "malformed");
    failures(&says(b"\x88\x02\x03\xe8"), "cut");
    failures(&says(b""), "timeout");
    let switches = |answer: &'static [u8]| {
        let url = endpoint(move |mut stream| {
            if take_handshake(&mut stream).is_some() {
                let _ = stream.write_all(answer);
            }
        });
        failures(&url.replace("http", "ws"), "connect")
    };
    let wrong = switches(b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n");
    assert!(wrong["last_fault"].as_str().unwrap().contains("Sec-WebSocket-Accept"), "{wrong:#}");
    switches(b"HTTP/1.1 101 Yes\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
    switches(b"HTTP/1.1 101 Yes\r\n");
    // A target that says no says it with a status.
    let origin = Origin::start();
    let refused = numbers(&format!("--rate 50 --duration 200ms {}", origin.url("/status/503").replace("http", "ws")));
    holds_together(&refused);
    assert_eq!((&refused["statuses"]["5xx"], &refused["failed"]), (&10.into(), &0.into()), "{refused:#}");
    assert!(refused["last_fault"].as_str().unwrap().contains("503"), "{refused:#}");
    assert_eq!(
        ringload(&format!("--rate 50 --duration 100ms -e errors<1% {}", origin.url("/status/503").replace("http", "ws"))).status.code(),
        Some(1)
    );
    let wrong = ringload(&format!("--message-size 5 {}", origin.url("/")));
    assert!(wrong.status.code() == Some(2) && String::from_utf8_lossy(&wrong.stderr).contains("--message-size is for ws://"));
}

/// The `websockets` package pings, and takes no frame that isn't masked.
#[test]
fn a_library_that_nobody_here_wrote_echoes_too() {
    let (_peer, port) = Process::python(&["tests/websockets.py", "serve"]);
    let url = format!("ws://127.0.0.1:{port}/");
    for size in ["0", "125", "126", "66k"] {
        all_answered(&numbers(&format!("--rate 100 --duration 300ms --connections 4 --message-size {size} {url}")), 30);
    }
    all_answered(&numbers(&format!("--rate 100 --duration 300ms --body häh {url}")), 30);
}
