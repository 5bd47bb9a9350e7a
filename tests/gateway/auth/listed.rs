//! Bearer tokens and API keys that the configuration lists.

use serde_json::json;

use super::{OK, assert_hidden, guarded, guarded_with, outcome, with};
use crate::harness::{Hostile, config};

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn tokens_and_keys_let_in_and_nothing_else_does() {
    let endpoint = Hostile::answering(OK);
    let any = json!([
        { "bearer": { "tokens": [{ "name": "ci", "secret": "ci-s3cret" }, { "name": "abc", "secret": DIGEST }] } },
        { "api_key": { "query": "api_key", "cookie": "key", "list": "shop shop-s3cret\n" } },
    ]);
    let gateway = guarded(&endpoint, json!({ "any": any, "claims_to_headers": { "X-User": "sub" } }));
    let long = format!("Authorization: Bearer {}", "x".repeat(20_000));
    for (target, lines, expected) in [
        ("/", &["Authorization: Bearer ci-s3cret", "X-User: root", "X_User: root"][..], (200, "")),
        ("/", &["Authorization: Bearer abc"], (200, "")),
        ("/", &["X-API-Key: shop-s3cret"], (200, "")),
        ("/?api_key=shop-s3cret", &[], (200, "")),
        ("/", &["Cookie: key=shop-s3cret"], (200, "")),
        ("/", &[], (401, "auth_missing")),
        ("/", &["Authorization: Bearer"], (401, "auth_invalid")),
        ("/", &["Authorization: Bearer bad-s3cret"], (401, "auth_invalid")),
        ("/", &["Authorization: Bearer shop-s3cret"], (401, "auth_invalid")),
        ("/", &[&format!("Authorization: Bearer {DIGEST}")], (401, "auth_invalid")),
        ("/", &[&long], (401, "auth_invalid")),
        ("/", &["X-API-Key: ci-s3cret"], (401, "auth_invalid")),
        ("/", &["Authorization: Bearer ci-s3cret", "Authorization: Bearer ci-s3cret"], (400, "auth_repeated")),
        ("/?api_key=shop-s3cret&api_key=x", &[], (400, "auth_repeated")),
        ("/?token=shop-s3cret", &[], (401, "auth_missing")),
    ] {
        let answer = gateway.connect().ask(with(target, lines));
        assert_eq!(outcome(&answer), expected, "{target} {lines:?}");
        assert_eq!(matches!(answer.status(), 400 | 401), !answer.all("www-authenticate").is_empty(), "{}", answer.head);
    }
    assert_eq!(endpoint.seen().len(), 5, "nothing else reaches the endpoint");
    let users: Vec<_> = endpoint.seen().iter().map(|request| request.field("x-user").map(str::to_owned)).collect();
    assert_eq!(users, ["ci", "abc", "shop", "shop", "shop"].map(|user| Some(user.to_owned())), "a client's own is taken away");
    assert!(endpoint.seen().iter().all(|request| request.field("x_user").is_none()), "and what may be taken for it");
    gateway.wait("gateway_auth_failures_total{kind=\"bearer\",reason=\"auth_invalid\"}", 5.0);
    gateway.wait("gateway_auth_failures_total{kind=\"none\",reason=\"auth_missing\"}", 2.0);
    gateway.wait_log("\"identity\":\"shop\"");
    gateway.wait_log("auth_repeated");
    assert_hidden(&gateway, &["s3cret", "ba7816bf"]);
}

#[test]
fn scopes_and_roles_are_required_and_credentials_stay_behind() {
    let endpoint = Hostile::answering(OK);
    let tokens =
        json!([{ "name": "rw", "secret": "both", "scopes": ["read", "write"] }, { "name": "r", "secret": "one", "scopes": ["read"] }]);
    let auth = json!({
        "any": [{ "bearer": { "tokens": tokens } }, { "api_key": { "query": "k", "keys": [{ "name": "k", "secret": "kk", "scopes": ["read", "write"] }] } }],
        "require_scopes": ["read", "write"],
        "strip_credential": true,
        "replace_authorization": "Bearer for-endpoint",
        "realm": "shop",
    });
    let gateway = guarded(&endpoint, auth);
    let ask = |target: &str, lines: &[&str]| gateway.connect().ask(with(target, lines));
    assert_eq!(ask("/", &["Authorization: Bearer both"]).status(), 200);
    assert_eq!(endpoint.last().all("authorization"), ["Bearer for-endpoint"]);
    assert_eq!(ask("/a?x=1&k=kk&y=2", &[]).status(), 200);
    assert_eq!(endpoint.last().target(), "/a?x=1&y=2");
    let answer = ask("/", &["Authorization: Bearer one"]);
    assert_eq!(answer.refusal(), (403, "auth_forbidden"));
    let told = "Bearer realm=\"shop\", error=\"insufficient_scope\", scope=\"read write\"";
    assert_eq!(answer.field("www-authenticate"), Some(told));
    assert_eq!(ask("/", &[]).all("www-authenticate"), ["Bearer realm=\"shop\"", "ApiKey realm=\"shop\""]);
}

#[test]
fn the_switch_lets_everyone_in_and_a_route_can_have_its_own_way() {
    let endpoint = Hostile::answering(OK);
    let auth = |secret: &str| json!({ "any": [{ "bearer": { "tokens": [{ "name": "a", "secret": secret }] } }], "claims_to_headers": { "X-User": "sub" } });
    let routes = json!([
        { "path": "/", "upstream": "up" },
        { "path": "/open", "upstream": "up", "middlewares": [{ "id": "auth", "enabled": false }] },
        { "path": "/own", "upstream": "up", "middlewares": [{ "auth": auth("two") }] },
    ]);
    let gateway = guarded_with(&endpoint, auth("one"), json!({ "routes": routes.clone() }));
    for (target, token, status) in
        [("/", "one", 200), ("/", "two", 401), ("/open", "none", 200), ("/own", "one", 401), ("/own", "two", 200), ("/health", "none", 200)]
    {
        assert_eq!(gateway.connect().ask(with(target, &[&format!("Authorization: Bearer {token}")])).status(), status, "{target} {token}");
    }
    let middlewares = json!([{ "auth": auth("one") }]);
    let off = json!({ "middlewares": middlewares, "routes": routes, "features": { "authentication": false } });
    assert_eq!(gateway.reload(&config(&endpoint.address, off)).status(), 200);
    assert_eq!(gateway.connect().ask(with("/", &["X-User: root"])).status(), 200);
    assert_eq!(endpoint.last().field("x-user"), None, "a header that tells who the client is never comes from the client");
}

#[test]
fn a_file_of_tokens_is_read_again_with_a_reload() {
    let endpoint = Hostile::answering(OK);
    let directory = crate::harness::directory();
    let file = directory.join("tokens");
    std::fs::write(&file, "# ours\nold old-s3cret\n").unwrap();
    let auth = json!({ "any": [{ "bearer": { "list": format!("${{file:{}}}", file.display()) } }] });
    let gateway = guarded(&endpoint, auth);
    let status = |token: &str| gateway.connect().ask(with("/", &[&format!("Authorization: Bearer {token}")])).status();
    assert_eq!((status("old-s3cret"), status("new-s3cret")), (200, 401));
    std::fs::write(&file, "new new-s3cret\n").unwrap();
    assert_eq!(gateway.page("POST", "/reload").status(), 200);
    assert_eq!((status("old-s3cret"), status("new-s3cret")), (401, 200));
    std::fs::write(&file, "new\nbroken-s3cret sha256:zz\n").unwrap();
    let answer = gateway.page("POST", "/reload");
    assert_eq!(answer.status(), 422);
    assert!(answer.text().contains("in line 1 has no secret after its name") && !answer.text().contains("s3cret"), "{}", answer.text());
    assert_eq!(status("new-s3cret"), 200, "nothing was changed");
    assert_hidden(&gateway, &["s3cret"]);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_cached_answer_is_not_for_who_is_not_let_in() {
    let endpoint = Hostile::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: public, max-age=60\r\n\r\nok");
    let private = Hostile::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: max-age=60\r\n\r\nok");
    let auth = json!({ "any": [{ "api_key": { "keys": [{ "name": "a", "secret": "aa" }, { "name": "b", "secret": "bb" }] } }] });
    for (endpoint, asked) in [(&endpoint, 1), (&private, 2)] {
        let routes = json!([{ "path": "/", "upstream": "up", "cache_enabled": true }]);
        let gateway = guarded_with(
            endpoint,
            auth.clone(),
            json!({ "routes": routes, "runtime": { "workers": 1, "pin": false, "ring_entries": 256 } }),
        );
        let ask = |key: &str| gateway.connect().ask(with("/", &[&format!("X-API-Key: {key}")])).status();
        assert_eq!((ask("aa"), ask("bb")), (200, 200));
        assert_eq!(endpoint.seen().len(), asked, "RFC 9111 section 3.5");
        assert_eq!((ask("cc"), gateway.get("/").status()), (401, 401));
    }
}

#[test]
fn on_trial_it_lets_all_in_counts_and_warns() {
    let endpoint = Hostile::answering(OK);
    let auth = |mode: &str| {
        json!({
            "mode": mode,
            "any": [{ "bearer": { "tokens": [{ "name": "ci", "secret": "t0ken-s3cret" }] } }],
            "claims_to_headers": { "X-User": "sub" },
            "strip_credential": true,
            "replace_authorization": "Bearer upstream",
        })
    };
    let gateway = guarded(&endpoint, auth("shadow"));
    gateway.wait_log("warn  auth is not enforced, everybody is let in: its mode is \"shadow\" auth=auth");
    for (lines, user, authorization) in [
        (&["X-User: root"][..], None, None),
        (&["X-User: root", "Authorization: Bearer wrong-s3cret"], None, Some("Bearer wrong-s3cret")),
        (&["X-User: root", "Authorization: Bearer t0ken-s3cret"], Some("ci"), Some("Bearer t0ken-s3cret")),
    ] {
        assert_eq!(gateway.connect().ask(with("/", lines)).status(), 200, "{lines:?}");
        let seen = endpoint.last();
        assert_eq!((seen.field("x-user"), seen.all("x-user").len()), (user, user.iter().len()), "{lines:?}");
        assert_eq!(seen.field("authorization"), authorization, "{lines:?}");
    }
    for reason in ["auth_missing", "auth_invalid"] {
        gateway.wait(&format!("gateway_auth_shadow_total{{auth=\"auth\",reason=\"{reason}\"}}"), 1.0);
        gateway.wait_log(&format!("auth, which isn't enforced, would have refused auth=auth reason={reason} requests=1"));
    }
    assert_hidden(&gateway, &["s3cret"]);
    let config = json!({ "middlewares": [{ "auth": auth("enforce") }] });
    assert_eq!(gateway.reload(&crate::harness::config(&endpoint.address, config)).status(), 200);
    assert_eq!(gateway.get("/").refusal(), (401, "auth_missing"));
}
