//! Peers that vanish without a word: they are asked by a PING, and given up.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;
use serde_json::json;

use crate::harness::http2::*;
use crate::harness::{DRIVERS, Frames, Gateway, Http2, Http2Origin, get};

const ACK: u8 = 1;
/// A HEADERS frame that says ":status: 200" (RFC 7541, Appendix A).
const FINE: &[u8] = &[0x88];

/// An endpoint that never answers: it acknowledges so many PINGs, and counts them.
struct Mute {
    address: String,
    pings: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Mute {
    fn start(answers: usize, head: bool) -> Mute {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (pings, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (asked, opened) = (pings.clone(), connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                opened.fetch_add(1, SeqCst);
                let asked = asked.clone();
                std::thread::spawn(move || serve(stream, answers, head, &asked));
            }
        });
        Mute { address, pings, connections }
    }
}

fn serve(mut stream: std::net::TcpStream, answers: usize, head: bool, asked: &AtomicUsize) -> Option<()> {
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).ok()?;
    stream.read_exact(&mut [0; 24]).ok()?;
    loop {
        let mut front = [0; 9];
        stream.read_exact(&mut front).ok()?;
        let mut payload = vec![0; usize::from(front[1]) << 8 | usize::from(front[2])];
        stream.read_exact(&mut payload).ok()?;
        match front[3] {
            SETTINGS if front[4] & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, b"")).ok()?,
            HEADERS if head => stream.write_all(&frame(HEADERS, END_HEADERS, 1, FINE)).ok()?,
            PING if front[4] & ACK == 0 && asked.fetch_add(1, SeqCst) < answers => stream.write_all(&frame(PING, ACK, 0, &payload)).ok()?,
            _ => {}
        }
    }
}

fn before(endpoints: &[&str], driver: &str) -> Gateway {
    let endpoints: Vec<_> = endpoints.iter().map(|address| json!({ "url": format!("http://{address}") })).collect();
    let keep_alive = json!({ "ping_interval": "200ms", "ping_timeout": "200ms" });
    Gateway::with(
        "",
        json!({
            "upstreams": [{ "id": "up", "protocol": "h2", "endpoints": endpoints, "keep_alive": keep_alive }],
            "routes": [{ "path": "/*", "upstream": "up", "retry_count": 1 }],
            "runtime": { "driver": driver, "workers": 1 },
        }),
    )
}

#[test]
fn an_endpoint_that_is_silent_has_failed() {
    for driver in DRIVERS {
        let mute = Mute::start(3, false);
        let gateway = before(&[&mute.address], driver);
        let began = Instant::now();
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(gateway.connect().ask(post).refusal(), (502, "upstream_closed_before_head"));
        let took = began.elapsed();
        assert!((Duration::from_millis(1000)..Duration::from_secs(5)).contains(&took), "three answers, then none: {took:?}");
        assert_eq!(mute.pings.load(SeqCst), 4);
        assert_eq!(gateway.metric("gateway_http2_silent_total{peer=\"endpoint\"}"), 1.0);
        assert_eq!(mute.connections.load(SeqCst), 1, "a POST is not repeated");
        // A body that stops coming is cut.
        let mute = Mute::start(0, true);
        let gateway = before(&[&mute.address], driver);
        assert!(gateway.connect().send(get("/")).try_message(true).is_err());
        assert_eq!(gateway.refusals("upstream_closed_mid_body"), 1.0);
    }
}

#[test]
fn what_may_be_repeated_is() {
    let mute = Mute::start(0, false);
    let origin = Http2Origin::start(|_, mut respond: SendResponse<Bytes>| async move {
        let _ = respond.send_response(Response::new(()), true);
    });
    let gateway = before(&[&mute.address, &origin.address], "auto");
    for _ in 0..2 {
        assert_eq!(gateway.get("/").status(), 200);
    }
    assert!(gateway.metric("gateway_upstream_retries_total") >= 1.0);
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
}

#[test]
fn one_that_is_slow_but_there_is_waited_for() {
    let origin = Http2Origin::start(|_, mut respond: SendResponse<Bytes>| async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let _ = respond.send_response(Response::new(()), true);
    });
    let gateway = before(&[&origin.address], "auto");
    assert_eq!(gateway.get("/").status(), 200);
    assert_eq!(gateway.metric("gateway_http2_silent_total{peer=\"endpoint\"}"), 0.0);
}

#[test]
fn a_client_that_is_silent_loses_its_streams() {
    let origin = Http2Origin::start(|_, mut respond: SendResponse<Bytes>| async move {
        let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
    });
    for driver in DRIVERS {
        let upstream = json!({ "id": "up", "protocol": "h2", "endpoints": [{ "url": format!("http://{}", origin.address) }] });
        let settings = json!({ "ping_interval": "200ms", "ping_timeout": "200ms" });
        let gateway = Gateway::with("", json!({ "upstreams": [upstream], "http2": settings, "runtime": { "driver": driver } }));
        let mut frames = Frames::connect(&gateway.address);
        frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(GET)).unwrap();
        let mut pings = 0;
        while let Some((kind, flags, _, payload)) = frames.next() {
            if kind == PING && flags & ACK == 0 {
                pings += 1;
                if pings <= 2 {
                    frames.send(PING, ACK, 0, &payload).unwrap();
                }
            }
        }
        assert_eq!(pings, 3);
        gateway.wait_idle();
        assert_eq!(gateway.metric("gateway_http2_silent_total{peer=\"client\"}"), 1.0);
        assert_eq!(gateway.refusals("client_left"), 1.0);
        // One that waits for nothing isn't asked, and one that answers may wait for long.
        let mut idle = Frames::connect(&gateway.address);
        let client = Http2::connect(&gateway.address);
        let waits = client.run(async |sender| {
            let (response, _) = sender.ready().await.unwrap().send_request(request("GET", "/", &[]), true).unwrap();
            tokio::time::timeout(Duration::from_millis(1200), response).await.is_err()
        });
        assert!(waits);
        idle.send(PING, 0, 0, b"is there").unwrap();
        loop {
            let (kind, flags, _, payload) = idle.next().expect("it is open");
            if kind == PING {
                assert_eq!((flags, &payload[..]), (ACK, &b"is there"[..]));
                break;
            }
        }
        assert_eq!(gateway.metric("gateway_http2_silent_total{peer=\"client\"}"), 1.0);
    }
}
