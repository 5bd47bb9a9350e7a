//! JSON bodies edited on their way, both ways.

use std::io::Read;

use serde_json::{Value, json};

use crate::harness::{DRIVERS, Gateway, Hostile, Message, config, get};

fn editing(endpoint: &str, settings: Value, driver: &str) -> Gateway {
    let runtime = json!({ "workers": 1, "driver": driver });
    Gateway::with(endpoint, json!({ "middlewares": [{ "transform": settings }], "runtime": runtime }))
}

fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn answer(lines: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn requests_are_edited_in_every_framing_and_the_connection_goes_on() {
    let endpoint = Hostile::answering(OK);
    let settings =
        json!({ "request": { "remove": ["debug"], "rename": { "/user/mail": "email" }, "set": { "source": { "by": "gateway" } } } });
    let sent = r#"{"n":12345678901234567890.10,"debug":true,"user":{"mail":"a@b"}}"#;
    let seen = r#"{"n":12345678901234567890.10,"user":{"email":"a@b"},"source":{"by":"gateway"}}"#;
    for driver in DRIVERS {
        let gateway = editing(&endpoint.address, settings.clone(), driver);
        let mut client = gateway.connect();
        let (front, back) = sent.split_at(20);
        let chunks = format!("14;x=y\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\nA: b\r\n\r\n", back.len());
        let chunked = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        );
        for round in 0..3 {
            for request in [post("", sent), chunked.clone(), post("", "{}"), get("/")] {
                assert_eq!(client.ask(&request).status(), 200, "{round}");
                let last = endpoint.last();
                let expected = match &request {
                    _ if request.starts_with("GET") => "",
                    _ if request.contains("\r\n\r\n{}") => r#"{"source":{"by":"gateway"}}"#,
                    _ => seen,
                };
                assert_eq!((last.text(), last.field("transfer-encoding")), (expected, None), "{round}: {request}");
            }
        }
        // A byte at a time, and two requests at once.
        for byte in chunked.as_bytes().chunks(1) {
            client.send(byte);
        }
        assert_eq!((client.message().status(), endpoint.last().text()), (200, seen));
        client.send(post("", sent) + &get("/next"));
        assert_eq!((client.message().status(), client.message().status()), (200, 200));
        assert_eq!(endpoint.last().target(), "/next");
        // The client waits for leave, which the gateway gives.
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            sent.len()
        ));
        assert_eq!(client.message().status(), 100);
        assert_eq!(client.ask(sent).status(), 200);
        assert_eq!((endpoint.last().text(), endpoint.last().field("expect")), (seen, None));
    }
}

#[test]
fn requests_that_can_not_be_edited_are_refused_by_name_or_left_alone() {
    let endpoint = Hostile::answering(OK);
    let gateway = editing(&endpoint.address, json!({ "request": { "set": { "a": 1 } }, "max_body": "20B" }), DRIVERS[0]);
    let ask = |request: String| gateway.connect().ask(request);
    assert_eq!(ask(post("", "{'a'}")).refusal(), (400, "bad_json"));
    assert_eq!(ask(post("", "")).refusal(), (400, "bad_json"));
    assert_eq!(ask(post("", r#"{"a":"123456789012345"}"#)).refusal(), (413, "body_too_large"));
    let chunked =
        |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    assert_eq!(ask(chunked("15\r\n{\"a\":\"1234567890123\"}\r\n")).refusal(), (413, "body_too_large"));
    assert_eq!(ask(chunked("x\r\n")).refusal(), (400, "bad_chunk_size"));
    assert_eq!(endpoint.seen().len(), 0);
    for (request, body) in [
        (post("Content-Encoding: gzip\r\n", "not plain"), "not plain"),
        (post("", "{'a': 1}").replace("application/json", "text/plain"), "{'a': 1}"),
        (post("", "[]"), "[]"),
        (post("", "{}").replace("application/json", "application/merge-patch+JSON"), r#"{"a":1}"#),
    ] {
        assert_eq!((ask(request).status(), endpoint.last().text()), (200, body));
    }
    // A client that stops in the middle.
    let gateway = Gateway::with(
        &endpoint.address,
        json!({ "middlewares": [{ "transform": { "request": { "set": { "a": 1 } } } }], "timeouts": { "body_idle": "200ms" } }),
    );
    let request = post("", "{}{}");
    assert_eq!(gateway.connect().ask(&request[..request.len() - 2]).refusal(), (408, "request_body_timeout"));
    let mut leaver = gateway.connect();
    leaver.send(&request[..request.len() - 2]);
    leaver.finish();
    leaver.rest();
    gateway.wait("gateway_refusals_total{reason=\"client_left\"}", 1.0);
}

#[test]
fn answers_are_edited_in_every_framing() {
    let body = r#"{"id":1e400,"user":{"name":"ada","hash":"x"}}"#;
    let edited = r#"{"id":1e400,"user":{"name":"ada"},"meta":null}"#;
    let settings = json!({ "response": { "remove": ["user.hash"], "set": { "meta": null } } });
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/problem+json\r\nETag: \"e\"\r\nAccept-Ranges: bytes\r\n";
    let (front, back) = body.split_at(20);
    for sent in [
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n14\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n\r\n", back.len()),
        format!("{head}\r\n{body}"),
    ] {
        let closes = !sent.contains("Content-Length") && !sent.contains("chunked");
        let endpoint = Hostile::start(move |peer| {
            while peer.request().is_some() {
                let (front, back) = sent.split_at(sent.len() - 30);
                peer.send(front);
                std::thread::yield_now();
                peer.send(back);
                if closes {
                    return;
                }
            }
        });
        for driver in DRIVERS {
            let gateway = editing(&endpoint.address, settings.clone(), driver);
            let mut client = gateway.connect();
            for _ in 0..3 {
                let got = client.ask("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nAccept-Encoding: gzip\r\n\r\n");
                assert_eq!((got.text(), got.field("transfer-encoding")), (edited, None));
                assert_eq!((got.field("etag"), got.field("accept-ranges")), (Some("W/\"e\""), None));
                let asked = endpoint.last();
                assert_eq!((asked.field("range"), asked.field("accept-encoding")), (None, Some("identity")));
            }
        }
        if !closes {
            assert!(endpoint.connections() <= 2, "kept: one for each gateway, not {}", endpoint.connections());
        }
    }
}

#[test]
fn answers_that_can_not_be_edited_are_refused_by_name_or_passed() {
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(50_000));
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    let small = "{\"secret\":1}".to_owned();
    let settings = |too_large: &str| json!({ "response": { "remove": ["secret"] }, "max_body": "1KiB", "too_large": too_large });
    for (sent, strict, lax) in [
        (answer("", &large), Err((502, "answer_too_large")), Ok(&large)),
        (chunked, Err((502, "answer_too_large")), Ok(&large)),
        (answer("", "{secret}"), Err((502, "bad_answer_json")), Err((502, "bad_answer_json"))),
        (answer("Content-Encoding: gzip\r\n", &small), Ok(&small), Ok(&small)),
        (answer("", &small).replace("application/json", "text/html"), Ok(&small), Ok(&small)),
    ] {
        let endpoint = Hostile::answering(sent.clone());
        for (mode, expected) in [("refuse", strict), ("pass", lax)] {
            let cors = json!({ "cors": { "origins": ["https://app.example"] } });
            let changes = json!({ "middlewares": [cors, { "transform": settings(mode) }], "features": { "outlier_detection": false } });
            let gateway = Gateway::with(&endpoint.address, changes);
            let got = gateway.connect().ask("GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\r\n");
            match expected {
                Ok(body) => assert!(got.status() == 200 && got.text() == body, "{mode} {}", &sent[..80]),
                Err(refusal) => assert_eq!(got.refusal(), refusal, "{mode}"),
            }
            assert_eq!(got.field("access-control-allow-origin"), Some("https://app.example"), "once, and in any case");
        }
    }
    let endpoint = Hostile::answering_once("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{}");
    let changes = json!({ "middlewares": [{ "transform": settings("pass") }], "features": { "retries": false } });
    let gateway = Gateway::with(&endpoint.address, changes);
    assert_eq!(gateway.get("/").refusal(), (502, "upstream_closed_mid_body"), "nothing was sent yet");
}

#[test]
fn with_the_cache_and_compression() {
    let items: Vec<Value> = (0..500).map(|number| json!({ "id": number })).collect();
    let body = json!({ "secret": 1, "items": items }).to_string();
    let edited = json!({ "items": items }).to_string();
    let endpoint = Hostile::answering(answer("Cache-Control: max-age=60\r\nETag: \"e\"\r\n", &body));
    let plain = |got: &Message| {
        let mut body = String::new();
        flate2::read::GzDecoder::new(&got.body[..]).read_to_string(&mut body).unwrap();
        body
    };
    for driver in DRIVERS {
        let seen = endpoint.seen().len();
        let middlewares = json!([{ "compress": {} }, { "transform": { "response": { "remove": ["secret"] } } }]);
        let routes = json!([{ "path": "/", "upstream": "up", "cache": {}, "middlewares": middlewares }]);
        let gateway =
            Gateway::start(&config(&endpoint.address, json!({ "routes": routes, "runtime": { "workers": 1, "driver": driver } })));
        let mut client = gateway.connect();
        for round in 0..3 {
            let got = client.ask("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
            assert_eq!((got.field("content-encoding"), got.field("etag")), (Some("gzip"), Some("W/\"e\"")), "{round}");
            assert_eq!(plain(&got), edited, "{round}");
            let got = client.ask("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-20\r\n\r\n");
            assert_eq!((got.status(), got.text()), (200, edited.as_str()), "{round}: no part of what is stored");
            assert_eq!(got.field("content-length"), Some(&*edited.len().to_string()));
        }
        assert_eq!(endpoint.seen().len() - seen, 1);
    }
}

#[test]
fn a_refusal_in_place_of_a_stored_answer_has_the_lines_of_the_chain() {
    let endpoint = Hostile::answering(answer("Cache-Control: max-age=60\r\nETag: \"e\"\r\n", &format!("{{broken {}", "x".repeat(5000))));
    let middlewares = json!([
        { "compress": {} },
        { "cors": { "origins": ["https://app.example"] } },
        { "rate_limit": {} },
        { "security_headers": {} },
        { "transform": { "response": { "remove": ["secret"] } } },
    ]);
    let routes = json!([{ "path": "/", "upstream": "up", "cache": {}, "middlewares": middlewares }]);
    let gateway = Gateway::start(&config(&endpoint.address, json!({ "routes": routes, "runtime": { "workers": 1, "pin": false } })));
    let mut client = gateway.connect();
    for round in 0..3 {
        let got = client.ask("GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\nAccept-Encoding: gzip\r\n\r\n");
        assert_eq!(got.refusal(), (502, "bad_answer_json"), "{round}");
        for name in ["access-control-allow-origin", "ratelimit", "ratelimit-policy", "x-content-type-options"] {
            assert_eq!(got.all(name).len(), 1, "{round}: {name} in {got:?}");
        }
        for name in ["etag", "content-encoding", "age"] {
            assert_eq!(got.field(name), None, "{round}: that is the stored answer's");
        }
    }
    assert_eq!(endpoint.seen().len(), 1);
}
