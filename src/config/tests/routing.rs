//! Problems with where routes lead: splits, cookies, networks.

use super::problems::{each, routes};

#[test]
fn a_split_names_upstreams_once_and_gives_one_of_them_a_share() {
    each(
        routes,
        &[
            (
                r#"{ "path": "/", "split": [{ "upstream": "ap" }, { "weight": 2 }] }"#,
                &[
                    r#"2:40: routes[0].split[0].upstream: no upstream is named "ap"; did you mean "app"? there are: "app""#,
                    r#"2:48: routes[0].split[1].upstream: is missing; there are: "app""#,
                ],
            ),
            (
                r#"{ "path": "/", "upstream": "app", "split": [{ "upstream": "app" }, { "upstream": "app" }] }"#,
                &[
                    r#"2:28: routes[0].upstream: can't stand beside "split", which names the upstreams; use one of them"#,
                    r#"2:82: routes[0].split[1].upstream: "app" is taken by routes[0].split[0].upstream; write one arm with the sum of their weights"#,
                ],
            ),
            (
                r#"{ "path": "/", "split": [{ "upstream": "app", "weight": 0 }] }"#,
                &["2:25: routes[0].split: sends no request anywhere: all weights are 0; give one of them a weight"],
            ),
            (
                r#"{ "path": "/", "upstream": "app", "sticky": { "by": "ip" }, "split_fallback": true }"#,
                &[
                    r#"2:45: routes[0].sticky: has nothing to keep users in; it belongs to a "split", of which this route has none"#,
                    r#"2:79: routes[0].split_fallback: has nothing to keep users in; it belongs to a "split", of which this route has none"#,
                ],
            ),
        ],
    );
    let arms = vec![r#"{ "upstream": "app" }"#; 33].join(", ");
    let said = super::said("x.json", &routes(&format!(r#"{{ "path": "/", "split": [{arms}] }}"#)));
    assert!(said.contains(&"2:25: routes[0].split: has 33 arms; there can be 32 at most".to_owned()), "{said:?}");
}

#[test]
fn a_user_is_known_by_one_thing() {
    let sticky = |sticky: &str| routes(&format!(r#"{{ "path": "/", "split": [{{ "upstream": "app" }}], "sticky": {sticky} }}"#));
    each(
        sticky,
        &[
            ("{}", &[r#"2:60: routes[0].sticky: says not by what a user is known; write "by" or "cookie""#]),
            (
                r#"{ "by": "ip", "cookie": {} }"#,
                &[r#"2:60: routes[0].sticky: has both "by" and "cookie"; use one of them: a user is known by one thing"#],
            ),
            (
                r#"{ "by": "claim:sub" }"#,
                &[r#"2:68: routes[0].sticky.by: must be "path", "ip", "header:NAME" or "cookie:NAME", is "claim:sub""#],
            ),
            (
                r#"{ "cookie": { "name": "a b", "path": "x; y", "domain": "", "same_site": "none" } }"#,
                &[
                    r#"2:82: routes[0].sticky.cookie.name: "a b" is not a cookie's name; letters, digits, "-" and "_""#,
                    r#"2:97: routes[0].sticky.cookie.path: must begin with "/", without spaces or ";""#,
                    r#"2:115: routes[0].sticky.cookie.domain: must be a host name; leave it out for the host that the client asked"#,
                    r#"2:132: routes[0].sticky.cookie.same_site: "none" without "secure" makes browsers throw the cookie away; add "secure": true"#,
                ],
            ),
        ],
    );
}

#[test]
fn a_mirror_leads_elsewhere_and_is_bounded() {
    let mirror = |mirror: &str| routes(&format!(r#"{{ "path": "/", "upstream": "app", "mirror": {mirror} }}"#));
    each(
        mirror,
        &[
            ("{}", &[r#"2:45: routes[0].mirror.upstream: is missing; there are: "app""#]),
            (
                r#"{ "upstream": "ap" }"#,
                &[r#"2:59: routes[0].mirror.upstream: no upstream is named "ap"; did you mean "app"? there are: "app""#],
            ),
            (
                r#"{ "upstream": "app", "timeout": "0s", "max_body": "17MiB", "header": "Host", "percent": 101 }"#,
                &[
                    "2:59: routes[0].mirror.upstream: serves the route itself: what copies do to it would touch the requests; name another upstream; it may have the same endpoints",
                    "2:77: routes[0].mirror.timeout: must not be 0: a copy that hangs would keep its place for ever",
                    r#"2:95: routes[0].mirror.max_body: must be at most "16MiB"; a copy is held in memory until the request is complete"#,
                    r#"2:114: routes[0].mirror.header: must be a header's name that has no meaning yet; a name of your own, as in "X-Mirrored""#,
                    "2:133: routes[0].mirror.percent: must be a number from 0 to 100, is 101",
                ],
            ),
        ],
    );
}
