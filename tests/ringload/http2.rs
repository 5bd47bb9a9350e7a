//! HTTP/2 targets: streams at a time, what they end with, and peers that nobody here wrote.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::secure::{self, CA};
use crate::{Origin, Process, all_answered, endpoint, holds_together, numbers, ringload, says};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// `:status: 200`, and nothing behind it.
const OK: &[u8] = &[0x88];
const WHOLE: u8 = 5;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The next request's stream; `None` when none comes in time, or ever again.
fn next_stream(stream: &mut TcpStream) -> Option<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).ok()?;
        if head[3] == HEADERS {
            return Some(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        }
    }
}

fn begin(stream: &mut TcpStream, settings: &[u8]) {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).unwrap();
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    stream.write_all(&frame(SETTINGS, 0, 0, settings)).unwrap();
}

/// An endpoint that answers each stream with these frames.
fn answers(frames: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> String {
    endpoint(move |mut stream| {
        // The first look at the target says nothing.
        if stream.peek(&mut [0]).is_ok_and(|count| count > 0) {
            begin(&mut stream, b"");
            while let Some(number) = next_stream(&mut stream)
                && stream.write_all(&frames(number)).is_ok()
            {}
        }
    })
}

#[test]
fn every_form_of_answer_and_of_request_is_taken() {
    let origin = Origin::start();
    let urls = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("ringload-http2-urls");
    let paths = ["/", "/chunked/size/100k", "/status/204", "/size/300k", "/trickle/100:1ms"];
    let mut lines: String = paths.iter().map(|path| format!("{}\n", origin.url(path))).collect();
    lines.push_str(&format!("HEAD {}\nPOST {}\n", origin.url("/size/10"), origin.url("/echo")));
    std::fs::write(&urls, lines).unwrap();
    let many = numbers(&format!("--http2 --rate 200 --duration 800ms --connections 7 --threads 2 --urls {}", urls.display()));
    all_answered(&many, 160);
    assert!(many["bytes_received"].as_u64() > Some(20 * 400 * 1024) && many["connections_opened"].as_u64() <= Some(7), "{many:#}");
    // More than the windows of either side hold.
    let large = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("ringload-http2-body");
    std::fs::write(&large, vec![b'x'; 3 << 20]).unwrap();
    let mirrored =
        numbers(&format!("--http2 --rate 20 --duration 500ms --connections 2 --body @{} {}", large.display(), origin.url("/mirror")));
    all_answered(&mirrored, 10);
    assert!(mirrored["bytes_received"].as_u64() > Some(30 << 20) && mirrored["bytes_sent"].as_u64() > Some(30 << 20), "{mirrored:#}");
    let huge = numbers(&format!("--http2 --rate 10 --duration 300ms --connections 1 {}", origin.url("/size/40m")));
    all_answered(&huge, 3);
    let early = numbers(&format!(
        "--http2 --rate 20 --duration 500ms --connections 2 --body @{} {}",
        large.display(),
        origin.url("/early/status/413")
    ));
    holds_together(&early);
    assert_eq!(early["statuses"]["4xx"], 10, "{early:#}");
    let own = numbers(&format!("--http2 --rate 100 --duration 500ms --no-keep-alive {}", origin.url("/")));
    all_answered(&own, 50);
    assert_eq!(own["connections_opened"], 50);
    let sent = numbers(&format!("--http2 --rate 20 --duration 500ms -H X-A:b -H host:some.where -c 1 {}", origin.url("/headers")));
    all_answered(&sent, 10);
    // Heads after the first are of a few bytes.
    assert!(sent["bytes_sent"].as_u64() < Some(600), "{sent:#}");
}

/// How many streams a target sees at a time that allows so many, if it says.
fn seen_at_a_time(allowed: Option<u8>) -> usize {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = most.clone();
    let url = endpoint(move |mut stream| {
        if !stream.peek(&mut [0]).is_ok_and(|count| count > 0) {
            return;
        }
        begin(&mut stream, &allowed.map_or(Vec::new(), |count| vec![0, 3, 0, 0, 0, count]));
        stream.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
        loop {
            let streams: Vec<u32> = std::iter::from_fn(|| next_stream(&mut stream)).take(20).collect();
            seen.fetch_max(streams.len(), Relaxed);
            // The last first.
            let frames: Vec<u8> = streams.iter().rev().flat_map(|number| frame(HEADERS, WHOLE, *number, OK)).collect();
            if streams.is_empty() || stream.write_all(&frames).is_err() {
                return;
            }
        }
    });
    let numbers = numbers(&format!("--http2 --connections 1 --streams 7 --duration 700ms {url}"));
    holds_together(&numbers);
    assert_eq!(
        (&numbers["failed"], &numbers["connections_opened"], &numbers["pipeline"]),
        (&0.into(), &1.into(), &7.into()),
        "{numbers:#}"
    );
    most.load(Relaxed)
}

#[test]
fn a_closed_loop_keeps_as_many_streams_as_it_may() {
    assert_eq!((seen_at_a_time(None), seen_at_a_time(Some(3))), (7, 3));
}

#[test]
fn an_open_loop_times_from_when_a_request_was_due() {
    for (streams, service) in [(1, 0..250), (50, 300..2000)] {
        let numbers = numbers(&format!("--http2 --rate 20 --duration 1s --connections 1 --streams {streams} {}", answers_late()));
        all_answered(&numbers, 20);
        let time = |times: &str| numbers[times]["p75"].as_u64().unwrap() / 1_000_000;
        assert!(time("response_ns") > 400 && service.contains(&time("service_ns")), "{streams}: {numbers:#}");
    }
}

/// Takes its time for the first answer, and all others come behind it.
fn answers_late() -> String {
    let first = std::sync::OnceLock::new();
    answers(move |number| {
        let since = first.get_or_init(Instant::now).elapsed();
        std::thread::sleep(Duration::from_millis(800).saturating_sub(since));
        frame(HEADERS, WHOLE, number, OK)
    })
}

#[test]
fn what_goes_wrong_is_counted_by_its_kind() {
    let failures = |url: &str, name: &str| {
        let numbers = numbers(&format!("--http2 --rate 50 --duration 400ms --timeout 300ms {url}"));
        holds_together(&numbers);
        assert_eq!((&numbers["due"], &numbers["failures"][name]), (&20.into(), &20.into()), "{name}: {numbers:#}");
        numbers
    };
    failures(&answers(|number| frame(RST_STREAM, 0, number, &[0, 0, 0, 7])), "refused");
    let reset = failures(&answers(|number| frame(RST_STREAM, 0, number, &[0, 0, 0, 2])), "reset");
    assert_eq!(reset["last_fault"], "the target reset a stream: INTERNAL_ERROR");
    failures(&answers(|_| frame(GOAWAY, 0, 0, &[0; 8])), "goaway");
    failures(&answers(|number| frame(HEADERS, WHOLE, number, b"")), "malformed");
    failures(&answers(|number| frame(HEADERS, WHOLE, number, &[0xff])), "malformed");
    let silent = failures(&answers(|_| Vec::new()), "timeout");
    assert!(silent["response_ns"]["p50"].as_u64() >= Some(300_000_000), "{silent:#}");
    let other = failures(&says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", true), "connect");
    assert_eq!(other["last_fault"], "the target doesn't speak HTTP/2");
}

#[test]
fn a_stream_that_hangs_does_not_take_others_along() {
    let url = answers(|number| if number == 1 { Vec::new() } else { frame(HEADERS, WHOLE, number, OK) });
    let numbers = numbers(&format!("--http2 --rate 50 --duration 1s --timeout 300ms --connections 1 {url}"));
    holds_together(&numbers);
    assert_eq!((&numbers["failures"]["timeout"], &numbers["failed"], &numbers["connections_opened"]), (&1.into(), &1.into(), &1.into()));
}

#[test]
fn a_target_that_leaves_in_order_loses_nothing() {
    let url = answers(|number| {
        let answer = frame(HEADERS, WHOLE, number, OK);
        if number == 9 { [frame(GOAWAY, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 0]), answer].concat() } else { answer }
    });
    let numbers = numbers(&format!("--http2 --connections 1 --streams 1 --rate 100 --duration 500ms {url}"));
    all_answered(&numbers, 50);
    assert_eq!(numbers["connections_opened"], 10, "{numbers:#}");
}

#[test]
fn nghttpd_and_its_tls_are_asked() {
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/auth/tls/own");
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("ringload-nghttpd");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("file"), vec![b'x'; 200_000]).unwrap();
    let htdocs = format!("--htdocs={}", directory.display());
    for secure in [false, true] {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("nghttpd");
        command.args(["--address=127.0.0.1", "--max-concurrent-streams=5", &htdocs]);
        if !secure {
            command.arg("--no-tls");
        }
        command.arg(port.to_string());
        if secure {
            command.args([format!("{tls}.key"), format!("{tls}.pem")]);
        }
        let _peer = Process(command.spawn().expect("nghttpd is installed; tools/check installs it"));
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(10));
        }
        let (scheme, trust) = if secure { ("https", format!("--ca {CA}")) } else { ("http", String::new()) };
        let url = format!("{scheme}://127.0.0.1:{port}/file");
        all_answered(&numbers(&format!("--http2 --rate 200 --duration 500ms --connections 2 {trust} {url}")), 100);
        let closed = numbers(&format!("--http2 --connections 2 --streams 20 --duration 500ms {trust} {url}"));
        holds_together(&closed);
        assert!(closed["failed"] == 0 && closed["answered"].as_u64() > Some(50), "{closed:#}");
    }
}

#[test]
fn a_target_without_http2_in_its_handshake_is_named_before_the_run() {
    let (url, _) = secure::target();
    let output = ringload(&format!("--http2 --insecure {url}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("doesn't offer HTTP/2"), "{told}");
    // Whom it doesn't trust it doesn't take for that.
    let numbers = numbers(&format!("--http2 --rate 50 --duration 200ms {url}"));
    assert_eq!(numbers["failures"]["connect"], 10, "{numbers:#}");
}
