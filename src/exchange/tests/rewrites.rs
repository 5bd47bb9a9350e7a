//! Rewrites that don't fit their route.

use super::*;
use crate::middleware::{Entry, Rewrite};

fn problems(path: &str, cached: bool, own: bool, rewrite: &str) -> Vec<String> {
    let mut config = config(&[path], 1);
    let rewrite: Rewrite = serde_json::from_str(rewrite).expect("settings");
    let entry = Entry { rewrite: Some(rewrite), ..Entry::default() };
    if own { &mut config.routes[0].middlewares } else { &mut config.middlewares }.push(entry);
    config.routes[0].cache_enabled = Some(cached);
    let built = Plan::build(config, 1, 1);
    built.err().unwrap_or_default().into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

#[test]
fn parameters_are_those_of_the_routes_pattern() {
    let rewrite = r#"{ "request": { "set_headers": { "X-A": "{param.id} {param.ip} {param.*}" } } }"#;
    assert_eq!(
        problems("/users/{id}/{x...}", false, true, rewrite),
        [
            "routes[0].middlewares[0].rewrite: the path captures no {ip}; it captures {id}, {x}",
            "routes[0].middlewares[0].rewrite: the path captures no {*}; it captures {id}, {x}"
        ]
    );
    assert!(problems("/users/{id}", false, false, rewrite).is_empty(), "other routes of the gateway may have them");
}

#[test]
fn what_the_cache_can_not_tell_apart_is_not_asked_for_on_a_cached_route() {
    for (rewrite, why) in [
        (
            r#"{ "path": [{ "regex": "^/", "to": "/{header.X-Lang}" }] }"#,
            "asks the endpoint by {header.X-Lang}, which the cache doesn't tell answers apart by",
        ),
        (
            r#"{ "query": { "set": { "a": "{client_ip}" } } }"#,
            "asks the endpoint by {client_ip}, which the cache doesn't tell answers apart by",
        ),
        (r#"{ "status": { "404": 200 } }"#, "maps statuses, which stored answers keep"),
    ] {
        for own in [true, false] {
            let expected = format!("routes[0].cache_enabled: is cached, but its rewrite \"rewrite\" {why}");
            assert_eq!(problems("/*", true, own, rewrite), [expected]);
            assert!(problems("/*", false, own, rewrite).is_empty());
        }
    }
    let harmless = r#"{ "path": [{ "regex": "^/(.*)", "to": "/{1}/{host}" }], "response": { "set_headers": { "X-A": "{client_ip}" } } }"#;
    assert!(problems("/*", true, true, harmless).is_empty());
}
