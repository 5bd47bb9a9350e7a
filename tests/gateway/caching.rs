//! The cache from outside: what is answered from it, what isn't, and what other clients, endpoints and operators do meanwhile.

use serde_json::{Value, json};

use crate::harness::{DRIVERS, End, Gateway, Hostile, Message, at_once, config, get, until};

/// A gateway that caches everything the endpoint allows to.
fn caching(endpoint: &str, workers: u32, driver: &str) -> Gateway {
    Gateway::start(&cached(endpoint, json!({}), workers, driver))
}

fn cached(endpoint: &str, cache: Value, workers: u32, driver: &str) -> Value {
    let routes = json!([{ "path": "/", "upstream": "up", "cache": {}, "retry_count": 0 }]);
    let runtime = json!({ "workers": workers, "driver": driver });
    config(endpoint, json!({ "runtime": runtime, "cache": cache, "routes": routes, "features": { "outlier_detection": false } }))
}

fn each_driver(endpoint: &str, test: impl Fn(Gateway)) {
    DRIVERS.into_iter().for_each(|driver| test(caching(endpoint, 1, driver)));
}

/// An endpoint that answers each request with these header lines, and a body that tells how many came before.
fn counting(fields: &'static [&'static str]) -> Hostile {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Hostile::start(move |peer| {
        while let Some(request) = peer.request() {
            let count = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let body = if request.method() == "HEAD" { String::new() } else { format!("body {count}") };
            if peer.try_send(answer(fields, &body)).is_err() {
                return;
            }
        }
    })
}

fn answer(fields: &[&str], body: &str) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn with(target: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")
}

/// What `Cache-Status` says, without the seconds.
fn said(answer: &Message) -> String {
    let status = answer.field("cache-status").unwrap_or_else(|| panic!("it says how it got on with the cache: {answer:?}"));
    let parts = status.strip_prefix("ringway; ").expect("our name").split("; ").filter(|part| !part.starts_with("ttl="));
    parts.collect::<Vec<_>>().join("; ")
}

fn results(gateway: &Gateway, result: &str) -> f64 {
    gateway.metric(&format!("gateway_cache_requests_total{{result=\"{result}\"}}"))
}

#[test]
fn what_is_stored_is_answered_from_the_store() {
    each_driver(
        &counting(&["Cache-Control: max-age=60", "ETag: \"a\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"]).address,
        |gateway| {
            let mut client = gateway.connect();
            let first = client.ask(get("/a"));
            assert_eq!((said(&first).as_str(), first.field("age")), ("fwd=uri-miss; fwd-status=200; stored", None));
            let body = first.text();
            let again = client.ask(get("/a"));
            assert_eq!((said(&again).as_str(), again.text()), ("hit", body));
            assert!(again.field("age").is_some() && again.field("date").is_some() && again.field("via").is_some());
            assert_eq!(again.field("etag"), Some("\"a\""));
            client.send("HEAD /a HTTP/1.1\r\nHost: a.example\r\n\r\n");
            let head = client.bodiless();
            assert_eq!((said(&head).as_str(), head.field("content-length")), ("hit", Some(body.len().to_string().as_str())));
            let part = client.ask(with("/a", &["Range: bytes=1-2"]));
            assert_eq!((part.status(), part.text()), (206, &body[1..3]));
            assert_eq!(part.field("content-range"), Some(format!("bytes 1-2/{}", body.len()).as_str()));
            assert_eq!(client.ask(with("/a", &["Range: bytes=99-"])).status(), 416);
            for condition in ["If-None-Match: \"a\"", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"] {
                let unchanged = client.ask(with("/a", &[condition]));
                assert_eq!((unchanged.status(), unchanged.field("content-length")), (304, None), "{condition}");
            }
            // Two at once on one connection.
            let both = client.send([get("/a"), get("/a")].concat());
            assert_eq!((both.message().text(), both.message().text()), (body, body));
            let last = client.ask("GET /a HTTP/1.0\r\nHost: a.example\r\n\r\n");
            assert_eq!((said(&last).as_str(), last.text()), ("hit", body));
            client.assert_closed();
            assert_eq!((results(&gateway, "hit"), results(&gateway, "miss")), (9.0, 1.0));
            gateway.wait("gateway_cache_objects", 1.0);
            assert!(gateway.metric("gateway_cache_bytes") > 100.0);
            assert_eq!(gateway.metric("gateway_cache_stored_total"), 1.0);
        },
    );
}

#[test]
fn the_query_the_host_and_the_route_tell_answers_apart() {
    let endpoint = counting(&["Cache-Control: max-age=60"]);
    let gateway = caching(&endpoint.address, 1, "auto");
    let first = gateway.get("/a?x=1");
    assert_ne!(gateway.get("/a?x=2").text(), first.text());
    assert_ne!(gateway.get("/a").text(), first.text());
    let elsewhere = gateway.connect().ask("GET /a?x=1 HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_ne!(elsewhere.text(), first.text());
    assert_eq!(gateway.connect().ask("GET /b/../a?x=1 HTTP/1.1\r\nHost: A.example:80\r\n\r\n").text(), first.text());
}

#[test]
fn answers_are_chosen_by_what_vary_names() {
    let endpoint = counting(&["Cache-Control: max-age=60", "Vary: X-Lang"]);
    each_driver(&endpoint.address, |gateway| {
        let ask = |lang: &str| gateway.connect().ask(with("/a", &[&format!("X-Lang: {lang}")]));
        let (german, french) = (ask("de"), ask("fr"));
        assert_eq!(said(&french), "fwd=vary-miss; fwd-status=200; stored");
        assert_ne!(german.text(), french.text());
        assert_eq!((ask("de").text(), ask("fr").text()), (german.text(), french.text()));
        assert_eq!(said(&gateway.get("/a")), "fwd=vary-miss; fwd-status=200; stored");
    });
}

#[test]
fn nothing_of_one_user_goes_to_another() {
    for (fields, request, detail) in [
        (&["Cache-Control: private, max-age=60"][..], &[][..], "private"),
        (&["Cache-Control: no-store"], &[], "no-store"),
        (&["Cache-Control: max-age=60", "Set-Cookie: id=1"], &[], "set-cookie"),
        (&["Cache-Control: max-age=60"], &["Authorization: Bearer x"], "authorization"),
        (&["Cache-Control: max-age=60", "Vary: *"], &[], "vary"),
    ] {
        let endpoint = counting(fields);
        let gateway = caching(&endpoint.address, 1, "auto");
        let mut client = gateway.connect();
        let (one, two) = (client.ask(with("/a", request)), client.ask(get("/a")));
        assert_ne!(one.text(), two.text(), "{fields:?}");
        assert_eq!(said(&one), format!("fwd=uri-miss; fwd-status=200; detail={detail}"), "{fields:?}");
    }
}

#[test]
fn what_may_be_stale_is_asked_for_and_stays_if_it_isnt() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            let tag = request.field("if-none-match").map(str::to_owned);
            let target = request.target().to_owned();
            match tag.as_deref() {
                Some("\"a\"" | "\"a\", \"a\"") if target == "/same" => {
                    peer.send("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nX-New: 1\r\n\r\n")
                }
                Some("\"a\", \"b\"") => peer.send("HTTP/1.1 304 Not Modified\r\nETag: \"b\"\r\n\r\n"),
                Some(_) => peer.send(answer(&["Cache-Control: no-cache", "ETag: \"c\""], "changed")),
                None => peer.send(answer(&["Cache-Control: no-cache", "ETag: \"a\""], "first")),
            };
        }
    });
    each_driver(&endpoint.address, |gateway| {
        let mut client = gateway.connect();
        assert_eq!(client.ask(get("/same")).text(), "first");
        let same = client.ask(get("/same"));
        assert_eq!((same.status(), same.text(), same.field("x-new")), (200, "first", Some("1")));
        assert_eq!(said(&same), "fwd=stale; fwd-status=304; stored");
        assert_eq!(endpoint.last().all("if-none-match"), ["\"a\""]);
        let own = client.ask(with("/same", &["If-None-Match: \"a\""]));
        assert_eq!(own.status(), 304);
        // The 304 answers the client's own condition: nothing is known of a body that has this tag.
        let other = client.ask(with("/same", &["If-None-Match: \"b\""]));
        assert_eq!((other.status(), other.field("etag")), (304, Some("\"b\"")));
        assert_eq!(client.ask(get("/other")).text(), "first");
        assert_eq!(client.ask(get("/other")).text(), "changed");
        assert_eq!(results(&gateway, "revalidated"), 2.0);
    });
}

#[test]
fn a_stale_answer_stands_in_for_an_endpoint_that_fails() {
    for failure in
        ["HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", "", "garbage\r\n\r\n"]
    {
        let endpoint = Hostile::start(move |peer| {
            let fields = ["Cache-Control: max-age=0, stale-if-error=60", "ETag: \"a\""];
            while let Some(request) = peer.request() {
                if request.field("if-none-match").is_some() {
                    let _ = peer.try_send(failure);
                    return;
                }
                peer.send(answer(&fields, "old"));
            }
        });
        each_driver(&endpoint.address, |gateway| {
            let mut client = gateway.connect();
            assert_eq!(client.ask(get("/a")).text(), "old");
            let stale = client.ask(get("/a"));
            assert_eq!((stale.status(), stale.text()), (200, "old"), "{failure:?}");
            assert!(said(&stale).ends_with("detail=stale-if-error"), "{}", said(&stale));
            assert_eq!(results(&gateway, "stale"), 1.0);
            gateway.wait("gateway_http_requests_in_flight", 0.0);
        });
    }
    let endpoint = Hostile::start(move |peer| {
        while let Some(request) = peer.request() {
            if request.field("if-none-match").is_some() {
                return;
            }
            peer.send(answer(&["Cache-Control: max-age=0, must-revalidate, stale-if-error=60", "ETag: \"a\""], "old"));
        }
    });
    let gateway = caching(&endpoint.address, 1, "auto");
    assert_eq!(gateway.get("/a").text(), "old");
    assert_eq!(gateway.get("/a").status(), 502, "what must be asked for isn't served without");
}

#[test]
fn a_stale_answer_is_served_at_once_while_it_is_asked_for() {
    let endpoint = Hostile::start(|peer| {
        let fields = ["Cache-Control: max-age=0, stale-while-revalidate=60", "ETag: \"a\""];
        while let Some(request) = peer.request() {
            if request.field("if-none-match").is_some() {
                peer.wait_told();
                peer.send(answer(&["Cache-Control: max-age=60"], "new"));
            } else {
                peer.send(answer(&fields, "old"));
            }
        }
    });
    each_driver(&endpoint.address, |gateway| {
        let before = endpoint.seen().len();
        let mut client = gateway.connect();
        client.ask(get("/a"));
        // HEAD, a range and a condition are answered from what is stored; what is fetched is the whole.
        client.send("HEAD /a HTTP/1.1\r\nHost: a.example\r\nRange: bytes=0-0\r\n\r\n");
        assert_eq!(said(&client.bodiless()), "hit");
        assert_eq!(client.ask(with("/a", &["Range: bytes=0-0", "If-None-Match: \"x\""])).text(), "o");
        until("the fetch to reach the endpoint", || (endpoint.seen().len() == before + 2).then_some(()));
        let fetch = endpoint.last();
        assert_eq!((fetch.method(), fetch.field("range"), fetch.all("if-none-match")), ("GET", None, vec!["\"a\""]));
        assert_eq!(client.ask(get("/a")).text(), "old");
        assert_eq!(endpoint.seen().len(), before + 2, "one fetch is enough");
        endpoint.tell();
        until("the new answer", || (client.ask(get("/a")).text() == "new").then_some(()));
    });
}

/// An endpoint that sends half of its answer, and the other half when it is told.
fn halves(head: &'static str, half: &'static str, end: &'static str) -> Hostile {
    Hostile::start(move |peer| {
        while peer.request().is_some() {
            peer.send(head).send(half);
            peer.wait_told();
            if peer.try_send(half).is_err() || peer.try_send(end).is_err() {
                return;
            }
        }
    })
}

const COUNTED: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn many_that_want_the_same_share_one_fetch_as_it_comes() {
    for (head, half, end) in [(COUNTED, "hello", ""), (CHUNKED, "5\r\nhello\r\n", "0\r\n\r\n")] {
        let endpoint = halves(head, half, end);
        each_driver(&endpoint.address, |gateway| {
            let before = endpoint.seen().len();
            let clients = at_once(20, |_| {
                let mut client = gateway.connect();
                client.send(get("/a"));
                let mut begun = Vec::new();
                while !begun.windows(5).any(|window| window == b"hello") {
                    let piece = client.piece();
                    assert!(!piece.is_empty());
                    begun.extend(piece);
                }
                (client, begun)
            });
            endpoint.tell();
            for (mut client, mut begun) in clients {
                while begun.windows(5).filter(|window| window == b"hello").count() < 2 {
                    let piece = client.piece();
                    assert!(!piece.is_empty());
                    begun.extend(piece);
                }
            }
            assert_eq!(endpoint.seen().len() - before, 1);
            until("the answer to be stored", || (said(&gateway.get("/a")) == "hit").then_some(()));
            assert_eq!(gateway.get("/a").text(), "hellohello");
            assert_eq!(results(&gateway, "collapsed"), 19.0);
        });
    }
}

#[test]
fn the_first_may_leave_and_others_get_all_of_it() {
    let endpoint = halves(COUNTED, "hello", "");
    each_driver(&endpoint.address, |gateway| {
        let mut first = gateway.connect();
        first.send(get("/a"));
        until("the head", || (!first.piece().is_empty()).then_some(()));
        let mut second = gateway.connect();
        second.send(get("/a"));
        until("the head", || (!second.piece().is_empty()).then_some(()));
        first.reset();
        endpoint.tell();
        assert_eq!(second.bytes(5), b"hello");
        assert_eq!(said(&gateway.get("/a")), "hit");
    });
}

#[test]
fn one_that_reads_slowly_holds_up_nobody() {
    const LENGTH: usize = 900_000;
    for chunked in [false, true] {
        let endpoint = Hostile::start(move |peer| {
            while peer.request().is_some() {
                let body = vec![b'x'; LENGTH];
                if chunked {
                    peer.send(CHUNKED);
                    for piece in body.chunks(10_000) {
                        peer.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
                    }
                    peer.send("0\r\n\r\n");
                } else {
                    peer.send(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {LENGTH}\r\n\r\n")).send(body);
                }
            }
        });
        each_driver(&endpoint.address, |gateway| {
            let mut slow = gateway.connect();
            slow.send(get("/a"));
            gateway.wait("gateway_cache_stored_total", 1.0);
            let quick = gateway.get("/a");
            assert_eq!((said(&quick).as_str(), quick.body.len()), ("hit", LENGTH));
            let slow = slow.message();
            assert!(slow.body.len() == LENGTH && slow.body.iter().all(|&byte| byte == b'x'));
        });
    }
}

#[test]
fn what_is_too_large_passes_through_and_is_held_by_its_readers() {
    const PIECE: usize = 50_000;
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/counted" {
                peer.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 300000\r\n\r\n").send(vec![b'x'; 300_000]);
                continue;
            }
            peer.send(CHUNKED);
            // Far more than sockets hold.
            for _ in 0..400 {
                let piece = vec![b'x'; PIECE];
                if peer.try_send([format!("{PIECE:x}\r\n").as_bytes(), &piece, b"\r\n"].concat()).is_err() {
                    return;
                }
            }
            peer.send("0\r\n\r\n");
        }
    });
    for driver in DRIVERS {
        let gateway = Gateway::start(&cached(&endpoint.address, json!({ "bytes": "1MiB", "object_max": "256KiB" }), 1, driver));
        let counted = gateway.get("/counted");
        assert_eq!((said(&counted).as_str(), counted.body.len()), ("fwd=uri-miss; fwd-status=200; detail=too-large", 300_000));
        let (mut first, mut second) = (gateway.connect(), gateway.connect());
        first.send(get("/a"));
        let mut begun = first.piece();
        second.send(get("/a"));
        while begun.len() < 1000 {
            let piece = first.piece();
            assert!(!piece.is_empty());
            begun.extend(piece);
        }
        assert_eq!(first.message_after(begun).body.len(), 400 * PIECE);
        assert_eq!(second.message().body.len(), 400 * PIECE);
        assert_eq!(gateway.metric("gateway_cache_stored_total"), 0.0);
        gateway.wait("gateway_cache_bytes", 0.0);
        // Nobody wants it any more: it is given up.
        let mut leaver = gateway.connect();
        leaver.send(get("/a"));
        assert!(!leaver.piece().is_empty());
        leaver.reset();
        gateway.wait("gateway_upstream_connections{state=\"active\"}", 0.0);
        gateway.wait("gateway_cache_bytes", 0.0);
        assert!(gateway.memory_peak() < 64 << 20, "{}", gateway.memory_peak());
    }
}

#[test]
fn an_answer_that_breaks_off_is_cut_for_all_and_never_stored() {
    for (head, half) in [(COUNTED, "hello"), (CHUNKED, "5\r\nhello\r\n"), (CHUNKED, "5\r\nhello\r\nz\r\n")] {
        let endpoint = Hostile::start(move |peer| {
            if peer.request().is_some() {
                peer.send(head).send(half);
                peer.wait_told();
            }
        });
        each_driver(&endpoint.address, |gateway| {
            let before = endpoint.seen().len();
            for round in 1..=2 {
                let mut first = gateway.connect();
                first.send(get("/a"));
                until("the endpoint to be asked", || (endpoint.seen().len() == before + round).then_some(()));
                endpoint.tell();
                let (all, _) = first.rest();
                let all = String::from_utf8_lossy(&all).into_owned();
                assert!(all.contains("200 OK") && !all.contains("hellohello") && !all.ends_with("0\r\n\r\n"), "{all}");
                gateway.wait("gateway_cache_bytes", 0.0);
                assert_eq!(gateway.metric("gateway_cache_stored_total"), 0.0);
                until("it to be counted", || {
                    let reasons = gateway.refusals("upstream_closed_mid_body") + gateway.refusals("bad_response_body");
                    (reasons == round as f64).then_some(())
                });
            }
        });
    }
}

#[test]
fn those_that_waited_for_a_fetch_that_failed_try_themselves() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            if request.field("x-first").is_some() {
                peer.wait_told();
                return;
            }
            peer.send(answer(&["Cache-Control: max-age=60"], "good"));
        }
    });
    each_driver(&endpoint.address, |gateway| {
        let before = endpoint.seen().len();
        let mut first = gateway.connect();
        first.send(with("/a", &["X-First: 1"]));
        until("the first fetch", || (endpoint.seen().len() == before + 1).then_some(()));
        let mut others: Vec<_> = (0..5).map(|_| gateway.connect()).collect();
        others.iter_mut().for_each(|other| _ = other.send(get("/a")));
        gateway.wait("gateway_cache_waits_total", 5.0);
        endpoint.tell();
        assert_eq!(first.message().refusal(), (502, "upstream_closed_before_head"));
        assert!(others.iter_mut().all(|other| other.message().text() == "good"));
    });
}

#[test]
fn nobody_queues_for_what_isnt_shared() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            if request.field("x-held").is_some() {
                peer.wait_told();
            }
            peer.send(answer(&["Cache-Control: private"], "mine"));
        }
    });
    let gateway = caching(&endpoint.address, 1, "auto");
    assert_eq!(gateway.get("/a").text(), "mine");
    let before = endpoint.seen().len();
    let mut clients: Vec<_> = (0..5).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| _ = client.send(with("/a", &["X-Held: 1"])));
    until("all to be asked for at once", || (endpoint.seen().len() == before + 5).then_some(()));
    (0..5).for_each(|_| endpoint.tell());
    assert!(clients.iter_mut().all(|client| client.message().text() == "mine"));
    assert_eq!(gateway.metric("gateway_cache_waits_total"), 0.0);
}

#[test]
fn a_wait_for_another_ones_fetch_ends() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            if request.field("x-held").is_some() {
                peer.wait_told();
            }
            peer.send(answer(&["Cache-Control: max-age=60"], "x"));
        }
    });
    let gateway = Gateway::start(&cached(&endpoint.address, json!({ "wait": "200ms" }), 1, "auto"));
    let mut first = gateway.connect();
    first.send(with("/a", &["X-Held: 1"]));
    until("the first fetch", || (endpoint.seen().len() == 1).then_some(()));
    assert_eq!(gateway.get("/a").text(), "x");
    assert_eq!((endpoint.seen().len(), gateway.metric("gateway_cache_waits_total")), (2, 1.0));
    endpoint.tell();
    assert_eq!(first.message().text(), "x");
}

#[test]
fn a_client_that_wants_no_other_gets_only_what_is_stored() {
    let endpoint = counting(&["Cache-Control: max-age=60"]);
    let gateway = caching(&endpoint.address, 1, "auto");
    let only = || gateway.connect().ask(with("/a", &["Cache-Control: only-if-cached"]));
    assert_eq!(only().refusal(), (504, "not_cached"));
    let stored = gateway.get("/a");
    assert_eq!(only().text(), stored.text());
    assert_eq!(endpoint.seen().len(), 1);
}

/// Asks until each worker has its copy.
fn fill_both(gateway: &Gateway, targets: &[&str]) {
    until("a copy on each worker", || {
        targets.iter().for_each(|target| _ = gateway.get(target));
        (gateway.metric("gateway_cache_stored_total") >= 2.0 * targets.len() as f64).then_some(())
    });
}

#[test]
fn operators_purge_by_url_prefix_and_tag_on_every_worker() {
    let endpoint = counting(&["Cache-Control: max-age=60", "Cache-Tag: news, sport"]);
    let gateway = caching(&endpoint.address, 2, "auto");
    let order = |body: &str| {
        let request = format!("POST /purge HTTP/1.1\r\nHost: admin\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        crate::harness::Wire::connect(&gateway.admin).ask(request)
    };
    let gone = |answer: &Message| {
        let told = answer.json();
        assert_eq!((answer.status(), &told["workers"], &told["complete"]), (200, &json!(2), &json!(true)), "{told}");
        told["responses"].as_u64().unwrap()
    };
    for (body, count) in [
        (r#"{"url": "http://A.example:80/img/a"}"#, 2),
        (r#"{"prefix": "http://a.example/img/"}"#, 4),
        (r#"{"tag": ["sport", "none"]}"#, 6),
        (r#"{"all": true}"#, 6),
        (r#"{"url": "http://b.example/img/a", "prefix": "http://a.example/none", "tag": "new"}"#, 0),
    ] {
        let before = gateway.metric("gateway_cache_stored_total");
        let targets = ["/img/a", "/img/b", "/c"];
        until("a copy of each on each worker", || {
            targets.iter().for_each(|target| _ = gateway.get(target));
            (gateway.metric("gateway_cache_objects") == 6.0).then_some(())
        });
        assert_eq!(gone(&order(body)), count, "{body} after {before}");
        gateway.wait("gateway_cache_objects", 6.0 - count as f64);
    }
    for body in ["", "{", r#"{"urls": []}"#, r#"{"url": "/a"}"#] {
        assert_eq!(order(body).status(), 400, "{body}");
    }
    let in_query = crate::harness::Wire::connect(&gateway.admin).ask("POST /purge?tag=news HTTP/1.1\r\nHost: admin\r\n\r\n");
    assert_eq!(gone(&in_query), 6);
    let wrong = gateway.page("GET", "/purge");
    assert_eq!((wrong.status(), wrong.field("allow")), (405, Some("POST")));
}

#[test]
fn what_an_unsafe_request_changes_is_forgotten_by_every_worker() {
    let endpoint = counting(&["Cache-Control: max-age=60"]);
    let mut routes = cached(&endpoint.address, json!({}), 2, "auto");
    routes["routes"] = json!([
        { "path": "/", "upstream": "up", "cache_enabled": true },
        { "path": "/", "methods": ["POST"], "upstream": "up" },
        { "path": "/both", "upstream": "up", "cache_enabled": true, "cache_ttl": "1m" },
    ]);
    let gateway = Gateway::start(&routes);
    for target in ["/a", "/both"] {
        fill_both(&gateway, &[target]);
        let old: Vec<String> = (0..8).map(|_| gateway.get(target).text().to_owned()).collect();
        let post = gateway.connect().ask(format!("POST {target} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(post.status(), 200);
        // Sixteen connections in a row come to both workers.
        until("the other worker to hear of it", || (0..16).all(|_| !old.contains(&gateway.get(target).text().to_owned())).then_some(()));
        gateway.connect().ask(format!("DELETE {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        gateway.page("POST", "/purge?all");
    }
}

#[test]
fn a_reload_keeps_what_is_stored() {
    let endpoint = counting(&["Cache-Control: max-age=60"]);
    for driver in DRIVERS {
        let gateway = caching(&endpoint.address, 1, driver);
        let stored = gateway.get("/a");
        let mut next = cached(&endpoint.address, json!({ "wait": "1s" }), 1, driver);
        next["routes"][0]["response"] = json!({ "set_headers": { "X-Route": "new" }, "remove_headers": ["Cache-Control"] });
        assert_eq!(gateway.reload(&next).text(), "reloaded\n");
        let hit = until("the new configuration", || Some(gateway.get("/a")).filter(|hit| hit.field("x-route").is_some()));
        assert_eq!((said(&hit).as_str(), hit.text(), hit.field("cache-control")), ("hit", stored.text(), None));
        // Made smaller, it lets go what is too much; switched off, all.
        next["features"]["cache"] = json!(false);
        assert_eq!(gateway.reload(&next).text(), "reloaded\n");
        until("the cache to be off", || gateway.get("/a").field("cache-status").is_none().then_some(()));
        gateway.wait("gateway_cache_objects", 0.0);
    }
}

#[test]
fn what_the_chain_changes_of_an_answer_is_not_stored_with_it() {
    let endpoint = counting(&["Cache-Control: max-age=60"]);
    let mut config = cached(&endpoint.address, json!({}), 1, "auto");
    config["routes"][0]["middlewares"] = json!([{ "cors": { "origins": ["https://one.example", "https://two.example"] } }]);
    let gateway = Gateway::start(&config);
    let ask = |origin: &str| gateway.connect().ask(with("/a", &[&format!("Origin: {origin}")]));
    let (one, two, none) = (ask("https://one.example"), ask("https://two.example"), gateway.get("/a"));
    assert_eq!((one.text(), two.text()), (none.text(), none.text()));
    assert_eq!(one.field("access-control-allow-origin"), Some("https://one.example"));
    assert_eq!(two.field("access-control-allow-origin"), Some("https://two.example"));
    assert_eq!((said(&none).as_str(), none.field("access-control-allow-origin")), ("hit", None));
    assert_eq!(endpoint.seen().len(), 1);
}

#[test]
fn an_old_client_gets_what_is_under_way_until_the_connection_ends() {
    let endpoint = halves(CHUNKED, "5\r\nhello\r\n", "0\r\n\r\n");
    each_driver(&endpoint.address, |gateway| {
        let mut old = gateway.connect();
        old.send("GET /a HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n");
        let mut all = Vec::new();
        while !all.ends_with(b"hello") {
            let piece = old.piece();
            assert!(!piece.is_empty());
            all.extend(piece);
        }
        endpoint.tell();
        let (rest, end) = old.rest();
        assert_eq!((rest.as_slice(), end), (&b"hello"[..], End::Closed));
        assert!(!String::from_utf8_lossy(&all).contains("Transfer-Encoding"));
    });
}
