//! `Cache-Control` in any form: what is malformed is never read mildly, and what is added to it never makes it milder.

use ringway::cache::{Directives, SECONDS_MAX};
use ringway::http::{Field, Known, Span};

use super::{Draw, for_each_seed};

#[test]
fn cache_control() {
    for_each_seed("cache_control", |draw| {
        let value = mutant(draw);
        let found = read(&[&value]);
        check(&found);
        // A list may stand in several lines: where it was cut at a comma outside of quotes, it means the same.
        if !found.malformed && !value.contains(&b'"') {
            let lines: Vec<&[u8]> = value.split(|&byte| byte == b',').collect();
            assert_eq!(read(&lines), found);
        }
        // Before and behind, in the same line and in one of its own.
        let strict = draw.one_of(STRICT);
        for lines in
            [vec![[strict, b", ", &value].concat()], vec![[&value, &b", "[..], strict].concat()], vec![strict.to_vec(), value.clone()]]
        {
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let stricter = read(&lines);
            check(&stricter);
            match strict {
                b"no-store" => assert!(stricter.no_store),
                b"private" => assert!(stricter.private),
                // In a quoted string that doesn't end it counts for nothing, but then nothing is fresh.
                b"no-cache" => assert!(stricter.no_cache || stricter.malformed),
                b"max-age=1" => assert!(stricter.max_age.is_some_and(|seconds| seconds <= 1) || stricter.malformed),
                _ => assert!(stricter.must_revalidate || stricter.malformed),
            }
        }
    });
}

fn check(found: &Directives) {
    let Directives { max_age, s_maxage, stale_while_revalidate, stale_if_error, max_stale, min_fresh, .. } = *found;
    for seconds in [max_age, s_maxage, stale_while_revalidate, stale_if_error, max_stale, min_fresh] {
        assert!(seconds.is_none_or(|seconds| seconds <= SECONDS_MAX));
    }
}

/// What these lines say.
fn read(lines: &[&[u8]]) -> Directives {
    let (mut bytes, mut fields) = (Vec::new(), Vec::new());
    for line in lines {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(line);
        let value = Span { start, end: bytes.len() as u32 };
        fields.push(Field { name: Span::default(), value, known: Known::CacheControl, hop: false });
    }
    Directives::read(&fields, &bytes)
}

/// A few pieces, some with a byte changed.
fn mutant(draw: &mut Draw) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..draw.below(6) {
        value.extend_from_slice(draw.one_of(PIECES));
        if draw.below(3) > 0 {
            value.extend_from_slice(b", ");
        }
    }
    if draw.below(3) == 0 && !value.is_empty() {
        let at = draw.below(value.len());
        value[at] = draw.next() as u8;
    }
    value
}

const STRICT: &[&[u8]] = &[b"no-store", b"private", b"no-cache", b"max-age=1", b"must-revalidate"];

const PIECES: &[&[u8]] = &[
    b"public",
    b"no-store",
    b"private",
    b"private=\"a\"",
    b"no-cache",
    b"no-cache=\"set-cookie, x\"",
    b"no-cache=\"",
    b"must-revalidate",
    b"max-age=60",
    b"MAX-AGE=\"60\"",
    b"max-age =60",
    b"max-age=99999999999999999999",
    b"s-maxage=-1",
    b"stale-while-revalidate=10",
    b"max-stale",
    b"x=\"a, b\\\"c\"",
    b"x",
    b"=",
    b"\"",
    b"\\",
    b";",
    b",",
    b"\t",
    b"\xe9",
];
