//! How long what is stored is fresh (RFC 9111 section 4.2), and what requests make of it (section 5.2.1).

use super::*;

/// Seconds that an answer of these lines is served from the store without asking, up to a day.
fn lifetime(policy: &Policy, fields: &[&str]) -> u64 {
    let mut world = World { policy: policy.clone(), ..World::new() };
    world.store(fields, "x");
    let is_fresh = |world: &mut World, seconds: u64| {
        world.now = Instant::from_nanos(5_000_000_000 + seconds * 1_000_000_000);
        world.is_hit()
    };
    let (mut fresh, mut stale) = (0, 90_000);
    if !is_fresh(&mut world, 0) {
        return 0;
    }
    while stale - fresh > 1 {
        let middle = (fresh + stale) / 2;
        if is_fresh(&mut world, middle) { fresh = middle } else { stale = middle }
    }
    stale
}

#[test]
fn lifetimes_come_from_the_first_of_several_words() {
    let of = |fields: &[&str]| lifetime(&World::new().policy, fields);
    let in_an_hour = "Expires: Sun, 06 Nov 1994 09:49:37 GMT";
    let now = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(of(&["Cache-Control: max-age=60"]), 60);
    assert_eq!(of(&["Cache-Control: max-age=60, s-maxage=10"]), 10);
    assert_eq!(of(&["Cache-Control: max-age=10, s-maxage=60"]), 60);
    assert_eq!(of(&["Cache-Control: max-age=10", in_an_hour]), 10);
    assert_eq!(of(&[in_an_hour]), 3600);
    assert_eq!(of(&[in_an_hour, now]), 3600);
    assert_eq!(of(&[in_an_hour, "Date: Sun, 06 Nov 1994 08:48:37 GMT"]), 3600, "counted from a Date a minute ago, a minute of it is over");
    assert_eq!(of(&[in_an_hour, in_an_hour]), 3600);
    assert_eq!(of(&[in_an_hour, "Expires: Sun, 06 Nov 1994 08:59:37 GMT"]), 600);
    for expires in [
        "Expires: 0",
        "Expires: -1",
        "Expires: Sun, 06 Nov 1994 09:49:37 CET",
        "Expires: Sun, 06 Nov 1994 08:49:37 GMT",
        "Expires: Sun, 06 Nov 1988 08:49:37 GMT",
    ] {
        assert_eq!(of(&[expires]), 0, "{expires}");
        assert_eq!(of(&[expires, in_an_hour]), 0, "{expires}");
        assert_eq!(of(&[expires, "Cache-Control: max-age=60"]), 60, "{expires}");
    }
}

#[test]
fn absurd_lifetimes_are_clamped() {
    for value in ["2147483648", "4294967296", "18446744073709551616", "99999999999999999999999999999999"] {
        let mut world = World::new();
        world.store(&[&format!("Cache-Control: max-age={value}")], "x");
        world.pass((1 << 31) - 1);
        assert!(world.is_hit(), "{value}");
        world.pass(1);
        assert!(!world.is_hit(), "{value}");
    }
    let mut world = World::new();
    world.store(&["Cache-Control: max-age=60", "Age: 99999999999999999999", "ETag: \"a\""], "x");
    assert!(!world.is_hit());
    world.pass(1 << 40);
    assert_eq!(world.fetch(&get(&[])).why(), Forwarded::Stale);
}

#[test]
fn a_tenth_of_its_age_is_guessed_where_that_is_allowed() {
    let hours_ago = "Last-Modified: Sat, 05 Nov 1994 22:49:37 GMT";
    let years_ago = "Last-Modified: Sun, 06 Nov 1988 08:49:37 GMT";
    let of = |fields: &[&str]| lifetime(&World::new().policy, fields);
    assert_eq!(of(&[hours_ago]), 3600);
    assert_eq!(of(&[years_ago]), 24 * 3600);
    assert_eq!(of(&["Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT"]), 0, "one from the future says nothing");
    assert_eq!(of(&["Last-Modified: yesterday", "ETag: \"a\""]), 0);
    assert_eq!(of(&[hours_ago, "Cache-Control: no-cache"]), 0);
    let never = RouteSettings { heuristic_max: "0s".parse().unwrap(), ..RouteSettings::default() };
    assert_eq!(lifetime(&World::route(never).policy, &[years_ago]), 0);
}

#[test]
fn the_routes_ttl_stands_in_for_a_missing_word_only() {
    let policy = Policy::new("r", &RouteSettings::default(), Some("5m".parse().unwrap()));
    let of = |fields: &[&str]| lifetime(&policy, fields);
    assert_eq!(of(&[]), 300);
    assert_eq!(of(&["Last-Modified: Sun, 06 Nov 1988 08:49:37 GMT"]), 300);
    assert_eq!(of(&["Cache-Control: max-age=7"]), 7);
    assert_eq!(of(&["Expires: 0", "ETag: \"a\""]), 0);
    for fields in
        [&["Cache-Control: no-store"][..], &["Cache-Control: private"], &["Set-Cookie: a=b"], &["Vary: *"], &["Cache-Control: no-cache"]]
    {
        assert_eq!(of(fields), 0, "{fields:?}");
    }
    for (status, expected) in [(203, true), (301, true), (404, false), (500, false)] {
        let world = World { policy: policy.clone(), ..World::new() };
        world.send(&get(&[]), &answer(status, &[], "x"));
        assert_eq!(world.is_hit(), expected, "{status}");
    }
    let world = World { policy: policy.clone(), ..World::new() };
    world.send(&get(&["Authorization: Bearer x"]), &answer(200, &[], "x"));
    assert!(!world.is_hit());
    // It counts from the moment it came, whatever the endpoint's clock says.
    let mut world = World { policy, ..World::new() };
    world.store(&["Date: Sun, 06 Nov 1983 08:49:37 GMT", "Age: 10"], "x");
    world.pass(299);
    assert!(world.is_hit());
    world.pass(1);
    assert!(!world.is_hit());
}

#[test]
fn age_counts_from_where_the_answer_was_made() {
    let age = |world: &World| world.served(&world.hit(&get(&[])), None).header("age").unwrap();
    for (fields, expected) in [
        (&[][..], "0"),
        (&["Age: 7"], "7"),
        (&["Age: 7,9"], "7"),
        (&["Date: Sun, 06 Nov 1994 08:49:07 GMT"], "30"),
        (&["Date: Sun, 06 Nov 1994 08:49:07 GMT", "Age: 7"], "30"),
        (&["Date: Sun, 06 Nov 1994 08:49:07 GMT", "Age: 40"], "40"),
        (&["Date: Sun, 06 Nov 1994 08:59:07 GMT"], "0"),
        (&["Date: soon"], "0"),
    ] {
        let mut world = World::new();
        world.store(&[fields, &["Cache-Control: max-age=100"]].concat(), "x");
        assert_eq!(age(&world), expected, "{fields:?}");
        world.pass(3);
        assert_eq!(age(&world).parse::<u32>().unwrap(), expected.parse::<u32>().unwrap() + 3, "{fields:?}");
    }
}

#[test]
fn an_age_that_nobody_knows_is_the_greatest_there_is() {
    let ages: [&[&str]; 9] = [
        &["Age: x"],
        &["Age: -7"],
        &["Age: 7.5"],
        &["Age: 7;a=b"],
        &["Age:"],
        &["Age: 0, 0"],
        &["Age: 7, 9"],
        &["Age: 0", "Age: 0"],
        &["Age: 0", "Age: 7"],
    ];
    for fields in ages {
        let world = World::new();
        world.store(&[fields, &["Cache-Control: max-age=100"]].concat(), "x");
        assert!(!world.is_hit(), "{fields:?}");
    }
}

#[test]
fn what_is_said_to_gateways_shortens_what_is_said_to_all_and_lengthens_nothing() {
    let of = |fields: &[&str]| lifetime(&World::new().policy, fields);
    for name in ["CDN-Cache-Control", "Surrogate-Control"] {
        let told = |value: &str| format!("{name}: {value}");
        assert_eq!(of(&[&told("max-age=10")]), 10);
        assert_eq!(of(&["Cache-Control: max-age=60", &told("max-age=10")]), 10);
        assert_eq!(of(&[&told("max-age=60"), "Cache-Control: max-age=10"]), 10);
        assert_eq!(of(&["Expires: Sun, 06 Nov 1994 09:49:37 GMT", &told("max-age=0")]), 0);
        for forbidden in ["no-store", "private", "no-store, max-age=60", "no-store;other, max-age=60"] {
            assert_eq!(of(&["Cache-Control: max-age=60", &told(forbidden)]), 0, "{name}: {forbidden}");
        }
        assert_eq!(of(&["Cache-Control: no-store", &told("max-age=60")]), 0);
        for foreign in ["max-age=10;other", "content=\"ESI/1.0\"", "=", ""] {
            assert_eq!(of(&["Cache-Control: max-age=60", &told(foreign)]), 60, "{name}: {foreign}");
        }
        assert_eq!(of(&[&told("max-age=10;other")]), 0);
    }
}

#[test]
fn the_time_an_answer_took_counts_as_age() {
    let mut world = World::new();
    let sent = get(&[]);
    let fetch = world.fetch(&sent);
    let asked_at = world.now;
    world.pass(4);
    let got = answer(200, &["Cache-Control: max-age=10", "Age: 2"], "");
    let answer = Answer { head: &got.head, bytes: &got.bytes, sent: asked_at, wall: world.wall, date: &date_line(world.wall) };
    let Verdict::Store(status, filling) = world.cache.answered(&world.ask(&sent), fetch, &answer, world.now) else { panic!("stored") };
    filling.finish(world.now);
    let mut line = Vec::new();
    status.write(&mut line, &world.ask(&sent));
    assert_eq!(text(&line), "Cache-Status: ringway; fwd=uri-miss; fwd-status=200; stored; ttl=4\r\n");
    world.pass(3);
    assert!(world.is_hit());
    world.pass(1);
    assert!(!world.is_hit());
}

#[test]
fn jumps_of_the_clock_make_nothing_immortal() {
    for jump in [-1_000_000i64, 1_000_000] {
        let mut world = World::new();
        world.store(&["Cache-Control: max-age=60"], "x");
        world.wall = world.wall.saturating_add_signed(jump);
        world.pass(59);
        assert!(world.is_hit());
        world.pass(1);
        assert!(!world.is_hit());
    }
    // A clock before 1970 began, or an answer from the year 9999, is no reason to stumble.
    for (wall, date) in [(0, "Date: Fri, 31 Dec 9999 23:59:59 GMT"), (u64::MAX, "Date: Thu, 01 Jan 1970 00:00:00 GMT")] {
        let mut world = World::new();
        world.wall = wall;
        world.send(&get(&[]), &answer(200, &["Cache-Control: max-age=60", date, "ETag: \"a\""], "x"));
        world.now = world.now + Duration::from_secs(61);
        assert!(!world.is_hit());
    }
}

#[test]
fn requests_say_how_new_it_must_be() {
    let mut world = World::new();
    world.store(&["Cache-Control: max-age=60"], "x");
    world.pass(20);
    let why = |field: &str| match world.lookup(&get(&[field])) {
        Lookup::Hit(_) => None,
        Lookup::Forward(fetch) => Some(fetch.why()),
        _ => panic!("{field}"),
    };
    for field in [
        "Cache-Control: max-age=20",
        "Cache-Control: min-fresh=39",
        "Cache-Control: max-stale",
        "Cache-Control: no-store",
        "Pragma: x",
        "Cache-Control: x, only-if-cached",
    ] {
        assert_eq!(why(field), None, "{field}");
    }
    for field in [
        "Cache-Control: max-age=19",
        "Cache-Control: max-age=0",
        "Cache-Control: max-age=x",
        "Cache-Control: min-fresh=40",
        "Cache-Control: min-fresh=x",
        "Cache-Control: no-cache",
        "Cache-Control: a b",
        "Pragma: no-cache",
    ] {
        assert_eq!(why(field), Some(Forwarded::Request), "{field}");
    }
    assert!(
        matches!(world.lookup(&get(&["Cache-Control: max-age=1000", "Pragma: no-cache"])), Lookup::Hit(_)),
        "Cache-Control goes before Pragma"
    );
    let deaf = World::route(RouteSettings { obey_clients: false, ..RouteSettings::default() });
    deaf.store(&["Cache-Control: max-age=60"], "x");
    for field in ["Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache"] {
        assert!(matches!(deaf.lookup(&get(&[field])), Lookup::Hit(_)), "{field}");
    }
}

#[test]
fn stale_answers_are_served_to_those_who_take_them() {
    let stale = |fields: &str, asked: &str| {
        let mut world = World::new();
        world.store(&[fields, "ETag: \"a\""], "x");
        world.pass(70);
        match world.lookup(&get(&[asked])) {
            Lookup::Stale(hit, None) => {
                assert_eq!(world.served(&hit, None).cache_status(), "ringway; hit; ttl=-10");
                true
            }
            Lookup::Forward(fetch) => {
                assert_eq!(fetch.why(), Forwarded::Stale);
                false
            }
            _ => panic!("{fields} {asked}"),
        }
    };
    assert!(stale("Cache-Control: max-age=60", "Cache-Control: max-stale"));
    assert!(stale("Cache-Control: max-age=60", "Cache-Control: max-stale=10"));
    assert!(stale("Cache-Control: max-age=60", "Cache-Control: max-stale=10, max-age=70"));
    assert!(!stale("Cache-Control: max-age=60", "Cache-Control: max-stale=9"));
    assert!(!stale("Cache-Control: max-age=60", "Cache-Control: max-stale=x"));
    assert!(!stale("Cache-Control: max-age=60", "Cache-Control: max-stale, max-age=69"));
    assert!(!stale("Cache-Control: max-age=60", "Cache-Control: max-stale, no-cache"));
    assert!(!stale("Cache-Control: max-age=60", "X: y"));
    for forbidden in ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"] {
        assert!(!stale(&format!("Cache-Control: max-age=60, {forbidden}"), "Cache-Control: max-stale"), "{forbidden}");
    }
}

#[test]
fn only_if_cached_never_reaches_an_endpoint() {
    let mut world = World::new();
    let sent = get(&["Cache-Control: only-if-cached"]);
    assert!(matches!(world.lookup(&sent), Lookup::OnlyIfCached));
    world.store(&["Cache-Control: max-age=60", "Vary: X-A"], "x");
    world.hit(&sent);
    assert!(matches!(world.lookup(&get(&["Cache-Control: only-if-cached", "X-A: 1"])), Lookup::OnlyIfCached));
    world.pass(60);
    assert!(matches!(world.lookup(&sent), Lookup::OnlyIfCached));
    assert!(matches!(world.lookup(&get(&["Cache-Control: only-if-cached, max-stale"])), Lookup::Stale(_, None)));
}

#[test]
fn what_is_malformed_is_asked_for_before_each_use() {
    for field in [
        "Cache-Control: max-age=60 public",
        "Cache-Control: max-age =60",
        "Cache-Control: max-age=60, x=\"",
        "Cache-Control: no-cache=\"\", max-age=60",
    ] {
        let world = World::new();
        world.store(&[field, "ETag: \"a\""], "x");
        assert_eq!(world.fetch(&get(&[])).why(), Forwarded::Stale, "{field}");
    }
}
