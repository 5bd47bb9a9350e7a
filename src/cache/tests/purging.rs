//! Purging by URL, prefix and tag.

use super::*;

/// A world with /a, /a/b and /c, tagged by their letters.
fn world() -> World {
    let world = World::new();
    for (path, tags) in [("/a", "Cache-Tag: a, all"), ("/a/b", "Surrogate-Key: a b all"), ("/c", "Cache-Tag: all,c")] {
        world.send(&request(&format!("GET {path}"), &[]), &answer(200, &["Cache-Control: max-age=60", tags, "Vary: X-A"], "x"));
        world.send(&request(&format!("GET {path}"), &["X-A: 1"]), &answer(200, &["Cache-Control: max-age=60", tags, "Vary: X-A"], "x"));
    }
    world
}

fn left(world: &World) -> Vec<&'static str> {
    let is_hit = |path: &str, fields: &[&str]| matches!(world.lookup(&request(&format!("GET {path}"), fields)), Lookup::Hit(_));
    ["/a", "/a/b", "/c"]
        .into_iter()
        .filter(|path| {
            let hits = (is_hit(path, &[]), is_hit(path, &["X-A: 1"]));
            assert_eq!(hits.0, hits.1, "{path}: all of its variants or none");
            hits.0
        })
        .collect()
}

#[test]
fn a_purge_takes_what_it_names_and_nothing_else() {
    let of = |text: &str| -> Box<[u8]> { text.as_bytes().into() };
    for (purge, expected) in [
        (Purge::Url(of("http://example.com/a")), &["/a/b", "/c"][..]),
        (Purge::Url(of("http://example.com/a/")), &["/a", "/a/b", "/c"]),
        (Purge::Url(of("https://example.com/a")), &["/a", "/a/b", "/c"]),
        (Purge::Url(of("/a")), &["/a", "/a/b", "/c"]),
        (Purge::Url(of("http://EXAMPLE.com/a")), &["/a", "/a/b", "/c"]),
        (Purge::Prefix(of("http://example.com/a")), &["/c"]),
        (Purge::Prefix(of("http://example.com/a/")), &["/a", "/c"]),
        (Purge::Prefix(of("http://example.org/")), &["/a", "/a/b", "/c"]),
        (Purge::Tag(of("a")), &["/c"]),
        (Purge::Tag(of("b")), &["/a", "/c"]),
        (Purge::Tag(of("al")), &["/a", "/a/b", "/c"]),
        (Purge::Tag(of("")), &["/a", "/a/b", "/c"]),
        (Purge::Tag(of("all")), &[]),
        (Purge::Everything, &[]),
    ] {
        let world = world();
        world.cache.purge(&purge);
        assert_eq!(left(&world), expected, "{purge:?}");
        world.cache.sweep(3);
        assert_eq!(left(&world), expected, "{purge:?}");
        world.cache.sweep(3);
        assert_eq!((left(&world), world.cache.count()), (expected.to_vec(), 2 * expected.len()), "{purge:?}");
    }
}

#[test]
fn what_is_stored_after_a_purge_stays() {
    let world = world();
    world.cache.purge(&Purge::Everything);
    world.store(&["Cache-Control: max-age=60"], "new");
    world.cache.sweep(usize::MAX);
    assert_eq!(world.cache.count(), 1);
    assert!(world.is_hit());
}

#[test]
fn entries_that_come_while_a_sweep_is_under_way_hide_none() {
    let world = world();
    world.cache.sweep(usize::MAX);
    world.cache.purge(&Purge::Tag((*b"all").into()));
    for number in 0..20 {
        world.cache.sweep(1);
        world.send(&request(&format!("GET /new/{number}"), &[]), &answer(200, &["Cache-Control: max-age=60", "Cache-Tag: all"], "x"));
    }
    world.cache.sweep(6);
    assert_eq!(world.cache.count(), 20);
}

#[test]
fn any_number_of_purges_is_taken() {
    let world = world();
    for number in 0..100 {
        world.cache.purge(&Purge::Tag(format!("{number}").into_bytes().into()));
    }
    assert_eq!(left(&world).len(), 3);
    world.cache.purge(&Purge::Tag((*b"c").into()));
    assert_eq!(left(&world), ["/a", "/a/b"]);
}
