//! Clients that send what costs them nothing: their connections end, others go on, and memory stays bounded.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use serde_json::json;

use crate::harness::http2::*;
use crate::harness::{Frames, Gateway, Http2, Origin, at_once, until};

/// Does `flood` on connections of its own while a well-behaved client goes on, which has to be served as ever.
fn during(flood: impl Fn(&mut Frames) + Sync) -> Gateway {
    let origin = Origin::start();
    let gateway = Gateway::with(&origin.address, json!({ "runtime": { "workers": 1 }, "timeouts": { "write": "1s" } }));
    let healthy = Http2::connect(&gateway.address);
    assert_eq!(healthy.get("/").status(), 200);
    let before = gateway.memory_peak();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            at_once(4, |_| flood(&mut Frames::connect(&gateway.address)));
            over.store(true, SeqCst);
        });
        let mut asked = 0;
        while !over.load(SeqCst) || asked < 20 {
            assert_eq!(healthy.get("/").status(), 200);
            asked += 1;
        }
    });
    let grown = gateway.memory_peak().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    gateway.wait_idle();
    gateway
}

/// Sends until the connection is gone; at most so often.
fn until_gone(frames: &mut Frames, bytes: impl Fn(u32) -> Vec<u8>) {
    for number in 0..100_000 {
        if frames.raw(&bytes(number)).is_err() {
            return;
        }
    }
}

#[test]
fn streams_opened_and_taken_back_at_once() {
    let gateway = during(|frames| {
        until_gone(frames, |number| {
            let stream = 2 * number + 1;
            let cancel = frame(RST_STREAM, 0, stream, &8u32.to_be_bytes());
            [frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(GET)), cancel].concat()
        });
    });
    assert_eq!(gateway.metric("gateway_http2_floods_total"), 4.0);
    assert!(gateway.metric("gateway_http2_streams_total") < 4.0 * 2000.0);
}

#[test]
fn pings_settings_and_priorities() {
    let floods: [fn(u32) -> Vec<u8>; 4] = [
        |_| frame(PING, 0, 0, &[0; 8]),
        |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        |number| frame(PRIORITY, 0, 2 * number + 1, &[0, 0, 0, 0, 7]),
        |_| frame(0xbe, 0, 0, b"unknown"),
    ];
    for flood in floods {
        let gateway = during(|frames| until_gone(frames, flood));
        assert_eq!(gateway.metric("gateway_http2_floods_total"), 4.0);
    }
}

#[test]
fn a_flood_is_told_why_it_ends() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let mut frames = Frames::connect(&gateway.address);
    frames.raw(&frame(PING, 0, 0, &[0; 8]).repeat(1100)).unwrap();
    assert_eq!(frames.goaway(), Some(11), "ENHANCE_YOUR_CALM");
}

#[test]
fn heads_that_never_end() {
    during(|frames| {
        frames.send(HEADERS, END_STREAM, 1, &block(GET)).unwrap();
        until_gone(frames, |_| frame(CONTINUATION, 0, 1, &block(&[("x-filler", &"y".repeat(100))]).repeat(100)));
    });
    during(|frames| {
        frames.send(HEADERS, END_STREAM, 1, &block(GET)).unwrap();
        until_gone(frames, |_| frame(CONTINUATION, 0, 1, b""));
    });
}

#[test]
fn empty_data() {
    during(|frames| {
        let post = [&[(":method", "POST")], &GET[1..]].concat();
        frames.send(HEADERS, END_HEADERS, 1, &block(&post)).unwrap();
        until_gone(frames, |_| frame(DATA, 0, 1, b"").repeat(10));
    });
}

#[test]
fn streams_that_the_gateway_has_to_reset() {
    // A window above the largest is a fault of its stream, which the gateway has to reset (CVE-2025-8671).
    let gateway = during(|frames| {
        until_gone(frames, |number| {
            let stream = 2 * number + 1;
            let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(GET));
            [opened, frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffffu32.to_be_bytes())].concat()
        });
    });
    assert_eq!(gateway.metric("gateway_http2_floods_total"), 4.0);
    assert!(gateway.metric("gateway_http2_streams_total") < 4.0 * 2000.0);
}

#[test]
fn more_streams_than_allowed() {
    let origin = Origin::start();
    let gateway = Gateway::with(&origin.address, json!({ "http2": { "max_streams": 3 } }));
    let mut frames = Frames::connect(&gateway.address);
    let slow = [&GET[..3], &[(":path", "/?delay=500ms")]].concat();
    for stream in [1, 3, 5, 7] {
        frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(&slow)).unwrap();
    }
    assert_eq!(frames.reset(), 7, "REFUSED_STREAM");
    gateway.wait_idle();
    assert_eq!(gateway.metric("gateway_http2_resets_total{by=\"refused\"}"), 1.0);
    assert_eq!(gateway.metric("gateway_http_requests_total{status_class=\"2xx\"}"), 3.0);
}

#[test]
fn a_head_larger_than_allowed() {
    let origin = Origin::start();
    let gateway = Gateway::with(&origin.address, json!({ "limits": { "head": "4KiB", "uri": "1KiB" } }));
    let client = Http2::connect(&gateway.address);
    let ask = |length: usize| client.ask(request("GET", "/", &[("x-long", &"x".repeat(length))]), b"", None).unwrap();
    assert_eq!(ask(4000).status(), 200);
    let answer = ask(5000);
    assert_eq!((answer.status(), answer.reason(), gateway.refusals("head_too_large")), (431, "head_too_large", 1.0));
    // Of one that is larger by far, h2 keeps nothing that could be told of it.
    assert_eq!(ask(9000).status(), 431);
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(gateway.refusals("head_too_large"), 1.0);
}

#[test]
fn who_opens_streams_and_does_not_read_is_ended() {
    let origin = Origin::start();
    let gateway = Gateway::with(&origin.address, json!({ "timeouts": { "write": "500ms" }, "runtime": { "workers": 1 } }));
    let before = gateway.memory_peak();
    // By its windows, stream by stream.
    let mut frames = Frames::connect(&gateway.address);
    frames.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).unwrap();
    let large = [&GET[..3], &[(":path", "/?size=10000000")]].concat();
    for number in 0..100 {
        frames.send(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block(&large)).unwrap();
    }
    until("the streams' ends", || (gateway.refusals("client_stalled") == 100.0).then_some(()));
    gateway.wait_idle();
    // By not reading at all, with windows as large as can be.
    let mut frames = Frames::connect(&gateway.address);
    frames.send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).unwrap();
    frames.send(WINDOW_UPDATE, 0, 0, &0x7f00_0000u32.to_be_bytes()).unwrap();
    for number in 0..100 {
        frames.send(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block(&large)).unwrap();
    }
    std::thread::sleep(Duration::from_millis(200));
    gateway.wait_idle();
    let grown = gateway.memory_peak().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
}

#[test]
fn what_a_client_sends_is_not_the_logs_concern() {
    let gateway = Gateway::to("127.0.0.1:1");
    let mut frames = Frames::connect(&gateway.address);
    const ACK: u8 = 1;
    frames.send(PING, ACK, 0, b"unasked!").unwrap();
    frames.send(PING, 0, 0, b"answered").unwrap();
    while frames.next().expect("a frame").3 != b"answered" {}
    // The log is written by a thread of its own, in order.
    assert_eq!(gateway.reload(&json!({ "unknown": 1 })).status(), 422);
    gateway.wait_log("reload failed");
    assert!(!gateway.log().contains("PING"), "{}", gateway.log());
}
