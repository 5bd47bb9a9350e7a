//! One fetch for many: who leads, who waits, who streams, and what becomes of them when it fails.

use super::*;

const FRESH: &[&str] = &["Cache-Control: max-age=60"];

/// Sends a plain request up to the answer's head; the answer is to be stored.
fn begin(world: &World, sent: &Sent, got: &Got) -> Filling {
    match world.answered(sent, world.fetch(sent), got) {
        Verdict::Store(_, filling) => *filling,
        Verdict::Pass(status, _) => panic!("passed: {status:?}"),
        _ => panic!("neither stored nor passed"),
    }
}

fn waits(world: &World, sent: &Sent) -> bool {
    match world.lookup(sent) {
        Lookup::Wait(_) => true,
        Lookup::Forward(_) => false,
        _ => panic!("neither waits nor is forwarded"),
    }
}

fn copied(hit: &Hit, at: u64, room: usize) -> (String, Copied) {
    let mut out = Vec::new();
    let copied = hit.copy(at, room, &mut out);
    (text(&out), copied)
}

#[test]
fn the_second_waits_for_the_first_and_follows_it() {
    let world = World::new();
    let sent = get(&[]);
    let fetch = world.fetch(&sent);
    assert!(fetch.fill().is_some() && waits(&world, &sent) && waits(&world, &request("HEAD /a", &[])));
    assert!(!waits(&world, &request("GET /b", &[])));
    let Verdict::Store(_, mut filling) = world.answered(&sent, fetch, &answer(200, FRESH, "0123456789")) else { panic!("stored") };
    let hit = world.hit(&sent);
    assert_eq!(hit.outcome(), Outcome::Collapsed);
    assert!(written_head(&world, &hit).ends_with("Age: 0\r\nCache-Status: ringway; fwd=uri-miss; collapsed; ttl=60\r\n"));
    assert_eq!(copied(&hit, 0, 100), (String::new(), Copied::Wait));
    assert!(filling.push(b"01234"));
    assert_eq!(copied(&hit, 0, 3), ("012".into(), Copied::More(3)));
    assert_eq!(copied(&hit, 0, 100), ("01234".into(), Copied::More(5)));
    assert_eq!(copied(&hit, 5, 100), (String::new(), Copied::Wait));
    let part = world.hit(&get(&["Range: bytes=3-6"]));
    assert_eq!(copied(&part, 0, 100), ("34".into(), Copied::More(2)));
    assert!(filling.push(b"56789"));
    assert_eq!(copied(&part, 2, 100), ("56".into(), Copied::All(2)));
    filling.finish(world.now);
    assert_eq!(copied(&hit, 5, 100), ("56789".into(), Copied::All(5)));
    assert!(hit.fill().is_some_and(|fill| fill.is_over()));
    assert_eq!(world.hit(&sent).outcome(), Outcome::Hit);
}

fn written_head(world: &World, hit: &Hit) -> String {
    let mut out = Vec::new();
    hit.write_head(&mut out, &Edits::default(), &Changes::default(), world.now);
    text(&out)
}

#[test]
fn a_body_of_unknown_length_is_followed_too_but_for_parts_of_it() {
    let world = World::new();
    let sent = get(&[]);
    let mut filling = begin(&world, &sent, &chunked(FRESH, ""));
    let (own, other) = (filling.hit(Status::hit(Outcome::Miss)).unwrap(), world.hit(&sent));
    assert!(!own.is_sized() && !other.is_sized() && waits(&world, &get(&["Range: bytes=0-1"])));
    assert!(!written_head(&world, &own).contains("Age:"), "it is no answer from a cache");
    assert!(filling.push(b"hello "));
    assert_eq!(copied(&other, 0, 100), ("hello ".into(), Copied::More(6)));
    assert_eq!(copied(&other, 6, 100), (String::new(), Copied::Wait));
    assert!(filling.push(b"you"));
    filling.finish(world.now);
    assert_eq!(copied(&other, 6, 100), ("you".into(), Copied::All(3)));
    assert_eq!(copied(&own, 0, 100), ("hello you".into(), Copied::All(9)));
    assert!(!own.is_sized(), "its head has gone already");
    let (head, body) = written(&world.hit(&sent), world.now);
    assert!(head.contains("Content-Length: 9\r\n") && !head.contains("Transfer-Encoding"));
    assert_eq!(body, "hello you");
}

#[test]
fn what_turns_out_too_large_goes_as_fast_as_its_slowest_reader() {
    let settings = Settings { object_max: "200KiB".parse().unwrap(), ..Settings::default() };
    let world = World::with(&RouteSettings::default(), &settings);
    let sent = get(&[]);
    let mut filling = begin(&world, &sent, &chunked(FRESH, ""));
    let (own, other) = (filling.hit(Status::hit(Outcome::Miss)).unwrap(), world.hit(&sent));
    let block = vec![b'x'; 64 << 10];
    for _ in 0..3 {
        assert!(filling.push(&block) && filling.room() == Some(true), "it is stored, whoever reads it");
    }
    assert!(!filling.push(&block) && filling.fill().is_held());
    assert!(!waits(&world, &sent), "others don't find it any more");
    assert_eq!(filling.room(), Some(false));
    let read = |hit: &Hit, blocks: u64| {
        let mut out = Vec::new();
        assert_eq!(hit.copy((blocks - 1) * (64 << 10), 64 << 10, &mut out), Copied::More(64 << 10));
    };
    (1..=4).for_each(|blocks| read(&own, blocks));
    assert_eq!(filling.room(), Some(false), "the other hasn't read anything");
    let before = world.cache.bytes();
    (1..=4).for_each(|blocks| read(&other, blocks));
    copied(&other, 4 * (64 << 10), 1);
    copied(&own, 4 * (64 << 10), 1);
    assert_eq!(filling.room(), Some(true));
    assert!(world.cache.bytes() < before, "what all have read is let go");
    filling.push(b"end");
    drop(other);
    filling.finish(world.now);
    assert_eq!(copied(&own, 4 * (64 << 10), 100), ("end".into(), Copied::All(3)));
    assert_eq!((world.cache.bytes(), world.is_hit()), (0, false));
}

#[test]
fn what_is_too_large_and_read_by_nobody_is_given_up() {
    let settings = Settings { object_max: "10KB".parse().unwrap(), ..Settings::default() };
    let world = World::with(&RouteSettings::default(), &settings);
    let mut filling = begin(&world, &get(&[]), &chunked(FRESH, ""));
    let own = filling.hit(Status::hit(Outcome::Miss));
    drop(own);
    assert!(filling.push(&[b'x'; 5000]) && filling.room() == Some(true), "others may want it");
    assert!(!filling.push(&[b'x'; 5000]));
    assert_eq!(filling.room(), None);
    drop(filling);
    assert_eq!(world.cache.bytes(), 0);
}

#[test]
fn large_bodies_are_served_in_pieces_that_outlive_their_eviction() {
    let world = World::new();
    let sent = get(&[]);
    let large: String = (0..200_000).map(|number| char::from(b'a' + (number % 26) as u8)).collect();
    for got in [answer(200, FRESH, &large), chunked(FRESH, &large)] {
        world.send(&sent, &got);
        let hit = world.hit(&sent);
        assert!(!hit.is_small());
        world.cache.purge(&Purge::Everything);
        world.cache.sweep(usize::MAX);
        assert_eq!((world.cache.bytes(), world.cache.count()), (0, 0));
        let mut whole = Vec::new();
        while let Some(piece) = hit.piece(whole.len() as u64) {
            whole.extend_from_slice(piece.as_ref());
        }
        assert!(text(&whole) == large && text(&body(&hit)) == large);
    }
    world.send(&sent, &answer(200, FRESH, &large));
    let part = world.hit(&get(&["Range: bytes=60000-70000"]));
    let pieces: Vec<Piece> = [0, 5536, 10_001].into_iter().filter_map(|at| part.piece(at)).collect();
    assert_eq!(pieces.iter().map(|piece| piece.as_ref().len()).collect::<Vec<_>>(), [5536, 4465]);
    assert_eq!(pieces.iter().map(|piece| text(piece.as_ref())).collect::<String>(), large[60_000..=70_000]);
    let small = World::new();
    small.send(&sent, &answer(200, FRESH, &large[..16 << 10]));
    assert!(small.hit(&sent).is_small() && small.hit(&sent).piece(0).is_none());
}

#[test]
fn when_the_first_fails_the_others_go_side_by_side() {
    let world = World::new();
    let sent = get(&[]);
    let fetch = world.fetch(&sent);
    let Lookup::Wait(fill) = world.lookup(&sent) else { panic!("waits") };
    assert!(!fill.is_over());
    drop(fetch);
    assert!(fill.is_over());
    let (one, two) = (world.fetch(&sent), world.fetch(&sent));
    assert!(one.fill().is_none() && two.fill().is_none());
    world.take(&sent, one, &answer(200, FRESH, "x"));
    assert!(world.is_hit());
    world.cache.purge(&Purge::Everything);
    let fetch = world.fetch(&sent);
    assert!(fetch.fill().is_some(), "once it is stored, requests wait for each other again");
}

#[test]
fn nobody_waits_for_what_isnt_shared() {
    for fields in
        [&["Cache-Control: no-store"][..], &["Cache-Control: no-cache", "ETag: \"a\""], &["Cache-Control: max-age=0", "ETag: \"a\""]]
    {
        let world = World::new();
        let sent = get(&[]);
        let fetch = world.fetch(&sent);
        assert!(waits(&world, &sent));
        let verdict = world.answered(&sent, fetch, &answer(200, fields, "hello"));
        assert!(!waits(&world, &sent) && !waits(&world, &sent), "{fields:?}");
        if let Verdict::Store(_, filling) = verdict {
            assert!(filling.hit(Status::hit(Outcome::Miss)).is_some(), "its own client can still be served from the fill");
        }
        assert!(!waits(&world, &sent), "nor the next time");
    }
}

#[test]
fn those_go_alone_whom_the_answer_may_not_suit() {
    let world = World::new();
    let sent = get(&["X-A: 1"]);
    let fetch = world.fetch(&sent);
    for fields in [&["Authorization: Bearer x"][..], &["Cache-Control: no-cache"]] {
        assert!(!waits(&world, &get(fields)), "{fields:?}");
    }
    assert!(matches!(world.cache.lookup(&world.ask(&sent), true, world.now), Lookup::Forward(fetch) if fetch.fill().is_none()));
    let Verdict::Store(_, _filling) = world.answered(&sent, fetch, &answer(200, &["Cache-Control: max-age=60", "Vary: X-A"], "hello"))
    else {
        panic!("stored")
    };
    assert!(matches!(world.lookup(&sent), Lookup::Hit(_)));
    assert!(!waits(&world, &get(&["X-A: 2"])));
    assert!(!waits(&world, &get(&["X-A: 1", "Cache-Control: min-fresh=100"])));
}

#[test]
fn only_a_request_for_all_of_it_leads() {
    for fields in [
        &["Range: bytes=0-1"][..],
        &["If-None-Match: \"a\""],
        &["If-Modified-Since: x"],
        &["Cache-Control: no-store"],
        &["Authorization: x"],
    ] {
        let world = World::new();
        assert!(world.fetch(&get(fields)).fill().is_none(), "{fields:?}");
    }
    assert!(World::new().fetch(&request("HEAD /a", &[])).fill().is_none());
    let off = World::route(RouteSettings { coalesce: false, ..RouteSettings::default() });
    assert!(off.fetch(&get(&[])).fill().is_none());
    let off = World::with(&RouteSettings::default(), &Settings { wait: "0s".parse().unwrap(), ..Settings::default() });
    assert!(off.fetch(&get(&[])).fill().is_none());
}

#[test]
fn an_answer_that_breaks_off_is_never_stored() {
    let world = World::new();
    let sent = get(&[]);
    let mut filling = begin(&world, &sent, &answer(200, FRESH, "0123456789"));
    let hit = world.hit(&sent);
    assert!(filling.push(b"01234"));
    drop(filling);
    assert_eq!(copied(&hit, 0, 100), (String::new(), Copied::Broken));
    assert!(!world.is_hit());
    // Said to be whole with bytes missing, or with too many.
    let mut filling = begin(&world, &sent, &answer(200, FRESH, "0123456789"));
    assert!(filling.push(b"01234"));
    filling.finish(world.now);
    assert!(!world.is_hit());
    let mut filling = begin(&world, &sent, &answer(200, FRESH, "0123456789"));
    assert!(!filling.push(b"01234567890") && !filling.push(b""));
    filling.finish(world.now);
    assert!(!world.is_hit());
    assert_eq!(world.cache.bytes(), 0);
}

#[test]
fn what_is_too_large_passes_through() {
    let settings = Settings { object_max: "10KB".parse().unwrap(), ..Settings::default() };
    let world = World::with(&RouteSettings::default(), &settings);
    let sent = get(&[]);
    let large = "x".repeat(10_001);
    assert!(world.send(&sent, &answer(200, FRESH, &large)).cache_status().ends_with("; detail=too-large"));
    let mut filling = begin(&world, &sent, &chunked(FRESH, ""));
    assert!(filling.push(&[b'x'; 5000]) && !filling.push(&[b'x'; 5000]) && !filling.push(b"x"));
    filling.finish(world.now);
    assert_eq!((world.cache.bytes(), world.is_hit()), (0, false));
    world.send(&sent, &answer(200, FRESH, &large[..9_000]));
    assert!(world.is_hit());
}

#[test]
fn fills_count_and_make_room() {
    let settings = Settings { bytes: "64KiB".parse().unwrap(), object_max: "16KiB".parse().unwrap(), ..Settings::default() };
    let world = World::with(&RouteSettings::default(), &settings);
    let body = "x".repeat(12_000);
    let sent: Vec<Sent> = (0..7).map(|number| request(&format!("GET /{number}"), &[])).collect();
    world.send(&sent[0], &answer(200, FRESH, &body));
    let mut fills: Vec<Filling> = (1..5).map(|number| begin(&world, &sent[number], &answer(200, FRESH, &body))).collect();
    assert!(matches!(world.lookup(&sent[0]), Lookup::Hit(_)));
    assert!(world.cache.bytes() > 60_000 && world.cache.bytes() <= 64 << 10);
    fills.push(begin(&world, &sent[5], &answer(200, FRESH, &body)));
    assert!(matches!(world.lookup(&sent[0]), Lookup::Forward(_)), "it had to go");
    let went = world.send(&sent[6], &answer(200, FRESH, &body));
    assert!(went.cache_status().ends_with("; detail=full"), "{}", went.cache_status());
    drop(fills);
    assert_eq!(world.cache.bytes(), 0);
}

#[test]
fn one_asks_whether_it_is_valid_for_all_who_wait() {
    let mut world = World::new();
    world.store(&["Cache-Control: max-age=60", "ETag: \"a\""], "old");
    world.pass(60);
    let sent = get(&[]);
    let fetch = world.fetch(&sent);
    let Lookup::Wait(fill) = world.lookup(&sent) else { panic!("waits") };
    let Verdict::Serve(_) = world.answered(&sent, fetch, &answer(304, &["ETag: \"a\""], "")) else { panic!("served") };
    assert!(fill.is_over() && world.is_hit());
    world.pass(60);
    assert!(world.fetch(&sent).fill().is_some());
}

#[test]
fn what_is_purged_while_it_is_fetched_is_neither_stored_nor_followed() {
    let tagged = ["Cache-Control: max-age=60", "Cache-Tag: t"];
    for purge in [
        Purge::Url((*b"http://example.com/a").into()),
        Purge::Prefix((*b"http://example.com/").into()),
        Purge::Tag((*b"t").into()),
        Purge::Everything,
    ] {
        for swept in [false, true] {
            let world = World::new();
            let sent = get(&[]);
            let asked = world.fetch(&sent);
            world.cache.purge(&purge);
            if swept {
                world.cache.sweep(usize::MAX);
            }
            assert!(!waits(&world, &sent), "{purge:?}");
            world.take(&sent, asked, &answer(200, &tagged, "old"));
            assert!(!world.is_hit(), "{purge:?}");

            let mut filling = begin(&world, &sent, &answer(200, &tagged, "old"));
            world.cache.purge(&purge);
            assert!(filling.push(b"old"), "its own client gets all of it");
            if swept {
                world.cache.sweep(usize::MAX);
            }
            assert!(!world.is_hit(), "{purge:?}");
            filling.finish(world.now);
            assert!(!world.is_hit(), "{purge:?}");
            world.store(&tagged, "new");
            assert!(world.is_hit(), "{purge:?}");
        }
    }
}
