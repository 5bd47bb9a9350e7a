//! gRPC-Web: calls as browsers make them, in both forms, over HTTP/1.1 and HTTP/2.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response};
use serde_json::{Value, json};

use super::Server;
use crate::harness::http2::request;
use crate::harness::{Gateway, Hostile, Http2, Http2Origin};

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";

fn before(endpoint: &str, changes: Value) -> Gateway {
    let upstream = json!({ "id": "up", "protocol": "h2", "endpoints": [{ "url": format!("http://{endpoint}") }] });
    let mut config = json!({
        "upstreams": [upstream],
        "routes": [{ "id": "all", "path": "/*", "upstream": "up", "middlewares": [{ "grpc_web": {} }] }],
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Gateway::with(endpoint, config)
}

/// A message behind its length.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// Base64 in pieces of so many bytes, each padded.
fn in_text(bytes: &[u8], size: usize) -> String {
    bytes.chunks(size).map(|piece| STANDARD.encode(piece)).collect()
}

/// The bytes of Base64 in pieces.
fn out_of_text(text: &[u8]) -> Vec<u8> {
    text.chunks(4).flat_map(|group| STANDARD.decode(group).unwrap()).collect()
}

/// What came of a call.
#[derive(Debug, Default)]
struct Called {
    fields: Vec<(String, String)>,
    messages: Vec<Vec<u8>>,
    trailers: Option<String>,
}

impl Called {
    fn of(fields: Vec<(String, String)>, body: &[u8]) -> Called {
        let mut called = Called { fields, ..Called::default() };
        let text = called.field("content-type").starts_with(TEXT);
        let body = if text { out_of_text(body) } else { body.to_vec() };
        let mut rest = &body[..];
        while let Some((&flag, behind)) = rest.split_first() {
            assert!(called.trailers.is_none(), "nothing stands behind the trailers");
            let (length, behind) = behind.split_at(4);
            let (frame, behind) = behind.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
            match flag {
                0 => called.messages.push(frame.to_vec()),
                0x80 => called.trailers = Some(String::from_utf8(frame.to_vec()).unwrap()),
                _ => panic!("a frame of flag {flag}"),
            }
            rest = behind;
        }
        called
    }

    #[track_caller]
    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The status, from the trailers or the head.
    fn status(&self) -> &str {
        let line = self.trailers.as_ref().and_then(|lines| lines.lines().find_map(|line| line.strip_prefix("grpc-status: ")));
        line.unwrap_or_else(|| self.field("grpc-status"))
    }
}

/// Calls over HTTP/1.1.
fn call(gateway: &Gateway, method: &str, kind: &str, body: &[u8], fields: &str) -> Called {
    let head = format!(
        "POST /test.Peer/{method} HTTP/1.1\r\nHost: a.example\r\nContent-Type: {kind}\r\nX-Grpc-Web: 1\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = gateway.connect().ask([head.as_bytes(), body].concat());
    assert_eq!((answer.status(), answer.trailers.as_str()), (200, ""), "{answer:?}");
    let fields = answer.head.lines().filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
    Called::of(fields.collect(), &answer.body)
}

/// Calls over HTTP/2.
fn call2(gateway: &Gateway, method: &str, kind: &str, body: &[u8], fields: &[(&str, &str)]) -> Called {
    let fields = [&[("content-type", kind), ("x-grpc-web", "1")], fields].concat();
    let answer = Http2::connect(&gateway.address).ask(request("POST", &format!("/test.Peer/{method}"), &fields), body, None).unwrap();
    assert!(answer.status() == 200 && answer.trailers.is_none(), "{answer:?}");
    let fields = answer.head.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    Called::of(fields.collect(), &answer.body)
}

#[test]
fn calls_are_translated_and_their_answers_too() {
    let server = Server::start();
    let gateway = before(&server.address, json!({}));
    let message = framed(b"hello");
    let forms = [(BINARY, message.clone()), (TEXT, in_text(&message, 2).into()), (TEXT, in_text(&message, 9).into())];
    for (kind, body) in forms {
        for called in
            [call(&gateway, "Echo", kind, &body, "x-asked: this\r\n"), call2(&gateway, "Echo", kind, &body, &[("x-asked", "this")])]
        {
            assert_eq!(called.messages, [b"hello"], "{called:?}");
            assert_eq!((called.status(), called.field("x-begun"), called.field("x-seen")), ("0", "yes", "this"));
            assert!(called.trailers.as_ref().unwrap().contains("x-ended: yes\r\n"), "{called:?}");
            assert_eq!(called.field("content-type"), if kind == BINARY { BINARY } else { "application/grpc-web-text+proto" });
        }
    }
    // The answer's form is the one that is accepted.
    let called = call(&gateway, "Echo", BINARY, &message, &format!("Accept: {TEXT}\r\n"));
    assert!(called.field("content-type").starts_with(TEXT) && called.messages == [b"hello"], "{called:?}");
    let large = vec![b'x'; 3 << 20];
    for (kind, body) in [(BINARY, framed(&large)), (TEXT, in_text(&framed(&large), 3000).into())] {
        let called = call(&gateway, "Echo", kind, &body, "");
        assert!(called.messages == [large.clone()] && called.status() == "0", "{kind}");
    }
    gateway.wait("gateway_grpc_calls_total{route=\"all\",grpc_status=\"OK\"}", 9.0);
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
}

#[test]
fn streams_of_answers_and_their_ends() {
    let server = Server::start();
    let gateway = before(&server.address, json!({}));
    let numbers: Vec<Vec<u8>> = (0..1000).map(|number: u32| number.to_string().into_bytes()).collect();
    for kind in [BINARY, TEXT] {
        let put = |message: &[u8]| if kind == TEXT { in_text(&framed(message), 7).into_bytes() } else { framed(message) };
        for called in [call(&gateway, "Count", kind, &put(b"1000"), ""), call2(&gateway, "Count", kind, &put(b"1000"), &[])] {
            assert!(called.messages == numbers && called.status() == "0", "{kind}");
        }
        for called in [call(&gateway, "CountAndFail", kind, &put(b""), ""), call2(&gateway, "CountAndFail", kind, &put(b""), &[])] {
            assert_eq!((called.messages.len(), called.status()), (2, "15"));
            assert!(called.trailers.unwrap().contains("grpc-message: the rest is gone\r\n"));
        }
        for called in [call(&gateway, "Fail", kind, &put(b""), ""), call2(&gateway, "Missing", kind, &put(b""), &[])] {
            assert!(called.messages.is_empty() && ["9", "12"].contains(&called.status()), "{called:?}");
        }
        let called = call(&gateway, "Hang", kind, &put(b""), "grpc-timeout: 100m\r\n");
        assert_eq!((called.messages.len(), called.status()), (0, "4"), "{called:?}");
    }
}

#[test]
fn messages_are_not_held_back() {
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let told = go.clone();
    let origin = Http2Origin::start(move |request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>| {
        let go = told.clone();
        async move {
            assert_eq!(request.headers()["te"], "trailers");
            assert_eq!(request.headers()["content-type"], "application/grpc+proto");
            let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut send = respond.send_response(response, false).unwrap();
            for word in ["one", "three", "five"] {
                send.send_data(framed(word.as_bytes()).into(), false).unwrap();
                go.acquire().await.unwrap().forget();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            send.send_trailers(trailers).unwrap();
        }
    });
    let gateway = before(&origin.address, json!({}));
    for kind in [BINARY, "application/grpc-web-text+proto"] {
        let mut client = gateway.connect();
        client.send(format!("POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 0\r\n\r\n"));
        let head = client.try_message(false).unwrap();
        assert_eq!(head.field("content-type"), Some(kind));
        for word in ["one", "three", "five"] {
            let chunk = client.chunk();
            let bytes = if kind == BINARY { chunk } else { out_of_text(&chunk) };
            assert_eq!(bytes, framed(word.as_bytes()));
            go.add_permits(1);
        }
        let last = client.chunk();
        let last = if kind == BINARY { last } else { out_of_text(&last) };
        assert_eq!(last, b"\x80\0\0\0\x10grpc-status: 0\r\n");
        assert_eq!(client.chunk(), b"");
    }
}

#[test]
fn refusals_are_told_in_the_head() {
    let closed = Hostile::start(|_| ()).address.clone();
    let gateway = before(&closed, json!({}));
    let body = in_text(&framed(b""), 5);
    for (kind, told) in [(BINARY, BINARY), (TEXT, "application/grpc-web-text+proto")] {
        let body = if kind == BINARY { framed(b"") } else { body.clone().into_bytes() };
        for called in [call(&gateway, "Echo", kind, &body, ""), call2(&gateway, "Echo", kind, &body, &[])] {
            assert_eq!((called.status(), called.field("content-type"), called.trailers.is_none()), ("14", told, true));
            assert!(called.field("grpc-message").contains("reason: connect_failed"), "{called:?}");
        }
    }
    let called = call(&gateway, "Echo", TEXT, b"AAA", "");
    assert!(called.status() == "13" && called.field("grpc-message").contains("reason: bad_base64"), "{called:?}");
    let small = json!([{ "id": "all", "path": "/*", "upstream": "up", "middlewares": [{ "grpc_web": { "max_text": "8B" } }] }]);
    let gateway = before(&closed, json!({ "routes": small }));
    assert_eq!(call(&gateway, "Echo", TEXT, body.repeat(2).as_bytes(), "").status(), "8");
    gateway.wait("gateway_refusals_total{reason=\"body_too_large\"}", 1.0);
}

#[test]
fn pages_of_other_origins_may_call() {
    let server = Server::start();
    let chain = json!([{ "cors": { "origins": ["https://app.example"] } }, { "grpc_web": {} }]);
    let routes = json!([{ "id": "all", "path": "/test.Peer/*", "methods": ["POST"], "upstream": "up", "middlewares": chain }]);
    let gateway = before(&server.address, json!({ "routes": routes }));
    let preflight = "OPTIONS /test.Peer/Fail HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n\
        Access-Control-Request-Headers: content-type,x-grpc-web\r\n\r\n";
    let answer = gateway.connect().ask(preflight);
    assert_eq!(answer.field("access-control-allow-headers"), Some("content-type,x-grpc-web"), "{answer:?}");
    for method in ["Echo", "Fail"] {
        let called = call(&gateway, method, BINARY, &framed(b""), "Origin: https://app.example\r\n");
        assert_eq!(called.field("access-control-allow-origin"), "https://app.example");
        assert_eq!(called.field("access-control-expose-headers"), "grpc-status, grpc-message", "{method}");
    }
    assert_eq!(call(&gateway, "Echo", BINARY, &framed(b""), "").field("access-control-expose-headers"), "");
}

#[test]
fn pages_of_other_origins_may_read_why_a_call_was_refused() {
    let server = Server::start();
    let links = [
        (json!({ "auth": { "any": [{ "bearer": { "tokens": [{ "name": "a", "secret": "token" }] } }] } }), "16", "auth_missing"),
        (json!({ "rate_limit": { "rate": "1/h", "burst": 1 } }), "8", "rate_limited"),
        (json!({ "ip_filter": { "deny": ["127.0.0.0/8"] } }), "7", "ip_denied"),
        (json!({ "request_limit": { "body": "1B" } }), "8", "body_too_large"),
    ];
    for (link, status, reason) in links {
        for origins in ["https://app.example", "*"] {
            let chain = json!([{ "cors": { "origins": [origins], "exposed_headers": ["X-Request-ID"] } }, link, { "grpc_web": {} }]);
            let routes = json!([{ "id": "all", "path": "/*", "upstream": "up", "middlewares": chain }]);
            let gateway = before(&server.address, json!({ "routes": routes }));
            // Uses up the rate limit's one token.
            assert!(!call(&gateway, "Echo", BINARY, &framed(b""), "").field("access-control-expose-headers").contains("grpc"));
            let told = call(&gateway, "Echo", BINARY, &framed(b""), "Origin: https://app.example\r\n");
            let over2 = call2(&gateway, "Echo", TEXT, in_text(&framed(b""), 5).as_bytes(), &[("origin", "https://app.example")]);
            for called in [told, over2] {
                assert!(called.field("grpc-message").contains(&format!("reason: {reason}")), "{called:?}");
                assert_eq!((called.field("grpc-status"), called.field("access-control-allow-origin")), (status, origins));
                let exposed = called.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("access-control-expose-headers"));
                let exposed: Vec<&str> = exposed.flat_map(|(_, names)| names.split(", ")).collect();
                assert!(["X-Request-ID", "grpc-status", "grpc-message"].iter().all(|name| exposed.contains(name)), "{exposed:?}");
                assert_eq!(exposed.len(), 3, "each once");
            }
        }
    }
}

#[test]
fn what_is_no_call_is_left_alone() {
    let origin = Http2Origin::start(|request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>| async move {
        let kind = request.headers().get("content-type").map_or("none", |kind| kind.to_str().unwrap()).to_owned();
        let status = if request.uri().path() == "/gone" { 410 } else { 200 };
        let response = Response::builder().status(status).header("content-type", "text/plain").header("x-kind", kind);
        let mut send = respond.send_response(response.body(()).unwrap(), false).unwrap();
        send.send_data(Bytes::from_static(b"plain"), true).unwrap();
    });
    let gateway = before(&origin.address, json!({}));
    let answer = gateway.get("/");
    assert_eq!((answer.field("x-kind"), answer.text()), (Some("none"), "plain"));
    let call = format!("POST /gone HTTP/1.1\r\nHost: a\r\nContent-Type: {BINARY}\r\nContent-Length: 0\r\n\r\n");
    let answer = gateway.connect().ask(call);
    assert_eq!((answer.status(), answer.field("x-kind"), answer.text()), (410, Some("application/grpc+proto"), "plain"));
    assert_eq!(answer.field("content-type"), Some("text/plain"));
}
