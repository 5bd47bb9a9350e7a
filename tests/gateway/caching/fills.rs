//! One fetch for many: what its clients get, and what becomes of them when one is slow, leaves, or the endpoint fails.

use serde_json::json;

use super::{answer, cached, caching, each_driver, results, said, with};
use crate::harness::{DRIVERS, End, Gateway, Hostile, at_once, get, until};

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
            // Before anybody else asks: who comes before it is stored follows as well.
            assert_eq!(results(&gateway, "collapsed"), 19.0);
            until("the answer to be stored", || (said(&gateway.get("/a")) == "hit").then_some(()));
            assert_eq!(gateway.get("/a").text(), "hellohello");
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
        // The last follower has its last byte a moment before the answer counts as stored.
        gateway.wait("gateway_cache_stored_total", 1.0);
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
fn a_chain_that_looks_at_the_answer_changes_nothing_of_its_body() {
    let body: String = (0..30_000).map(|number| format!("{number} ")).collect();
    let counted = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("{CHUNKED}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for answer in [counted, chunked] {
        let endpoint = Hostile::answering(answer);
        for driver in DRIVERS {
            let mut config = cached(&endpoint.address, json!({}), 1, driver);
            config["middlewares"] = json!([{ "cors": { "origins": ["https://app.example"] } }]);
            let gateway = Gateway::start(&config);
            for _ in 0..3 {
                assert!(gateway.get("/").body == body.as_bytes());
            }
        }
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
        // The second one reads along if it came early enough: both have to read.
        std::thread::scope(|scope| {
            let second = scope.spawn(|| second.message().body.len());
            assert_eq!(first.message_after(begun).body.len(), 400 * PIECE);
            assert_eq!(second.join().unwrap(), 400 * PIECE);
        });
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
fn readers_of_what_is_too_large_wait_in_peace_until_more_of_it_comes() {
    let piece = format!("{:x}\r\n{}\r\n", 50_000, "x".repeat(50_000));
    let endpoint = Hostile::start(move |peer| {
        while peer.request().is_some() {
            peer.send(CHUNKED).send(piece.as_bytes());
            peer.wait_told();
            for _ in 0..10 {
                peer.send(piece.as_bytes());
            }
            peer.wait_told();
            peer.send("0\r\n\r\n");
        }
    });
    for driver in DRIVERS {
        let gateway = Gateway::start(&cached(&endpoint.address, json!({ "object_max": "256KiB" }), 1, driver));
        let mut clients = at_once(3, |_| {
            let mut client = gateway.connect();
            client.send(get("/a"));
            let begun = client.piece();
            (client, begun)
        });
        let mut read_to = |most: usize| {
            for (client, begun) in &mut clients {
                while begun.len() < most {
                    let piece = client.piece();
                    assert!(!piece.is_empty());
                    begun.extend(piece);
                }
            }
        };
        read_to(50_000);
        endpoint.tell();
        read_to(550_000);
        endpoint.tell();
        for (mut client, begun) in clients {
            assert_eq!(client.message_after(begun).body.len(), 550_000);
        }
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
