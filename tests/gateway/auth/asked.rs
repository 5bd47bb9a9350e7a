//! Services that are asked who a client is: token introspection, and external authentication.

use serde_json::{Value, json};

use super::tokens::{bearing, now};
use super::{OK, assert_hidden, guarded_with, outcome, with};
use crate::harness::{Gateway, Hostile, Wire, until, up};

/// A gateway whose requests pass `auth`, which may ask the upstream `iam`.
fn asking(endpoint: &Hostile, iam: &str, auth: Value) -> Gateway {
    let mut service = up(&[iam]);
    service["id"] = json!("iam");
    let more = json!({
        "upstreams": [up(&[&endpoint.address]), service],
        "runtime": { "workers": 1, "pin": false, "ring_entries": 256 },
    });
    guarded_with(endpoint, auth, more)
}

fn answer(status: &str, lines: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Knows the tokens `good`, `ending`, `other`; what it says of `slow`, `garbage` and others is no answer.
fn issuer() -> Hostile {
    Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            let body = String::from_utf8(request.body).unwrap();
            let token = body.strip_prefix("token=").unwrap().split('&').next().unwrap();
            let said = match token {
                "good" => json!({ "active": true, "sub": "ada", "scope": "read", "aud": "api", "exp": now() + 300 }).to_string(),
                "a%2Bb%2F%3D" => json!({ "active": true, "client_id": "app", "aud": ["api"] }).to_string(),
                "ending" => json!({ "active": true, "sub": "eve", "aud": "api", "exp": now() + 2 }).to_string(),
                "ended" => json!({ "active": true, "sub": "eve", "aud": "api", "exp": now() - 100 }).to_string(),
                "other" => json!({ "active": true, "sub": "ada", "aud": "other" }).to_string(),
                "yes" => json!({ "active": "true", "sub": "ada", "aud": "api" }).to_string(),
                "list" => "[true]".into(),
                "huge" => format!("{{\"active\":true,\"aud\":\"api\",\"pad\":\"{}\"}}", "x".repeat(100_000)),
                "garbage" => return drop(peer.try_send("HTTP/1.1 2")),
                "noise" => return drop(peer.try_send("\0\0\r\n\r\n")),
                "slow" => return peer.wait_told(),
                "patient" => {
                    peer.wait_told();
                    json!({ "active": true, "sub": "pat", "aud": "api" }).to_string()
                }
                "error" => {
                    if peer.try_send(answer("500 Oops", "", "{\"active\":true,\"aud\":\"api\"}")).is_err() {
                        return;
                    }
                    continue;
                }
                "chunked" => {
                    let said = "{\"active\":true,\"sub\":\"ada\",\"aud\":\"api\"}";
                    let chunks = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{said}\r\n0\r\n\r\n", said.len());
                    if peer.try_send(chunks).is_err() {
                        return;
                    }
                    continue;
                }
                _ => json!({ "active": false }).to_string(),
            };
            if peer.try_send(answer("200 OK", "Content-Type: application/json\r\n", &said)).is_err() {
                return;
            }
        }
    })
}

fn introspection() -> Value {
    introspecting("60s", "400ms")
}

fn introspecting(remember: &str, timeout: &str) -> Value {
    let settings = json!({
        "upstream": "iam", "path": "/introspect", "client_id": "gate", "client_secret": "gate-s3cret", "audiences": ["api"],
        "timeout": timeout, "remember": remember,
    });
    json!({ "any": [{ "introspection": settings }], "claims_to_headers": { "X-User": "sub" } })
}

#[test]
fn the_issuer_is_asked_once_and_what_it_says_counts() {
    let (endpoint, issuer) = (Hostile::answering(OK), issuer());
    let gateway = asking(&endpoint, &issuer.address, introspection());
    for (token, expected) in [
        ("good", (200, "")),
        ("good", (200, "")),
        ("a+b/=", (200, "")),
        ("chunked", (200, "")),
        ("unknown", (401, "auth_invalid")),
        ("unknown", (401, "auth_invalid")),
        ("ended", (401, "auth_expired")),
        ("other", (401, "auth_audience")),
        ("yes", (503, "auth_unavailable")),
        ("list", (503, "auth_unavailable")),
        ("huge", (503, "auth_unavailable")),
        ("error", (503, "auth_unavailable")),
        ("garbage", (503, "auth_unavailable")),
        ("noise", (503, "auth_unavailable")),
        ("slow", (503, "auth_unavailable")),
        ("good", (200, "")),
        ("two words", (401, "auth_invalid")),
    ] {
        assert_eq!(outcome(&bearing(&gateway, token)), expected, "{token}");
    }
    let asked = issuer.seen();
    assert_eq!(asked.iter().filter(|request| request.text().starts_with("token=good&")).count(), 1, "remembered");
    assert_eq!(asked.iter().filter(|request| request.text().starts_with("token=unknown&")).count(), 1, "remembered");
    let first = &asked[0];
    assert_eq!((first.method(), first.target(), first.text()), ("POST", "/introspect", "token=good&token_type_hint=access_token"));
    assert_eq!(first.field("host"), Some(issuer.address.as_str()));
    // gate:gate-s3cret
    assert_eq!(first.field("authorization"), Some("Basic Z2F0ZTpnYXRlLXMzY3JldA=="));
    assert_eq!(first.field("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(endpoint.seen().len(), 5);
    assert_eq!(endpoint.seen()[0].field("x-user"), Some("ada"));
    gateway.wait("gateway_auth_failures_total{kind=\"introspection\",reason=\"auth_unavailable\"}", 7.0);
    assert_hidden(&gateway, &["s3cret", "Z2F0ZTpnYXRl"]);
    issuer.tell();
}

/// Clients that ask at the same time, each with these lines, once all of them wait.
fn waiting(gateway: &Gateway, count: usize, lines: &str) -> Vec<Wire> {
    let mut clients: Vec<_> = (0..count).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send(with("/", &[lines]));
    }
    gateway.wait("gateway_http_requests_in_flight", count as f64);
    clients
}

#[test]
fn those_who_ask_the_same_at_once_share_one_answer() {
    let (endpoint, issuer) = (Hostile::answering(OK), issuer());
    let gateway = asking(&endpoint, &issuer.address, introspecting("60s", "10s"));
    let mut clients = waiting(&gateway, 6, "Authorization: Bearer patient");
    // Whoever leaves, the first among them, takes no answer along.
    clients.drain(..2);
    issuer.tell();
    assert_eq!(clients.iter_mut().map(|client| client.message().status()).collect::<Vec<_>>(), [200; 4]);
    assert_eq!(issuer.seen().len(), 1);
    gateway.wait_idle();
    assert!(endpoint.seen().iter().all(|request| request.field("x-user") == Some("pat")));
}

#[test]
fn those_who_ask_the_same_of_a_silent_issuer_wait_no_longer_than_one() {
    let (endpoint, issuer) = (Hostile::answering(OK), issuer());
    let gateway = asking(&endpoint, &issuer.address, introspecting("60s", "1s"));
    let mut clients = waiting(&gateway, 4, "Authorization: Bearer slow");
    for client in &mut clients {
        assert_eq!(client.message().refusal(), (503, "auth_unavailable"));
    }
    assert_eq!(issuer.seen().len(), 1);
    issuer.tell();
}

#[test]
fn nothing_is_shared_where_each_request_is_to_be_asked_about() {
    let (endpoint, issuer) = (Hostile::answering(OK), issuer());
    let gateway = asking(&endpoint, &issuer.address, introspecting("0s", "10s"));
    let mut clients = waiting(&gateway, 3, "Authorization: Bearer patient");
    until("all to be asked about", || (issuer.seen().len() == 3).then_some(()));
    (0..3).for_each(|_| issuer.tell());
    clients.iter_mut().for_each(|client| assert_eq!(client.message().status(), 200));
}

#[test]
fn an_answer_is_not_remembered_beyond_the_end_of_its_token() {
    let (endpoint, issuer) = (Hostile::answering(OK), issuer());
    let gateway = asking(&endpoint, &issuer.address, introspection());
    assert_eq!(bearing(&gateway, "ending").status(), 200);
    until("the issuer to be asked again", || {
        assert_eq!(bearing(&gateway, "ending").status(), 200);
        (issuer.seen().len() > 1).then_some(())
    });
}

#[test]
fn without_an_issuer_nobody_comes_in() {
    let endpoint = Hostile::answering(OK);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let gateway = asking(&endpoint, &gone, introspection());
    for _again in 0..3 {
        let answer = bearing(&gateway, "good");
        assert_eq!((answer.refusal(), answer.field("retry-after")), ((503, "auth_unavailable"), Some("1")));
    }
    assert!(endpoint.seen().is_empty());
}

/// Lets in who has the cookie `in=yes`.
fn guard() -> Hostile {
    Hostile::start(|peer| {
        while let Some(request) = peer.request() {
            let said = match (request.field("cookie"), request.field("x-forwarded-uri").unwrap()) {
                (_, "/fail") => answer("500 Oops", "X-Account: root\r\n", "let in"),
                (_, "/moved") => answer("302 Found", "Location: /login\r\n", ""),
                (_, "/slow") => return peer.wait_told(),
                (Some("in=yes"), "/admin") => answer("403 Forbidden", "X-Why: rank\r\nX-Hidden: 1\r\n", "no"),
                (Some("in=yes"), _) => answer("200 OK", "X-Account: 7\r\nX-Hidden: 1\r\n", "come in"),
                _ => answer("401 Unauthorized", "WWW-Authenticate: Login realm=\"x\"\r\n", ""),
            };
            if peer.try_send(said).is_err() {
                return;
            }
        }
    })
}

fn external(remember: &str) -> Value {
    let settings = json!({
        "upstream": "iam", "path": "/check", "headers": ["Cookie"], "copy_headers": ["X-Account"], "answer_headers": ["WWW-Authenticate", "X-Why"],
        "identity_header": "X-Account", "timeout": "400ms", "remember": remember, "remember_refused": remember,
    });
    json!({ "any": [{ "external": settings }] })
}

#[test]
fn a_service_lets_in_or_says_what_is_missing() {
    let (endpoint, guard) = (Hostile::answering(OK), guard());
    let gateway = asking(&endpoint, &guard.address, external("0s"));
    let ask = |target: &str, lines: &[&str]| gateway.connect().ask(with(target, lines));
    let answer = ask("/a/./b/../c?d=e", &["Cookie: in=yes", "X-Account: root", "X-Forwarded-Uri: /admin", "Authorization: Bearer x"]);
    assert_eq!(answer.status(), 200);
    assert_eq!((endpoint.last().all("x-account"), endpoint.last().field("x-hidden")), (vec!["7"], None));
    let asked = guard.last();
    assert_eq!((asked.method(), asked.target()), ("GET", "/check"));
    let told = ["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri", "x-forwarded-for", "authorization"];
    let told = told.map(|name| asked.field(name));
    assert_eq!(
        told,
        [Some("GET"), Some("http"), Some("a.example"), Some("/a/c?d=e"), Some("127.0.0.1"), None],
        "what is routed is what is judged"
    );
    let refused = ask("/", &[]);
    assert_eq!((refused.refusal(), refused.all("www-authenticate")), ((401, "auth_invalid"), vec!["Login realm=\"x\""]));
    let forbidden = ask("/admin", &["Cookie: in=yes"]);
    assert_eq!((forbidden.refusal(), forbidden.field("x-why"), forbidden.field("x-hidden")), ((403, "auth_forbidden"), Some("rank"), None));
    for target in ["/fail", "/moved", "/slow"] {
        assert_eq!(ask(target, &["Cookie: in=yes"]).refusal(), (503, "auth_unavailable"), "{target}");
    }
    assert_eq!(endpoint.seen().len(), 1);
    assert_eq!(guard.seen().len(), 6, "each is asked about");
    gateway.wait_log("\"identity\":\"7\"");
    guard.tell();
}

#[test]
fn what_a_service_said_is_remembered_for_the_same_request_only() {
    let (endpoint, guard) = (Hostile::answering(OK), guard());
    let gateway = asking(&endpoint, &guard.address, external("1m"));
    let ask = |target: &str, cookie: &str| gateway.connect().ask(with(target, &[&format!("Cookie: {cookie}")])).status();
    for _again in 0..3 {
        assert_eq!([ask("/", "in=yes"), ask("/", "in=no"), ask("/admin", "in=yes")], [200, 401, 403]);
        assert_eq!(ask("/fail", "in=yes"), 503);
    }
    assert_eq!(guard.seen().len(), 3 + 3, "a failure isn't remembered");
    assert_eq!(endpoint.last().field("x-account"), Some("7"));
}

#[test]
fn an_upstream_that_is_not_there_is_told_with_its_place() {
    let endpoint = Hostile::answering(OK);
    let gateway = Gateway::to(&endpoint.address);
    let middlewares = json!([{ "auth": { "any": [{ "external": { "upstream": "upp" } }] } }]);
    let config = crate::harness::config(&endpoint.address, json!({ "middlewares": middlewares }));
    let answer = gateway.reload(&config);
    assert_eq!(answer.status(), 422);
    let told = "middlewares[0].auth.any[0].external.upstream: no upstream is named \"upp\"; did you mean \"up\"?";
    assert!(answer.text().contains(told), "{}", answer.text());
}

#[test]
fn endpoints_keep_their_cookies_when_what_a_service_was_shown_is_stripped() {
    let (endpoint, guard) = (Hostile::answering(OK), guard());
    let mut auth = external("0s");
    auth["strip_credential"] = json!(true);
    auth["any"][0]["external"]["headers"] = json!(["Authorization", "Cookie"]);
    let gateway = asking(&endpoint, &guard.address, auth);
    let answer = gateway.connect().ask(with("/", &["Cookie: in=yes", "Authorization: Bearer x"]));
    assert_eq!((answer.status(), guard.last().field("authorization")), (200, Some("Bearer x")));
    assert_eq!((endpoint.last().field("authorization"), endpoint.last().field("cookie")), (None, Some("in=yes")));
}
