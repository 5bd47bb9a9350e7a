//! What each side is told about the other: headers added, changed, kept and left out on the way.

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, Message, get, up};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The request as the endpoint gets it, and the answer as the client does.
fn relayed(changes: Value, request: &str, answer: &'static str) -> (Message, Message) {
    let endpoint = Hostile::answering(answer);
    let gateway = Gateway::with(&endpoint.address, changes);
    let answer = gateway.connect().ask(request);
    (endpoint.last(), answer)
}

fn forwarded(changes: Value, request: &str) -> Message {
    relayed(changes, request, OK).0
}

fn trusting() -> Value {
    json!({ "listener": { "trusted_proxies": ["127.0.0.0/8"] } })
}

const CLAIMS: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Real-IP: 3.3.3.3\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Host: b.example\r\nX-Forwarded-Port: 443\r\nForwarded: for=1.1.1.1\r\nX-Request-ID: mine-1\r\n\r\n";

#[test]
fn an_endpoint_is_told_who_the_client_is() {
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::to(&endpoint.address);
    gateway.get("/");
    let seen = endpoint.last();
    assert_eq!(seen.field("host"), Some("a.example"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("a.example"));
    assert_eq!(seen.field("x-forwarded-port"), gateway.address.rsplit(':').next());
    assert_eq!(seen.field("via"), Some("1.1 ringway"));
    assert_eq!(seen.field("forwarded"), None);
}

#[test]
fn a_stranger_is_not_believed() {
    let seen = forwarded(json!({}), CLAIMS);
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("a.example"));
    assert_eq!(seen.field("forwarded"), None);
    let id = seen.field("x-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
}

#[test]
fn what_endpoints_take_for_the_gateways_own_words_is_left_out() {
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nX_Forwarded_For: 1.1.1.1\r\nX-Real_IP: 3.3.3.3\r\nContent_Length: 5\r\nx_team: root\r\n\
        X_Harmless: yes\r\n\r\n";
    let routes = json!([{ "path": "/", "upstream": "up", "request": { "set_headers": { "X-Team": "web" } } }]);
    for mut config in [json!({}), trusting()] {
        config["routes"] = routes.clone();
        let seen = forwarded(config, request);
        for name in ["x_forwarded_for", "x-real_ip", "content_length", "x_team"] {
            assert_eq!(seen.field(name), None, "{name}");
        }
        assert_eq!((seen.field("x-team"), seen.field("x_harmless")), (Some("web"), Some("yes")));
    }
}

#[test]
fn a_trusted_proxy_is_believed() {
    let seen = forwarded(trusting(), CLAIMS);
    assert_eq!(seen.field("x-forwarded-for"), Some("1.1.1.1, 2.2.2.2, 127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("2.2.2.2"), "what X-Forwarded-For says goes before what its sender may have made up");
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("x-forwarded-host"), Some("b.example"));
    assert_eq!(seen.field("x-forwarded-port"), Some("443"));
    assert_eq!(seen.field("forwarded"), Some("for=1.1.1.1"));
    assert_eq!(seen.field("x-request-id"), Some("mine-1"));
    // Most balancers send X-Forwarded-For alone; the first address from its end that isn't a trusted proxy's is the client's.
    let seen = forwarded(trusting(), "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.9\r\n\r\n");
    assert_eq!(seen.field("x-forwarded-for"), Some("1.1.1.1, 2.2.2.2, 127.0.0.9, 127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("2.2.2.2"), "who the client is, not who the balancer is");
    let seen = forwarded(trusting(), "GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 3.3.3.3\r\n\r\n");
    assert_eq!(seen.field("x-real-ip"), Some("3.3.3.3"), "where there is nothing better");
    let seen = forwarded(trusting(), &get("/"));
    assert_eq!((seen.field("x-forwarded-for"), seen.field("x-forwarded-proto")), (Some("127.0.0.1"), Some("http")));
}

#[test]
fn the_standard_form_on_request() {
    let on = json!({ "forwarding": { "forwarded": true } });
    assert_eq!(forwarded(on.clone(), CLAIMS).field("forwarded"), Some("for=127.0.0.1;host=\"a.example\";proto=http"));
    let mut trusted = trusting();
    trusted["forwarding"] = on["forwarding"].clone();
    let seen = forwarded(trusted, CLAIMS);
    assert_eq!(seen.field("forwarded"), Some("for=1.1.1.1, for=127.0.0.1;host=\"a.example\";proto=http"));
}

#[test]
fn additions_can_be_switched_off() {
    let off = json!({ "forwarding": { "x_forwarded": false, "via": "", "request_id": false } });
    let (seen, answer) = relayed(off, &get("/"), OK);
    for name in ["x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "via", "x-request-id"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert_eq!(answer.field("via"), None);
    let (seen, answer) = relayed(json!({ "forwarding": { "via": "edge-7" } }), &get("/"), OK);
    assert_eq!((seen.field("via"), answer.field("via")), (Some("1.1 edge-7"), Some("1.1 edge-7")));
    let (seen, _) = relayed(json!({}), "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 other\r\n\r\n", OK);
    assert_eq!(seen.all("via"), ["1.0 other", "1.1 ringway"]);
}

#[test]
fn what_is_about_one_connection_stays_there() {
    let (seen, answer) = relayed(
        json!({}),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Secret, cookie\r\nconnection: x-other\r\nX-Secret: 1\r\nX-Other: 2\r\n\
         Cookie: kept\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\nX-Kept: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: a\r\nUpgrade: h2\r\n\
         X-Kept: 2\r\nContent-Length: 2\r\n\r\nok",
    );
    for name in ["connection", "x-secret", "x-other", "keep-alive", "proxy-connection", "te", "upgrade"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert_eq!(seen.field("x-kept"), Some("3"));
    for name in ["connection", "x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    assert_eq!(answer.field("x-kept"), Some("2"));
}

#[test]
fn a_host_cannot_be_named_away() {
    let seen = forwarded(json!({}), "POST / HTTP/1.1\r\nHost: a\r\nConnection: Host, Content-Length\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((seen.field("host"), seen.field("content-length"), seen.body.as_slice()), (Some("a"), Some("2"), &b"hi"[..]));
    let seen = forwarded(json!({}), "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For, X-Request-ID, Via\r\n\r\n");
    assert_eq!((seen.field("x-forwarded-for"), seen.field("via")), (Some("127.0.0.1"), Some("1.1 ringway")));
}

#[test]
fn the_host_as_the_endpoint_wants_it() {
    let endpoint = Hostile::answering(OK);
    for (setting, expected) in [("keep", "a.example"), ("endpoint", endpoint.address.as_str()), ("set:inner.example", "inner.example")] {
        let mut upstream = up(&[&endpoint.address]);
        upstream["host_header"] = json!(setting);
        let gateway = Gateway::with(&endpoint.address, json!({ "upstreams": [upstream] }));
        gateway.get("/");
        let seen = endpoint.last();
        assert_eq!((seen.field("host"), seen.field("x-forwarded-host")), (Some(expected), Some("a.example")), "{setting}");
    }
}

#[test]
fn routes_change_headers_both_ways() {
    let route = json!({ "routes": [{
        "path": "/", "upstream": "up",
        "add_headers": { "X-Api": "v2" },
        "request": { "remove_headers": ["X-Debug"], "set_headers": { "X-Tier": "gold", "User-Agent": "gw" }, "add_headers": { "X-Tag": "b" } },
        "response": { "remove_headers": ["Server"], "set_headers": { "Cache-Control": "private" }, "add_headers": { "Vary": "Origin" } },
    }] });
    let (seen, answer) = relayed(
        route,
        "GET / HTTP/1.1\r\nHost: a\r\nx-debug: 1\r\nX-DEBUG: 2\r\nX-Tier: iron\r\nUser-Agent: curl\r\nX-Tag: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nServer: secret/1.0\r\ncache-control: public\r\nVary: Accept\r\nContent-Length: 2\r\n\r\nok",
    );
    assert_eq!((seen.field("x-debug"), seen.field("x-tier"), seen.field("user-agent")), (None, Some("gold"), Some("gw")));
    assert_eq!((seen.all("x-tag"), seen.field("x-api")), (vec!["a", "b"], Some("v2")));
    assert_eq!((answer.field("server"), answer.field("cache-control")), (None, Some("private")));
    assert_eq!(answer.all("vary"), ["Accept", "Origin"]);
}

#[test]
fn the_path_as_the_endpoint_wants_it() {
    let endpoint = Hostile::answering(OK);
    let routes = json!({ "routes": [
        { "path": "/app/", "strip_prefix": "/app", "upstream": "up" },
        { "path": "/v2/users/{id}/*", "rewrite_path": "/users/{id}/{*}", "upstream": "up" },
        { "path": "/", "upstream": "up" },
    ] });
    let gateway = Gateway::with(&endpoint.address, routes);
    for (asked, seen) in [
        ("/app/x?y=/app/z", "/x?y=/app/z"),
        ("/app/", "/"),
        ("/v2/users/7/orders/8?all", "/users/7/orders/8?all"),
        ("/v2/users/a%2Fb/c%20d", "/users/a%2Fb/c%20d"),
        ("/plain/%41?", "/plain/A?"),
        ("/a/../b/./c", "/b/c"),
        ("/app/../other", "/other"),
        ("//double//slash", "//double//slash"),
    ] {
        assert_eq!(gateway.get(asked).status(), 200, "{asked}");
        assert_eq!(endpoint.last().target(), seen, "{asked}");
    }
}

#[test]
fn answers_of_the_gateways_own_say_whose_they_are() {
    let gateway = Gateway::with("127.0.0.1:9", json!({ "features": { "retries": false } }));
    let plain = gateway.get("/");
    assert_eq!(plain.refusal(), (502, "connect_failed"));
    assert_eq!(plain.field("content-type"), Some("text/plain; charset=utf-8"));
    let id = plain.field("x-request-id").unwrap().to_owned();
    assert!(plain.text().contains(&format!("request id: {id}")));
    assert_eq!(plain.field("proxy-status"), Some("ringway; error=connection_refused; details=\"connect_failed\"; next-hop=\"up\""));
    assert!(plain.field("date").is_some_and(|date| date.ends_with(" GMT")));
    assert_eq!(plain.field("retry-after"), None);

    let problem = gateway.connect().ask("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html, application/json;q=0.9\r\n\r\n");
    assert_eq!(problem.field("content-type"), Some("application/problem+json"));
    let body = problem.json();
    assert_eq!((&body["status"], &body["reason"], &body["title"]), (&json!(502), &json!("connect_failed"), &json!("Bad Gateway")));
    assert_eq!(body["request_id"], problem.field("x-request-id").unwrap());
    assert_eq!(body["type"], "about:blank");
}

#[test]
fn the_id_of_a_request_is_the_same_for_all() {
    let seen_and_told = |changes: Value, request: &str| {
        let endpoint = Hostile::answering_once("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n");
        let gateway = Gateway::with(&endpoint.address, changes);
        let answer = gateway.connect().ask(request);
        (endpoint.last().field("x-request-id").unwrap().to_owned(), answer.field("x-request-id").unwrap().to_owned())
    };
    let (seen, told) = seen_and_told(json!({}), &get("/"));
    assert_eq!(seen, told);
    let (seen, told) = seen_and_told(trusting(), "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: from-the-edge\r\n\r\n");
    assert_eq!((seen.as_str(), told.as_str()), ("from-the-edge", "from-the-edge"));
    let (seen, told) = seen_and_told(trusting(), "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: not an id\r\n\r\n");
    assert!(seen.len() == 32 && seen == told);
    let off = Gateway::with("127.0.0.1:9", json!({ "forwarding": { "request_id": false } }));
    assert_eq!(off.get("/").field("x-request-id"), None);
}

#[test]
fn via_tells_the_version_that_a_message_came_in() {
    let endpoint = Hostile::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let old = Hostile::answering_once("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let via = json!({ "forwarding": { "via": "gate" }, "routes": [{ "path": "/", "upstream": "up", "add_headers": { "X-Note": "Via: 1.1 gate" } }] });
    let gateway = Gateway::with(&endpoint.address, via.clone());
    let mut client = gateway.connect();
    for version in ["1.1", "1.0", "1.0", "1.1"] {
        let answer = client.ask(format!("GET / HTTP/{version}\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"));
        let seen = endpoint.last();
        assert_eq!(seen.field("via"), Some(format!("{version} gate").as_str()));
        assert_eq!((answer.field("via"), seen.field("x-note")), (Some("1.1 gate"), Some("Via: 1.1 gate")));
    }
    let gateway = Gateway::with(&old.address, via);
    let mut client = gateway.connect();
    assert!((0..3).all(|_| client.ask(get("/")).field("via") == Some("1.0 gate")));
}

#[test]
fn the_id_of_a_request_goes_to_its_client_where_that_is_wanted() {
    let endpoint =
        Hostile::answering("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nX-Request-ID: of-endpoint\r\nContent-Length: 2\r\n\r\nok");
    let told = json!({ "request_id_to_client": true, "request_id_format": "uuid" });
    let answer = json!({ "path": "/own", "middlewares": [{ "respond": { "status": 200, "body": "own" } }] });
    let routes = json!([{ "path": "/", "upstream": "up", "cache": {} }, answer]);
    let gateway = Gateway::with(&endpoint.address, json!({ "forwarding": told, "routes": routes, "runtime": { "workers": 1 } }));
    let mut client = gateway.connect();
    let mut ids = Vec::new();
    for target in ["/", "/", "/x", "/own", "/gateway/../.."] {
        let answer = client.ask(get(target));
        let id = answer.field("x-request-id").expect(target).to_owned();
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert!(parts == [8, 4, 4, 4, 12] && &id[14..15] == "4" && "89ab".contains(&id[19..20]), "{target}: {id}");
        ids.push(id);
    }
    assert_eq!(endpoint.seen().len(), 2, "one from the cache: {ids:?}");
    assert_eq!(endpoint.seen()[0].field("x-request-id"), Some(&*ids[0]));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    let given = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: from-the-edge\r\n\r\n";
    let trusting = json!({ "listener": { "trusted_proxies": ["127.0.0.0/8"] }, "forwarding": { "request_id_to_client": true } });
    let gateway = Gateway::with(&endpoint.address, trusting);
    assert_eq!(gateway.connect().ask(given).field("x-request-id"), Some("from-the-edge"));
    let off = Gateway::to(&endpoint.address);
    assert_eq!(off.get("/").field("x-request-id"), Some("of-endpoint"));
}
