//! Conditions and ranges of clients, answered from the store (RFC 9110 sections 13 and 14), and HEAD.

use super::*;

const ETAG: &str = "ETag: \"a\"";
const MODIFIED: &str = "Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT";

fn world(fields: &[&str]) -> World {
    let world = World::new();
    world.store(
        &[fields, &["Cache-Control: max-age=60", "Content-Type: text/plain", "Content-Language: en", "Content-Location: /b"]].concat(),
        "0123456789",
    );
    world
}

fn asked(world: &World, fields: &[&str]) -> Went {
    let went = world.served(&world.hit(&get(fields)), None);
    assert_eq!(went.outcome, Outcome::Hit);
    went
}

#[test]
fn what_the_client_has_isnt_sent_again() {
    let world = world(&[ETAG, MODIFIED]);
    for fields in [
        &["If-None-Match: \"a\""][..],
        &["If-None-Match: W/\"a\""],
        &["If-None-Match: \"x,y\", \"a\""],
        &["If-None-Match: \"x\"", "If-None-Match: \"a\""],
        &["If-None-Match: *"],
        &["If-None-Match: \"a\"", "If-Modified-Since: Sun, 06 Nov 1988 07:49:37 GMT"],
        &["If-Modified-Since: Sun, 06 Nov 1994 07:49:37 GMT"],
        &["If-Modified-Since: Sunday, 06-Nov-94 08:00:00 GMT"],
        &["If-None-Match: \"a\"", "Range: bytes=0-1"],
    ] {
        let went = asked(&world, fields);
        assert_eq!((went.status, went.body.as_str()), (304, ""), "{fields:?}");
        assert_eq!(
            went.head,
            format!(
                "HTTP/1.1 304 Not Modified\r\n{ETAG}\r\n{MODIFIED}\r\nCache-Control: max-age=60\r\nContent-Location: /b\r\nDate: {DATE}\r\nAge: 0\r\nCache-Status: ringway; hit; ttl=60\r\n"
            )
        );
    }
    for fields in [
        &["If-None-Match: \"x\""][..],
        &["If-None-Match: a"],
        &["If-None-Match: w/\"a\""],
        &["If-None-Match: \"\""],
        &["If-None-Match: \"x\"", "If-Modified-Since: Sun, 06 Nov 1994 07:49:37 GMT"],
        &["If-None-Match: \"x, \"a\""],
        &["If-Modified-Since: Sun, 06 Nov 1994 07:49:36 GMT"],
        &["If-Modified-Since: later"],
        &["If-Modified-Since: Sun, 06 Nov 1994 07:49:37 GMT", "If-Modified-Since: Sun, 06 Nov 1994 07:49:37 GMT"],
    ] {
        let went = asked(&world, fields);
        assert_eq!((went.status, went.body.as_str()), (200, "0123456789"), "{fields:?}");
    }
}

#[test]
fn without_last_modified_the_date_counts() {
    let world = world(&[]);
    assert_eq!(asked(&world, &[&format!("If-Modified-Since: {DATE}")]).status, 304);
    assert_eq!(asked(&world, &["If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT"]).status, 200);
    assert_eq!(asked(&world, &["If-None-Match: \"\""]).status, 200, "no tag is like no tag");
}

#[test]
fn only_a_200_is_answered_in_part() {
    let world = World::new();
    world.send(&get(&[]), &answer(404, &["Cache-Control: max-age=60", ETAG], "0123456789"));
    for field in ["If-None-Match: \"a\"", "Range: bytes=0-1", "If-None-Match: *"] {
        assert_eq!(asked(&world, &[field]).status, 404, "{field}");
    }
}

#[test]
fn ranges_are_cut_from_the_whole() {
    let world = world(&[ETAG, MODIFIED]);
    let went = asked(&world, &["Range: bytes=2-4"]);
    assert_eq!((went.status, went.body.as_str()), (206, "234"));
    assert_eq!(
        went.head,
        format!(
            "HTTP/1.1 206 Partial Content\r\n{ETAG}\r\n{MODIFIED}\r\nCache-Control: max-age=60\r\nContent-Type: text/plain\r\nContent-Language: en\r\n\
             Content-Location: /b\r\nDate: {DATE}\r\nContent-Length: 3\r\nContent-Range: bytes 2-4/10\r\nAge: 0\r\nCache-Status: ringway; hit; ttl=60\r\n"
        )
    );
    assert_eq!(asked(&world, &["Range: bytes=-1"]).body, "9");
    let went = asked(&world, &["Range: bytes=10-"]);
    assert_eq!((went.status, went.body.as_str(), went.header("content-range").as_deref()), (416, "", Some("bytes */10")));
    assert_eq!((went.header("content-length").as_deref(), went.header("date").as_deref()), (Some("0"), Some(DATE)));
    for fields in [&["Range: bytes=0-1,3-4"][..], &["Range: bytes=x"], &["Range: bytes=0-1", "Range: bytes=0-1"]] {
        assert_eq!(asked(&world, fields).status, 200, "{fields:?}");
    }
}

#[test]
fn if_range_takes_strong_validators_only() {
    let status = |stored: &[&str], if_range: &str| asked(&world(stored), &["Range: bytes=0-0", &format!("If-Range: {if_range}")]).status;
    assert_eq!(status(&[ETAG], "\"a\""), 206);
    assert_eq!(status(&[MODIFIED], "Sun, 06 Nov 1994 07:49:37 GMT"), 206);
    for (stored, if_range) in [
        (ETAG, "\"b\""),
        (ETAG, "W/\"a\""),
        ("ETag: W/\"a\"", "W/\"a\""),
        ("ETag: W/\"a\"", "\"a\""),
        (MODIFIED, "Sun, 06 Nov 1994 07:49:38 GMT"),
        (MODIFIED, "Sunday, 06-Nov-94 07:49:37 GMT"),
        ("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"),
        (ETAG, ""),
    ] {
        assert_eq!(status(&[stored], if_range), 200, "{stored} {if_range}");
    }
}

#[test]
fn head_is_answered_from_a_stored_get() {
    let world = world(&[ETAG]);
    let went = world.served(&world.hit(&request("HEAD /a", &["Range: bytes=0-1"])), None);
    assert_eq!((went.status, went.body.as_str(), went.header("content-length").as_deref()), (200, "", Some("10")));
    assert_eq!(world.served(&world.hit(&request("HEAD /a", &["If-None-Match: \"a\""])), None).status, 304);
}

#[test]
fn vary_tells_answers_apart() {
    let world = World::new();
    let ask = |fields: &[&str], body: &str| {
        world.send(&get(fields), &answer(200, &["Cache-Control: max-age=60", "Vary: Accept-Encoding, X-A"], body))
    };
    assert!(ask(&["Accept-Encoding: gzip, br", "X-A: 1"], "one").cache_status().contains("fwd=uri-miss"));
    for fields in [
        &["Accept-Encoding: gzip, br"][..],
        &["Accept-Encoding: gzip, br", "X-A: 2"],
        &["Accept-Encoding: gzip, br", "X-A: 1", "X-A: 1"],
        &["X-A: 1"],
        &["Accept-Encoding:", "X-A: 1"],
        &[],
    ] {
        let went = ask(fields, "other");
        assert!(went.cache_status().contains("fwd=vary-miss"), "{fields:?}: {}", went.cache_status());
        assert_eq!(ask(fields, "never").body, "other");
    }
    for fields in [&["Accept-Encoding: GZIP,br", "x-a: 1"][..], &["Accept-Encoding: gzip", "accept-encoding:  br", "X-A: 1"]] {
        assert_eq!(ask(fields, "never").body, "one", "{fields:?}");
    }
}

#[test]
fn the_newest_vary_counts() {
    let mut world = World::new();
    let store = |world: &World, asked: &[&str], vary: &str| {
        let mut fields = asked.to_vec();
        fields.push("Cache-Control: no-cache");
        world.send(&get(&fields), &answer(200, &["Cache-Control: max-age=60", vary], vary));
    };
    let hit = |world: &World, asked: &[&str]| match world.lookup(&get(asked)) {
        Lookup::Hit(hit) => Some(written(&hit, world.now).1),
        _ => None,
    };
    store(&world, &["A: 1"], "Vary: A");
    store(&world, &["A: 2"], "Vary: A");
    assert_eq!((hit(&world, &["A: 1"]).is_some(), hit(&world, &["A: 2"]).is_some()), (true, true));
    store(&world, &["A: 1"], "X-No: vary");
    assert_eq!(hit(&world, &["A: 2"]).as_deref(), Some("X-No: vary"), "the answer that varied is out of date");
    store(&world, &["A: 1", "B: 1"], "Vary: A, B");
    assert_eq!((hit(&world, &["A: 1", "B: 1"]).as_deref(), hit(&world, &["A: 1"])), (Some("Vary: A, B"), None));
    world.pass(1);
    assert_eq!(world.cache.count(), 1);
}
