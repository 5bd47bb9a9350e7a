//! What the scripted endpoint speaks beside HTTP/1.1, with clients that nobody here wrote: curl and h2load, grpcio, the `websockets` package.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Running, body};

// Good for 127.0.0.1 until the year 2126.
const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/auth/tls/own");

fn secure() -> Running {
    let (cert, key) = (format!("{TLS}.pem"), format!("{TLS}.key"));
    Running::start(&["--listen", "127.0.0.1:0", "--name", "safe", "--cert", &cert, "--key", &key])
}

/// What a program says, which has to end well.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect(program);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Head and body by HTTP/2, without TLS.
fn http2(origin: &Running, arguments: &[&str], target: &str) -> String {
    let output = origin.curl(&[&["-i", "--http2-prior-knowledge"], arguments].concat(), target);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn http2_does_what_scripts_say() {
    let origin = Running::one();
    let answer = http2(&origin, &[], "/status/418");
    assert!(answer.starts_with("HTTP/2 418 \r\n") && answer.contains("\r\nx-endpoint: one\r\n"), "{answer}");
    assert!(answer.contains("content-length: 21\r\n") && body(&answer).ends_with("/status/418\n"), "{answer}");
    for size in [0, 1, 1000, 65_536, 65_537, 3 << 20] {
        assert_eq!(body(&http2(&origin, &[], &format!("/bytes/{size}"))).len(), size);
    }
    assert!(!http2(&origin, &[], "/bytes/5/chunked").contains("content-length"));
    let head = http2(&origin, &["--head"], "/bytes/1000");
    assert!(head.contains("content-length: 1000\r\n") && body(&head).is_empty(), "{head}");
    assert!(body(&http2(&origin, &[], "/status/204")).is_empty());
    let large = "x".repeat(1 << 20);
    let sent = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("ringorigin-large");
    std::fs::write(&sent, &large).unwrap();
    let data = format!("@{}", sent.display());
    assert!(body(&http2(&origin, &["--data-binary", &data], "/mirror")) == large);
    let echo = http2(&origin, &["--data-binary", "hello"], "/echo");
    assert!(echo.contains("\"version\": \"HTTP/2.0\"") && echo.contains("\"crc32\": \"3610a686\""), "{echo}");
    let began = Instant::now();
    assert_eq!(body(&http2(&origin, &[], "/trickle/40:100ms")).len(), 100);
    assert!(began.elapsed() >= Duration::from_millis(200));
    for (reset, bytes) in [("/reset", 0), ("/bytes/9000/reset/5", 5)] {
        let output = origin.curl(&["--http2-prior-knowledge"], reset);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(92), bytes), "an error of its stream");
    }
    // The connection goes on.
    let other = format!("{}/reset", origin.places[0]);
    let options = ["--http2-prior-knowledge", "-w", "%{num_connects}", "-o", "/dev/null", "-o", "/dev/null", &other];
    assert_eq!(String::from_utf8_lossy(&origin.curl(&options, "/").stdout), "10");
}

#[test]
fn many_streams_at_a_time_and_by_tls() {
    for (origin, scheme) in [(Running::one(), "http"), (secure(), "https")] {
        let url = format!("{scheme}://{}/bytes/20k", origin.address());
        let text = said("h2load", &["-n", "5000", "-c", "3", "-m", "100", &url]);
        assert!(text.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
    }
}

#[test]
fn tls_speaks_what_the_client_knows() {
    let origin = secure();
    assert!(origin.places[0].starts_with("https://"));
    let ca = format!("{TLS}-ca.pem");
    for (protocol, begin) in [("--http1.1", "HTTP/1.1 200 OK\r\n"), ("--http2", "HTTP/2 200 \r\n")] {
        let output = origin.curl(&["-i", "--cacert", &ca, protocol], "/bytes/200k");
        let answer = String::from_utf8_lossy(&output.stdout);
        assert!(answer.starts_with(begin) && body(&answer).len() == 200 << 10, "{answer}");
    }
    let mirrored = origin.curl(&["--cacert", &ca, "--http1.1", "-d", "some", "-H", "Transfer-Encoding: chunked"], "/mirror");
    assert_eq!(mirrored.stdout, b"some");
    assert!(!origin.curl(&["--http1.1"], "/").status.success(), "it isn't trusted without its authority");
}

#[test]
fn calls_get_their_messages_back_or_fail_as_told() {
    let origin = Running::one();
    said("python3", &["tests/ringorigin/peers.py", "grpc", &origin.address().to_string()]);
    let count = origin.json("GET /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(count["requests"], 19, "{count}");
}

#[test]
fn websockets_get_their_messages_back() {
    for (origin, scheme) in [(Running::one(), "ws"), (secure(), "wss")] {
        let url = format!("{scheme}://{}", origin.address());
        assert_eq!(said("python3", &["tests/ringorigin/peers.py", "websocket", &url, &format!("{TLS}-ca.pem")]), "good\n");
    }
}
