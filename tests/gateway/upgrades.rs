//! Upgraded connections: bytes both ways, untouched, as WebSockets need it.

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use serde_json::json;

use crate::harness::http2::{request, rest, send_all};
use crate::harness::{DRIVERS, Gateway, Hostile, Http2, Peer, until};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n";

/// Switches protocols, greets in the same packet, then sends back what it gets, and says goodbye at the end.
fn echo() -> Hostile {
    Hostile::start(|peer| {
        let switch = peer.head().unwrap().switch();
        peer.send(switch + "greetings");
        loop {
            match peer.piece() {
                piece if piece.is_empty() => break,
                piece => peer.send(piece),
            };
        }
        peer.send("goodbye");
    })
}

#[test]
fn bytes_pass_both_ways_as_they_are() {
    let endpoint = echo();
    for driver in DRIVERS {
        let gateway = Gateway::with(&endpoint.address, json!({ "runtime": { "driver": driver } }));
        let mut client = gateway.connect();
        // The first bytes right behind the request, as some clients do.
        let answer = client.ask(format!("{ASK}\x01ahead"));
        assert_eq!((answer.status(), answer.field("upgrade"), answer.field("connection")), (101, Some("websocket"), Some("upgrade")));
        assert_eq!(answer.field("sec-websocket-accept"), Some("JVxkmtKFjDcI/Pm/AGPEKSN6wT8="));
        assert_eq!(client.bytes(15), b"greetings\x01ahead");
        let seen = endpoint.last();
        assert_eq!((seen.field("upgrade"), seen.field("connection")), (Some("websocket"), Some("upgrade")));
        assert_eq!(seen.field("sec-websocket-key"), Some("x"));

        let every_byte: Vec<u8> = (0..=255).collect();
        for _ in 0..3 {
            client.send(&every_byte);
            assert_eq!(client.bytes(256), every_byte);
        }
        let mut sending = client.split();
        let sent = every_byte.repeat(8000);
        let sender = std::thread::spawn({
            let sent = sent.clone();
            move || sending.send(sent).finish()
        });
        assert!(client.bytes(sent.len()) == sent);
        sender.join().unwrap();
        assert_eq!(client.rest().0, b"goodbye", "the client's end reaches the endpoint, whose last words reach the client");
        gateway.wait_idle();
        assert_eq!(gateway.metric("gateway_upgrades_total"), 1.0);
        endpoint.wait_open(0);
    }
}

#[test]
fn a_requests_body_goes_ahead_of_the_protocol_and_only_once() {
    let echo = |peer: &mut Peer, switch: String| {
        peer.send(switch);
        loop {
            match peer.piece() {
                piece if piece.is_empty() => return,
                piece => peer.send(piece),
            };
        }
    };
    let polite = Hostile::start(move |peer| {
        let switch = peer.request().unwrap().switch();
        echo(peer, switch);
    });
    let hasty = Hostile::start(move |peer| {
        let switch = peer.head().unwrap().switch();
        echo(peer, switch);
    });
    let head = |line: &str| ASK.replace("GET", "POST").replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
    let gateway = Gateway::to(&polite.address);
    for (line, body) in [("Content-Length: 4", "body"), ("Transfer-Encoding: chunked", "4\r\nbody\r\n0\r\n\r\n")] {
        for at in [0, 2, body.len()] {
            let mut client = gateway.connect();
            client.send(head(line) + &body[..at]);
            std::thread::sleep(std::time::Duration::from_millis(50));
            let answer = client.ask(format!("{}ahead", &body[at..]));
            assert_eq!((answer.status(), client.bytes(5)), (101, b"ahead".to_vec()), "{line} {at}");
            client.send("hello");
            assert_eq!(client.bytes(5), b"hello");
        }
        assert_eq!(polite.last().body, b"body");
    }
    // One that doesn't wait for the body gets it all the same.
    let gateway = Gateway::to(&hasty.address);
    let mut client = gateway.connect();
    assert_eq!(client.ask(head("Content-Length: 4")).status(), 101);
    client.send("bodyahead");
    assert_eq!(client.bytes(9), b"bodyahead");
}

#[test]
fn either_side_may_end_it() {
    let endpoint = Hostile::start(|peer| {
        peer.head();
        peer.send(SWITCH);
        peer.piece();
    });
    let gateway = Gateway::to(&endpoint.address);
    let mut client = gateway.connect();
    assert_eq!(client.ask(ASK).status(), 101);
    client.send("end!");
    client.assert_closed();
    drop(client);
    let mut client = gateway.connect();
    assert_eq!(client.ask(ASK).status(), 101);
    client.reset();
    endpoint.wait_open(0);
    gateway.wait_idle();
}

#[test]
fn silence_ends_it() {
    let endpoint = echo();
    let gateway = Gateway::with(&endpoint.address, json!({ "timeouts": { "upgrade_idle": "300ms", "request": "100ms" } }));
    let mut client = gateway.connect();
    client.ask(ASK);
    assert_eq!(client.bytes(9), b"greetings");
    // Words keep it open for longer than either time.
    let begun = std::time::Instant::now();
    until("longer than upgrade_idle", || {
        client.send("a");
        assert_eq!(client.bytes(1), b"a");
        (begun.elapsed().as_millis() > 500).then_some(())
    });
    client.rest();
    endpoint.wait_open(0);
    gateway.wait_idle();
}

#[test]
fn an_answer_other_than_the_switch_is_an_answer() {
    let endpoint = Hostile::answering("HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno");
    let gateway = Gateway::to(&endpoint.address);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let answer = client.ask(ASK);
        assert_eq!((answer.status(), answer.text()), (426, "no"));
    }
}

#[test]
fn a_switch_that_nobody_asked_for_is_refused() {
    let endpoint = Hostile::answering(SWITCH);
    let gateway = Gateway::to(&endpoint.address);
    assert_eq!(gateway.get("/").refusal(), (502, "unexpected_upgrade"));
}

/// Asks for a WebSocket over HTTP/2 (RFC 8441), once the gateway has said that it knows that.
async fn switch(sender: SendRequest<Bytes>) -> (ResponseFuture, SendStream<Bytes>) {
    let mut ask = request("CONNECT", "/chat", &[("sec-websocket-version", "13")]);
    ask.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let mut sender = sender.ready().await.unwrap();
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    sender.send_request(ask, false).unwrap()
}

#[test]
fn a_stream_of_http_2_switches_too() {
    let endpoint = echo();
    for driver in DRIVERS {
        let gateway = Gateway::with(&endpoint.address, json!({ "runtime": { "driver": driver } }));
        let client = Http2::connect(&gateway.address);
        client.run(async |sender| {
            let (response, mut send) = switch(sender).await;
            let (head, mut body) = response.await.unwrap().into_parts();
            assert_eq!((head.status.as_u16(), head.headers.get("sec-websocket-accept")), (200, None));
            let greeting = body.data().await.unwrap().unwrap();
            assert_eq!(&greeting[..], b"greetings");
            let sent: Vec<u8> = (0..300_000u32).map(|at| (at * 31 % 253) as u8).collect();
            let (got, sending) = futures_util::future::join(rest(body), send_all(&mut send, &sent, true)).await;
            sending.unwrap();
            assert!(got.unwrap().0 == [&sent[..], b"goodbye"].concat());
        });
        assert!(endpoint.last().field("sec-websocket-key").is_some_and(|key| key.len() == 24));
        gateway.wait_idle();
        assert_eq!(gateway.metric("gateway_upgrades_total"), 1.0);
    }
    // One that is taken back once it has said its last ends all the same.
    let endpoint = Hostile::start(|peer| {
        let switch = peer.head().unwrap().switch();
        peer.send(switch);
        assert_eq!(peer.piece(), b"");
        peer.wait_told();
    });
    let gateway = Gateway::to(&endpoint.address);
    Http2::connect(&gateway.address).run(async |sender| {
        let (response, mut send) = switch(sender).await;
        let response = response.await.unwrap();
        send.send_data(Bytes::new(), true).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(gateway.metric("gateway_upgraded_connections"), 1.0);
        drop((response, send));
        while gateway.metric("gateway_upgraded_connections") > 0.0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    endpoint.tell();
    // What is sent ahead of a refusal is never taken for a request.
    let endpoint = Hostile::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let gateway = Gateway::to(&endpoint.address);
    let client = Http2::connect(&gateway.address);
    client.run(async |sender| {
        let (response, mut send) = switch(sender).await;
        send.send_data("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".into(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 403);
    });
    assert_eq!(client.get("/").status(), 403);
    assert!(endpoint.seen().iter().all(|request| request.target() != "/smuggled"));
}

#[test]
fn a_stream_switches_only_to_what_it_asked_for() {
    let unproved = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let other = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n";
    // Success would tell the client that it has been switched, and what follows would pass for frames.
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let chunked = "HTTP/1.1 203 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for answer in [unproved, SWITCH, other, whole, chunked, "HTTP/1.1 204 No Content\r\n\r\n"] {
        let endpoint = Hostile::answering(answer);
        let gateway = Gateway::to(&endpoint.address);
        Http2::connect(&gateway.address).run(async |sender| {
            let (response, _send) = switch(sender).await;
            let (head, body) = response.await.unwrap().into_parts();
            assert_eq!((head.status.as_u16(), body.is_end_stream()), (502, true), "{answer:?}");
        });
        gateway.wait_idle();
    }
}
