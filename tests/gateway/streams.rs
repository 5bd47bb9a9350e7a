//! Answers that don't end and those that take their time: server-sent events and long polls pass as they come, for as long as they last.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{DRIVERS, Gateway, Hostile, Wire, config, get};

const EVENTS: usize = 6;

fn event(number: usize) -> String {
    format!("id: {number}\ndata: event {number}\n\n")
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// An endpoint that sends a head, and an event each time that the test tells, if asked so the first one at once; in chunks, or until it closes.
fn told() -> Hostile {
    Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            let chunked = request.target().contains("chunked");
            let coding = if chunked { "Transfer-Encoding: chunked\r\n" } else { "Connection: close\r\n" };
            let terms = if request.target().contains("fresh") { "max-age=60" } else { "no-cache" };
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: {terms}\r\n{coding}\r\n"));
            for number in 0..EVENTS {
                if number > 0 || !request.target().contains("prompt") {
                    peer.wait_told();
                }
                let event = event(number);
                if peer.try_send(if chunked { chunk(&event) } else { event }).is_err() {
                    return;
                }
            }
            if !chunked {
                return;
            }
            peer.send("0\r\n\r\n");
        }
    })
}

/// The bodies' bytes so far, of an answer in chunks or without a length.
struct Stream {
    wire: Wire,
    chunked: bool,
    gzip: Option<flate2::write::GzDecoder<Vec<u8>>>,
    plain: Vec<u8>,
}

impl Stream {
    fn open(gateway: &Gateway, target: &str) -> Stream {
        let mut wire = gateway.connect();
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip\r\n\r\n"));
        // It comes before any event does.
        let head = wire.bodiless();
        assert_eq!((head.status(), head.field("content-type")), (200, Some("text/event-stream")));
        let gzip = head.field("content-encoding").map(|_| flate2::write::GzDecoder::new(Vec::new()));
        Stream { wire, chunked: head.field("transfer-encoding").is_some(), gzip, plain: Vec::new() }
    }

    /// Waits for the next event.
    #[track_caller]
    fn assert_next(&mut self, number: usize) {
        let event = event(number).into_bytes();
        while self.plain.len() < event.len() {
            let mut piece = if self.chunked { self.wire.chunk() } else { self.wire.piece() };
            assert!(!piece.is_empty(), "the stream has ended before event {number}");
            if let Some(gzip) = &mut self.gzip {
                gzip.write_all(&piece).and_then(|()| gzip.flush()).unwrap();
                piece = std::mem::take(gzip.get_mut());
            }
            self.plain.append(&mut piece);
        }
        assert_eq!(self.plain.drain(..event.len()).collect::<Vec<_>>(), event);
    }
}

fn with(endpoint: &str, driver: &str, changes: Value) -> Gateway {
    let mut changes = changes;
    changes["runtime"] = json!({ "driver": driver, "workers": 1 });
    Gateway::with(endpoint, changes)
}

#[test]
fn each_event_arrives_before_the_next_is_sent() {
    let endpoint = told();
    let cached = json!({ "routes": [{ "path": "/", "upstream": "up", "cache_enabled": true }], "middlewares": [{ "compress": {} }] });
    for driver in DRIVERS {
        for (changes, coded) in [(json!({}), false), (json!({ "middlewares": [{ "compress": {} }] }), true), (cached.clone(), true)] {
            for target in ["/chunked", "/until-close", "/chunked/fresh"] {
                let gateway = with(&endpoint.address, driver, changes.clone());
                let mut stream = Stream::open(&gateway, target);
                assert_eq!(stream.gzip.is_some(), coded, "{changes}");
                for number in 0..EVENTS {
                    endpoint.tell();
                    stream.assert_next(number);
                }
            }
        }
    }
}

#[test]
fn a_second_reader_of_a_cached_route_waits_for_nobody() {
    let endpoint = told();
    for driver in DRIVERS {
        let changes = json!({ "routes": [{ "path": "/", "upstream": "up", "cache_enabled": true }] });
        let gateway = with(&endpoint.address, driver, changes);
        let mut readers = [Stream::open(&gateway, "/chunked/prompt"), Stream::open(&gateway, "/chunked/prompt")];
        readers.iter_mut().for_each(|reader| reader.assert_next(0));
        (2..2 * EVENTS).for_each(|_| endpoint.tell());
        for reader in &mut readers {
            (1..EVENTS).for_each(|number| reader.assert_next(number));
        }
    }
}

#[test]
fn a_stream_lasts_longer_than_any_answer_may_take_to_begin() {
    let endpoint = Hostile::start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for number in 0..EVENTS {
            sleep(Duration::from_millis(300));
            if peer.try_send(chunk(&event(number))).is_err() {
                return;
            }
        }
        let _ = peer.try_send("0\r\n\r\n");
    });
    for driver in DRIVERS {
        let short =
            json!({ "read": "500ms", "request": "500ms", "first_byte": "500ms", "body_idle": "700ms", "write": "700ms", "idle": "500ms" });
        for changes in [json!({}), json!({ "timeouts": short }), json!({ "timeouts": short, "middlewares": [{ "compress": {} }] })] {
            let gateway = with(&endpoint.address, driver, changes);
            let begun = Instant::now();
            let mut stream = Stream::open(&gateway, "/");
            (0..EVENTS).for_each(|number| stream.assert_next(number));
            assert!(begun.elapsed() >= Duration::from_millis(1500));
            if stream.gzip.is_none() {
                assert_eq!(stream.wire.chunk(), b"", "it ends as its endpoint ends it");
            }
        }
    }
}

#[test]
fn a_long_poll_may_take_as_long_as_its_route_says() {
    let endpoint = Hostile::start(|peer| {
        while peer.request().is_some() {
            sleep(Duration::from_millis(900));
            if peer.try_send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnews").is_err() {
                return;
            }
        }
    });
    let limits = json!({ "read": "300ms", "request": "300ms", "first_byte": "300ms", "body_idle": "300ms", "idle": "300ms" });
    let route = |path: &str, timeout: &str| json!({ "path": path, "upstream": "up", "timeout": timeout, "retry_count": 0 });
    let routes =
        json!([{ "path": "/", "upstream": "up", "retry_count": 0 }, route("/poll", "0s"), route("/minute", "1m"), route("/soon", "200ms")]);
    let gateway = Gateway::start(&config(&endpoint.address, json!({ "timeouts": limits, "routes": routes })));
    for (target, status) in [("/poll", 200), ("/minute", 200), ("/", 504), ("/soon", 504)] {
        assert_eq!(gateway.connect().ask(get(target)).status(), status, "{target}");
    }
}
