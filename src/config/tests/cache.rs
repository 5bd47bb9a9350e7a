//! What is said about the cache's settings.

use super::{load, said};

fn with(gateway: &str, route: &str) -> String {
    format!(
        r#"{{ "upstreams": [{{ "id": "a", "endpoints": [{{ "url": "http://127.0.0.1:1" }}] }}],
{gateway}
"routes": [{{ "path": "/", "upstream": "a", {route} }}] }}"#
    )
}

#[test]
fn what_is_wrong_is_told() {
    for (gateway, route, expected) in [
        (
            r#""cache": { "bytes": "1KiB" },"#,
            "",
            &[r#"2:21: cache.bytes: must be from "64KiB" to "1024GiB"; to do without a cache: "features": { "cache": false }"#][..],
        ),
        (
            r#""cache": { "bytes": "1MiB", "object_max": "257KiB" },"#,
            "",
            &[r#"2:43: cache.object_max: must be at most a quarter of cache.bytes, "256KiB"; one response must not push out all others"#],
        ),
        (r#""cache": { "variants_max": 0 },"#, "", &["2:28: cache.variants_max: must be a whole number from 1 to 256, is 0"]),
        ("", r#""cache_ttl": "5m""#, &[r#"3:57: routes[0].cache_ttl: has no effect: this route has no cache; add "cache_enabled": true"#]),
        (
            "",
            r#""cache_enabled": false, "cache": {}, "cache_ttl": "5m""#,
            &[r#"3:94: routes[0].cache_ttl: has no effect: this route has no cache; add "cache_enabled": true"#],
        ),
        (
            "",
            r#""cache": { "key": { "headers": ["a b"], "cookies": [""], "query": ["a=b", "c"] }, "set_cookie": "stirp" }"#,
            &[
                r#"3:76: routes[0].cache.key.headers[0]: "a b" is not the name of a header"#,
                r#"3:96: routes[0].cache.key.cookies[0]: "" is not the name of a cookie"#,
                r#"3:111: routes[0].cache.key.query[0]: "a=b" is not the name of a query parameter"#,
                r#"3:140: routes[0].cache.set_cookie: there is no "stirp"; did you mean "strip"? there are: "pass", "strip", "store""#,
            ],
        ),
    ] {
        assert_eq!(said("x.json", &with(gateway, route)), expected, "{gateway} {route}");
    }
}

#[test]
fn a_route_says_whether_it_is_cached() {
    for (route, expected) in [
        ("", false),
        (r#""cache_enabled": true"#, true),
        (r#""cache": {}"#, true),
        (r#""cache_enabled": false, "cache": {}"#, false),
        (r#""cache_enabled": true, "cache": {}, "cache_ttl": "5m""#, true),
    ] {
        for (switch, on) in [("", true), (r#""features": { "cache": false },"#, false)] {
            let loaded = load("x.json", &with(switch, route)).expect("nothing is wrong with it");
            let plan = crate::run::build(&loaded, 1).expect("it can be served");
            assert_eq!(plan.routes[0].cache.is_some(), expected && on, "{route} {switch}");
        }
    }
}
