//! HTTP/2 towards endpoints: clients of either version get what the endpoint says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};

use crate::harness::http2::*;
use crate::harness::{Gateway, Hostile, Http2, Http2Origin, Peer, at_once, get, until};

fn upstream(endpoints: &[&str], changes: Value) -> Value {
    let endpoints: Vec<_> = endpoints.iter().map(|address| json!({ "url": format!("http://{address}") })).collect();
    let mut upstream = json!({ "id": "up", "protocol": "h2", "endpoints": endpoints });
    upstream.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    json!({ "upstreams": [upstream], "runtime": { "workers": 1 } })
}

fn before(origin: &Http2Origin) -> Gateway {
    Gateway::with(&origin.address, upstream(&[&origin.address], json!({})))
}

/// Answers with the request's body, and a trailer that counts it.
async fn mirror(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, body) = request.into_parts();
    let Ok((body, trailers)) = rest(body).await else { return };
    let mut response = Response::builder().header("x-path", head.uri.path()).header("x-host", head.uri.authority().unwrap().as_str());
    for name in ["x-forwarded-for", "connection", "te"] {
        if let Some(value) = head.headers.get(name) {
            response = response.header(format!("x-seen-{name}"), value);
        }
    }
    if let Some(sum) = trailers.as_ref().and_then(|trailers| trailers.get("x-sum")) {
        response = response.header("x-seen-sum", sum);
    }
    let Ok(mut send) = respond.send_response(response.body(()).unwrap(), false) else { return };
    if send_all(&mut send, &body, false).await.is_ok() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-bytes", body.len().into());
        let _ = send.send_trailers(trailers);
    }
}

#[test]
fn bodies_and_trailers_pass_to_clients_of_either_version() {
    let origin = Http2Origin::start(mirror);
    let gateway = before(&origin);
    let client = Http2::connect(&gateway.address);
    let mut old = gateway.connect();
    for size in [0, 1, 100_000, 3 << 20] {
        let body: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 253) as u8).collect();
        let answer = client.ask(request("POST", "/a?b=c", &[]), &body, None).unwrap();
        assert!(answer.body == body, "{size}");
        assert_eq!((answer.field("x-path"), answer.field("x-host")), (Some("/a"), Some("a.example")));
        assert_eq!((answer.field("x-seen-x-forwarded-for"), answer.field("x-seen-connection")), (Some("127.0.0.1"), None));
        assert_eq!(answer.trailers.unwrap()["x-bytes"], size.to_string());
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        let answer = old.ask([head.as_bytes(), &body].concat());
        assert!(answer.body == body, "{size}");
        assert_eq!(answer.trailers, format!("x-bytes: {size}\r\n"));
    }
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";
    let answer = old.ask(chunked);
    assert_eq!((answer.text(), answer.field("x-seen-sum"), answer.field("x-seen-te")), ("abc", Some("7"), Some("trailers")));
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    assert_eq!(origin.connections.load(SeqCst), 1, "one connection carries all");
}

#[test]
fn many_requests_share_a_connection_up_to_its_streams() {
    let slow = |_, mut respond: SendResponse<Bytes>| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let _ = respond.send_response(Response::new(()), true);
    };
    let origin = Http2Origin::start(slow);
    let gateway = Gateway::with(&origin.address, upstream(&[&origin.address], json!({ "max_streams": 10 })));
    let statuses = at_once(25, |_| gateway.get("/").status());
    assert_eq!(statuses, [200; 25]);
    assert_eq!(origin.connections.load(SeqCst), 3);
    // An endpoint that allows fewer is not asked for more.
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(5);
    let origin = Http2Origin::with(builder, usize::MAX, slow);
    let gateway = before(&origin);
    assert_eq!(gateway.get("/").status(), 200);
    assert_eq!(at_once(12, |_| gateway.get("/").status()), [200; 12]);
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
}

#[test]
fn what_an_endpoint_did_not_process_is_sent_again_whatever_it_is() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let refusing = Http2Origin::start(move |_, mut respond: SendResponse<Bytes>| {
        count.fetch_add(1, SeqCst);
        async move { respond.send_reset(h2::Reason::REFUSED_STREAM) }
    });
    let good = Http2Origin::start(mirror);
    let retry = json!({ "retry": { "budget_min": 100 }, "outlier_detection": { "enabled": false } });
    let mut config = upstream(&[&refusing.address, &good.address], retry);
    config["routes"] = json!([{ "path": "/", "upstream": "up", "retry_count": 2 }]);
    let gateway = Gateway::with(&good.address, config);
    let client = Http2::connect(&gateway.address);
    for _ in 0..10 {
        assert_eq!(client.ask(request("POST", "/", &[]), b"", None).unwrap().status(), 200);
    }
    assert!(refused.load(SeqCst) >= 1);
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
}

#[test]
fn an_endpoint_that_says_goodbye_loses_no_request() {
    let origin = Http2Origin::with(h2::server::Builder::new(), 3, mirror);
    let mut config = upstream(&[&origin.address], json!({ "retry": { "budget_min": 100 } }));
    config["routes"] = json!([{ "path": "/", "upstream": "up", "retry_count": 2 }]);
    let gateway = Gateway::with(&origin.address, config);
    let mut client = gateway.connect();
    for _ in 0..40 {
        assert_eq!(client.ask(get("/")).status(), 200);
    }
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    assert!(origin.connections.load(SeqCst) > 5);
}

#[test]
fn what_breaks_off_is_cut() {
    let origin = Http2Origin::start(|_, mut respond: SendResponse<Bytes>| async move {
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        send_all(&mut send, &[b'x'; 1000], false).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        send.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    let gateway = before(&origin);
    assert!(gateway.connect().send(get("/")).try_message(true).is_err());
    assert_eq!(gateway.refusals("upstream_closed_mid_body"), 1.0);
    let error = Http2::connect(&gateway.address).ask(request("GET", "/", &[]), b"", None).unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
}

#[test]
fn a_client_that_leaves_takes_its_request_back() {
    let (begun, reset) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (told, ended) = (begun.clone(), reset.clone());
    let origin = Http2Origin::start(move |_, mut respond: SendResponse<Bytes>| {
        told.fetch_add(1, SeqCst);
        let ended = ended.clone();
        async move {
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            assert_eq!(reason.unwrap(), h2::Reason::CANCEL);
            ended.fetch_add(1, SeqCst);
        }
    });
    let gateway = before(&origin);
    let client = Http2::connect(&gateway.address);
    client.run(async |sender| {
        let (response, mut send) = sender.ready().await.unwrap().send_request(request("GET", "/", &[]), true).unwrap();
        while begun.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        send.send_reset(h2::Reason::CANCEL);
        drop(response);
        while reset.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    gateway.wait_idle();
}

#[test]
fn who_is_slow_to_take_small_messages_holds_up_nobody_else() {
    let origin = Http2Origin::start(|request: Request<RecvStream>, mut respond: SendResponse<Bytes>| async move {
        let Ok(mut send) = respond.send_response(Response::new(()), false) else { return };
        let count = if request.uri().path() == "/many" { 100_000 } else { 1 };
        for _ in 0..count {
            if send_all(&mut send, b"a message", false).await.is_err() {
                return;
            }
        }
        let _ = send.send_data(Bytes::new(), true);
    });
    let gateway = before(&origin);
    let client = Http2::connect(&gateway.address);
    let slow = client.run(async |sender| {
        let (response, _) = sender.ready().await.unwrap().send_request(request("GET", "/many", &[]), true).unwrap();
        response.await.unwrap().into_body()
    });
    let other = Http2::connect(&gateway.address);
    let until = std::time::Instant::now() + Duration::from_millis(500);
    while std::time::Instant::now() < until {
        assert_eq!(other.get("/").text(), "a message");
    }
    let (all, _) = client.run(async |_| rest(slow).await).unwrap();
    assert!(all == b"a message".repeat(100_000));
    assert_eq!(origin.connections.load(SeqCst), 1);
}

#[test]
fn more_trailers_than_http2_can_say_end_nothing() {
    let origin = Http2Origin::start(mirror);
    let mut config = upstream(&[&origin.address], json!({}));
    config["limits"] = json!({ "trailers": "1MiB" });
    let gateway = Gateway::with(&origin.address, config);
    let lines: String = (0..40_000).map(|number| format!("{number:x}:\r\n")).collect();
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{lines}\r\n");
    // What an endpoint makes of so many is its own affair.
    let _ = gateway.connect().send(request).try_message(true);
    assert_eq!(gateway.get("/").status(), 200);
}

#[test]
fn what_an_endpoint_has_no_room_for_ends_with_its_answer() {
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    let origin = Hostile::start(move |peer| {
        // INITIAL_WINDOW_SIZE: three bytes of a stream, and it gives no more.
        peer.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 3]));
        let mut seen = Vec::new();
        let mut until = |peer: &mut Peer, bytes: &[u8]| {
            while !seen.windows(bytes.len()).any(|part| part == bytes) {
                match peer.piece() {
                    piece if piece.is_empty() => return false,
                    piece => seen.extend(piece),
                }
            }
            true
        };
        let answer = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&[(":status", "200")]));
        assert!(until(peer, &[HEADERS, END_HEADERS | END_STREAM, 0, 0, 0, 1]));
        peer.send(answer(1));
        assert!(until(peer, &frame(DATA, 0, 3, b"012")));
        peer.send(answer(3));
        told.store(until(peer, &frame(RST_STREAM, 0, 3, &8u32.to_be_bytes())), SeqCst);
    });
    let gateway = Gateway::with("", upstream(&[&origin.address], json!({})));
    let mut client = gateway.connect();
    assert_eq!(client.send(get("/")).message().status(), 200);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789";
    assert_eq!(gateway.connect().send(request).message().status(), 200);
    until("its end", || over.load(SeqCst).then_some(()));
}

#[test]
fn interim_answers_do_not_pile_up_behind_a_slow_client() {
    // The sixteen that are passed on are more than a connection holds that nobody reads.
    let value = "x".repeat(1_000_000);
    let (mut length, mut number) = (value.len() - 127, vec![127]);
    while length > 127 {
        number.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    number.push(u8::try_from(length).unwrap());
    let head = [&block(&[(":status", "103")])[..], &[0, 1, b'x'], &number, value.as_bytes()].concat();
    let mut interim = Vec::new();
    for (at, piece) in head.chunks(16 << 10).enumerate() {
        let last = (at + 1) * (16 << 10) >= head.len();
        interim.extend(frame(if at == 0 { HEADERS } else { CONTINUATION }, if last { END_HEADERS } else { 0 }, 1, piece));
    }
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    let origin = Hostile::start(move |peer| {
        peer.send(frame(SETTINGS, 0, 0, b""));
        let _ = (0..200).try_for_each(|_| peer.try_send(&interim)).and_then(|()| peer.try_send(frame(PING, 0, 0, b"all read")));
        let mut seen = Vec::new();
        while !seen.windows(8).any(|part| part == b"all read") {
            match peer.piece() {
                piece if piece.is_empty() => break,
                piece => seen.extend(piece),
            }
        }
        told.store(true, SeqCst);
    });
    let gateway = Gateway::with("", upstream(&[&origin.address], json!({ "keep_alive": { "head": "1MiB" } })));
    let before = gateway.memory_peak();
    let mut client = gateway.connect();
    client.send(get("/"));
    until("the end of it", || over.load(SeqCst).then_some(()));
    let grown = gateway.memory_peak() - before;
    assert!(grown < 100 << 20, "{grown} bytes more");
}
