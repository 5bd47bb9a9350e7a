//! Answers compressed on their way: what is, what isn't, and that nobody waits longer for it.

use std::io::Read;

use serde_json::{Value, json};

use crate::harness::{DRIVERS, Gateway, Hostile, Message, Wire, config, until};

fn compressing(endpoint: &str, settings: Value, driver: &str) -> Gateway {
    let runtime = json!({ "workers": 1, "driver": driver });
    Gateway::with(endpoint, json!({ "middlewares": [{ "compress": settings }], "runtime": runtime }))
}

fn ask(gateway: &Gateway, target: &str, lines: &[&str]) -> Message {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    gateway.connect().ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

/// The body as it was, decoded by the coding that the answer names.
fn plain(answer: &Message) -> Vec<u8> {
    let mut body = Vec::new();
    match answer.field("content-encoding") {
        None => body.clone_from(&answer.body),
        Some("gzip") => drop(flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut body).unwrap()),
        Some("br") => drop(brotli::Decompressor::new(&answer.body[..], 4096).read_to_end(&mut body).unwrap()),
        Some("zstd") => body = zstd::decode_all(&answer.body[..]).unwrap(),
        Some(other) => panic!("{other}"),
    }
    body
}

/// Words that compress as text does.
fn words(size: usize) -> String {
    let mut text: String = (0..size / 5 + 1).map(|number| format!("{:x} ", number * 7919 % 65_536 + 4096)).collect();
    text.truncate(size);
    text
}

fn answer(lines: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn every_coding_in_every_framing_gives_the_same_body() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            let (framing, size) = request.target()[1..].split_once('/').unwrap();
            let body = words(size.parse().unwrap());
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nAccept-Ranges: bytes\r\nETag: \"e\"\r\nContent-MD5: x\r\n";
            let sent = match framing {
                "counted" => peer.try_send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())),
                "chunked" => {
                    let chunks: String = body
                        .as_bytes()
                        .chunks(10_000)
                        .map(|part| format!("{:x}\r\n{}\r\n", part.len(), std::str::from_utf8(part).unwrap()))
                        .collect();
                    peer.try_send(format!("{head}Transfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n{chunks}0\r\nSum: 1\r\n\r\n"))
                }
                _ => {
                    let _ = peer.try_send(format!("{head}\r\n{body}"));
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    });
    for driver in DRIVERS {
        let gateway = compressing(&endpoint.address, json!({}), driver);
        let mut client = gateway.connect();
        for framing in ["counted", "chunked", "close"] {
            for size in [2000, 30_000, 400_000] {
                for coding in ["gzip", "br", "zstd"] {
                    let at = format!("{framing} {size} {coding}");
                    let answer = client.ask(format!("GET /{framing}/{size} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"));
                    assert_eq!((answer.field("content-encoding"), answer.field("content-length")), (Some(coding), None), "{at}");
                    assert_eq!(
                        (answer.field("transfer-encoding"), answer.field("vary")),
                        (Some("chunked"), Some("Accept-Encoding")),
                        "{at}"
                    );
                    assert_eq!((answer.field("etag"), answer.field("accept-ranges")), (Some("W/\"e\""), None), "{at}");
                    assert_eq!(answer.field("content-md5"), None, "{at}");
                    assert!(plain(&answer) == words(size).as_bytes(), "{at}");
                    assert!(answer.body.len() < size * 2 / 3, "{at}: {}", answer.body.len());
                    assert_eq!(answer.trailers, if framing == "chunked" { "Sum: 1\r\n" } else { "" }, "{at}");
                }
            }
        }
        let counted = |name: &str| gateway.metric(name);
        for coding in ["gzip", "br", "zstd"] {
            assert_eq!(counted(&format!("gateway_compressed_responses_total{{coding=\"{coding}\"}}")), 9.0);
        }
        assert_eq!(counted("gateway_compression_input_bytes_total"), 9.0 * f64::from(2000 + 30_000 + 400_000));
        assert!(counted("gateway_compression_output_bytes_total") < counted("gateway_compression_input_bytes_total"));
    }
}

#[test]
fn clients_choose_and_the_order_decides_among_what_they_like_equally() {
    let endpoint = Hostile::answering(answer("", &words(5000)));
    let gateway = compressing(&endpoint.address, json!({ "codings": ["br", "gzip"] }), DRIVERS[0]);
    for (accept, coding) in [
        ("gzip, deflate, br, zstd", Some("br")),
        ("gzip, br;q=0.9", Some("gzip")),
        ("zstd", None),
        ("*", Some("br")),
        ("identity;q=0", None),
        ("gzip;q=0", None),
        ("", None),
    ] {
        let answer = ask(&gateway, "/", &[&format!("Accept-Encoding: {accept}")]);
        assert_eq!((answer.field("content-encoding"), answer.field("vary")), (coding, Some("Accept-Encoding")), "{accept}");
        assert_eq!(answer.field("content-length").is_some(), coding.is_none(), "{accept}");
        assert!(plain(&answer) == words(5000).as_bytes());
    }
    let none = gateway.get("/");
    assert_eq!((none.field("content-encoding"), none.field("vary")), (None, Some("Accept-Encoding")));
    let old = gateway.connect().ask("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!((old.field("content-encoding"), old.body.len()), (None, 5000), "HTTP/1.0 has no chunks");
    assert_eq!(ask(&gateway, "/", &["Accept-Encoding: gzip", "Cache-Control: no-transform"]).field("content-encoding"), None);
}

#[test]
fn what_is_not_to_be_touched_is_passed_on_as_it_came() {
    let body = words(5000);
    for (lines, status) in [
        ("Content-Encoding: gzip\r\n", 200),
        ("Cache-Control: max-age=5, No-Transform\r\n", 200),
        ("Content-Range: bytes 0-4999/9000\r\n", 206),
        ("", 200),
    ] {
        let small = lines.is_empty();
        let sent = if small { answer("", &words(1023)) } else { answer(lines, &body).replace("200 OK", &format!("{status} X")) };
        let endpoint = Hostile::answering(sent);
        let gateway = compressing(&endpoint.address, json!({}), DRIVERS[0]);
        let got = ask(&gateway, "/", &["Accept-Encoding: gzip"]);
        assert_eq!((got.status(), got.field("vary")), (status, None), "{lines}");
        assert_eq!(got.field("content-length"), Some(if small { "1023" } else { "5000" }), "{lines}");
        assert!(got.body == if small { words(1023) } else { body.clone() }.as_bytes(), "{lines}");
    }
    let endpoint = Hostile::answering(answer("", &body).replace("text/plain", "image/png"));
    let gateway = compressing(&endpoint.address, json!({}), DRIVERS[0]);
    assert_eq!(ask(&gateway, "/", &["Accept-Encoding: gzip"]).field("vary"), None);
    // What varies already says it once.
    let endpoint = Hostile::answering(answer("Vary: Origin, accept-encoding\r\n", &body));
    let gateway = compressing(&endpoint.address, json!({}), DRIVERS[0]);
    let got = ask(&gateway, "/", &["Accept-Encoding: gzip"]);
    assert_eq!((got.field("vary"), got.field("content-encoding")), (Some("Origin, accept-encoding"), Some("gzip")));
}

#[test]
fn answers_without_a_body_say_what_they_would_with_one() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.head() {
            let head = match request.field("if-none-match") {
                Some(_) => "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n".to_owned(),
                None => answer("ETag: \"e\"\r\n", &words(5000)).split_inclusive("\r\n\r\n").next().unwrap().to_owned(),
            };
            if peer.try_send(head).is_err() {
                return;
            }
        }
    });
    let gateway = compressing(&endpoint.address, json!({}), DRIVERS[0]);
    let mut client = gateway.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    let head = client.bodiless();
    assert_eq!((head.field("content-encoding"), head.field("vary"), head.field("etag")), (None, Some("Accept-Encoding"), Some("W/\"e\"")));
    let same = client.ask("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nIf-None-Match: W/\"e\"\r\n\r\n");
    assert_eq!((same.status(), same.field("etag"), same.field("vary")), (304, Some("W/\"e\""), Some("Accept-Encoding")));
    let endpoint = Hostile::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let gateway = compressing(&endpoint.address, json!({}), DRIVERS[0]);
    let none = ask(&gateway, "/", &["Accept-Encoding: gzip"]);
    assert_eq!((none.status(), none.field("content-encoding"), none.field("vary")), (204, None, None));
}

#[test]
fn events_arrive_as_they_are_sent() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            let chunked = request.target() == "/chunked";
            peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
            peer.send(if chunked { "Transfer-Encoding: chunked\r\n\r\n" } else { "Content-Length: 56000\r\n\r\n" });
            for _ in 0..4 {
                peer.wait_told();
                // As large as what the gateway receives at once, too.
                let event = format!("data: {}\n\n", words(13_992));
                peer.send(if chunked { format!("{:x}\r\n{event}\r\n", event.len()) } else { event });
            }
            if chunked {
                peer.wait_told();
                peer.send("0\r\n\r\n");
            }
        }
    });
    each_driver(&endpoint.address, |gateway| {
        for target in ["/chunked", "/counted"] {
            for coding in ["gzip", "br", "zstd"] {
                let mut client = gateway.connect();
                client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"));
                let mut got = String::new();
                while !got.ends_with("\r\n\r\n") {
                    got.push(char::from(client.bytes(1)[0]));
                }
                assert!(got.contains(coding), "{got}");
                let mut encoded = Vec::new();
                for event in 1..=4 {
                    endpoint.tell();
                    // All of the event can be decoded before the endpoint sends another byte.
                    until("an event", || {
                        if event == 4 && target == "/counted" && decoded(coding, &encoded).len() == 56_000 {
                            return Some(());
                        }
                        let size = until_line(&mut client);
                        encoded.extend(client.bytes(usize::from_str_radix(size.trim_end(), 16).unwrap()));
                        client.bytes(2);
                        (decoded(coding, &encoded).len() == event * 14_000).then_some(())
                    });
                }
                if target == "/chunked" {
                    // Nobody else's: the next connection begins when this one has ended.
                    endpoint.tell();
                    loop {
                        let size = usize::from_str_radix(until_line(&mut client).trim_end(), 16).unwrap();
                        client.bytes(size + 2);
                        if size == 0 {
                            break;
                        }
                    }
                }
            }
        }
    });
}

fn each_driver(endpoint: &str, test: impl Fn(Gateway)) {
    DRIVERS.into_iter().for_each(|driver| test(compressing(endpoint, json!({}), driver)));
}

fn until_line(client: &mut Wire) -> String {
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        line.push(char::from(client.bytes(1)[0]));
    }
    line
}

/// As much as can be decoded of what has come.
fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reader: Box<dyn Read + '_> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        _ => Box::new(zstd::Decoder::new(bytes).unwrap()),
    };
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut piece) {
        out.extend_from_slice(&piece[..count]);
    }
    out
}

#[test]
fn what_breaks_off_is_cut_and_not_completed() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    for sent in [
        format!("{head}Content-Length: 5000\r\n\r\n{}", words(3000)),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n1000\r\n{}", words(3000)),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
    ] {
        let endpoint = Hostile::answering_once(sent);
        let gateway = compressing(&endpoint.address, json!({}), DRIVERS[0]);
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        let (cut, _) = client.try_message(true).expect_err("no last chunk");
        assert_eq!(cut.field("content-encoding"), Some("gzip"));
        until("it to be counted", || (gateway.metric("gateway_requests_failed_total") == 1.0).then_some(()));
    }
}

#[test]
fn only_so_many_at_once() {
    let endpoint = Hostile::start(|peer| {
        while peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
            peer.wait_told();
            peer.send("0\r\n\r\n");
        }
    });
    let gateway = compressing(&endpoint.address, json!({ "streams": 1 }), DRIVERS[0]);
    let mut clients = [gateway.connect(), gateway.connect()];
    let heads = clients.each_mut().map(|client| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        client.bodiless()
    });
    assert_eq!(heads.each_ref().map(|head| head.field("content-encoding")), [Some("gzip"), None]);
    endpoint.tell();
    endpoint.tell();
    gateway.wait_idle();
    clients.into_iter().for_each(drop);
    let mut next = gateway.connect();
    next.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    endpoint.tell();
    assert_eq!(next.message().field("content-encoding"), Some("gzip"), "the place is free again");
}

#[test]
fn the_cache_keeps_the_plain_answer_and_each_client_gets_its_coding() {
    let endpoint = Hostile::answering(answer("Cache-Control: max-age=60\r\nETag: \"e\"\r\n", &words(100_000)));
    for driver in DRIVERS {
        let seen = endpoint.seen().len();
        let routes = json!([{ "path": "/", "upstream": "up", "cache": {}, "middlewares": [{ "compress": {} }] }]);
        let gateway =
            Gateway::start(&config(&endpoint.address, json!({ "routes": routes, "runtime": { "workers": 1, "driver": driver } })));
        for (round, accept) in ["gzip", "br", "zstd", "identity", "gzip", "br"].into_iter().enumerate() {
            let got = ask(&gateway, "/", &[&format!("Accept-Encoding: {accept}")]);
            let coding = Some(accept).filter(|accept| *accept != "identity");
            assert_eq!((got.field("content-encoding"), got.field("vary")), (coding, Some("Accept-Encoding")), "{round}");
            assert_eq!(got.field("etag"), Some(if coding.is_some() { "W/\"e\"" } else { "\"e\"" }));
            assert!(got.field("cache-status").unwrap().contains(if round == 0 { "uri-miss" } else { "hit" }), "{:?}", got.head);
            assert!(plain(&got) == words(100_000).as_bytes(), "{round}");
        }
        let part = ask(&gateway, "/", &["Accept-Encoding: gzip", "Range: bytes=0-9"]);
        assert_eq!((part.status(), part.field("content-encoding"), part.body.len()), (206, None, 10));
        let same = ask(&gateway, "/", &["Accept-Encoding: gzip", "If-None-Match: W/\"e\""]);
        assert_eq!((same.status(), same.field("etag")), (304, Some("W/\"e\"")));
        assert_eq!(endpoint.seen().len() - seen, 1, "all but the first came from the cache");
    }
}

#[test]
fn curl_understands_it() {
    let endpoint = Hostile::answering(answer("", &words(50_000)));
    let gateway = compressing(&endpoint.address, json!({}), DRIVERS[0]);
    let got = crate::harness::run("curl", &["-sS", "--compressed", &format!("http://{}/", gateway.address)]);
    assert!(got.stdout == words(50_000).as_bytes(), "{}", String::from_utf8_lossy(&got.stderr));
    assert!(gateway.metric("gateway_compression_input_bytes_total") == 50_000.0);
}

#[test]
fn the_gateways_own_answers_go_as_they_are() {
    let endpoint = Hostile::answering(answer("", &words(50_000)));
    let own = words(20_000);
    let routes = json!([
        { "path": "/", "upstream": "up" },
        { "path": "/own", "middlewares": [{ "respond": { "body": own } }] },
    ]);
    let changes = json!({ "middlewares": [{ "compress": {} }], "routes": routes });
    let gateway = Gateway::with(&endpoint.address, changes);
    assert_eq!(ask(&gateway, "/", &["Accept-Encoding: gzip"]).field("content-encoding"), Some("gzip"));
    let answer = ask(&gateway, "/own", &["Accept-Encoding: gzip"]);
    assert_eq!((answer.field("content-encoding"), answer.field("content-length"), answer.text()), (None, Some("20000"), &*own));
}
