//! What clients get over HTTP/2 is what they would get over HTTP/1.1.

use std::time::Duration;

use http::HeaderMap;
use serde_json::json;

use crate::harness::http2::{DATA, END_HEADERS, END_STREAM, GET, HEADERS, PING, block, request, rest, send_all, whole};
use crate::harness::{Frames, Gateway, Hostile, Http2, Nginx, Origin, each_driver, run, until};

#[test]
fn requests_of_every_form_are_answered() {
    let origin = Origin::start();
    each_driver(&origin.address, |gateway| {
        let client = Http2::connect(&gateway.address);
        let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("x-a", "1")];
        let echoed = client.ask(request("GET", "/echo?q=1", &fields), b"", None).unwrap();
        assert_eq!(echoed.status(), 200);
        let seen = echoed.json();
        assert_eq!(seen["headers"]["cookie"], json!(["a=1; b=2"]));
        assert_eq!(seen["headers"]["host"], json!(["a.example"]));
        assert_eq!(seen["headers"]["x-forwarded-for"], json!(["127.0.0.1"]));
        assert_eq!(seen["headers"]["via"], json!(["2.0 ringway"]));
        for name in ["connection", "keep-alive", "transfer-encoding"] {
            assert_eq!(echoed.field(name), None);
        }
        assert!(echoed.field("date").is_some() && echoed.field("via").is_some());
        // Known and unknown length, up and down, smaller and larger than all buffers.
        for size in [1, 16 << 10, 1 << 20] {
            let body: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 253) as u8).collect();
            let length = size.to_string();
            for fields in [&[("content-length", length.as_str())][..], &[]] {
                assert!(client.ask(request("POST", "/mirror", fields), &body, None).unwrap().body == body, "{size} {fields:?}");
            }
            assert_eq!(client.get(&format!("/?size={size}&chunked")).body.len(), size);
        }
        let head = client.ask(request("HEAD", "/?size=10", &[]), b"", None).unwrap();
        assert_eq!((head.field("content-length"), head.body.len()), (Some("10"), 0));
        assert_eq!(client.get("/?status=204").status(), 204);
        assert_eq!(client.get("/?status=304").status(), 304);
        assert_eq!(client.get("/livez").status(), 200);
        assert_eq!(gateway.metric("gateway_http2_connections_total"), 1.0);
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    });
}

#[test]
fn many_streams_go_on_at_once() {
    let origin = Origin::start();
    each_driver(&origin.address, |gateway| {
        let client = Http2::connect(&gateway.address);
        let began = std::time::Instant::now();
        for _ in 0..2 {
            client.run(async |sender| {
                let answers = (0..60).map(|_| {
                    let sender = sender.clone();
                    async move { whole(sender.ready().await?.send_request(request("GET", "/?delay=300ms", &[]), true)?.0).await }
                });
                for answer in futures_util::future::join_all(answers).await {
                    assert_eq!(answer.unwrap().status(), 200);
                }
            });
        }
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(gateway.metric("gateway_http2_streams_total"), 120.0);
    });
}

#[test]
fn trailers_and_interim_answers_pass_both_ways() {
    let origin = Hostile::start(|peer| {
        while peer.head().is_some() {
            let body = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=5\r\n\r\n";
            peer.send(body);
            let mut request = Vec::new();
            while !request.ends_with(b"\r\nx-sum: 9\r\n\r\n") {
                request.extend(peer.piece());
            }
            assert!(request.starts_with(b"5\r\nhello\r\n0\r\n"), "{}", request.escape_ascii());
            peer.send("2\r\nok\r\n0\r\nX-Done: yes\r\n\r\n");
        }
    });
    let gateway = Gateway::to(&origin.address);
    let client = Http2::connect(&gateway.address);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "9".parse().unwrap());
    let (interim, answer) = client.run(async |sender| {
        let mut sender = sender.ready().await.unwrap();
        let (mut response, mut send) = sender.send_request(request("POST", "/", &[("expect", "100-continue")]), false).unwrap();
        let go_on = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!(go_on.status(), 100);
        send_all(&mut send, b"hello", false).await.unwrap();
        send.send_trailers(trailers).unwrap();
        let interim = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        (interim, whole(response).await.unwrap())
    });
    assert_eq!((interim.status().as_u16(), interim.headers()["link"].to_str().unwrap()), (103, "</a.css>"));
    assert_eq!((answer.text(), answer.field("keep-alive")), ("ok", None));
    assert_eq!(answer.trailers.unwrap()["x-done"], "yes");
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let client = Http2::connect(&gateway.address);
    for (fields, reason) in
        [(&[("host", "b.example")][..], "authority_differs_from_host"), (&[("host", "a.example"), ("host", "a.example")], "repeated_host")]
    {
        let answer = client.ask(request("GET", "/", fields), b"", None).unwrap();
        assert_eq!((answer.status(), answer.reason()), (400, reason));
        assert_eq!(gateway.refusals(reason), 1.0);
    }
    let answer = client.ask(request("GET", "/%zz", &[]), b"", None).unwrap();
    assert_eq!(answer.status(), 400);
    // A client may name the host as HTTP/1.1 does (RFC 9113 section 8.3.1).
    let get = [(":method", "GET"), (":scheme", "http"), (":path", "/echo")];
    for (host, status) in [(Some("a.example"), 200), (Some("a b"), 400), (None, 400)] {
        let mut frames = Frames::connect(&gateway.address);
        let fields: Vec<_> = get.into_iter().chain(host.map(|host| ("host", host))).collect();
        frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)).unwrap();
        assert_eq!(frames.status(), status, "{host:?}");
    }
    assert_eq!((gateway.refusals("missing_host"), gateway.refusals("bad_host")), (1.0, 1.0));
    // What h2's client wouldn't send.
    let get = [(":method", "GET"), (":scheme", "http"), (":authority", "a.example")];
    let hostile: &[&[(&str, &str)]] = &[
        &[(":path", "/ HTTP/1.1\r\nX: y")],
        &[(":path", "/"), ("x", "a\r\nb: c")],
        &[(":path", "/"), ("x", "a\0b")],
        &[(":path", "/"), ("X-Upper", "1")],
        &[(":path", "/"), ("x y", "1")],
        &[(":path", "/"), ("connection", "close")],
        &[(":path", "/"), ("transfer-encoding", "chunked")],
        &[(":path", "/"), ("te", "gzip")],
        &[(":path", "/"), (":path", "/b")],
        &[(":path", "/"), ("x", "1"), (":method", "POST")],
        &[(":path", "/"), (":status", "200")],
        &[(":path", "/"), (":unknown", "1")],
        &[(":path", "/"), ("content-length", "5")],
        &[(":path", "/"), ("content-length", "1x")],
        &[(":path", "")],
        &[],
    ];
    for fields in hostile {
        let mut frames = Frames::connect(&gateway.address);
        frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[&get[..], fields].concat())).unwrap();
        // PROTOCOL_ERROR or COMPRESSION_ERROR.
        assert!([1, 9].contains(&frames.reset()), "{fields:?}");
    }
    assert_eq!(client.get("/").status(), 200);
    gateway.wait_idle();
}

#[test]
fn who_takes_a_request_back_ends_it() {
    let origin = Hostile::start(|peer| {
        while peer.request().is_some() {
            let (rest, _) = peer.rest();
            assert!(rest.is_empty());
        }
    });
    each_driver(&origin.address, |gateway| {
        let client = Http2::connect(&gateway.address);
        let before = origin.seen().len();
        client.run(async |sender| {
            let (response, mut send) = sender.ready().await.unwrap().send_request(request("GET", "/", &[]), true).unwrap();
            while origin.seen().len() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            send.send_reset(h2::Reason::CANCEL);
            drop(response);
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        origin.wait_open(0);
        gateway.wait_idle();
        assert_eq!(gateway.refusals("client_left"), 1.0);
        assert_eq!(gateway.metric("gateway_http2_resets_total{by=\"client\"}"), 1.0);
        assert_eq!(gateway.metric("gateway_upstream_retries_total"), 0.0);
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0, "it is nobody's fault");
    });
}

#[test]
fn an_answer_that_breaks_off_is_cut_and_others_go_on() {
    let origin = Origin::start();
    let gateway = Gateway::to(&origin.address);
    let client = Http2::connect(&gateway.address);
    let error = client.ask(request("GET", "/?size=100000&reset=50000", &[]), b"", None).unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(gateway.metric("gateway_http2_resets_total{by=\"gateway\"}"), 1.0);
}

#[test]
fn an_early_answer_ends_the_upload_without_an_error() {
    let origin = Hostile::start(|peer| {
        if peer.head().is_some() {
            peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        }
    });
    let gateway = Gateway::to(&origin.address);
    let client = Http2::connect(&gateway.address);
    client.run(async |sender| {
        let (response, mut send) = sender.ready().await.unwrap().send_request(request("POST", "/", &[]), false).unwrap();
        let (head, body) = response.await.unwrap().into_parts();
        assert_eq!((head.status.as_u16(), rest(body).await.unwrap().0), (403, b"no".to_vec()));
        let reason = std::future::poll_fn(|cx| send.poll_reset(cx)).await.unwrap();
        assert_eq!(reason, h2::Reason::NO_ERROR);
    });
    assert_eq!(client.get("/livez").status(), 200);
}

#[test]
fn draining_says_goodbye_and_finishes_what_was_begun() {
    let origin = Origin::start();
    for driver in crate::harness::DRIVERS {
        let mut gateway = Gateway::with(&origin.address, json!({ "runtime": { "driver": driver, "workers": 1 } }));
        let client = Http2::connect(&gateway.address);
        let idle = Http2::connect(&gateway.address);
        assert_eq!(idle.get("/").status(), 200);
        client.run(async |sender| {
            let answer = sender.clone().ready().await.unwrap().send_request(request("GET", "/?delay=1s", &[]), true).unwrap().0;
            tokio::time::sleep(Duration::from_millis(100)).await;
            gateway.signal("TERM");
            assert_eq!(whole(answer).await.unwrap().status(), 200);
        });
        idle.run(async |sender| {
            while sender.clone().ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert_eq!(gateway.ended(), 0);
    }
}

#[test]
fn an_idle_connection_is_ended_in_order() {
    let origin = Origin::start();
    let gateway = Gateway::with(&origin.address, json!({ "timeouts": { "idle": "300ms", "read": "300ms" } }));
    let mut frames = Frames::connect(&gateway.address);
    assert_eq!(frames.goaway(), Some(0));
    gateway.wait("gateway_active_connections", 0.0);
    assert_eq!(gateway.metric("gateway_http2_goaways_total"), 1.0);
}

#[test]
fn pings_keep_no_idle_connection() {
    let gateway = Gateway::with("127.0.0.1:1", json!({ "timeouts": { "idle": "300ms", "write": "500ms" } }));
    let mut frames = Frames::connect(&gateway.address);
    until("the connection's end", || {
        std::thread::sleep(Duration::from_millis(100));
        frames.send(PING, 0, 0, b"still up").is_err().then_some(())
    });
}

#[test]
fn connections_that_rest_go_on_where_they_were() {
    let origin = Origin::start();
    each_driver(&origin.address, |gateway| {
        // More than may keep their buffers.
        let mut clients: Vec<Frames> = (0..140).map(|_| Frames::connect(&gateway.address)).collect();
        for stream in [1, 3] {
            for client in &mut clients {
                client.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(GET)).unwrap();
                while client.next().expect("an answer").0 != DATA {}
            }
            std::thread::sleep(Duration::from_millis(1300));
        }
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
    });
}

#[test]
fn it_can_be_switched_off() {
    let origin = Origin::start();
    let gateway = Gateway::with(&origin.address, json!({ "http2": { "enabled": false } }));
    let refused = gateway.connect().ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(refused.refusal(), (505, "bad_version"));
}

#[test]
fn programs_that_nobody_here_wrote() {
    let nginx = Nginx::start("location / { default_type text/plain; return 200 'hello $request_uri'; }");
    let gateway = Gateway::to(&nginx.address);
    let url = format!("http://{}", gateway.address);
    let curl = |arguments: &[&str]| {
        let all = [&["--silent", "--show-error", "--max-time", "20", "--http2-prior-knowledge"], arguments].concat();
        String::from_utf8(run("curl", &all).stdout).unwrap()
    };
    let page = format!("{url}/a");
    assert_eq!(curl(&["--write-out", " %{http_version}", &page]), "hello /a 2");
    assert!(curl(&["--head", &page]).starts_with("HTTP/2 200"));
    let fetched = String::from_utf8(run("nghttp", &["--null-out", "--stat", &page]).stdout).unwrap();
    assert!(fetched.contains("200"), "{fetched}");
    let load = run("h2load", &["--requests=3000", "--clients=3", "--max-concurrent-streams=20", &page]);
    let load = String::from_utf8(load.stdout).unwrap();
    assert!(load.contains("3000 succeeded, 0 failed"), "{load}");
    assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
}

#[test]
fn the_access_log_tells_the_version() {
    let origin = Origin::start();
    let directory = crate::harness::directory();
    let file = directory.join("access.log");
    let log = json!({ "access_log": { "path": file, "fields": ["path", "protocol"] } });
    let gateway = Gateway::with(&origin.address, json!({ "middlewares": [log] }));
    assert_eq!(Http2::connect(&gateway.address).get("/new").status(), 200);
    assert_eq!(gateway.get("/old").status(), 200);
    let lines = until("both lines", || {
        let lines = std::fs::read_to_string(&file).ok()?;
        (lines.lines().count() == 2).then_some(lines)
    });
    for (path, version) in [("/new", "HTTP/2.0"), ("/old", "HTTP/1.1")] {
        let line = lines.lines().find(|line| line.contains(path)).unwrap();
        assert!(line.contains(version), "{line}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}
