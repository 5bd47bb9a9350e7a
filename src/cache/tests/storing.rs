//! What is stored and what isn't (RFC 9111 section 3), and which lines of a head are.

use super::*;

/// Whether a plain request is answered from the store after this exchange, and why the answer wasn't stored.
fn exchange(route: RouteSettings, asked: &[&str], got: &Got) -> (bool, String) {
    let world = World::route(route);
    let went = world.send(&get(asked), got);
    let status = went.cache_status();
    (world.is_hit(), status.split_once("detail=").map_or(String::new(), |(_, detail)| detail.to_owned()))
}

fn refused(asked: &[&str], fields: &[&str]) -> String {
    let (hit, detail) = exchange(RouteSettings::default(), asked, &answer(200, fields, "x"));
    assert!(!hit, "{asked:?} {fields:?}");
    detail
}

fn stored(asked: &[&str], fields: &[&str]) {
    let (hit, detail) = exchange(RouteSettings::default(), asked, &answer(200, fields, "x"));
    assert!(hit, "{asked:?} {fields:?}: {detail}");
}

#[test]
fn what_forbids_storing_is_obeyed() {
    assert_eq!(refused(&[], &["Cache-Control: max-age=60, no-store"]), "no-store");
    assert_eq!(refused(&[], &["Cache-Control: max-age=60", "Cache-Control: No-Store"]), "no-store");
    assert_eq!(refused(&[], &["Cache-Control: max-age=60, private"]), "private");
    assert_eq!(refused(&[], &["Cache-Control: max-age=60, private=\"x-a\""]), "private");
    assert_eq!(refused(&["Cache-Control: no-store"], &["Cache-Control: max-age=60"]), "not-stored");
    assert_eq!(refused(&[], &["Cache-Control: max-age=60", "Vary: *"]), "vary");
    assert_eq!(refused(&[], &["Cache-Control: max-age=60", "Vary: accept, *"]), "vary");
    assert_eq!(refused(&[], &["Cache-Control: max-age=60", "Vary: a b"]), "vary");
    assert_eq!(refused(&[], &["Cache-Control: max-age=60", "Set-Cookie: a=b"]), "set-cookie");
    assert_eq!(refused(&[], &["Cache-Control: max-age=60; no-store"]), "no-store");
    assert_eq!(refused(&[], &["Cache-Control: max-age=0"]), "not-fresh");
    assert_eq!(refused(&[], &["Cache-Control: no-cache"]), "not-fresh");
    assert_eq!(refused(&[], &["Cache-Control: max-age=60, must-understand, no-store", "Vary: *"]), "vary");
    assert_eq!(refused(&[], &[]), "not-fresh");
}

#[test]
fn requests_with_authorization_need_an_explicit_word() {
    let asked = ["Authorization: Bearer x"];
    assert_eq!(refused(&asked, &["Cache-Control: max-age=60"]), "authorization");
    assert_eq!(refused(&asked, &["Expires: Mon, 07 Nov 1994 08:49:37 GMT"]), "authorization");
    for word in ["public, max-age=60", "max-age=60, must-revalidate", "s-maxage=60"] {
        stored(&asked, &[&format!("Cache-Control: {word}")]);
    }
}

#[test]
fn statuses_are_stored_by_their_rules() {
    for status in [200, 203, 204, 300, 301, 302, 307, 308, 400, 404, 405, 410, 414, 500, 501, 503, 599] {
        let (hit, detail) = exchange(RouteSettings::default(), &[], &answer(status, &["Cache-Control: max-age=60"], ""));
        assert!(hit, "{status}: {detail}");
    }
    let long_ago = "Last-Modified: Sun, 06 Nov 1988 08:49:37 GMT";
    for (status, stores) in [
        (200, true),
        (203, true),
        (204, true),
        (301, true),
        (404, true),
        (410, true),
        (302, false),
        (403, false),
        (500, false),
        (599, false),
    ] {
        let (hit, _) = exchange(RouteSettings::default(), &[], &answer(status, &[long_ago], ""));
        assert_eq!(hit, stores, "{status}");
    }
    let (hit, _) = exchange(RouteSettings::default(), &[], &answer(206, &["Cache-Control: max-age=60", "Content-Range: bytes 0-0/9"], "x"));
    assert!(!hit);
    for (status, stores) in [(200, true), (500, true), (299, false)] {
        let (hit, _) =
            exchange(RouteSettings::default(), &[], &answer(status, &["Cache-Control: max-age=60, must-understand, no-store"], ""));
        assert_eq!(hit, stores, "{status}");
    }
}

#[test]
fn cookies_are_dealt_with_as_the_route_says() {
    let got = || answer(200, &["Cache-Control: max-age=60", "Set-Cookie: a=b", "X-A: 1"], "x");
    for (set_cookie, expected) in [(SetCookie::Strip, None), (SetCookie::Store, Some("a=b"))] {
        let world = World::route(RouteSettings { set_cookie, ..RouteSettings::default() });
        assert_eq!(world.send(&get(&[]), &got()).header("set-cookie").as_deref(), Some("a=b"), "the client that it was made for gets it");
        let went = world.send(&get(&[]), &got());
        assert_eq!((went.asked, went.outcome), (None, Outcome::Hit));
        let head = world.served(&world.hit(&get(&[])), None);
        assert_eq!((head.header("set-cookie").as_deref(), head.header("x-a").as_deref()), (expected, Some("1")));
    }
}

#[test]
fn a_body_that_ends_with_the_connection_is_not_stored() {
    let got = raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n", Method::Get, "x");
    assert_eq!(exchange(RouteSettings::default(), &[], &got), (false, "until-close".to_owned()));
}

#[test]
fn methods_other_than_get_store_nothing() {
    let world = World::new();
    for method in ["POST", "OPTIONS", "HEAD", "PURGE"] {
        world.send(&request(&format!("{method} /a"), &[]), &answer(200, &["Cache-Control: max-age=60"], "x"));
        assert!(!world.is_hit(), "{method}");
    }
}

#[test]
fn lines_of_one_connection_or_moment_are_not_stored() {
    let world = World::new();
    let fields = [
        "Cache-Control: max-age=60, no-cache=\"x-secret\"",
        "Connection: x-hop",
        "X-Hop: 1",
        "X-Secret: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "Proxy-Authentication-Info: x",
        "Age: 3",
        "X-Kept: 1",
        "Cache-Status: other; hit",
    ];
    world.store(&fields, "hello");
    let (head, body) = written(&world.hit(&get(&[])), world.now);
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 200 Fine\r\nCache-Control: max-age=60, no-cache=\"x-secret\"\r\nX-Kept: 1\r\nCache-Status: other; hit\r\nDate: {DATE}\r\n\
             Content-Length: 5\r\nAge: 3\r\nCache-Status: ringway; hit; ttl=57\r\n"
        )
    );
    assert_eq!(body, "hello");
}

#[test]
fn a_routes_edits_are_made_when_it_is_served() {
    let world = World::new();
    world.store(&["Cache-Control: max-age=60", "Server: secret", "X-A: 1"], "hello");
    let mut edits = Edits::default();
    edits.remove("server");
    let mut out = Vec::new();
    world.hit(&get(&[])).write_head(&mut out, &edits, &Changes::default(), world.now);
    assert!(!text(&out).contains("Server") && text(&out).contains("X-A: 1\r\n"));
    let head = |edits: &Edits| {
        let mut out = Vec::new();
        world.hit(&get(&[])).write_head(&mut out, edits, &Changes::default(), world.now);
        text(&out)
    };
    // One of many names that aren't there may look like one that is.
    let mut others = Edits::default();
    (0..10_000).for_each(|number| others.remove(&format!("x-{number}")));
    assert_eq!(head(&others), head(&Edits::default()));
}

#[test]
fn upgrades_bodies_and_preconditions_are_not_for_a_cache() {
    let world = World::new();
    world.store(&["Cache-Control: max-age=60"], "x");
    for fields in [
        &["If-Match: \"a\""][..],
        &["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"],
        &["Content-Length: 1"],
        &["Connection: upgrade", "Upgrade: websocket"],
    ] {
        assert_eq!(world.fetch(&get(fields)).why(), Forwarded::Bypass, "{fields:?}");
    }
}

#[test]
fn routes_and_arms_have_stores_of_their_own() {
    let mut world = World::new();
    world.store(&["Cache-Control: max-age=60"], "x");
    let sent = get(&[]);
    assert!(matches!(world.cache.lookup(&Ask { arm: 1, ..world.ask(&sent) }, false, world.now), Lookup::Forward(_)));
    assert!(world.is_hit());
    world.policy = Policy::new("other", &RouteSettings::default(), None);
    assert!(!world.is_hit());
}

#[test]
fn the_key_is_the_url() {
    let world = World::new();
    let stored = request("GET /a?x=1", &[]);
    world.send(&stored, &answer(200, &["Cache-Control: max-age=60"], "x"));
    let is_hit = |sent: &Sent| matches!(world.lookup(sent), Lookup::Hit(_));
    assert!(is_hit(&stored) && is_hit(&request("GET http://EXAMPLE.com:80/a?x=1", &[])));
    for line in [
        "GET /a",
        "GET /a?",
        "GET /a?x=2",
        "GET /a?x=1&y",
        "GET /A?x=1",
        "GET /a/?x=1",
        "GET http://example.com:81/a?x=1",
        "GET http://example.co/a?x=1",
    ] {
        assert!(!is_hit(&request(line, &[])), "{line}");
    }
    let secure = Ask { secure: true, ..world.ask(&stored) };
    assert!(matches!(world.cache.lookup(&secure, false, world.now), Lookup::Forward(_)));
}

#[test]
fn the_key_can_have_more_parts_and_fewer_parameters() {
    let key = KeySettings { headers: vec!["X-Country".into()], cookies: vec!["plan".into()], query: Some(vec!["page".into(), "q".into()]) };
    let world = World::route(RouteSettings { key, ..RouteSettings::default() });
    let sent = |query: &str, country: &str, plan: &str| {
        request(&format!("GET /a?{query}"), &[&format!("X-Country: {country}"), &format!("Cookie: a=b; plan={plan}")])
    };
    world.send(&sent("q=1&utm=x&page=2", "de", "pro"), &answer(200, &["Cache-Control: max-age=60"], "x"));
    let is_hit = |sent: &Sent| matches!(world.lookup(sent), Lookup::Hit(_));
    assert!(is_hit(&sent("page=2&q=1", "de", "pro")) && is_hit(&sent("utm=y&page=2&z&q=1", "de", "pro")));
    for (query, country, plan) in [
        ("q=1", "de", "pro"),
        ("q=1&page=3", "de", "pro"),
        ("q=1&page=2", "fr", "pro"),
        ("q=1&page=2", "de", "free"),
        ("q=1&page=2&page=2", "de", "pro"),
    ] {
        assert!(!is_hit(&sent(query, country, plan)), "{query} {country} {plan}");
    }
    assert!(!is_hit(&request("GET /a?q=1&page=2", &[])));
}

#[test]
fn what_the_key_is_can_be_shown() {
    let world = World::route(RouteSettings { show_key: true, ..RouteSettings::default() });
    let sent = request("GET /a?\"\\", &[]);
    let went = world.send(&sent, &answer(200, &["Cache-Control: max-age=60"], "x"));
    assert_eq!(went.cache_status(), r#"ringway; fwd=uri-miss; fwd-status=200; stored; ttl=60; key="http://example.com/a?\"\\""#);
    let went = world.send(&sent, &answer(200, &[], "x"));
    assert_eq!(went.cache_status(), r#"ringway; hit; ttl=60; key="http://example.com/a?\"\\""#);
}

#[test]
fn an_answer_is_chosen_by_what_its_endpoint_sees() {
    let mut world = World::new();
    let user = |world: &mut World, name: &str| {
        world.changes.clear();
        world.changes.set("X-User", name.as_bytes());
    };
    user(&mut world, "ada");
    let forged = get(&["X-User: bob"]);
    world.send(&forged, &answer(200, &["Cache-Control: max-age=60", "Vary: X-User"], "ada's"));
    assert!(matches!(world.lookup(&get(&[])), Lookup::Hit(_)), "what the client sent is taken away");
    user(&mut world, "bob");
    assert!(matches!(world.lookup(&forged), Lookup::Forward(fetch) if fetch.why() == Forwarded::VaryMiss));
    world.changes.clear();
    assert!(!world.is_hit());
    let by_user =
        RouteSettings { key: KeySettings { headers: vec!["x-user".into()], ..KeySettings::default() }, ..RouteSettings::default() };
    let mut world = World::route(by_user);
    user(&mut world, "ada");
    world.store(&["Cache-Control: max-age=60"], "ada's");
    assert!(world.is_hit());
    user(&mut world, "bob");
    assert!(!world.is_hit());
}

#[test]
fn answers_to_clients_that_proved_who_they_are_are_kept_from_others() {
    let world = World { identified: true, ..World::new() };
    assert!(world.send(&get(&[]), &answer(200, &["Cache-Control: max-age=60"], "x")).cache_status().ends_with("; detail=authorization"));
    assert!(world.fetch(&get(&[])).fill().is_none(), "nor does anyone wait for one");
    world.store(&["Cache-Control: public, max-age=60"], "x");
    assert!(world.is_hit());
}
