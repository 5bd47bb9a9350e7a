//! Cached routes with many clients: fetches that are shared, broken off, too large; purges and reloads.

use serde_json::json;

use crate::caching::{answer, cached, caching, counting, each_driver, results, said, with};
use crate::harness::{DRIVERS, End, Gateway, Hostile, Message, at_once, get, until};

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
