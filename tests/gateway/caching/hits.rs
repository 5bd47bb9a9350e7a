//! What is answered from the cache, and what must not be.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{answer, cached, caching, counting, each_driver, results, said, with};
use crate::harness::{DRIVERS, Gateway, Hostile, get, until};

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

/// The same bytes on one connection, answered by the same bytes: what is remembered of them doesn't outlive what the store says.
#[test]
fn what_missed_again_and_again_is_looked_for_each_time() {
    for driver in DRIVERS {
        let count = AtomicUsize::new(0);
        let endpoint = Hostile::start(move |peer| {
            while peer.request().is_some() {
                let stored = count.fetch_add(1, Ordering::SeqCst) == 4;
                let control = if stored { "Cache-Control: max-age=60" } else { "Cache-Control: no-store" };
                peer.send(answer(&[control], if stored { "stored" } else { "passed" }));
            }
        });
        let gateway = caching(&endpoint.address, 1, driver);
        let mut client = gateway.connect();
        let mut ask = || {
            let answer = client.ask(get("/a"));
            (said(&answer), answer.text().to_owned())
        };
        let passed = ("fwd=uri-miss; fwd-status=200; detail=no-store".to_owned(), "passed".to_owned());
        for _ in 0..4 {
            assert_eq!(ask(), passed);
        }
        assert_eq!(ask(), ("fwd=uri-miss; fwd-status=200; stored".to_owned(), "stored".to_owned()));
        for _ in 0..3 {
            assert_eq!(ask(), ("hit".to_owned(), "stored".to_owned()));
        }
        assert_eq!(gateway.connect().ask("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n").status(), 200);
        for _ in 0..3 {
            assert_eq!(ask(), passed);
        }
    }
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
        gateway.wait("gateway_cache_objects", 1.0);
        // Switched off, it lets all go.
        next["features"]["cache"] = json!(false);
        assert_eq!(gateway.reload(&next).text(), "reloaded\n");
        until("the cache to be off", || gateway.get("/a").field("cache-status").is_none().then_some(()));
        gateway.wait("gateway_cache_objects", 0.0);
        next["features"]["cache"] = json!(true);
        assert_eq!(gateway.reload(&next).text(), "reloaded\n");
        until("the cache to be on", || gateway.get("/a").field("cache-status").is_some().then_some(()));
        gateway.wait("gateway_cache_objects", 1.0);
        assert_eq!(gateway.metric("gateway_cache_stored_total"), 2.0);
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
