//! Tables of patterns, precedence, conditions and problems.

use super::*;

/// Properties as a list: headers, cookies as `cookie:NAME`, and `client`, else 192.0.2.1.
pub(super) struct List<'a>(pub &'a [(&'a str, &'a str)]);

impl Properties for List<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_bytes())
    }

    fn cookie(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(field, _)| field.strip_prefix("cookie:") == Some(name)).map(|(_, value)| value.as_bytes())
    }

    fn client(&self) -> IpAddr {
        let client = self.0.iter().find(|(field, _)| *field == "client").map_or("192.0.2.1", |(_, client)| client);
        client.parse().expect("an address")
    }
}

/// Routes with these paths.
pub(super) fn routes(paths: &[&str]) -> Vec<config::Route> {
    paths.iter().map(|path| route(path, |_| {})).collect()
}

/// The path an endpoint sees; the path must be routed.
pub(super) fn route_path(routes: &[config::Route], path: &str) -> String {
    let (router, mut captures) = (router(routes), Captures::default());
    let Routed::Route(index) = route_with(&router, "GET", "", path, "", &List(&[]), &mut captures) else { panic!("{path} is not routed") };
    let mut out = Vec::new();
    router.rewrite(index).write(path.as_bytes(), &captures, &mut out);
    String::from_utf8(out).expect("ASCII")
}

/// Routes one request.
pub(super) fn route_with(
    router: &Router,
    method: &str,
    host: &str,
    path: &str,
    query: &str,
    properties: &dyn Properties,
    captures: &mut Captures,
) -> Routed {
    let lookup = Lookup {
        method: Method::from_bytes(method.as_bytes()),
        method_name: method.as_bytes(),
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: query.as_bytes(),
        properties,
    };
    router.route(&lookup, captures)
}

fn route(path: &str, change: impl FnOnce(&mut config::Route)) -> config::Route {
    let mut route = config::Route { path: path.to_string(), ..config::Route::default() };
    change(&mut route);
    route
}

fn router(routes: &[config::Route]) -> Router {
    Router::new(routes).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn find(routes: &[config::Route], method: &str, host: &str, path: &str) -> Routed {
    route_with(&router(routes), method, host, path, "", &List(&[]), &mut Captures::default())
}

fn nth(index: u32) -> Routed {
    Routed::Route(RouteIndex(index))
}

#[test]
fn each_kind_of_pattern_takes_what_is_documented() {
    for (pattern, takes, leaves) in [
        ("/users", &["/users"][..], &["/users/", "/user", "/users/1", "/", "//users", "/Users"][..]),
        ("/users/{id}", &["/users/1", "/users/a%2Fb"], &["/users", "/users/", "/users/1/", "/users/1/2"]),
        ("/files/*/raw", &["/files/x/raw"], &["/files/raw", "/files//raw", "/files/x/y/raw", "/files/x/raw/"]),
        ("/api/*", &["/api", "/api/", "/api/x", "/api/x/y/", "/api//"], &["/apix", "/ap", "/"]),
        ("/api/", &["/api", "/api/", "/api/x", "/api/x/y/"], &["/apix", "/"]),
        ("/api/{rest...}", &["/api", "/api/", "/api/x/y"], &["/apix"]),
        ("/", &["/", "/x", "/x/y", "//"], &["", "*"]),
        ("/*", &["/", "/x", "/x/y"], &["", "*"]),
        ("/a//b", &["/a//b"], &["/a/b", "/a///b"]),
        ("~^/v[0-9]+/", &["/v1/", "/v12/x"], &["/v/", "/x/v1/"]),
        ("~\\.(js|css)$", &["/a/b.js", "/x.css"], &["/a.jsx"]),
        ("~(?i)^/ABC$", &["/abc", "/aBC"], &["/abcd"]),
        ("/café/a b", &["/caf%C3%A9/a%20b"], &["/cafe/a b"]),
        ("/%7euser", &["/~user"], &["/%7euser"]),
        ("/twelve-bytes/and-more-here", &["/twelve-bytes/and-more-here"], &["/twelve-bytes/and-more-herf", "/twelve-bytez/and-more-here"]),
    ] {
        let list = routes(&[pattern]);
        for path in takes {
            assert_eq!(find(&list, "GET", "", path), nth(0), "{pattern} takes {path}");
        }
        for path in leaves {
            assert_eq!(find(&list, "GET", "", path), Routed::NoRoute, "{pattern} leaves {path}");
        }
    }
}

#[test]
fn the_better_path_wins_whatever_the_order() {
    let best_first =
        ["/a/b/c", "~^/a/b", "/a/b/{x}", "/a/b/*", "/a/{x}/c", "/a/*/c/*", "/a/{x}/{y}", "/a/*/*", "/a/*", "/{x}/b/c", "/{x}/*", "/*"];
    for skip in 0..best_first.len() {
        let mut paths = best_first[skip..].to_vec();
        assert_eq!(find(&routes(&paths), "GET", "", "/a/b/c"), nth(0), "{paths:?}");
        paths.reverse();
        assert_eq!(find(&routes(&paths), "GET", "", "/a/b/c"), nth(paths.len() as u32 - 1), "{paths:?}");
    }
}

#[test]
fn priority_then_host_then_path_then_conditions_then_order() {
    let on = |host: &str, path: &str| route(path, |route| route.hosts = texts(&[host]));
    let list = [on("*.io", "/a/b"), on("*.a.io", "/"), on("x.a.io", "/*"), routes(&["/a/b"]).remove(0)];
    for (host, expected) in [("x.a.io", 2), ("y.a.io", 1), ("b.io", 0), ("b.com", 3), ("", 3)] {
        assert_eq!(find(&list, "GET", host, "/a/b"), nth(expected), "{host}");
    }
    assert_eq!(find(&list, "GET", "b.io", "/c"), Routed::NoRoute);

    let list = [on("x.io", "/a"), route("~.", |route| route.priority = -1), route("/*", |route| route.priority = 1)];
    assert_eq!(find(&list, "GET", "x.io", "/a"), nth(2));
    assert_eq!(find(&list[..2], "GET", "x.io", "/a"), nth(0));

    let header = config::Match { name: "X".into(), ..config::Match::default() };
    let list = [
        route("/a", |_| {}),
        route("/a", |route| route.methods = texts(&["GET"])),
        route("/a", |route| {
            route.methods = texts(&["GET"]);
            route.headers = vec![header.clone()];
        }),
        route("/a", |route| route.methods = texts(&["GET", "POST"])),
    ];
    let router = router(&list);
    let with = |method, headers: &[(&str, &str)]| route_with(&router, method, "", "/a", "", &List(headers), &mut Captures::default());
    assert_eq!(with("GET", &[("x", "")]), nth(2));
    assert_eq!(with("GET", &[]), nth(1));
    assert_eq!(with("POST", &[]), nth(3));
    assert_eq!(with("PUT", &[]), nth(0));
}

#[test]
fn a_failed_condition_leads_to_the_next_best_route_on_any_level() {
    let beta = config::Match { name: "x-beta".into(), value: Some("1".into()), ..config::Match::default() };
    let list = [
        route("/a/b", |route| {
            route.hosts = texts(&["x.io"]);
            route.headers = vec![beta.clone()];
        }),
        route("/a/{x}", |route| route.methods = texts(&["POST"])),
        route("/{x}/b", |route| route.query = vec![beta.clone()]),
        route("~^/a/", |route| route.headers = vec![beta.clone()]),
        route("/a/*", |_| {}),
    ];
    let router = router(&list);
    let with = |method, host, query, headers: &[(&str, &str)]| {
        route_with(&router, method, host, "/a/b", query, &List(headers), &mut Captures::default())
    };
    assert_eq!(with("GET", "x.io", "", &[("X-Beta", "1")]), nth(0));
    assert_eq!(with("GET", "", "", &[("X-Beta", "1")]), nth(3));
    assert_eq!(with("POST", "x.io", "", &[("X-Beta", "2")]), nth(1));
    assert_eq!(with("GET", "x.io", "x-beta=1", &[]), nth(4));
}

#[test]
fn conditions_test_presence_value_regex_and_their_opposites() {
    let test = |value: Option<&str>, regex: Option<&str>, invert: bool| config::Match {
        name: "k y".into(),
        value: value.map(str::to_string),
        regex: regex.map(str::to_string),
        invert,
    };
    for (settings, holds, fails) in [
        (test(None, None, false), &["k+y", "k%20y=", "a=b&k+y=1"][..], &["", "ky", "k y2=1"][..]),
        (test(None, None, true), &["", "a=k+y"], &["k+y", "k%20y=1"]),
        (test(Some("a&b"), None, false), &["k+y=a%26b", "k+y=1&k+y=a%26b"], &["k+y=a", "k+y", "b&k+y=a&b"]),
        (test(Some("a"), None, true), &["", "k+y=b", "k+y"], &["k+y=a", "k+y=b&k+y=a"]),
        (test(None, Some("^a b$"), false), &["k+y=a+b", "k+y=a%20b"], &["k+y=a+b+", "k+y="]),
        (test(None, Some("^[0-9]+$"), true), &["", "k+y=x"], &["k+y=1"]),
    ] {
        let router = router(&[route("/", |route| route.query = vec![settings.clone()])]);
        let with = |query: &str| route_with(&router, "GET", "", "/", query, &List(&[]), &mut Captures::default());
        holds.iter().for_each(|query| assert_eq!(with(query), nth(0), "{settings:?} {query}"));
        fails.iter().for_each(|query| assert_eq!(with(query), Routed::NoRoute, "{settings:?} {query}"));
    }
    let settings = config::Match { name: "X-Version".into(), regex: Some("^v[12]".into()), ..config::Match::default() };
    let router = router(&[route("/", |route| route.headers = vec![settings])]);
    for (value, expected) in [("v1.3", nth(0)), ("v3", Routed::NoRoute), ("V1", Routed::NoRoute)] {
        assert_eq!(route_with(&router, "GET", "", "/", "", &List(&[("x-version", value)]), &mut Captures::default()), expected, "{value}");
    }
}

#[test]
fn cookies_and_client_networks_are_conditions_and_count_as_such() {
    let beta = config::Match { name: "Beta".into(), value: Some("1".into()), ..config::Match::default() };
    let list = [
        route("/", |_| {}),
        route("/", |route| route.cookies = vec![beta.clone()]),
        route("/", |route| route.clients = texts(&["10.0.0.0/8", "2001:db8::/32"])),
        route("/", |route| {
            route.cookies = vec![beta.clone()];
            route.clients = texts(&["10.0.0.0/8"]);
        }),
        route("/", |route| {
            route.priority = 1;
            route.cookies = vec![config::Match { name: "old".into(), ..config::Match::default() }];
        }),
    ];
    let router = router(&list);
    let with = |list: &[(&str, &str)]| route_with(&router, "GET", "", "/", "", &List(list), &mut Captures::default());
    assert_eq!(with(&[]), nth(0));
    assert_eq!(with(&[("cookie:Beta", "1")]), nth(1));
    assert_eq!(with(&[("cookie:beta", "1")]), nth(0), "names of cookies are case-sensitive");
    assert_eq!(with(&[("cookie:Beta", "2"), ("client", "10.9.9.9")]), nth(2));
    assert_eq!(with(&[("client", "2001:db8::9")]), nth(2));
    assert_eq!(with(&[("cookie:Beta", "1"), ("client", "10.9.9.9")]), nth(3));
    assert_eq!(with(&[("cookie:old", ""), ("client", "10.9.9.9")]), nth(4));
    let refused = Router::new(&[route("/", |route| {
        route.cookies = vec![config::Match { name: "a b".into(), ..config::Match::default() }];
        route.clients = texts(&["10.0.0.1/8"]);
    })]);
    let said: Vec<String> = refused.unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            r#"routes[0].cookies: "a b" is not a cookie name"#,
            r#"routes[0].clients: "10.0.0.1/8" sets bits of the host part; the network is "10.0.0.0/8""#,
        ]
    );
    let alike = Router::new(&[
        route("/", |route| route.clients = texts(&["10.0.0.0/8", "::/0"])),
        route("/", |route| route.clients = texts(&["::/0", "10.0.0.0/8"])),
    ]);
    assert!(alike.unwrap_err()[0].message.contains("is never reached"));
}

#[test]
fn a_missed_method_is_told_with_those_that_are_served() {
    let beta = config::Match { name: "x-beta".into(), ..config::Match::default() };
    let list = [
        route("/a", |route| route.methods = texts(&["POST", "PURGE"])),
        route("/a", |route| {
            route.methods = texts(&["PUT"]);
            route.headers = vec![beta];
        }),
        route("/*", |route| route.methods = texts(&["DELETE"])),
        route("/b", |route| route.methods = texts(&["PURGE", "BREW"])),
    ];
    assert_eq!(find(&list, "GET", "", "/a"), Routed::MethodNotAllowed);
    assert_eq!(find(&list, "PURGE", "", "/a"), nth(0));
    assert_eq!(find(&list, "BREW", "", "/a"), Routed::MethodNotAllowed);
    assert_eq!(find(&list, "BREW", "", "/b"), nth(3));
    assert_eq!(find(&list, "DELETE", "", "/a"), nth(2));
    let lookup = Lookup { method: Method::Get, method_name: b"GET", host: b"", path: b"/a", query: b"", properties: &List(&[]) };
    assert_eq!(router(&list).allowed(&lookup), "POST, DELETE, PURGE");
    assert_eq!(router(&list).allowed(&Lookup { properties: &List(&[("x-beta", "")]), ..lookup }), "POST, PUT, DELETE, PURGE");
}

#[test]
fn problems_name_the_route_the_setting_and_the_way_out() {
    let many = "/{a}".to_string() + &(0..CAPTURES_MAX).map(|at| format!("/{{a{at}}}")).collect::<String>();
    let long = format!("/{}", "a".repeat(PATTERN_BYTES_MAX));
    for (path, part) in [
        ("", "is missing"),
        ("users", "must begin with"),
        ("/a/{id", "never closed"),
        ("/a/id}", "whole segment"),
        ("/a/x{id}", "whole segment"),
        ("/{a}-{b}", "a name of"),
        ("/{}", "a name of"),
        ("/{...}", "a name of"),
        ("/{id}/{id}", "two parameters called {id}"),
        ("/{rest...}/x", "nothing can follow"),
        ("/a/b*", "whole segment"),
        ("/a*/b", "whole segment"),
        ("/**", "whole segment"),
        ("~(", "unclosed group"),
        ("~*^/x", "(?i)"),
        (&many, "at most 16"),
        (&long, "longer than"),
        ("/a?b", "end a path"),
        ("/a/../b", "dot segment"),
        ("/%2e", "dot segment"),
        ("/a%2", "percent escape"),
        ("~(?<a>.)(?<a>.)", "duplicate"),
        ("/a\nb", "control"),
    ] {
        let problems = Router::new(&[route("/fine", |_| {}), route(path, |_| {})]).expect_err(path);
        assert!(problems[0].message.contains(part) && problems.len() == 1, "{path}: {problems:?}");
        assert_eq!((problems[0].route, problems[0].field), (1, "path"));
    }
    let both = config::Match { name: "x".into(), value: Some("1".into()), regex: Some("1".into()), invert: false };
    let name =
        |name: &str, regex: Option<&str>| config::Match { name: name.into(), regex: regex.map(str::to_string), ..config::Match::default() };
    let cases: Vec<(&str, &str, config::Route)> = vec![
        ("hosts", "listed twice", route("/", |route| route.hosts = texts(&["a.io", "A.io."]))),
        ("hosts", "without port", route("/", |route| route.hosts = texts(&["a.io:80"]))),
        ("methods", "did you mean \"GET\"?", route("/", |route| route.methods = texts(&["get"]))),
        ("methods", "not a method", route("/", |route| route.methods = texts(&["G T"]))),
        ("headers", "not a header name", route("/", |route| route.headers = vec![name("a b", None)])),
        ("headers", "has no name", route("/", |route| route.headers = vec![name("", None)])),
        ("headers", "use one of them", route("/", |route| route.headers = vec![both])),
        ("query", "unclosed", route("/", |route| route.query = vec![name("q", Some("["))])),
        ("strip_prefix", "must begin", route("/api/*", |route| route.strip_prefix = Some("api".into()))),
        ("strip_prefix", "no path that", route("/api/*", |route| route.strip_prefix = Some("/v1".into()))),
        ("strip_prefix", "no path that", route("/api", |route| route.strip_prefix = Some("/api/v1".into()))),
        ("rewrite_path", "must begin", route("/{id}", |route| route.rewrite_path = Some("{id}".into()))),
        ("rewrite_path", "no {name}; it captures {id}, {*}", route("/{id}/*", |route| route.rewrite_path = Some("/{name}".into()))),
        ("rewrite_path", "it captures nothing", route("/a", |route| route.rewrite_path = Some("/{*}".into()))),
        ("rewrite_path", "never closed", route("/{id}", |route| route.rewrite_path = Some("/{id".into()))),
        ("rewrite_path", "has no \"{\"", route("/{id}", |route| route.rewrite_path = Some("/id}".into()))),
        ("rewrite_path", "end a path", route("/{id}", |route| route.rewrite_path = Some("/a?id={id}".into()))),
        (
            "strip_prefix",
            "use one of them",
            route("/a/*", |route| (route.strip_prefix, route.rewrite_path) = (Some("/a".into()), Some("/".into()))),
        ),
    ];
    for (field, part, settings) in cases {
        let problems = Router::new(std::slice::from_ref(&settings)).expect_err(part);
        assert!(problems.len() == 1 && problems[0].field == field && problems[0].message.contains(part), "{settings:?}: {problems:?}");
    }
    let all = Router::new(&[route("", |route| route.methods = texts(&["get"])), route("/", |_| {}), route("/{", |_| {})]).expect_err("bad");
    assert_eq!(all.iter().map(|problem| (problem.route, problem.field)).collect::<Vec<_>>(), [(0, "methods"), (0, "path"), (2, "path")]);
}

#[test]
fn routes_that_are_never_reached_name_the_other() {
    let on = |path: &str, hosts: &[&str], methods: &[&str]| {
        route(path, |route| (route.id, route.hosts, route.methods) = (Some(format!("id of {path}")), texts(hosts), texts(methods)))
    };
    for (first, second) in [
        (on("/a", &[], &[]), on("/a", &[], &[])),
        (on("/a/*", &[], &[]), on("/a/", &[], &[])),
        (on("/a/{x}", &[], &[]), on("/a/{y}", &[], &[])),
        (on("/{x}/b", &[], &[]), on("/*/b", &[], &[])),
        (on("~^/a", &["a.io", "b.io"], &[]), on("~^/a", &["c.io", "B.io"], &[])),
        (on("/a", &[], &["GET", "PURGE", "POST"]), on("/a", &[], &["POST", "GET", "PURGE"])),
    ] {
        let problems = Router::new(&[first.clone(), routes(&["/other"]).remove(0), second]).expect_err("unreachable");
        assert_eq!(problems.iter().map(|problem| (problem.route, problem.field)).collect::<Vec<_>>(), [(2, "path")]);
        assert!(problems[0].message.contains(&format!("routes[0] ({:?})", first.name())), "{}", problems[0]);
    }
    for (first, second) in [
        (on("/a", &[], &["GET"]), on("/a", &[], &["POST"])),
        (on("/a", &[], &[]), on("/a", &["a.io"], &[])),
        (on("~^/a", &[], &[]), on("~^/b", &[], &[])),
        (on("/a", &[], &["BREW"]), on("/a", &[], &["PURGE"])),
        (on("/a", &[], &[]), route("/a", |route| route.priority = 1)),
    ] {
        assert!(Router::new(&[first, second]).is_ok());
    }
}
