//! The cache against the naive model of RFC 9111, and against any bytes.

use proptest::prelude::*;
use proptest::sample::select;

use super::model::{Answer as Expected, Request, Response};
use super::*;

type Directive = (&'static str, Option<String>);

fn argument() -> impl Strategy<Value = Option<String>> {
    let number = prop_oneof![8 => (0..300u32).prop_map(|number| number.to_string()), 1 => Just("99999999999999999999".to_owned()), 1 => select(vec!["x", "-1", "1.5"]).prop_map(str::to_owned)];
    prop_oneof![9 => number.prop_map(Some), 1 => Just(None)]
}

fn directives(plain: Vec<&'static str>, timed: Vec<&'static str>) -> impl Strategy<Value = Vec<Directive>> {
    let one = prop_oneof![1 => select(plain).prop_map(|name| (name, None)), 2 => (select(timed), argument())];
    prop::collection::vec(one, 0..4)
}

fn response() -> impl Strategy<Value = Response> {
    let told = directives(
        vec!["no-store", "no-cache", "private", "public", "must-revalidate", "proxy-revalidate", "must-understand", "immutable"],
        vec!["max-age", "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"],
    );
    let status =
        prop_oneof![4 => Just(200), 1 => select(vec![203, 204, 206, 299, 301, 302, 303, 307, 308, 400, 403, 404, 410, 451, 500, 501, 503])];
    let rare = |weight| prop::bool::weighted(weight);
    let seconds = |most: i64| prop::option::of(0..most);
    let expires = prop::option::weighted(0.3, prop_oneof![4 => (-100..300i64).prop_map(Ok), 1 => Just(Err(()))]);
    (status, told, expires, seconds(100), prop::option::of(0..200u32), seconds(4_000_000), any::<bool>(), rare(0.05), rare(0.05)).prop_map(
        |(status, directives, expires, date, age, modified, etag, set_cookie, varies)| Response {
            status,
            directives,
            expires,
            date,
            age,
            modified,
            etag,
            set_cookie,
            varies,
        },
    )
}

fn a_request() -> impl Strategy<Value = Request> {
    let asked = prop_oneof![
        2 => Just(Vec::new()),
        3 => directives(vec!["no-cache", "no-store", "only-if-cached", "max-stale"], vec!["max-age", "max-stale", "min-fresh"]),
    ];
    (prop::bool::weighted(0.2), asked, prop::bool::weighted(0.1)).prop_map(|(authorization, directives, pragma)| Request {
        authorization,
        directives,
        pragma,
    })
}

fn written(directives: &[Directive]) -> String {
    let one = |(name, argument): &Directive| argument.as_ref().map_or((*name).to_owned(), |argument| format!("{name}={argument}"));
    directives.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn date(wall: i64) -> String {
    text(&date_line(wall as u64)).trim_end().trim_start_matches("Date: ").to_owned()
}

fn sent(request: &Request) -> Sent {
    let mut fields = Vec::new();
    if request.authorization {
        fields.push("Authorization: Bearer x".to_owned());
    }
    if !request.directives.is_empty() {
        fields.push(format!("Cache-Control: {}", written(&request.directives)));
    }
    if request.pragma {
        fields.push("Pragma: no-cache".to_owned());
    }
    get(&fields.iter().map(String::as_str).collect::<Vec<_>>())
}

fn got(response: &Response) -> Got {
    let mut fields = Vec::new();
    if !response.directives.is_empty() {
        fields.push(format!("Cache-Control: {}", written(&response.directives)));
    }
    if let Some(expires) = response.expires {
        fields.push(format!("Expires: {}", expires.map_or("0".to_owned(), |expires| date(WALL as i64 + expires))));
    }
    fields.extend(response.date.map(|before| format!("Date: {}", date(WALL as i64 - before))));
    fields.extend(response.age.map(|age| format!("Age: {age}")));
    fields.extend(response.modified.map(|before| format!("Last-Modified: {}", date(WALL as i64 - before))));
    fields.extend(response.etag.then(|| "ETag: \"a\"".to_owned()));
    fields.extend(response.set_cookie.then(|| "Set-Cookie: a=b".to_owned()));
    fields.extend(response.varies.then(|| "Vary: *".to_owned()));
    answer(response.status, &fields.iter().map(String::as_str).collect::<Vec<_>>(), "")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_rfc_says(first in a_request(), response in response(), second in a_request(), resident in 0..400i64) {
        let mut world = World::new();
        let asked = sent(&first);
        if !matches!(world.lookup(&asked), Lookup::OnlyIfCached) {
            world.send(&asked, &got(&response));
        } else {
            return Ok(());
        }
        let stores = model::stores(&first, &response);
        prop_assert!(stores || world.cache.count() == 0, "it is stored though it must not be");
        world.pass(resident as u64);
        let mut expected = if stores { model::answer(&second, &response, resident) } else { Expected::Forward };
        if world.cache.count() == 0 && expected != Expected::Timeout {
            // What was of no use when it came isn't stored.
            prop_assert!(expected != Expected::Reuse, "it could have been stored");
            let only = second.directives.iter().any(|(name, _)| *name == "only-if-cached");
            expected = if only { Expected::Timeout } else { Expected::Forward };
        }
        let asked = sent(&second);
        let found = match world.lookup(&asked) {
            Lookup::Hit(hit) => {
                let age = world.served(&hit, None).header("age").expect("each hit has an age");
                prop_assert_eq!(age.parse::<i64>(), Ok(model::age(&response, resident)));
                Expected::Reuse
            }
            Lookup::Stale(..) => Expected::Stale,
            Lookup::Forward(_) => Expected::Forward,
            Lookup::OnlyIfCached => Expected::Timeout,
            Lookup::Wait(_) => unreachable!("nobody is there"),
        };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_cache_control_ends_in_an_answer(value in "[ -~\\t]{0,60}", asked in "[ -~\\t]{0,60}") {
        let world = World::new();
        world.send(&get(&[]), &answer(200, &[&format!("Cache-Control: {value}"), "ETag: \"a\""], "x"));
        let words = |text: &str| text.to_ascii_lowercase();
        let quoted = value.contains('"') || value.contains('\\');
        if !quoted && ["no-store", "private"].iter().any(|word| words(&value).split([',', ' ', '\t']).any(|part| part == *word)) {
            prop_assert_eq!(world.cache.count(), 0);
        }
        drop(world.lookup(&get(&[&format!("Cache-Control: {asked}")])));
    }

    #[test]
    fn what_is_added_to_a_strict_word_never_softens_it(
        strict in select(vec!["no-store", "private", "no-cache", "max-age=0", "max-age=x", "s-maxage=0", "max-age=60 x"]),
        others in directives(vec!["public", "immutable", "must-understand", "x"], vec!["max-age", "stale-if-error", "x"]),
        first: bool,
    ) {
        let others = written(&others);
        prop_assume!(!(others.contains("must-understand") && strict == "no-store"));
        prop_assume!(strict != "max-age=0" && strict != "max-age=x" || !others.contains("s-maxage"));
        let value = if first { format!("{strict}, {others}") } else { format!("{others}, {strict}") };
        let world = World::new();
        world.send(&get(&[]), &answer(200, &[&format!("Cache-Control: {value}"), "ETag: \"a\""], "x"));
        prop_assert!(!world.is_hit(), "{}", value);
    }
}
