//! Signed tokens, checked with keys that are configured.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::signer::{SECRET, Signer};
use super::{OK, assert_hidden, guarded, guarded_with, outcome, with};
use crate::harness::{Gateway, Hostile, Message, directory};

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What a good token claims.
pub fn claims() -> Value {
    json!({ "sub": "ada", "iss": "https://issuer", "aud": "api", "exp": now() + 300, "scope": "read write", "roles": ["admin"], "tenant": { "id": 7 } })
}

pub fn bearing(gateway: &Gateway, token: &str) -> Message {
    gateway.connect().ask(with("/", &[&format!("Authorization: Bearer {token}")]))
}

#[test]
fn a_good_token_lets_in_and_each_fault_has_its_reason() {
    let endpoint = Hostile::answering(OK);
    let signer = Signer::new();
    let auth = json!({
        "any": [{ "jwt": { "jwks": signer.set().to_string(), "issuers": ["https://issuer"], "audiences": ["api"], "leeway": "0s" } }],
        "claims_to_headers": { "X-User": "sub", "X-Tenant": "tenant.id", "X-Roles": "roles" },
        "require_roles": ["admin", "root"],
    });
    let gateway = guarded(&endpoint, auth);
    let good = signer.sign("ES256", "ES256", &claims());
    for token in [&good, &good, &signer.sign("RS256", "RS256", &claims()), &signer.sign("EdDSA", "EdDSA", &claims())] {
        assert_eq!(outcome(&bearing(&gateway, token)), (200, ""));
        let seen = endpoint.last();
        assert_eq!([seen.field("x-user"), seen.field("x-tenant"), seen.field("x-roles")], [Some("ada"), Some("7"), Some("admin")]);
    }
    let with_claim = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signer.sign("ES384", "ES384", &claims)
    };
    let public = signer.set()["keys"][3]["n"].as_str().unwrap().to_owned();
    for (token, expected) in [
        (with_claim("exp", json!(now() - 1)), (401, "auth_expired")),
        (with_claim("exp", Value::Null), (401, "auth_invalid")),
        (with_claim("nbf", json!(now() + 100)), (401, "auth_not_yet_valid")),
        (with_claim("iss", json!("https://other")), (401, "auth_issuer")),
        (with_claim("aud", json!(["other"])), (401, "auth_audience")),
        (with_claim("roles", json!(["user"])), (403, "auth_forbidden")),
        (signer.sign("none", "ES256", &claims()), (401, "auth_algorithm")),
        (signer.sign("HS256", "RS256", &claims()), (401, "auth_algorithm")),
        (signer.sign("ES256", "other", &claims()), (401, "auth_unknown_key")),
        (Signer::new().sign("ES256", "ES256", &claims()), (401, "auth_signature")),
        (format!("{good}x"), (401, "auth_invalid")),
        (good[..good.len() - 2].to_owned(), (401, "auth_signature")),
        ("not-a-token".to_owned(), (401, "auth_invalid")),
        (public, (401, "auth_invalid")),
        ("a.b.c".to_owned(), (401, "auth_invalid")),
        (format!("{}.{}.", "e30", "e30"), (401, "auth_invalid")),
        (format!("{0}.{0}.{0}", "x".repeat(8000)), (401, "auth_invalid")),
    ] {
        let answer = bearing(&gateway, &token);
        assert_eq!(outcome(&answer), expected, "{token}");
        assert!(
            answer.field("www-authenticate").is_some_and(|told| told.starts_with("Bearer realm=\"ringway\"")) || answer.status() == 403
        );
    }
    assert_eq!(endpoint.seen().len(), 4);
    gateway.wait("gateway_auth_failures_total{kind=\"jwt\",reason=\"auth_signature\"}", 2.0);
    gateway.wait_log("\"identity\":\"ada\"");
    assert_hidden(&gateway, &[&good, &good[good.len() - 40..]]);
}

#[test]
fn a_remembered_token_ends_when_it_says() {
    let endpoint = Hostile::answering(OK);
    let auth = json!({ "any": [{ "jwt": { "secret": SECRET, "leeway": "0s" } }] });
    let gateway = guarded(&endpoint, auth);
    let mut claims = claims();
    claims["exp"] = json!(now() + 3);
    let token = Signer::new().sign("HS256", "any", &claims);
    let mut reason = String::new();
    let mut let_in = 0;
    while reason.is_empty() {
        let answer = bearing(&gateway, &token);
        let_in += u32::from(answer.status() == 200);
        reason = outcome(&answer).1.to_owned();
        assert!(now() < claims["exp"].as_u64().unwrap() + 5, "it should have ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(reason == "auth_expired" && let_in > 0, "{reason} after {let_in}");
    assert_hidden(&gateway, &[SECRET]);
}

#[test]
fn tokens_and_listed_secrets_stand_side_by_side() {
    let endpoint = Hostile::answering(OK);
    let any =
        json!([{ "jwt": { "secret": SECRET, "cookie": "session" } }, { "bearer": { "tokens": [{ "name": "ci", "secret": "listed" }] } }]);
    let gateway = guarded(&endpoint, json!({ "any": any, "strip_credential": true }));
    let token = Signer::new().sign("HS256", "any", &claims());
    assert_eq!(bearing(&gateway, &token).status(), 200);
    assert_eq!(bearing(&gateway, "listed").status(), 200);
    assert_eq!(outcome(&bearing(&gateway, "unlisted")), (401, "auth_invalid"));
    let answer = gateway.connect().ask(with("/", &[&format!("Cookie: a=b; session={token}")]));
    assert_eq!((answer.status(), endpoint.last().field("cookie")), (200, Some("a=b")));
    assert_eq!(answer.all("www-authenticate"), [""; 0]);
    assert_eq!(gateway.get("/").all("www-authenticate").len(), 1, "the same challenge once");
}

#[test]
fn limits_count_by_what_was_verified_only() {
    let endpoint = Hostile::answering(OK);
    let limit = json!({ "rate_limit": { "rate": "1/h", "burst": 2, "key": ["claim:tenant.id"] } });
    let auth = json!({ "auth": { "any": [{ "jwt": { "secret": SECRET } }] } });
    let gateway = Gateway::with(
        &endpoint.address,
        json!({ "middlewares": [auth, limit], "runtime": { "workers": 1, "pin": false, "ring_entries": 256 } }),
    );
    let signer = Signer::new();
    let token = |tenant: u64, user: &str| {
        let mut claims = claims();
        (claims["tenant"]["id"], claims["sub"]) = (json!(tenant), json!(user));
        signer.sign("HS256", "any", &claims)
    };
    let status = |token: &str| bearing(&gateway, token).status();
    assert_eq!([status(&token(1, "a")), status(&token(1, "b")), status(&token(1, "c")), status(&token(2, "a"))], [200, 200, 429, 200]);
    let forged = token(3, "a").replace('.', ".A");
    assert_eq!(status(&forged), 401, "no claim of it counts");
}

#[test]
fn a_key_set_file_is_read_again_with_a_reload() {
    let endpoint = Hostile::answering(OK);
    let (old, new) = (Signer::new(), Signer::new());
    let directory = directory();
    let file = directory.join("jwks.json");
    std::fs::write(&file, old.set().to_string()).unwrap();
    let auth = json!({ "any": [{ "jwt": { "jwks": format!("${{file:{}}}", file.display()) } }] });
    let gateway = guarded_with(&endpoint, auth, json!({}));
    let tokens = [&old, &new].map(|signer| signer.sign("ES256", "ES256", &claims()));
    let statuses = || [bearing(&gateway, &tokens[0]).status(), bearing(&gateway, &tokens[1]).status()];
    assert_eq!(statuses(), [200, 401]);
    std::fs::write(&file, new.set().to_string()).unwrap();
    assert_eq!(gateway.page("POST", "/reload").status(), 200);
    assert_eq!(statuses(), [401, 200], "what was remembered of the old key is forgotten");
    std::fs::write(&file, "{\"keys\":[]}").unwrap();
    assert_eq!(gateway.page("POST", "/reload").status(), 422);
    assert_eq!(statuses(), [401, 200]);
    std::fs::remove_dir_all(directory).unwrap();
}
