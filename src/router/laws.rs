//! Laws: the router always answers as a naive model that tries every route.

use std::cmp::Ordering;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::tests::{List, route_with};
use super::*;

/// One request.
#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    host: String,
    path: String,
    query: String,
    headers: Vec<(&'static str, &'static str)>,
}

/// A route under one of its hosts, as the model sees it.
struct Candidate<'a> {
    index: usize,
    route: &'a config::Route,
    host: Option<&'a str>,
}

/// What each part of a pattern takes, compared by the text of the documentation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Literal,
    One,
    End,
    Tail,
}

fn kinds(pattern: &str) -> Vec<Kind> {
    let pieces: Vec<&str> = pattern.split('/').skip(1).collect();
    let mut kinds = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let last = index + 1 == pieces.len();
        kinds.push(match *piece {
            "" | "*" if last => Kind::Tail,
            piece if piece.ends_with("...}") => Kind::Tail,
            "*" => Kind::One,
            piece if piece.starts_with('{') => Kind::One,
            _ => Kind::Literal,
        });
    }
    if kinds.last() != Some(&Kind::Tail) {
        kinds.push(Kind::End);
    }
    kinds
}

/// What a pattern takes from a path, or `None` if it doesn't match.
fn taken(pattern: &str, path: &str) -> Option<Vec<String>> {
    if let Some(expression) = pattern.strip_prefix('~') {
        let found = regex::Regex::new(expression).expect("valid").captures(path)?;
        return Some((1..found.len()).map(|at| found.get(at).map_or(String::new(), |group| group.as_str().to_string())).collect());
    }
    let (pattern_pieces, path_pieces): (Vec<&str>, Vec<&str>) = (pattern.split('/').skip(1).collect(), path.split('/').skip(1).collect());
    let mut taken = Vec::new();
    for (index, kind) in kinds(pattern).into_iter().enumerate() {
        match (kind, path_pieces.get(index)) {
            (Kind::End, None) => {}
            (Kind::Tail, _) => taken.push(path_pieces.get(index..).unwrap_or_default().join("/")),
            (Kind::Literal, Some(piece)) if *piece == pattern_pieces[index] => {}
            (Kind::One, Some(piece)) if !piece.is_empty() => taken.push(piece.to_string()),
            _ => return None,
        }
    }
    Some(taken)
}

fn host_matches(pattern: Option<&str>, host: &str) -> bool {
    let host = host.split(':').next().unwrap_or_default().to_lowercase();
    match pattern {
        None => true,
        Some(pattern) => match pattern.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == pattern,
        },
    }
}

fn conditions_hold(route: &config::Route, request: &Request) -> bool {
    let test = |wanted: &config::Match, value: &str| wanted.value.as_deref().is_none_or(|wanted| wanted == value);
    let header = |wanted: &config::Match| {
        let value = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(&wanted.name));
        value.is_some_and(|(_, value)| test(wanted, value)) != wanted.invert
    };
    let query = |wanted: &config::Match| {
        let mut pairs = request.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.any(|(name, value)| name == wanted.name && test(wanted, value)) != wanted.invert
    };
    let find = |name: &str| request.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
    let cookie =
        |wanted: &config::Match| find(&format!("cookie:{}", wanted.name)).is_some_and(|value| test(wanted, value)) != wanted.invert;
    let client = route.clients.is_empty() || route.clients.iter().any(|network| network == find("client").unwrap_or("192.0.2.1"));
    client && route.headers.iter().all(header) && route.query.iter().all(query) && route.cookies.iter().all(cookie)
}

/// The better of two candidates that match the same request is the lesser.
fn precedence(a: &Candidate, b: &Candidate) -> Ordering {
    let host = |candidate: &Candidate| match candidate.host {
        Some(host) if host.starts_with('*') => (1, usize::MAX - host.len()),
        Some(_) => (0, 0),
        None => (2, 0),
    };
    let path = |candidate: &Candidate| {
        let path = candidate.route.path.as_str();
        let kinds = if path.starts_with('~') { Vec::new() } else { kinds(path) };
        let exact = kinds.last() == Some(&Kind::End) && !kinds.contains(&Kind::One);
        (if exact { 0 } else { usize::from(!kinds.is_empty()) + 1 }, kinds)
    };
    let weight = |candidate: &Candidate| {
        let config::Route { headers, query, cookies, methods, clients, .. } = candidate.route;
        headers.len() + query.len() + cookies.len() + usize::from(!methods.is_empty()) + usize::from(!clients.is_empty())
    };
    (b.route.priority.cmp(&a.route.priority))
        .then_with(|| host(a).cmp(&host(b)))
        .then_with(|| path(a).cmp(&path(b)))
        .then_with(|| weight(b).cmp(&weight(a)))
        .then_with(|| a.index.cmp(&b.index))
}

/// The model: every route is tried.
fn model(routes: &[config::Route], request: &Request) -> (Routed, Vec<String>) {
    let mut matching = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let hosts: Vec<Option<&str>> =
            if route.hosts.is_empty() { vec![None] } else { route.hosts.iter().map(|host| Some(host.as_str())).collect() };
        let candidates = hosts.into_iter().map(|host| Candidate { index, route, host });
        matching.extend(candidates.filter(|candidate| {
            host_matches(candidate.host, &request.host) && taken(&route.path, &request.path).is_some() && conditions_hold(route, request)
        }));
    }
    let missed = !matching.is_empty();
    matching
        .retain(|candidate| candidate.route.methods.is_empty() || candidate.route.methods.iter().any(|method| method == request.method));
    match matching.into_iter().min_by(precedence) {
        Some(best) => (Routed::Route(RouteIndex(best.index as u32)), taken(&best.route.path, &request.path).expect("matches")),
        None if missed => (Routed::MethodNotAllowed, Vec::new()),
        None => (Routed::NoRoute, Vec::new()),
    }
}

/// Routes the router accepts: those it calls unreachable are left out.
fn reachable(mut routes: Vec<config::Route>) -> (Vec<config::Route>, Router) {
    loop {
        match Router::new(&routes) {
            Ok(router) => return (routes, router),
            Err(problems) => {
                for problem in problems.iter().rev() {
                    assert!(problem.message.contains("is never reached"), "{problem}");
                    routes.remove(problem.route);
                }
            }
        }
    }
}

fn path_pattern() -> impl Strategy<Value = String> {
    let piece = select(vec!["a", "b", "longer-than-8", "longer-than-9", "", "{}", "{}", "*"]);
    let end = select(vec!["", "", "", "/", "/*", "/{rest...}"]);
    let pattern = (prop::collection::vec(piece, 1..4), end).prop_map(|(pieces, end)| {
        let mut pattern = String::new();
        for (index, piece) in pieces.iter().enumerate() {
            match *piece {
                "{}" => pattern.push_str(&format!("/{{p{index}}}")),
                piece => pattern.push_str(&format!("/{piece}")),
            }
        }
        pattern + end
    });
    let expression = select(vec!["~^/a", "~b$", "~^/(?<x>[ab])/(b)?", "~^/a/?b*$", "~", "~/long.*8"]).prop_map(str::to_string);
    prop_oneof![6 => pattern, 1 => expression, 1 => Just("/".to_string())]
}

fn condition(names: &'static [&'static str]) -> impl Strategy<Value = config::Match> {
    (select(names), prop::option::of(select(vec!["1", "2"])), prop::bool::weighted(0.3)).prop_map(|(name, value, invert)| config::Match {
        name: name.to_string(),
        value: value.map(str::to_string),
        regex: None,
        invert,
    })
}

fn route() -> impl Strategy<Value = config::Route> {
    let hosts = prop_oneof![2 => Just(Vec::new()), 1 => subsequence(vec!["a.io", "x.a.io", "*.a.io", "*.x.a.io", "*.io"], 1..3)];
    let methods = prop_oneof![2 => Just(Vec::new()), 1 => subsequence(vec!["GET", "POST", "PURGE", "BREW"], 1..3)];
    let headers = prop::collection::vec(condition(&["x-a", "x-b"]), 0..2);
    let query = prop::collection::vec(condition(&["q", "r"]), 0..2);
    let cookies = prop::collection::vec(condition(&["c", "d"]), 0..2);
    let clients = prop_oneof![2 => Just(Vec::new()), 1 => subsequence(vec!["10.0.0.1", "10.0.0.2"], 1..3)];
    let priority = prop_oneof![4 => Just(0), 1 => -1..2];
    let texts = |list: Vec<&str>| list.into_iter().map(str::to_string).collect();
    (path_pattern(), hosts, methods, headers, query, (cookies, clients, priority)).prop_map(
        move |(path, hosts, methods, headers, query, (cookies, clients, priority))| {
            let (hosts, methods, clients) = (texts(hosts), texts(methods), texts(clients));
            config::Route { path, hosts, methods, headers, query, cookies, clients, priority, ..config::Route::default() }
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let method = select(vec!["GET", "POST", "PURGE", "BREW", "DELETE"]);
    let host = select(vec!["a.io", "A.IO:80", "x.a.io", "y.x.a.io", "b.io", "io", ""]).prop_map(str::to_string);
    let path = prop::collection::vec(select(vec!["a", "b", "c", "longer-than-8", "longer-than-9", "longer-than-10", ""]), 1..5)
        .prop_map(|pieces| format!("/{}", pieces.join("/")));
    let query = select(vec!["", "q", "q=1", "q=2&r=1", "r=2&q=2&q=1", "&&", "x=q"]).prop_map(str::to_string);
    let headers =
        subsequence(vec![("X-A", "1"), ("x-b", "2"), ("x-a", "2"), ("cookie:c", "1"), ("cookie:d", "2"), ("client", "10.0.0.1")], 0..6);
    (method, host, path, query, headers).prop_map(|(method, host, path, query, headers)| Request { method, host, path, query, headers })
}

fn answer(router: &Router, request: &Request, captures: &mut Captures) -> (Routed, Vec<String>) {
    let headers = List(&request.headers);
    let routed = route_with(router, request.method, &request.host, &request.path, &request.query, &headers, captures);
    let taken = captures.spans().iter().map(|span| String::from_utf8(span.of(request.path.as_bytes()).to_vec()).expect("text")).collect();
    (routed, taken)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn answers_as_the_model_does(list in prop::collection::vec(route(), 0..24), requests in prop::collection::vec(request(), 24)) {
        let (routes, router) = reachable(list);
        let mut captures = Captures::default();
        for request in &requests {
            prop_assert_eq!(answer(&router, request, &mut captures), model(&routes, request), "{:?} among {:#?}", request, routes);
        }
    }

    #[test]
    fn allowed_methods_are_those_that_are_served(list in prop::collection::vec(route(), 0..12), request in request()) {
        let (routes, router) = reachable(list);
        let headers = List(&request.headers);
        let lookup = Lookup {
            method: Method::Other,
            method_name: b"NONE",
            host: request.host.as_bytes(),
            path: request.path.as_bytes(),
            query: request.query.as_bytes(),
            properties: &headers,
        };
        let allowed = router.allowed(&lookup);
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "BREW", "PURGE"] {
            let request = Request { method, ..request.clone() };
            // A method no route lists is served by routes for all methods, but those aren't told one by one.
            let served = matches!(model(&routes, &request).0, Routed::Route(_));
            let listed = Method::from_bytes(method.as_bytes()) != Method::Other || routes.iter().any(|route| route.methods.iter().any(|name| name == method));
            prop_assert_eq!(allowed.split(", ").any(|name| name == method), served && listed);
        }
    }

    #[test]
    fn any_bytes_end_in_an_answer(
        list in prop::collection::vec(route(), 0..8),
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..48), 4),
        slash in any::<bool>(),
    ) {
        let (_, router) = reachable(list);
        let headers = List(&[]);
        let path = if slash { [b"/", parts[1].as_slice()].concat() } else { parts[1].clone() };
        let lookup = Lookup { method: Method::Other, method_name: &parts[3], host: &parts[0], path: &path, query: &parts[2], properties: &headers };
        let mut captures = Captures::default();
        if let Routed::Route(route) = router.route(&lookup, &mut captures) {
            router.rewrite(route).write(&path, &captures, &mut Vec::new());
        }
    }

    #[test]
    fn any_settings_end_in_a_router_or_problems(path in "[/~]?[a{}*./%\\\\()...é]{0,12}", change in "/?[a{}*./%é]{0,10}", host in "[a*.:\\[\\]é]{0,6}", request in "/[a./%]{0,10}") {
        let stripped = config::Route { path: path.clone(), strip_prefix: Some(change.clone()), ..config::Route::default() };
        let rewritten = config::Route { path, rewrite_path: Some(change), hosts: vec![host], ..config::Route::default() };
        for route in [stripped, rewritten] {
            if let Ok(router) = Router::new(std::slice::from_ref(&route)) {
                let mut captures = Captures::default();
                let (mut out, host) = (Vec::new(), route.hosts.first().map_or("", |host| host));
                if let Routed::Route(index) = route_with(&router, "GET", host, &request, "", &List(&[]), &mut captures) {
                    router.rewrite(index).write(request.as_bytes(), &captures, &mut out);
                    prop_assert_eq!(out.first(), Some(&b'/'));
                    prop_assert!(!out.iter().any(|byte| matches!(byte, b'?' | b'#') || !byte.is_ascii_graphic()));
                }
            }
        }
    }
}
