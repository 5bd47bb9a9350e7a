//! Rewrites: what endpoints see of path, query and headers, and what clients see of headers and statuses.

use serde_json::{Value, json};

use crate::harness::{End, Gateway, Hostile, get};

const OK: &str = "HTTP/1.1 200 OK\r\nX-Server: 1\r\nContent-Length: 2\r\n\r\nok";

fn rewriting(endpoint: &Hostile, route: Value, rewrite: Value) -> Gateway {
    let mut routes = json!([{ "id": "r", "path": "/", "upstream": "up", "middlewares": [{ "rewrite": rewrite }] }]);
    routes[0].as_object_mut().unwrap().extend(route.as_object().unwrap().clone());
    Gateway::with(&endpoint.address, json!({ "routes": routes, "listener": { "trusted_proxies": ["127.0.0.1"] } }))
}

#[test]
fn paths_are_rewritten_by_expression_and_stay_paths() {
    let endpoint = Hostile::answering(OK);
    let rules = json!([
        { "regex": "^/old/(?<id>[0-9]+)/(.*)$", "to": "/new/{2}/{id}" },
        { "regex": "^/by-header$", "to": "/x/{header.X-To}/end" },
        { "regex": "^/by-query", "to": "/q/{query.a b}" },
        { "regex": "^//?$", "to": "/two{{}}" },
    ]);
    let gateway = rewriting(&endpoint, json!({ "path": "/app/*", "strip_prefix": "/app" }), json!({ "path": rules }));
    let mut client = gateway.connect();
    for (target, header, seen) in [
        ("/app/old/42/a/b?x=1", "", "/new/a/b/42?x=1"),
        ("/app/old/x/y", "", "/old/x/y"),
        ("/app/by-header", "X-To: a b?c#d&e\r\n", "/x/a%20b%3Fc%23d&e/end"),
        ("/app/by-header", "X-To: ../up\r\n", "/up/end"),
        ("/app/by-header", "X-To: \u{e9}\r\n", "/x/%C3%A9/end"),
        ("/app/by-header", "", "/x//end"),
        ("/app/by-query?a+b=c%2Fd+e", "", "/q/c%2Fd+e?a+b=c%2Fd+e"),
        ("/app//", "", "/two%7B%7D"),
        // The head before, which needn't be routed again.
        ("/app//", "", "/two%7B%7D"),
    ] {
        let answer = client.ask(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{header}\r\n"));
        assert_eq!((answer.status(), endpoint.last().target()), (200, seen), "{target} {header}");
    }
    // Above the root, and an escape that isn't one.
    for (header, seen) in [("X-To: ../../../up\r\n", 400), ("X-To: %00\r\n", 400)] {
        let answer = client.ask(format!("GET /app/by-header HTTP/1.1\r\nHost: h\r\n{header}\r\n"));
        assert_eq!((answer.status(), answer.reason()), (seen, "bad_target"), "{header}");
    }
}

#[test]
fn queries_are_edited_by_name() {
    let endpoint = Hostile::answering(OK);
    let query =
        json!({ "remove": ["debug"], "rename": { "q": "search for" }, "set": { "via": "{route}/{client_ip}", "copy": "{query.q}" } });
    let gateway = rewriting(&endpoint, json!({}), json!({ "query": query }));
    let mut client = gateway.connect();
    for (target, seen) in [
        ("/", "/?copy=&via=r/127.0.0.1"),
        ("/?a=1&debug&%64ebug=2&q=x%26y&b", "/?a=1&search%20for=x%26y&b&copy=x%26y&via=r/127.0.0.1"),
        ("/?via=forged&copy=1&&", "/?copy=&via=r/127.0.0.1"),
        ("/?q=1%0d%0aX:2", "/?search%20for=1%0d%0aX:2&copy=1%0d%0aX:2&via=r/127.0.0.1"),
    ] {
        assert_eq!((client.ask(get(target)).status(), endpoint.last().target()), (200, seen), "{target}");
    }
}

#[test]
fn headers_are_set_by_templates_both_ways_and_nothing_can_be_smuggled_in() {
    let endpoint = Hostile::answering(OK);
    let request = json!({
        "set_headers": { "X-Who": "{client_ip} at {host} for {param.user}", "X-Empty": "{header.X-None}", "X-Id": "{request_id}" },
        "add_headers": { "X-Raw": "[{header.X-In}] {query.q}" },
    });
    let response = json!({ "set_headers": { "X-Server": "{route} {path}", "X-Id": "{request_id}" } });
    let gateway = rewriting(&endpoint, json!({ "path": "/users/{user}/*" }), json!({ "request": request, "response": response }));
    let mut client = gateway.connect();
    let head = "Host: a.example:80\r\nX-Forwarded-For: 192.0.2.7\r\nX-Who: me\r\nX-Empty: not\r\nX-Raw: mine\r\nX-In: t\tab\r\n\r\n";
    for _ in 0..2 {
        let answer = client.ask(format!("GET /users/ann/x?q=1%0d%0aEvil:1 HTTP/1.1\r\n{head}"));
        let seen = endpoint.last();
        assert_eq!(seen.field("x-who"), Some("192.0.2.7 at a.example:80 for ann"));
        assert_eq!((seen.field("x-empty"), seen.field("evil")), (None, None));
        assert_eq!(seen.all("x-raw"), ["mine", "[t\tab] 1%0d%0aEvil:1"]);
        assert_eq!((answer.all("x-server"), answer.field("x-id")), (vec!["r /users/ann/x"], seen.field("x-request-id")));
        assert_eq!(seen.field("x-id"), seen.field("x-request-id"));
    }
    // A trusted peer's id is the one that is passed on.
    let answer = client.ask("GET /users/ann/x HTTP/1.1\r\nHost: h\r\nX-Request-ID: given-1\r\n\r\n");
    assert_eq!((endpoint.last().field("x-id"), answer.field("x-id")), (Some("given-1"), Some("given-1")));
}

#[test]
fn statuses_are_mapped_and_bodies_go_where_none_may_be() {
    let map = json!({ "404": 204, "500": 205, "204": 200, "201": 202, "503": 404 });
    let answer = |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nX-A: 1\r\n{body}");
    for (from, body, to, seen) in [
        ("404 Gone Fishing", "Content-Length: 4\r\n\r\nbody", "HTTP/1.1 204 ", None),
        ("404 Not Found", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "HTTP/1.1 204 ", None),
        ("500 Oops", "Content-Length: 4\r\n\r\nbody", "HTTP/1.1 205 ", Some("0")),
        ("204 No Content", "\r\n", "HTTP/1.1 200 ", Some("0")),
        ("201 Created", "Content-Length: 4\r\n\r\nbody", "HTTP/1.1 202 ", Some("4")),
        ("200 OK", "Content-Length: 4\r\n\r\nbody", "HTTP/1.1 200 OK", Some("4")),
    ] {
        let endpoint = Hostile::answering(answer(from, body));
        let gateway = rewriting(&endpoint, json!({ "retry_count": 0 }), json!({ "status": map }));
        let mut client = gateway.connect();
        for _ in 0..3 {
            let answer = client.ask(get("/"));
            assert_eq!((answer.start(), answer.field("content-length"), answer.field("x-a")), (to, seen, Some("1")), "{from}");
            assert_eq!((answer.field("transfer-encoding"), answer.text()), (None, if seen == Some("4") { "body" } else { "" }));
        }
        client.send("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!((client.bodiless().start(), client.rest()), (to, (Vec::new(), End::Closed)), "{from}");
    }
}

#[test]
fn a_body_that_is_left_out_is_not_waited_for_and_the_gateways_own_statuses_stay() {
    let endpoint = Hostile::start(|peer| {
        while peer.request().is_some() {
            peer.send("HTTP/1.1 404 Not Found\r\nContent-Length: 1000000\r\n\r\nbegun");
            peer.wait_told();
        }
    });
    let gateway = rewriting(&endpoint, json!({ "retry_count": 0 }), json!({ "status": { "404": 204, "502": 200 } }));
    let mut client = gateway.connect();
    assert_eq!(client.ask(get("/")).status(), 204);
    assert_eq!(client.ask(get("/")).status(), 204);
    assert_eq!(endpoint.connections(), 2, "the rest of the body can't be told from the next answer");
    endpoint.tell();
    endpoint.tell();
    let gateway = Gateway::with("127.0.0.1:1", json!({ "middlewares": [{ "rewrite": { "status": { "502": 200 } } }] }));
    assert_eq!(gateway.get("/").refusal(), (502, "connect_failed"));
}
