//! WebSockets towards endpoints of HTTP/2 (RFC 8441): an upgrade becomes a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::ext::Protocol;
use h2::server::SendResponse;
use http::{Request, Response};
use serde_json::json;

use crate::harness::http2::*;
use crate::harness::{DRIVERS, End, Gateway, Hostile, Http2, Http2Origin, get, until};

const ASK: &str = "GET /chat?a=b HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn before(endpoint: &str, driver: &str) -> Gateway {
    let upstream = json!({ "id": "up", "protocol": "h2", "endpoints": [{ "url": format!("http://{endpoint}") }] });
    Gateway::with("", json!({ "upstreams": [upstream], "runtime": { "driver": driver, "workers": 1 } }))
}

/// An endpoint that switches, says what it was asked, and sends back what it gets.
fn echoing() -> Http2Origin {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    Http2Origin::with(builder, usize::MAX, |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| async move {
        let (head, mut body) = request.into_parts();
        let path = head.uri.path();
        let Some(protocol) = head.extensions.get::<Protocol>() else {
            let _ = respond.send_response(Response::new(()), true);
            return;
        };
        if path == "/closed" {
            let response = Response::builder().status(403).body(()).unwrap();
            let mut send = respond.send_response(response, false).unwrap();
            let _ = send.send_data("no".into(), true);
            return;
        }
        let asked = format!("{} {} {} {:?}", head.method, protocol.as_str(), head.uri, head.headers.get("sec-websocket-key"));
        let response = Response::builder().header("x-asked", asked).header("sec-websocket-protocol", "chat");
        let mut send = respond.send_response(response.body(()).unwrap(), false).unwrap();
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
            if piece == "reset" {
                return send.send_reset(h2::Reason::INTERNAL_ERROR);
            }
            if send_all(&mut send, &piece, false).await.is_err() {
                return;
            }
        }
        let _ = send_all(&mut send, b"goodbye", false).await;
        let _ = send.send_data(Bytes::new(), true);
    })
}

#[test]
fn an_upgrade_becomes_a_stream() {
    let origin = echoing();
    for driver in DRIVERS {
        let gateway = before(&origin.address, driver);
        let mut client = gateway.connect();
        let answer = client.ask(ASK);
        assert_eq!(
            (answer.status(), answer.field("upgrade"), answer.field("sec-websocket-protocol")),
            (101, Some("websocket"), Some("chat"))
        );
        assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "RFC 6455 section 1.3");
        assert_eq!(answer.field("x-asked"), Some("CONNECT websocket http://a.example/chat?a=b None"));
        client.send("hello");
        assert_eq!(client.bytes(5), b"hello");
        let sent: Vec<u8> = (0..500_000u32).map(|at| (at * 31 % 253) as u8).collect();
        let mut writer = client.split();
        let got = std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.send(&sent);
                writer.finish();
            });
            client.rest()
        });
        assert!(got.0 == [&sent[..], b"goodbye"].concat() && got.1 == End::Closed, "{} bytes, {:?}", got.0.len(), got.1);
        gateway.wait_idle();
        // Others use the same connection, and one that breaks off is cut.
        let mut other = gateway.connect();
        assert_eq!(other.ask(ASK).status(), 101);
        let connections = origin.connections.load(SeqCst);
        assert_eq!(gateway.get("/").status(), 200);
        assert_eq!(origin.connections.load(SeqCst), connections);
        other.send("reset");
        assert_eq!(other.rest().0, b"");
        let mut closed = gateway.connect();
        let answer = closed.ask(ASK.replace("/chat", "/closed"));
        assert_eq!((answer.status(), answer.text()), (403, "no"));
        assert_eq!(closed.ask(get("/")).status(), 200, "the client's connection goes on");
        gateway.wait("gateway_upgraded_connections", 0.0);
        assert_eq!(gateway.metric("gateway_upgrades_total"), 2.0);
    }
}

#[test]
fn a_client_that_is_gone_takes_its_stream_along() {
    let (open, reset) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opened, ended) = (open.clone(), reset.clone());
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    // It takes no notice of what the client says, nor of the end of it.
    let origin = Http2Origin::with(builder, usize::MAX, move |_, mut respond: SendResponse<Bytes>| {
        let (opened, ended) = (opened.clone(), ended.clone());
        async move {
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            opened.fetch_add(1, SeqCst);
            let reason = std::future::poll_fn(|cx| send.poll_reset(cx)).await;
            assert_eq!(reason.unwrap(), h2::Reason::CANCEL);
            ended.fetch_add(1, SeqCst);
        }
    });
    let gateway = before(&origin.address, "auto");
    let mut client = gateway.connect();
    assert_eq!(client.ask(ASK).status(), 101);
    client.reset();
    until("the stream's end", || (reset.load(SeqCst) == 1).then_some(()));
    // One that has only finished waits for the endpoint's end.
    let mut client = gateway.connect();
    assert_eq!(client.ask(ASK).status(), 101);
    client.finish();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((open.load(SeqCst), reset.load(SeqCst)), (2, 1));
}

#[test]
fn http2_passes_from_end_to_end() {
    let endpoint = Hostile::start(|peer| {
        if let Some(request) = peer.request() {
            peer.send(request.switch());
            let piece = peer.piece();
            peer.send(piece);
        }
    });
    let behind = Gateway::to(&endpoint.address);
    let gateway = before(&behind.address, "auto");
    Http2::connect(&gateway.address).run(async |sender| {
        let mut ask = request("CONNECT", "/chat", &[("sec-websocket-version", "13")]);
        ask.extensions_mut().insert(Protocol::from_static("websocket"));
        let mut sender = sender.ready().await.unwrap();
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (response, mut send) = sender.send_request(ask, false).unwrap();
        let response = response.await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers().get("sec-websocket-accept")), (200, None));
        send_all(&mut send, b"hello", false).await.unwrap();
        assert_eq!(rest(response.into_body()).await.unwrap().0, b"hello");
    });
    let upgraded = endpoint.last();
    assert_eq!((upgraded.field("upgrade"), upgraded.field("sec-websocket-key").map(str::len)), (Some("websocket"), Some(24)));
    behind.wait_idle();
    gateway.wait_idle();
}

#[test]
fn an_endpoint_that_does_not_know_it_is_not_asked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let origin = Http2Origin::start(move |_, mut respond: SendResponse<Bytes>| {
        count.fetch_add(1, SeqCst);
        async move {
            let _ = respond.send_response(Response::new(()), true);
        }
    });
    let gateway = before(&origin.address, "auto");
    for _ in 0..2 {
        assert_eq!(gateway.connect().ask(ASK).refusal(), (502, "upstream_takes_no_upgrade"));
        assert_eq!(gateway.get("/").status(), 200);
    }
    assert_eq!(asked.load(SeqCst), 2, "the others");
    assert_eq!(gateway.metric("gateway_upgrades_total"), 0.0);
}

#[test]
fn a_request_with_a_body_becomes_no_stream() {
    let origin = echoing();
    let gateway = before(&origin.address, "auto");
    for body in ["Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"] {
        let ask = ASK.replace("GET", "POST").replace("\r\n\r\n", &format!("\r\n{body}"));
        assert_eq!(gateway.connect().ask(ask).refusal(), (502, "upstream_takes_no_upgrade"));
    }
    let mut client = gateway.connect();
    assert_eq!(client.ask(ASK.replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n")).status(), 101);
    client.send("hello");
    assert_eq!(client.bytes(5), b"hello");
}

#[test]
fn a_status_that_http2_does_not_have_switches_nothing() {
    let origin = Hostile::start(|peer| {
        peer.send(frame(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1]));
        peer.bytes(24);
        loop {
            let head = peer.bytes(9);
            peer.bytes(usize::from(head[1]) << 8 | usize::from(head[2]));
            if head[3] == HEADERS {
                break;
            }
        }
        peer.send(frame(HEADERS, END_HEADERS, 1, &block(&[(":status", "101")])));
        while !peer.piece().is_empty() {}
    });
    let gateway = before(&origin.address, "auto");
    assert_eq!(gateway.connect().ask(ASK).refusal(), (502, "upstream_closed_before_head"));
    assert_eq!(gateway.metric("gateway_upgrades_total"), 0.0);
}
