//! WebSockets, by a library that nobody here wrote (the `websockets` package; `tools/check` installs it), and what the gateway holds while they last.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Authority, DRIVERS, End, Gateway, Hostile, Wire, config, settled, until, up};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// `tests/websockets.py`, until the test ends.
pub struct Python {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    pub fn start(args: &[&str]) -> Python {
        let mut command = Command::new("python3");
        command.arg("tests/websockets.py").args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("SSL_CERT_FILE", &Authority::ours().file);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Python { process, input, output: BufReader::new(output) }
    }

    /// The next line it says.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "it has ended (or the websockets package is missing: run tools/check tools)");
        line.trim_end().to_owned()
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An endpoint, and its address.
pub fn endpoint() -> (Python, String) {
    let mut python = Python::start(&["serve"]);
    let port = python.line();
    (python, format!("127.0.0.1:{port}"))
}

/// An endpoint that switches protocols and sends back what it gets; any other request gets an ordinary answer.
fn echo() -> Hostile {
    Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            if request.field("upgrade").is_none() {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                continue;
            }
            peer.send(SWITCH);
            loop {
                let piece = peer.piece();
                if piece.is_empty() || peer.try_send(piece).is_err() {
                    return;
                }
            }
        }
    })
}

#[track_caller]
fn open(gateway: &Gateway) -> Wire {
    let mut client = gateway.connect();
    assert_eq!(client.ask(ASK).status(), 101);
    client
}

#[track_caller]
fn assert_echoes(client: &mut Wire) {
    client.send("hello");
    assert_eq!(client.bytes(5), b"hello");
}

#[test]
fn a_whole_client_is_content() {
    let (_endpoint, address) = endpoint();
    for driver in DRIVERS {
        for cached in [false, true] {
            let changes = json!({
                "runtime": { "driver": driver },
                "routes": [{ "path": "/chat", "upstream": "up", "cache_enabled": cached }],
                "middlewares": [{ "compress": {} }],
            });
            let gateway = Gateway::with(&address, changes);
            let mut client = Python::start(&["check", &format!("ws://{}/chat", gateway.address)]);
            assert_eq!(client.line(), "good");
            gateway.wait("gateway_upgraded_connections", 0.0);
            assert_eq!(gateway.metric("gateway_upgrades_total"), 103.0);
        }
    }
}

#[test]
fn endpoints_of_http2_carry_them_as_streams() {
    let (_endpoint, address) = endpoint();
    for driver in DRIVERS {
        let routes = json!([{ "path": "/chat", "upstream": "up" }]);
        let behind = Gateway::with(&address, json!({ "runtime": { "driver": driver }, "routes": routes }));
        let upstream = json!({ "id": "up", "protocol": "h2", "endpoints": [{ "url": format!("http://{}", behind.address) }] });
        let gateway = Gateway::with("", json!({ "runtime": { "driver": driver }, "upstreams": [upstream] }));
        let mut client = Python::start(&["check", &format!("ws://{}/chat", gateway.address)]);
        assert_eq!(client.line(), "good");
        for gateway in [&gateway, &behind] {
            gateway.wait("gateway_upgraded_connections", 0.0);
            assert_eq!(gateway.metric("gateway_upgrades_total"), 103.0);
        }
        assert!(behind.metric("gateway_http2_connections_total") < 10.0);
    }
}

#[test]
fn a_reload_leaves_them_alone_and_a_stop_closes_them_in_its_time() {
    let (_endpoint, address) = endpoint();
    for driver in DRIVERS {
        let changes = json!({ "runtime": { "driver": driver }, "timeouts": { "drain_upgraded": "400ms" } });
        let mut gateway = Gateway::with(&address, changes.clone());
        let mut clients = Python::start(&["hold", &format!("ws://{}/chat", gateway.address), "20"]);
        assert_eq!(clients.line(), "open");
        clients.say("before");
        assert_eq!(clients.line(), "before");
        // Not even their route is there any more.
        let mut other = config("127.0.0.1:1", changes);
        other["upstreams"][0]["id"] = json!("other");
        other["routes"] = json!([{ "path": "/other", "upstream": "other" }]);
        assert_eq!(gateway.reload(&other).status(), 200);
        assert_eq!(gateway.get("/chat").status(), 404);
        clients.say("after");
        assert_eq!(clients.line(), "after");
        assert_eq!(gateway.metric("gateway_upgraded_connections"), 20.0);
        let begun = Instant::now();
        gateway.signal("TERM");
        gateway.wait_log("no further connections");
        clients.say("while it drains");
        assert_eq!(clients.line(), "while it drains");
        clients.say("");
        assert_eq!(clients.line(), "1006", "closed without a word, as by a network: the gateway doesn't speak their language");
        assert_eq!(gateway.ended(), 0, "no request was cut");
        assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    }
}

#[test]
fn they_may_last_as_long_as_draining_does() {
    let endpoint = echo();
    let mut gateway = Gateway::with(&endpoint.address, json!({ "timeouts": { "drain_upgraded": "0s", "drain": "600ms" } }));
    let mut client = open(&gateway);
    gateway.signal("TERM");
    gateway.wait_log("no further connections");
    assert_echoes(&mut client);
    assert_eq!(gateway.ended(), 4, "they were cut");
    drop(client);
}

fn status(gateway: &Gateway, lines: &str) -> u16 {
    let ask = ASK.replace("\r\n\r\n", &format!("\r\n{lines}\r\n"));
    gateway.connect().ask(ask).status()
}

#[test]
fn what_holds_for_requests_holds_for_handshakes() {
    let endpoint = echo();
    let with = |changes: Value| Gateway::with(&endpoint.address, changes);
    let gateway = with(json!({ "middlewares": [{ "auth": { "any": [{ "bearer": { "list": "ada ada-s3cret\n" } }] } }] }));
    assert_eq!(status(&gateway, "Authorization: Bearer bob-s3cret\r\n"), 401);
    assert_eq!(status(&gateway, "Authorization: Bearer ada-s3cret\r\n"), 101);
    let gateway = with(json!({ "middlewares": [{ "rate_limit": { "rate": "1/h", "burst": 1 } }], "runtime": { "workers": 1 } }));
    assert_eq!((status(&gateway, ""), status(&gateway, "")), (101, 429));
    let gateway = with(json!({ "middlewares": [{ "ip_filter": { "deny": ["127.0.0.0/8"] } }] }));
    assert_eq!(status(&gateway, ""), 403);
    let routes = json!([{ "path": "/chat", "upstream": "up", "hosts": ["a.example"], "headers": [{ "name": "X-Room", "value": "7" }] }]);
    let gateway = with(json!({ "routes": routes }));
    assert_eq!((status(&gateway, ""), status(&gateway, "X-Room: 7\r\n")), (404, 101));
    assert_eq!(endpoint.seen().len(), 3, "nobody else was let through");
}

#[test]
fn a_place_is_held_for_as_long_as_they_last() {
    let endpoint = echo();
    let route = json!({ "routes": [{ "path": "/", "upstream": "up", "max_concurrent_requests": 1 }] });
    let mut upstream = up(&[&endpoint.address]);
    upstream["endpoints"][0]["max_concurrent_requests"] = json!(1);
    upstream["queue"] = json!({ "length": 0 });
    for (places, full) in [
        (route, "queue_full"),
        (json!({ "limits": { "max_concurrent_requests": 1 } }), "queue_full"),
        (json!({ "upstreams": [upstream] }), "endpoints_busy"),
    ] {
        let mut changes = json!({ "runtime": { "workers": 1 }, "limits": { "queue": 0 } });
        for (key, value) in places.as_object().unwrap() {
            match changes.get_mut(key).and_then(Value::as_object_mut) {
                Some(there) => there.extend(value.as_object().unwrap().clone()),
                None => changes[key] = value.clone(),
            }
        }
        let gateway = Gateway::with(&endpoint.address, changes);
        let mut client = open(&gateway);
        assert_eq!(gateway.get("/").refusal(), (503, full));
        assert_echoes(&mut client);
        drop(client);
        gateway.wait("gateway_upgraded_connections", 0.0);
        assert_eq!(gateway.get("/").status(), 200);
    }
}

#[test]
fn they_are_connections_to_least_connections_and_no_requests_to_limits_that_find_themselves() {
    let endpoints = [echo(), echo()];
    let mut upstream = up(&[&endpoints[0].address, &endpoints[1].address]);
    upstream["strategy"] = json!("least_connections");
    upstream["adaptive_concurrency"] = json!({ "min": 1, "max": 2, "initial": 2 });
    let gateway = Gateway::with(&endpoints[0].address, json!({ "runtime": { "workers": 1 }, "upstreams": [upstream] }));
    let mut clients: Vec<Wire> = (0..6).map(|_| open(&gateway)).collect();
    assert_eq!(endpoints.each_ref().map(|endpoint| endpoint.seen().len()), [3, 3]);
    let busy = endpoints[0].seen().len();
    clients.truncate(5);
    gateway.wait("gateway_upgraded_connections", 5.0);
    for _ in 0..6 {
        // Whoever has its answer may count as open for a moment.
        gateway.wait("gateway_http_requests_in_flight", 5.0);
        assert_eq!(gateway.get("/").status(), 200);
    }
    let asked = endpoints.each_ref().map(|endpoint| endpoint.seen().len() - busy);
    assert!(asked == [6, 0] || asked == [0, 6], "all go where one connection less is open: {asked:?}");
    clients.iter_mut().for_each(assert_echoes);
}

#[test]
fn they_are_counted_and_what_they_took_is_the_handshake() {
    let endpoint = echo();
    let changes = json!({ "middlewares": [{ "access_log": { "path": "stderr" } }], "runtime": { "workers": 1 } });
    let gateway = Gateway::with(&endpoint.address, changes);
    let mut client = open(&gateway);
    gateway.wait("gateway_http_requests_total{status_class=\"1xx\"}", 1.0);
    let page = until("the second to be over", || {
        let page = gateway.page("GET", "/latency?window=all").json();
        (page["series"][0]["phases"]["total"]["count"] == 1).then_some(page)
    });
    let longest = page["series"][0]["phases"]["total"]["max"].as_u64().unwrap_or_else(|| panic!("{page}"));
    client.send([7; 100_000]);
    assert_eq!(client.bytes(100_000), [7; 100_000]);
    assert_eq!(gateway.metric("gateway_upgraded_connections"), 1.0);
    std::thread::sleep(Duration::from_millis(400));
    client.finish();
    assert_eq!(client.rest().1, End::Closed);
    gateway.wait("gateway_upgraded_connections", 0.0);
    assert_eq!(gateway.metric("gateway_upgraded_received_bytes_total"), 100_000.0);
    assert_eq!(gateway.metric("gateway_upgraded_sent_bytes_total"), 100_000.0);
    assert!(gateway.metric("gateway_response_seconds_total") < 0.4);
    let after = &gateway.page("GET", "/latency?window=all").json()["series"][0]["phases"]["total"];
    assert_eq!((&after["count"], after["max"].as_u64().unwrap()), (&json!(1), longest));
    gateway.wait_log("\"status\":101");
    let log = gateway.log();
    let line: Value = serde_json::from_str(log.lines().find(|line| line.contains("\"status\":101")).unwrap()).unwrap();
    let number = |name: &str| line[name].as_u64().unwrap();
    assert_eq!(number("bytes_in") - ASK.len() as u64, 100_000, "{line}");
    assert!(number("bytes_out") > 100_000 && number("dur_us") >= 400_000, "{line}");
}

#[test]
fn one_that_is_silent_holds_no_buffer() {
    let endpoint = echo();
    let gateway = Gateway::with(&endpoint.address, json!({ "runtime": { "workers": 1, "buffer": "1MiB" } }));
    let message = vec![7; 1 << 20];
    let talk = || {
        let mut client = open(&gateway);
        for _ in 0..2 {
            let mut sending = client.split();
            std::thread::scope(|scope| {
                scope.spawn(|| drop(sending.try_send(&message)));
                assert!(client.bytes(message.len()) == message);
            });
        }
        client
    };
    let first = talk();
    let before = settled(|| gateway.memory_peak() as f64);
    let clients: Vec<Wire> = (0..60).map(|_| talk()).collect();
    let more = settled(|| gateway.memory_peak() as f64) - before;
    assert!(more < (20 << 20) as f64, "60 connections of two buffers of 1 MiB take {} MiB more", more / f64::from(1 << 20));
    drop((first, clients));
}

#[test]
fn http2_is_not_to_be_had_that_way() {
    let endpoint = echo();
    let gateway = Gateway::to(&endpoint.address);
    for protocol in ["h2c", "websocket, h2c"] {
        let ask = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
        );
        assert_eq!(gateway.connect().ask(ask).status(), 200, "an answer as if it hadn't asked");
        let seen = endpoint.last();
        assert_eq!((seen.field("upgrade"), seen.field("http2-settings")), (None, None));
    }
}
