//! Asking whether what is stored is valid (RFC 9111 section 4.3), serving it stale (RFC 5861), and invalidation (section 4.4).

use super::*;

const FRESH: &str = "Cache-Control: max-age=60";

/// A world with this answer, a minute and ten seconds after it was stored.
fn stale(fields: &[&str]) -> World {
    stale_on(RouteSettings::default(), fields)
}

fn stale_on(route: RouteSettings, fields: &[&str]) -> World {
    let mut world = World::route(route);
    world.store(fields, "old");
    world.pass(70);
    world
}

fn modified(days: u32) -> String {
    format!("Last-Modified: Sun, {days:02} Oct 1994 07:49:37 GMT").replace("Sun, 01", "Sat, 01")
}

#[test]
fn validators_are_sent() {
    let date = modified(1);
    let condition = date.replace("Last-Modified", "If-Modified-Since");
    for (fields, asked, expected) in [
        (&[FRESH, "ETag: \"a\""][..], &[][..], "If-None-Match: \"a\"\r\n".to_owned()),
        (&[FRESH, "ETag: W/\"a\""], &[], "If-None-Match: W/\"a\"\r\n".to_owned()),
        (&[FRESH, &date], &[], format!("{condition}\r\n")),
        (&[FRESH, "ETag: \"a\"", &date], &[], format!("If-None-Match: \"a\"\r\n{condition}\r\n")),
        (&[FRESH, "ETag: \"a\""], &["If-None-Match: \"b\", \"c\""], "If-None-Match: \"a\", \"b\", \"c\"\r\n".to_owned()),
        (&[FRESH], &[], String::new()),
        (&[FRESH, "Last-Modified: long ago"], &[], String::new()),
    ] {
        let world = stale(fields);
        let sent = get(asked);
        assert_eq!(conditions(&world.fetch(&sent), &world.ask(&sent)), expected, "{fields:?} {asked:?}");
    }
}

#[test]
fn a_304_renews_what_is_stored() {
    let mut world = stale(&[FRESH, "ETag: \"a\"", "X-A: 1", "X-A: 2", "X-B: 1", "Content-Encoding: identity", "Content-Type: text/plain"]);
    let renewal = answer(
        304,
        &[
            "Cache-Control: max-age=100",
            "ETag: \"a\"",
            "x-a: 3",
            "X-C: 4",
            "Content-Encoding: br",
            "Content-Length: 999",
            "Content-Type: text/html",
            "Date: Sun, 06 Nov 1994 08:50:47 GMT",
        ],
        "",
    );
    let went = world.send(&get(&[]), &renewal);
    assert_eq!((went.status, went.body.as_str(), went.outcome), (200, "old", Outcome::Revalidated));
    assert_eq!(
        went.head,
        "HTTP/1.1 200 Fine\r\nX-B: 1\r\nContent-Encoding: identity\r\nContent-Length: 3\r\nCache-Control: max-age=100\r\nETag: \"a\"\r\nx-a: 3\r\nX-C: 4\r\n\
         Content-Type: text/html\r\nDate: Sun, 06 Nov 1994 08:50:47 GMT\r\nAge: 0\r\nCache-Status: ringway; fwd=stale; fwd-status=304; stored; ttl=100\r\n"
    );
    world.pass(99);
    assert_eq!(written(&world.hit(&get(&[])), world.now).1, "old");
    assert_eq!(world.cache.count(), 1);
    world.pass(1);
    assert!(!world.is_hit());
}

#[test]
fn a_304_that_forbids_storing_ends_it() {
    let world = stale(&[FRESH, "ETag: \"a\""]);
    let went = world.send(&get(&[]), &answer(304, &["Cache-Control: no-store", "ETag: \"a\""], ""));
    assert_eq!((went.status, went.body.as_str()), (200, "old"));
    assert_eq!(world.cache.count(), 0);
}

#[test]
fn a_304_answers_the_condition_it_is_about() {
    let sent = get(&["If-None-Match: \"b\""]);
    // The client's.
    let world = stale(&[FRESH, "ETag: \"a\""]);
    assert_eq!(world.send(&sent, &answer(304, &["ETag: \"b\""], "")).status, 304);
    // The cache's: then the client's is judged.
    let went = world.send(&sent, &answer(304, &[FRESH, "ETag: \"a\""], ""));
    assert_eq!((went.status, went.body.as_str()), (200, "old"));
    assert_eq!(world.send(&get(&["If-None-Match: \"a\""]), &answer(304, &[], "")).status, 304);
    // Nobody's: asked again without conditions.
    for (stored, told) in
        [("ETag: \"a\"".to_owned(), "ETag: \"x\"".to_owned()), (modified(2), modified(9)), (modified(2), "ETag: \"x\"".to_owned())]
    {
        let world = stale(&[FRESH, &stored]);
        let sent = get(&[]);
        let Verdict::Again(fetch) = world.answered(&sent, world.fetch(&sent), &answer(304, &[&told], "")) else { panic!("{told}") };
        assert_eq!(conditions(&fetch, &world.ask(&sent)), "");
        let went = world.take(&sent, *fetch, &answer(200, &[FRESH], "new"));
        assert_eq!(went.body, "new");
        assert_eq!(written(&world.hit(&sent), world.now).1, "new");
    }
    // One without a validator is about the one that was asked about.
    let world = stale(&[FRESH, "ETag: \"a\""]);
    assert_eq!(world.send(&get(&[]), &answer(304, &[FRESH], "")).body, "old");
}

#[test]
fn another_answer_takes_its_place() {
    let world = stale(&[FRESH, "ETag: \"a\""]);
    let went = world.send(&get(&[]), &answer(200, &[FRESH, "ETag: \"b\""], "new"));
    assert_eq!((went.body.as_str(), went.cache_status().as_str()), ("new", "ringway; fwd=stale; fwd-status=200; stored; ttl=60"));
    assert_eq!((written(&world.hit(&get(&[])), world.now).1.as_str(), world.cache.count()), ("new", 1));
    // One that isn't stored, too.
    let world = stale(&[FRESH, "ETag: \"a\""]);
    world.send(&get(&[]), &answer(404, &["Cache-Control: no-store"], "gone"));
    assert_eq!(world.cache.count(), 0);
    // An error doesn't.
    let world = stale(&[FRESH, "ETag: \"a\""]);
    assert_eq!(world.send(&get(&[]), &answer(500, &[], "broken")).status, 500);
    assert_eq!(world.cache.count(), 1);
}

#[test]
fn no_cache_is_asked_for_before_each_use() {
    let world = World::new();
    world.store(&["Cache-Control: max-age=60, no-cache", "ETag: \"a\""], "old");
    for _ in 0..3 {
        let went = world.send(&get(&[]), &answer(304, &["ETag: \"a\""], ""));
        assert_eq!((went.asked.as_deref(), went.body.as_str()), (Some("If-None-Match: \"a\"\r\n"), "old"));
    }
}

#[test]
fn stale_answers_stand_in_for_errors_where_they_may() {
    let allowed = |route: RouteSettings, fields: &[&str], asked: &[&str], code: u16| {
        let world = stale_on(route, &[fields, &["ETag: \"a\""]].concat());
        let sent = get(asked);
        let went = world.send(&sent, &answer(code, &[], "broken"));
        let failed = world.cache.failed(&world.ask(&sent), world.fetch(&sent), world.now);
        if went.status == 200 {
            assert_eq!((went.body.as_str(), went.outcome), ("old", Outcome::Stale));
            assert_eq!(went.cache_status(), format!("ringway; fwd=stale; fwd-status={code}; ttl=-10; detail=stale-if-error"));
            assert_eq!(failed.map(|hit| written(&hit, world.now).1).as_deref(), Some("old"));
        } else {
            assert!(went.status == code && (failed.is_none() || code == 404));
        }
        went.status == 200
    };
    let none = RouteSettings::default;
    let route = || RouteSettings { stale_if_error: "10s".parse().unwrap(), ..none() };
    for code in [500, 502, 503, 504] {
        assert!(allowed(none(), &["Cache-Control: max-age=60, stale-if-error=10"], &[], code), "{code}");
    }
    for code in [404, 501, 505] {
        assert!(!allowed(none(), &["Cache-Control: max-age=60, stale-if-error=9"], &[], code), "{code}");
    }
    assert!(!allowed(none(), &["Cache-Control: max-age=60, stale-if-error=9"], &[], 503));
    assert!(!allowed(none(), &[FRESH], &[], 503));
    assert!(allowed(route(), &[FRESH], &[], 503));
    assert!(allowed(none(), &[FRESH], &["Cache-Control: stale-if-error=10"], 503));
    assert!(!allowed(none(), &["Cache-Control: max-age=60, s-maxage=60"], &["Cache-Control: stale-if-error=10"], 503));
    assert!(!allowed(route(), &["Cache-Control: max-age=60, stale-if-error=0"], &[], 503), "its own word goes before the route's");
    for forbidden in ["must-revalidate", "proxy-revalidate", "no-cache"] {
        assert!(!allowed(route(), &[&format!("Cache-Control: max-age=60, stale-if-error=100, {forbidden}")], &[], 503), "{forbidden}");
    }
    assert!(!allowed(route(), &["Cache-Control: s-maxage=60"], &[], 503));
    assert!(allowed(none(), &["Cache-Control: s-maxage=60, stale-if-error=10"], &[], 503));
    assert!(!allowed(route(), &[FRESH], &["Cache-Control: no-cache"], 503));
}

#[test]
fn stale_answers_are_served_while_one_request_asks_anew() {
    let world = stale(&["Cache-Control: max-age=60, stale-while-revalidate=10", "ETag: \"a\""]);
    let sent = get(&["If-None-Match: \"b\""]);
    let Lookup::Stale(hit, Some(fetch)) = world.lookup(&sent) else { panic!("stale") };
    assert_eq!(world.served(&hit, None).cache_status(), "ringway; hit; ttl=-10");
    assert_eq!(conditions(&fetch, &world.ask(&sent)), "If-None-Match: \"a\"\r\n", "no client waits for it");
    let Lookup::Stale(_, None) = world.lookup(&sent) else { panic!("one asks, not two") };
    let Verdict::Serve(_) = world.answered(&sent, *fetch, &answer(304, &["ETag: \"a\"", "Cache-Control: max-age=60"], "")) else {
        panic!("renewed")
    };
    assert!(world.is_hit());

    let mut late = stale(&["Cache-Control: max-age=60, stale-while-revalidate=9", "ETag: \"a\""]);
    assert_eq!(late.fetch(&get(&[])).why(), Forwarded::Stale);
    late.policy.stale_while_revalidate = 100;
    assert_eq!(late.fetch(&get(&[])).why(), Forwarded::Stale, "its own word goes before the route's");
    for forbidden in ["must-revalidate", "no-cache", "proxy-revalidate"] {
        let world = stale(&[&format!("Cache-Control: max-age=60, stale-while-revalidate=100, {forbidden}"), "ETag: \"a\""]);
        world.fetch(&get(&[]));
    }
    let route = RouteSettings { stale_while_revalidate: "10s".parse().unwrap(), ..RouteSettings::default() };
    assert!(matches!(stale_on(route.clone(), &[FRESH]).lookup(&get(&[])), Lookup::Stale(_, Some(_))));
    // Whatever the request wants of it, the whole is fetched; not what must not be stored.
    assert!(matches!(stale_on(route.clone(), &[FRESH]).lookup(&request("HEAD /a", &[])), Lookup::Stale(_, Some(_))));
    assert!(matches!(stale_on(route.clone(), &[FRESH]).lookup(&get(&["Range: bytes=0-0"])), Lookup::Stale(_, Some(_))));
    assert!(matches!(stale_on(route.clone(), &[FRESH]).lookup(&get(&["Cache-Control: no-store"])), Lookup::Stale(_, None)));
    stale_on(route.clone(), &["Cache-Control: s-maxage=60", "ETag: \"a\""]).fetch(&get(&[]));
    stale_on(route, &[FRESH]).fetch(&get(&["Cache-Control: max-age=0"]));
}

#[test]
fn a_dropped_fetch_lets_the_next_one_ask() {
    let world = stale(&["Cache-Control: max-age=60, stale-while-revalidate=10", "ETag: \"a\""]);
    drop(world.lookup(&get(&[])));
    assert!(matches!(world.lookup(&get(&[])), Lookup::Stale(_, Some(_))));
}

#[test]
fn answers_to_head_renew_or_end_what_is_stored() {
    let sent = request("HEAD /a", &[]);
    let head = |fields: &[&str]| raw(&format!("HTTP/1.1 200 OK\r\n{}\r\n", lines(fields)), Method::Head, "");
    let world = stale(&[FRESH, "ETag: \"a\""]);
    assert_eq!(world.send(&sent, &head(&[FRESH, "ETag: \"a\"", "Content-Length: 3", "X-New: 1"])).status, 200);
    assert_eq!(world.served(&world.hit(&get(&[])), None).header("x-new").as_deref(), Some("1"));
    for fields in [
        &[FRESH, "ETag: \"b\""][..],
        &[FRESH, "ETag: \"a\"", "Content-Length: 4"],
        &[FRESH],
        &[FRESH, "ETag: \"a\"", "Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT"],
    ] {
        let world = stale(&[FRESH, "ETag: \"a\""]);
        world.send(&sent, &head(fields));
        assert_eq!(world.cache.count(), 0, "{fields:?}");
    }
}

#[test]
fn unsafe_methods_make_what_is_stored_invalid() {
    let invalidated = |line: &str, code: u16, fields: &[&str]| {
        let world = World::new();
        let paths = ["/a", "/b", "/c"];
        for path in paths {
            world.send(&request(&format!("GET {path}"), &[]), &answer(200, &[FRESH], "x"));
        }
        let sent = request(line, &[]);
        let Verdict::Pass(status, purges) = world.answered(&sent, world.fetch(&sent), &answer(code, fields, "")) else { panic!("passed") };
        assert_eq!(status.outcome(), Outcome::Bypass);
        let gone = paths.into_iter().filter(|path| !matches!(world.lookup(&request(&format!("GET {path}"), &[])), Lookup::Hit(_)));
        let gone: Vec<_> = gone.map(|path| format!("http://example.com{path}")).collect();
        let told: Vec<_> = purges.iter().map(|purge| if let Purge::Url(url) = purge { text(url) } else { panic!("{purge:?}") }).collect();
        assert_eq!(gone, told, "other cores are told the same");
        gone.len()
    };
    for method in ["POST", "PUT", "DELETE", "PATCH", "X-UNKNOWN"] {
        assert_eq!(invalidated(&format!("{method} /a"), 200, &[]), 1, "{method}");
    }
    assert_eq!(invalidated("POST /a", 303, &["Location: /b", "Content-Location: http://EXAMPLE.com/c#x"]), 3);
    assert_eq!(invalidated("POST /a", 201, &["Location: http://other.com/b", "Content-Location: //example.com:81/c"]), 1);
    assert_eq!(invalidated("POST /a", 201, &["Location: http://example.com.evil/b", "Content-Location: ../c"]), 1);
    for (line, code) in [("POST /a", 400), ("POST /a", 503), ("OPTIONS /a", 200), ("TRACE /a", 200)] {
        assert_eq!(invalidated(line, code, &["Location: /b"]), 0, "{line} {code}");
    }
}

#[test]
fn what_was_asked_for_before_an_invalidation_is_not_stored() {
    let world = World::new();
    let sent = get(&[]);
    let fetch = world.fetch(&sent);
    let post = request("POST /a", &[]);
    world
        .cache
        .invalidate(&world.ask(&post), &Answer { head: &answer(200, &[], "").head, bytes: &[], sent: world.now, wall: WALL, date: b"" });
    world.take(&sent, fetch, &answer(200, &[FRESH], "old"));
    assert!(!world.is_hit());
    world.store(&[FRESH], "new");
    assert!(world.is_hit());
}
