//! Which request goes where, and the pages that the gateway serves itself.

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, Wire, get};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gateway with these routes; each marks its requests by its id.
fn routed(routes: Value) -> (Hostile, Gateway) {
    let endpoint = Hostile::answering(OK);
    let Value::Array(mut routes) = routes else { panic!("a list of routes") };
    for route in &mut routes {
        route["add_headers"] = json!({ "X-Route": route["id"] });
        route["upstream"] = json!("up");
    }
    let gateway = Gateway::with(&endpoint.address, json!({ "routes": routes }));
    (endpoint, gateway)
}

/// The route that a request takes, or the refusal's reason.
fn route(endpoint: &Hostile, client: &mut Wire, request: &str) -> String {
    let answer = client.ask(request);
    match answer.status() {
        200 => endpoint.last().field("x-route").unwrap().to_owned(),
        _ => answer.reason().to_owned(),
    }
}

#[test]
fn paths() {
    let (endpoint, gateway) = routed(json!([
        { "id": "exact", "path": "/users" },
        { "id": "prefix", "path": "/users/" },
        { "id": "param", "path": "/users/{id}/orders" },
        { "id": "segment", "path": "/files/*/raw" },
        { "id": "below", "path": "/api/*" },
        { "id": "regex", "path": "~^/v[0-9]+/" },
    ]));
    let mut client = gateway.connect();
    for (path, expected) in [
        ("/users", "exact"),
        ("/users?a=b", "exact"),
        ("/users/", "prefix"),
        ("/users/7", "prefix"),
        ("/users/7/orders", "param"),
        ("/users/7/orders/8", "prefix"),
        ("/files/a/raw", "segment"),
        ("/files/a/b/raw", "no_route"),
        ("/api/x/y", "below"),
        ("/v12/a", "regex"),
        ("/v/a", "no_route"),
        ("/Users", "no_route"),
        ("/x/../users", "exact"),
        ("/", "no_route"),
    ] {
        assert_eq!(route(&endpoint, &mut client, &get(path)), expected, "{path}");
    }
    assert_eq!(client.ask(get("/..%2f..%2fusers")).refusal(), (400, "bad_target"));
}

#[test]
fn hosts_methods_and_conditions() {
    let (endpoint, gateway) = routed(json!([
        { "id": "any", "path": "/" },
        { "id": "host", "path": "/", "hosts": ["api.example.com"] },
        { "id": "suffix", "path": "/", "hosts": ["*.example.com"] },
        { "id": "header", "path": "/", "headers": [{ "name": "X-Client", "value": "mobile" }] },
        { "id": "cookie", "path": "/c", "headers": [{ "name": "Cookie", "regex": "(^|; )beta=1" }] },
        { "id": "no-cookie", "path": "/c", "headers": [{ "name": "Cookie", "invert": true }] },
        { "id": "query", "path": "/", "query": [{ "name": "version", "value": "2" }] },
        { "id": "post", "path": "/m", "methods": ["POST", "PUT"] },
        { "id": "urgent", "path": "/*", "priority": 9, "headers": [{ "name": "X-Urgent" }] },
    ]));
    let mut client = gateway.connect();
    let mut ask = |line: &str, host: &str, header: &str| {
        route(&endpoint, &mut client, &format!("{line} HTTP/1.1\r\nHost: {host}\r\n{header}Content-Length: 0\r\n\r\n"))
    };
    assert_eq!(ask("GET /", "other", ""), "any");
    assert_eq!(ask("GET /", "api.example.com", ""), "host");
    assert_eq!(ask("GET /", "API.Example.COM:8080", ""), "host");
    assert_eq!(ask("GET /", "www.example.com", ""), "suffix");
    assert_eq!(ask("GET /", "example.com", ""), "any");
    assert_eq!(ask("GET http://api.example.com/", "other", ""), "host");
    assert_eq!(ask("GET /", "other", "X-Client: mobile\r\n"), "header");
    assert_eq!(ask("GET /", "other", "X-Client: mobiles\r\n"), "any");
    assert_eq!(ask("GET /c", "other", "Cookie: a=b; beta=1\r\n"), "cookie");
    assert_eq!(ask("GET /c", "other", ""), "no-cookie");
    assert_eq!(ask("GET /?version=2", "other", ""), "query");
    assert_eq!(ask("GET /?xversion=2", "other", ""), "any");
    assert_eq!(ask("POST /m", "other", ""), "post");
    assert_eq!(ask("GET /", "api.example.com", "X-Urgent: 1\r\n"), "urgent");
}

#[test]
fn a_method_that_no_route_has() {
    let (endpoint, gateway) = routed(json!([
        { "id": "read", "path": "/doc", "methods": ["GET"] },
        { "id": "write", "path": "/doc", "methods": ["PUT", "DELETE"] },
    ]));
    let mut client = gateway.connect();
    let answer = client.ask("POST /doc HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(answer.refusal(), (405, "method_not_allowed"));
    let mut allowed: Vec<&str> = answer.field("allow").unwrap().split(", ").collect();
    allowed.sort_unstable();
    assert!(allowed.iter().filter(|method| **method != "HEAD").eq(&["DELETE", "GET", "PUT"]), "{allowed:?}");
    assert_eq!(route(&endpoint, &mut client, &get("/doc")), "read");
    assert_eq!(client.ask(get("/nothing")).refusal(), (404, "no_route"));
}

#[test]
fn pages_on_the_gateways_own_port() {
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::to(&endpoint.address);
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.ask(get("/"));
    }
    let health = client.ask(get("/gateway/health"));
    assert_eq!((health.status(), health.field("content-type")), (200, Some("application/json")));
    assert_eq!(health.json()["status"], "healthy");
    assert!(health.json()["timestamp"].as_str().is_some_and(|stamp| stamp.ends_with('Z')), "{health:?}");
    assert_eq!(health.json()["metrics"]["total_requests"], 3);
    let metrics = client.ask(get("/gateway/metrics"));
    for name in [
        "gateway_requests_total 4",
        "gateway_requests_successful_total 4",
        "gateway_requests_failed_total 0",
        "gateway_active_connections 1",
        "gateway_response_time_seconds 0.",
    ] {
        assert!(metrics.text().contains(&format!("\n{name}")), "{name} in {}", metrics.text());
    }
    for page in ["/health", "/livez", "/readyz"] {
        assert_eq!(client.ask(get(page)).status(), 200, "{page}");
    }
    assert_eq!(endpoint.seen().len(), 3, "pages are the gateway's own");
}

#[test]
fn pages_may_move_and_be_switched_off() {
    let endpoint = Hostile::answering(OK);
    let moved = json!({ "built_in": { "health": "/up", "livez": "" } });
    let gateway = Gateway::with(&endpoint.address, moved);
    assert_eq!(gateway.get("/up").text(), "ok\n");
    assert_eq!(endpoint.seen().len(), 0);
    for page in ["/health", "/livez"] {
        assert_eq!(gateway.get(page).text(), "ok");
        assert_eq!(endpoint.last().target(), page);
    }
    let off = json!({ "built_in": { "enabled": false } });
    let gateway = Gateway::with(&endpoint.address, off);
    for page in ["/gateway/health", "/gateway/metrics", "/health", "/livez", "/readyz"] {
        gateway.get(page);
        assert_eq!(endpoint.last().target(), page);
        assert_eq!(gateway.page("GET", page).status(), 200, "the private listener has it all the same");
    }
}

#[test]
fn pages_for_operators() {
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::to(&endpoint.address);
    assert_eq!(gateway.page("GET", "/config").json()["generation"], 1);
    crate::harness::until("the upstreams page to name the endpoint", || {
        let page = gateway.page("GET", "/upstreams").json();
        (page["upstreams"][0]["id"] == "up").then_some(())
    });
    assert!(gateway.page("GET", "/").text().contains("POST /reload"));
    assert_eq!(gateway.page("GET", "/nothing").status(), 404);
    let off = Gateway::with(&endpoint.address, json!({ "features": { "metrics": false } }));
    assert_eq!(off.page("GET", "/metrics").status(), 404);
    off.get("/gateway/metrics");
    assert_eq!(endpoint.last().target(), "/gateway/metrics", "a page that is off leaves its path to the routes");
}

#[test]
fn health_follows_the_success_rate() {
    let endpoint = Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            let _ = peer.try_send(format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\n\r\n", &request.target()[1..]));
        }
    });
    let gateway = Gateway::to(&endpoint.address);
    let ask = |status: u16, times: usize| (0..times).for_each(|_| assert_eq!(gateway.get(&format!("/{status}")).status(), status));
    let health = |total: u64| {
        gateway.wait("gateway_requests_total", total as f64);
        gateway.page("GET", "/gateway/health").json()["status"].as_str().unwrap().to_owned()
    };
    ask(200, 9);
    ask(404, 9);
    ask(500, 2);
    assert_eq!(health(20), "healthy", "90 % without failure");
    ask(500, 1);
    assert_eq!(health(21), "degraded");
    ask(500, 15);
    assert_eq!(health(36), "degraded", "50 % without failure");
    ask(502, 1);
    assert_eq!(health(37), "unhealthy");
}
