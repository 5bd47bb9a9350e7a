//! The chain between routing and the endpoint: what each kind does to requests and answers, in order, alone and together.

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, Message, config, get};

const OK: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: https://of.endpoint\r\nX-Frame-Options: ALLOWALL\r\n\r\nok";

fn chained(endpoint: &Hostile, middlewares: Value) -> Gateway {
    Gateway::with(&endpoint.address, json!({ "middlewares": middlewares }))
}

fn with_lines(method: &str, target: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n")
}

/// A message's header, by name.
fn fields<'a>(message: &'a Message, names: &[&str]) -> Vec<Option<&'a str>> {
    names.iter().map(|name| message.field(name)).collect()
}

#[test]
fn headers_change_both_ways_and_routes_replace_or_switch_off_what_the_gateway_has() {
    let endpoint = Hostile::answering(OK);
    let mut config = json!({ "middlewares": [
        { "headers": { "request": { "set_headers": { "X-From": "gateway" } }, "response": { "add_headers": { "X-Back": "gateway" } } } },
    ] });
    config["routes"] = json!([
        { "path": "/", "upstream": "up" },
        { "path": "/own", "upstream": "up", "middlewares": [{ "headers": { "request": { "set_headers": { "X-From": "route" } } } }] },
        { "path": "/off", "upstream": "up", "middlewares": [{ "id": "headers", "enabled": false }] },
    ]);
    let gateway = Gateway::with(&endpoint.address, config);
    for (target, from, back) in [("/", Some("gateway"), Some("gateway")), ("/own", Some("route"), None), ("/off", None, None)] {
        let answer = gateway.get(target);
        assert_eq!((endpoint.last().field("x-from"), answer.field("x-back")), (from, back), "{target}");
    }
}

#[test]
fn security_headers_are_on_every_answer_also_those_the_gateway_makes() {
    let endpoint = Hostile::answering(OK);
    let gateway = chained(&endpoint, json!([{ "security_headers": { "content_security_policy": "default-src 'self'" } }]));
    let mut client = gateway.connect();
    // Strict-Transport-Security is for TLS alone.
    for (request, status) in [(get("/"), 200), (get("/../.."), 400), ("BREW / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), 505)] {
        let answer = client.ask(request);
        assert_eq!(answer.status(), status);
        assert_eq!(answer.all("x-frame-options"), ["DENY"], "the endpoint's is replaced");
        assert_eq!(
            fields(&answer, &["strict-transport-security", "x-content-type-options", "referrer-policy", "content-security-policy"]),
            [None, Some("nosniff"), Some("strict-origin-when-cross-origin"), Some("default-src 'self'")],
        );
        assert_eq!(answer.field("permissions-policy"), None);
    }
}

const GRANTS: &[&str] = &["access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers"];

#[test]
fn origins_that_are_listed_may_read_and_no_others() {
    let endpoint = Hostile::answering(OK);
    let cors = json!({ "origins": ["https://app.example", "https://*.apps.example"], "credentials": true, "exposed_headers": ["X-Count"] });
    let gateway = chained(&endpoint, json!([{ "cors": cors }]));
    let ask = |origin: &str| gateway.connect().ask(with_lines("GET", "/", &[&format!("Origin: {origin}")]));
    for origin in ["https://app.example", "https://a.apps.example", "https://a.b.apps.example"] {
        let answer = ask(origin);
        assert_eq!(fields(&answer, GRANTS), [Some(origin), Some("true"), Some("X-Count")]);
        assert_eq!(answer.all("vary"), ["Origin"]);
    }
    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://apps.example",
        "https://.apps.example",
        "https://xapps.example",
        "null",
        "https://app.example.evil.example",
        "https://app.example:444",
    ] {
        let answer = ask(origin);
        assert_eq!((answer.status(), fields(&answer, GRANTS)), (200, vec![None, None, None]), "{origin}");
        assert_eq!(answer.all("vary"), ["Origin"], "a cache must not serve it to another origin");
    }
    let none = gateway.get("/");
    assert_eq!((fields(&none, GRANTS), none.field("vary")), (vec![None, None, None], Some("Origin")));
}

#[test]
fn any_origin_may_read_where_the_star_says_so() {
    let endpoint = Hostile::answering(OK);
    let gateway = chained(&endpoint, json!([{ "cors": {} }]));
    let answer = gateway.get("/");
    assert_eq!(answer.all("access-control-allow-origin"), ["*"], "whoever asks, and the endpoint's own is replaced");
    assert_eq!((answer.field("vary"), answer.field("access-control-allow-credentials")), (None, None));
}

#[test]
fn preflights_are_answered_here_also_where_the_route_does_not_serve_options() {
    let endpoint = Hostile::answering(OK);
    let mut config = json!({ "middlewares": [{ "cors": { "origins": ["https://app.example"], "methods": ["PUT"], "headers": ["X-Token"], "max_age": "5m" } }] });
    config["routes"] = json!([{ "path": "/", "upstream": "up", "methods": ["GET", "PUT"] }]);
    let gateway = Gateway::with(&endpoint.address, config);
    let preflight = |origin: &str, method: &str, headers: &str| {
        let lines = [
            format!("Origin: {origin}"),
            format!("Access-Control-Request-Method: {method}"),
            format!("Access-Control-Request-Headers: {headers}"),
        ];
        gateway.connect().ask(with_lines("OPTIONS", "/", &[&lines[0], &lines[1], &lines[2]]))
    };
    let answer = preflight("https://app.example", "PUT", "x-token");
    assert_eq!((answer.status(), answer.field("content-length")), (204, None));
    assert_eq!(
        fields(
            &answer,
            &["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers", "access-control-max-age"]
        ),
        [Some("https://app.example"), Some("PUT"), Some("x-token"), Some("300")],
    );
    assert!(answer.all("vary").join(", ").contains("Origin"), "{:?}", answer.all("vary"));
    assert_eq!(preflight("https://app.example", "GET", "").status(), 204, "GET needs no leave");
    for (origin, method, headers) in [
        ("https://evil.example", "PUT", "x-token"),
        ("https://app.example", "PUT", "x-other"),
        ("https://app.example", "PUT", "x-token, a b"),
    ] {
        let answer = preflight(origin, method, headers);
        assert_eq!(answer.refusal(), (403, "cors_refused"), "{origin} {method} {headers}");
        assert_eq!(fields(&answer, GRANTS), [None, None, None]);
    }
    assert_eq!(preflight("https://app.example", "DELETE", "").refusal(), (405, "method_not_allowed"), "no route serves it at all");
    assert_eq!(gateway.connect().ask(with_lines("OPTIONS", "/", &["Origin: https://app.example"])).status(), 405, "that was no preflight");
    assert_eq!(endpoint.seen().len(), 0, "none of them reached the endpoint");
}

#[test]
fn a_preflight_reaches_no_endpoint_by_the_method_it_names() {
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::with(&endpoint.address, json!({ "routes": [{ "path": "/", "upstream": "up", "methods": ["PUT"] }] }));
    let lines = ["Origin: https://app.example", "Access-Control-Request-Method: PUT"];
    let mut client = gateway.connect();
    for again in 0..3 {
        assert_eq!(client.ask(with_lines("OPTIONS", "/", &lines)).refusal(), (405, "method_not_allowed"), "{again}");
    }
    assert_eq!(endpoint.seen().len(), 0);
}

#[test]
fn networks_are_let_in_or_not() {
    let endpoint = Hostile::answering(OK);
    let filter = |deny: &[&str], allow: &[&str]| json!({ "ip_filter": { "deny": deny, "allow": allow } });
    for (deny, allow, status) in [
        (&["127.0.0.0/8"][..], &[][..], 403),
        (&["10.0.0.0/8"], &[], 200),
        (&[], &["127.0.0.1"], 200),
        (&[], &["10.0.0.0/8", "::1"], 403),
        (&["127.0.0.1"], &["127.0.0.0/8"], 403),
    ] {
        let gateway = chained(&endpoint, json!([filter(deny, allow)]));
        let answer = gateway.get("/");
        assert_eq!(answer.status(), status, "{deny:?} {allow:?}");
        if status == 403 {
            assert_eq!(answer.reason(), "ip_denied");
        }
    }
    // A trusted proxy's word counts, a stranger's doesn't.
    let lines = ["X-Forwarded-For: 10.1.2.3"];
    let trusting = json!({ "middlewares": [filter(&["10.0.0.0/8"], &[])], "listener": { "trusted_proxies": ["127.0.0.0/8"] } });
    assert_eq!(Gateway::with(&endpoint.address, trusting).connect().ask(with_lines("GET", "/", &lines)).refusal(), (403, "ip_denied"));
    let gateway = chained(&endpoint, json!([filter(&[], &["10.0.0.0/8"])]));
    assert_eq!(gateway.connect().ask(with_lines("GET", "/", &lines)).refusal(), (403, "ip_denied"));
}

#[test]
fn a_route_takes_smaller_requests_than_the_gateway() {
    let endpoint = Hostile::answering(OK);
    let gateway = chained(&endpoint, json!([{ "request_limit": { "body": "10B", "uri": "64B", "headers": 4 } }]));
    assert_eq!(gateway.connect().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789").status(), 200);
    assert_eq!(
        gateway.connect().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n0123456789a").refusal(),
        (413, "body_too_large")
    );
    let chunked = |size: usize| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size))
    };
    assert_eq!(gateway.connect().ask(chunked(10)).status(), 200);
    let strict = Hostile::start(|peer| {
        // It answers only what it has got whole.
        while peer.request().is_some() {
            peer.send(OK);
        }
    });
    let gateway = chained(&strict, json!([{ "request_limit": { "body": "10B" } }]));
    assert_eq!(gateway.connect().ask(chunked(11)).refusal(), (413, "body_too_large"));
    assert_eq!(gateway.get("/").status(), 200, "the limit of one request is not another's");
    let gateway = chained(&endpoint, json!([{ "request_limit": { "uri": "64B", "headers": 4 } }]));
    assert_eq!(gateway.connect().ask(get(&format!("/{}", "a".repeat(64)))).refusal(), (414, "uri_too_long"));
    assert_eq!(gateway.connect().ask(with_lines("GET", "/", &["A: 1", "B: 2", "C: 3", "D: 4"])).refusal(), (431, "too_many_headers"));
}

#[test]
fn a_route_takes_larger_bodies_than_the_gateway() {
    let endpoint = Hostile::answering(OK);
    let large = json!({ "path": "/large", "upstream": "up", "middlewares": [{ "request_limit": { "body": "1KiB" } }] });
    let routes = json!([{ "path": "/", "upstream": "up" }, large]);
    let gateway = Gateway::with(&endpoint.address, json!({ "limits": { "body": "10B" }, "routes": routes }));
    let counted = |path: &str, size: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        gateway.connect().ask(head + &"x".repeat(size))
    };
    let chunked = |path: &str, size: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n");
        gateway.connect().ask(head + &"x".repeat(size) + "\r\n0\r\n\r\n")
    };
    for (path, size) in [("/", 10), ("/large", 11), ("/large", 1024)] {
        assert_eq!((counted(path, size).status(), chunked(path, size).status()), (200, 200), "{path} {size}");
    }
    for (path, size) in [("/", 11), ("/large", 1025)] {
        assert_eq!(counted(path, size).refusal(), (413, "body_too_large"), "{path} {size}");
    }
}

#[test]
fn a_filter_on_trial_refuses_nobody_and_tells() {
    let endpoint = Hostile::answering(OK);
    let gateway = chained(&endpoint, json!([{ "ip_filter": { "deny": ["127.0.0.0/8"], "mode": "shadow" } }]));
    for _ in 0..3 {
        assert_eq!(gateway.get("/").status(), 200);
    }
    gateway.wait("gateway_ip_filter_shadow_total{filter=\"ip_filter\",route=\"/\"}", 3.0);
    gateway.wait_log("IP filter would have refused filter=ip_filter route=/ requests=");
}

#[test]
fn some_routes_need_no_upstream() {
    let gateway = Gateway::start(&json!({
        "listener": { "address": "127.0.0.1", "port": 0 }, "admin": { "port": 0 },
        "routes": [
            { "path": "/about", "middlewares": [{ "respond": { "status": 418, "body": "short and stout", "headers": { "X-Pot": "tea" } } }] },
            { "path": "/none", "middlewares": [{ "respond": { "status": 204 } }] },
            { "path": "/old/*", "middlewares": [{ "redirect": { "to": "https://{host}{path}" } }] },
            { "path": "/moved", "middlewares": [{ "redirect": { "to": "/new?from=old", "status": 302 } }] },
            { "path": "/here/*", "middlewares": [{ "redirect": { "to": "/{path}", "keep_query": false } }] },
        ],
    }));
    let mut client = gateway.connect();
    let answer = client.ask(get("/about"));
    assert_eq!((answer.status(), answer.text(), answer.field("x-pot")), (418, "short and stout", Some("tea")));
    let answer = client.ask(get("/none"));
    assert_eq!((answer.status(), answer.field("content-length")), (204, None));
    for (target, status, location) in [
        ("/old/a%20b?x=1", 308, "https://a.example/old/a%20b?x=1"),
        ("/moved?y=2", 302, "/new?from=old&y=2"),
        ("/here/x?z=3", 308, "/here/x"),
    ] {
        let answer = client.ask(with_lines("GET", target, &[]).replace("a.example", "a.example:8080"));
        assert_eq!((answer.status(), answer.field("location"), answer.text()), (status, Some(location), ""), "{target}");
    }
    assert_eq!(client.ask(with_lines("HEAD", "/moved", &[])).field("location"), Some("/new?from=old"));
}

#[test]
fn faults_are_made_for_those_who_ask() {
    let endpoint = Hostile::answering(OK);
    let fault = json!({ "delay_percent": 100, "delay": "120ms", "abort_percent": 100, "abort_status": 503, "header": "X-Fault" });
    let gateway = chained(&endpoint, json!([{ "fault": fault }]));
    assert_eq!(gateway.get("/").status(), 200);
    let began = std::time::Instant::now();
    let answer = gateway.connect().ask(with_lines("GET", "/", &["X-Fault: yes"]));
    assert!(answer.status() == 503 && answer.text().contains("fault_injected"), "{}", answer.text());
    assert!(began.elapsed() >= std::time::Duration::from_millis(120), "delayed before it was aborted");
    assert_eq!(endpoint.seen().len(), 1);
    for (proxies, status) in [(json!([]), 200), (json!(["127.0.0.0/8"]), 503)] {
        let fault = json!([{ "fault": { "abort_percent": 100, "header": "X-Fault", "from_trusted": true } }]);
        let gateway = Gateway::with(&endpoint.address, json!({ "middlewares": fault, "listener": { "trusted_proxies": proxies } }));
        assert_eq!(gateway.connect().ask(with_lines("GET", "/", &["X-Fault: yes"])).status(), status);
        assert_eq!(gateway.get("/").status(), 200);
    }
    let gateway = chained(&endpoint, json!([{ "fault": { "abort_percent": 30 } }]));
    let mut client = gateway.connect();
    let aborted = (0..400).filter(|_| client.ask(get("/")).status() == 503).count();
    assert!((60..=180).contains(&aborted), "{aborted} of 400 at 30 %: ten standard deviations off");
}

#[test]
fn the_first_link_that_answers_decides_and_those_before_it_see_its_answer() {
    let endpoint = Hostile::answering(OK);
    let cors = json!({ "cors": { "origins": ["https://app.example"] } });
    let deny = json!({ "ip_filter": { "deny": ["127.0.0.0/8"] } });
    let lines = ["Origin: https://app.example"];
    let ask = |middlewares: Value| chained(&endpoint, middlewares).connect().ask(with_lines("GET", "/", &lines));
    let answer = ask(json!([cors, deny]));
    assert_eq!((answer.refusal(), answer.field(GRANTS[0])), ((403, "ip_denied"), Some("https://app.example")), "the page may read why");
    let answer = ask(json!([deny, cors]));
    assert_eq!((answer.refusal(), answer.field(GRANTS[0])), ((403, "ip_denied"), None), "cors came too late");
}

#[test]
fn what_was_decided_for_one_request_is_not_left_for_the_next() {
    let endpoint = Hostile::answering(OK);
    let gateway = chained(&endpoint, json!([{ "cors": { "origins": ["https://app.example"] } }]));
    let mut client = gateway.connect();
    for round in 0..3 {
        let answer = client.ask(with_lines("GET", "/", &["Origin: https://app.example"]));
        assert_eq!(answer.field(GRANTS[0]), Some("https://app.example"), "{round}");
        assert_eq!(client.ask(get("/")).field(GRANTS[0]), None, "{round}");
        assert_eq!(client.ask(get("/%")).field(GRANTS[0]), None, "{round}: refused before the chain");
    }
}

#[test]
fn a_bad_chain_is_refused_with_its_place() {
    let bad = json!({ "middlewares": [
        { "cors": { "origins": ["*", "app.example"], "credentials": true } },
        { "redirect": { "to": "//evil.example", "status": 200 } },
        { "fault": {} },
        { "ip_filter": { "allow": ["10.0.0.0/33"] } },
        { "respond": { "headers": { "A b": "c" } } },
    ] });
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::to(&endpoint.address);
    let mut changed = config(&endpoint.address, bad);
    changed["listener"] = json!({ "address": "127.0.0.1", "port": 0 });
    let answer = gateway.reload(&changed);
    assert!(answer.status() >= 400, "{}", answer.text());
    for place in [
        "middlewares[0].cors.origins[1]",
        "middlewares[0].cors.credentials",
        "middlewares[1].redirect.to",
        "middlewares[1].redirect.status",
        "middlewares[2].fault.abort_percent",
        "middlewares[3].ip_filter.allow[0]",
        "middlewares[4].respond.headers.A b",
    ] {
        assert!(answer.text().contains(place), "{place}: {}", answer.text());
    }
    assert_eq!(gateway.get("/").status(), 200);
}
