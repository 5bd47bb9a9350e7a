//! Operation lists against a naive store: never over the limit, never another's answer, evicted only when there is no room.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// Stores an answer of so many bytes for a path, chosen by a header's value, with a tag.
    Store {
        path: u8,
        value: u8,
        size: usize,
        tag: u8,
    },
    /// As before, but it breaks off.
    Break {
        path: u8,
        value: u8,
        size: usize,
    },
    Ask {
        path: u8,
        value: u8,
    },
    Post {
        path: u8,
    },
    PurgePrefix {
        digits: String,
    },
    PurgeTag {
        tag: u8,
    },
    PurgeAll,
    Sweep {
        entries: usize,
    },
    /// Begins to fetch; what was begun last is ended by `End`.
    Begin {
        path: u8,
        value: u8,
        size: usize,
    },
    End,
    Shrink {
        bytes: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let size = || prop_oneof![4 => 0..2000usize, 1 => 15_000..20_000usize, 1 => 60_000..140_000usize];
    prop_oneof![
        8 => (0..30u8, 0..3u8, size(), 0..4u8).prop_map(|(path, value, size, tag)| Op::Store { path, value, size, tag }),
        1 => (0..30u8, 0..3u8, size()).prop_map(|(path, value, size)| Op::Break { path, value, size }),
        8 => (0..30u8, 0..3u8).prop_map(|(path, value)| Op::Ask { path, value }),
        1 => (0..30u8).prop_map(|path| Op::Post { path }),
        1 => "[0-2]?[0-9]?".prop_map(|digits| Op::PurgePrefix { digits }),
        1 => (0..4u8).prop_map(|tag| Op::PurgeTag { tag }),
        1 => Just(Op::PurgeAll),
        2 => (0..20usize).prop_map(|entries| Op::Sweep { entries }),
        1 => (0..30u8, 0..3u8, size()).prop_map(|(path, value, size)| Op::Begin { path, value, size }),
        1 => Just(Op::End),
        1 => (100_000..500_000u64).prop_map(|bytes| Op::Shrink { bytes }),
    ]
}

fn sent(path: u8, value: u8) -> Sent {
    request(&format!("GET /{path}"), &[&format!("X-A: {value}")])
}

/// An answer whose body says which one it is.
fn numbered(number: usize, size: usize, tag: u8) -> Got {
    let body: String = std::iter::repeat_n(format!("{number} "), size / 2 + 8).collect::<String>()[..size.max(8)].to_owned();
    answer(200, &["Cache-Control: max-age=1000", "Vary: X-A", &format!("Cache-Tag: t{tag}")], &body)
}

/// Runs the operations; `roomy` if there is room for all, so that nothing may be missing.
fn run(ops: &[Op], bytes: u64, roomy: bool) {
    let settings = |bytes: u64| Settings {
        bytes: crate::config::Size::from_bytes(bytes),
        object_max: "150KB".parse().unwrap(),
        ..Settings::default()
    };
    let world = World::with(&RouteSettings::default(), &settings(bytes));
    let mut limit = bytes;
    // What a client may get: the body, and the tag it was stored with.
    let mut model: BTreeMap<(u8, u8), (Vec<u8>, u8)> = BTreeMap::new();
    let mut begun: Vec<(Box<Filling>, Got, (u8, u8))> = Vec::new();
    for (number, op) in ops.iter().enumerate() {
        match op {
            Op::Store { path, value, size, tag } => {
                let asked = get_fresh(*path, *value);
                let got = numbered(number, *size, *tag);
                let went = world.send(&asked, &got);
                if went.cache_status().contains("stored") {
                    model.insert((*path, *value), (got.body, *tag));
                } else {
                    assert!(!roomy, "{}", went.cache_status());
                    model.remove(&(*path, *value));
                }
            }
            Op::Break { path, value, size } => {
                let asked = get_fresh(*path, *value);
                let got = numbered(number, *size, 0);
                match world.answered(&asked, world.fetch(&asked), &got) {
                    Verdict::Store(_, mut filling) => drop(filling.push(&got.body[..got.body.len() / 2])),
                    _ => assert!(!roomy),
                }
            }
            Op::Begin { path, value, size } => {
                let asked = get_fresh(*path, *value);
                let got = numbered(number, *size, 0);
                if let Verdict::Store(_, mut filling) = world.answered(&asked, world.fetch(&asked), &got) {
                    assert!(filling.push(&got.body[..got.body.len() / 2]));
                    begun.push((filling, got, (*path, *value)));
                }
            }
            Op::End => {
                if let Some((mut filling, got, key)) = begun.pop() {
                    assert!(filling.push(&got.body[got.body.len() / 2..]));
                    filling.finish(world.now);
                    // Purged meanwhile, or not: either may be.
                    let hit = world.cache.lookup(&world.ask(&sent(key.0, key.1)), true, world.now);
                    match hit {
                        Lookup::Hit(hit) if body(&hit) == got.body => drop(model.insert(key, (got.body, 0))),
                        _ => {}
                    }
                }
            }
            Op::Ask { path, value } => {
                // One that is under way may be followed: that's no stored one.
                if let Lookup::Hit(hit) = world.lookup(&sent(*path, *value))
                    && hit.fill().is_none()
                {
                    let expected =
                        model.get(&(*path, *value)).unwrap_or_else(|| panic!("{number}: /{path} {value} was purged, or never stored"));
                    assert!(body(&hit) == expected.0, "{number}: another answer for /{path} {value}");
                    drop(std::hint::black_box(hit));
                } else {
                    let under_way = begun.iter().any(|(.., key)| *key == (*path, *value));
                    assert!(!roomy || under_way || !model.contains_key(&(*path, *value)), "{number}: /{path} {value} is missing");
                }
            }
            Op::Post { path } => {
                let post = request(&format!("POST /{path}"), &[]);
                assert!(matches!(world.answered(&post, world.fetch(&post), &answer(200, &[], "")), Verdict::Pass(..)));
                model.retain(|key, _| key.0 != *path);
            }
            Op::PurgePrefix { digits } => {
                world.cache.purge(&Purge::Prefix(format!("http://example.com/{digits}").into_bytes().into()));
                model.retain(|key, _| !key.0.to_string().starts_with(digits));
            }
            Op::PurgeTag { tag } => {
                world.cache.purge(&Purge::Tag(format!("t{tag}").into_bytes().into()));
                model.retain(|_, (_, own)| own != tag);
            }
            Op::PurgeAll => {
                world.cache.purge(&Purge::Everything);
                model.clear();
            }
            Op::Sweep { entries } => {
                world.cache.sweep(*entries);
            }
            Op::Shrink { bytes } if !roomy => {
                limit = *bytes;
                world.cache.reconfigure(&settings(*bytes));
            }
            Op::Shrink { .. } => {}
        }
        let filling: usize = begun.iter().map(|(_, got, _)| got.body.len() + 2000).sum();
        assert!(world.cache.bytes() <= limit as usize + filling, "{number}: {} bytes", world.cache.bytes());
        world.cache.0.borrow().check(begun.is_empty());
    }
    drop(begun);
    world.cache.purge(&Purge::Everything);
    world.cache.sweep(usize::MAX);
    assert_eq!((world.cache.bytes(), world.cache.count()), (0, 0));
}

/// A request that isn't answered from the store.
fn get_fresh(path: u8, value: u8) -> Sent {
    request(&format!("GET /{path}"), &[&format!("X-A: {value}"), "Cache-Control: no-cache"])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_roomy_store_loses_nothing_but_what_is_purged(ops in prop::collection::vec(op(), 0..120)) {
        run(&ops, 32 << 20, true);
    }

    #[test]
    fn a_small_store_never_holds_more_than_its_limit(ops in prop::collection::vec(op(), 0..200)) {
        run(&ops, 600_000, false);
    }
}

#[test]
fn what_is_used_outlives_what_isnt() {
    let settings = Settings { bytes: "64KiB".parse().unwrap(), ..Settings::default() };
    let world = World::with(&RouteSettings::default(), &settings);
    let sent = |number: u32| request(&format!("GET /{number}"), &[]);
    let body = "x".repeat(3000);
    let is_hit = |number: u32| matches!(world.lookup(&sent(number)), Lookup::Hit(_));
    for number in 0..200 {
        world.send(&sent(number), &answer(200, &["Cache-Control: max-age=60"], &body));
        assert!(is_hit(0), "after {number}");
    }
    let held = (0..200).filter(|&number| is_hit(number)).count();
    assert!((17..=20).contains(&held), "{held} of 3.4 KB each are held in 64 KiB");
    assert!(is_hit(199) && !is_hit(1));
}

#[test]
fn the_hand_goes_on_where_it_was() {
    let settings = Settings { bytes: "64KiB".parse().unwrap(), object_max: "16KiB".parse().unwrap(), ..Settings::default() };
    let world = World::with(&RouteSettings::default(), &settings);
    let sent = |name: char| request(&format!("GET /{name}"), &[]);
    let store = |name: char| drop(world.send(&sent(name), &answer(200, &["Cache-Control: max-age=60"], &"x".repeat(15_000))));
    let is_hit = |name: char| matches!(world.lookup(&sent(name)), Lookup::Hit(_));
    // Room for four.
    "abcd".chars().for_each(store);
    assert!(is_hit('a') && is_hit('b'));
    // Past `a` and `b`, which lose their marks, to `c`; then on to `d`, though `a` has no mark either.
    store('e');
    store('f');
    let held: String = "abcdef".chars().filter(|&name| is_hit(name)).collect();
    assert_eq!(held, "abef");
}

#[test]
fn variants_of_one_url_are_bounded() {
    let settings = Settings { variants_max: 4, ..Settings::default() };
    let world = World::with(&RouteSettings::default(), &settings);
    for value in 0..50 {
        world.send(&request("GET /a", &[&format!("X-A: {value}")]), &answer(200, &["Cache-Control: max-age=60", "Vary: X-A"], "x"));
    }
    assert_eq!(world.cache.count(), 4);
    for value in 46..50 {
        assert!(matches!(world.lookup(&request("GET /a", &[&format!("X-A: {value}")])), Lookup::Hit(_)), "{value}");
    }
}
