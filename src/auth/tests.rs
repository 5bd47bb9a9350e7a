//! Signed tokens of each algorithm, and those that must not pass for one.

#[path = "../../tests/gateway/auth/signer.rs"]
mod signer;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use signer::{SECRET, Signer, encode};

const NOW: u64 = 1_000_000;

fn keys(signer: &Signer) -> Vec<Key> {
    key_set(signer.set().to_string().as_bytes(), &[]).unwrap()
}

fn demands() -> Demands {
    Demands {
        issuers: vec!["https://issuer".into(), "other".into()],
        audiences: vec!["api".into()],
        required: vec!["exp".into(), "sub".into()],
        leeway: 30,
    }
}

fn claims() -> Value {
    json!({ "sub": "ada", "iss": "https://issuer", "aud": ["web", "api"], "exp": NOW + 100, "nbf": NOW })
}

/// The claims with one changed, or without it.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

#[test]
fn each_algorithm_is_verified_by_its_key_and_by_no_other() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let all = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
    let mut keys =
        key_set(signer.set().to_string().as_bytes(), &[&all[..], &[Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA]].concat())
            .unwrap();
    let hs = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    let mut shared = Key::secret(SECRET.as_bytes()).unwrap().only(&hs);
    shared.id = Some("HS".into());
    keys.push(shared);
    for (algorithm, id) in [
        ("HS256", "HS"),
        ("HS384", "HS"),
        ("HS512", "HS"),
        ("RS256", "RS256"),
        ("RS384", "RS256"),
        ("RS512", "RS256"),
        ("PS256", "RS256"),
        ("PS384", "RS256"),
        ("PS512", "RS256"),
        ("ES256", "ES256"),
        ("ES384", "ES384"),
        ("EdDSA", "EdDSA"),
    ] {
        let token = signer.sign(algorithm, id, &claims());
        let valid = verify(token.as_bytes(), &keys, &demands(), NOW).unwrap_or_else(|fault| panic!("{algorithm}: {fault:?}"));
        assert_eq!((valid.claims["sub"].as_str(), valid.until), (Some("ada"), NOW + 130), "{algorithm}");
        let other = Key::secret(b"another secret of more than 32 bytes").unwrap().only(&hs);
        let others: Vec<Key> =
            super::tests::keys(&stranger).into_iter().filter(|key| key.id.as_deref() != Some("RS256")).chain([other]).collect();
        let fault = verify(token.as_bytes(), &others, &demands(), NOW).unwrap_err();
        assert!(matches!(fault, Fault::Signature | Fault::UnknownKey | Fault::Algorithm), "{algorithm}: {fault:?}");
    }
}

#[test]
fn an_algorithm_that_the_key_is_not_for_is_refused_whatever_the_signature() {
    let signer = Signer::new();
    let keys = keys(&signer);
    let fault = |token: String| verify(token.as_bytes(), &keys, &demands(), NOW).unwrap_err();
    for none in ["none", "None", "NONE", "", "hs256", "ES512", "RS1"] {
        assert_eq!(fault(signer.sign(none, "ES256", &claims())), Fault::Algorithm, "{none}");
        assert_eq!(fault(signer.sign_head(none, &json!({ "alg": none }).to_string(), &claims().to_string())), Fault::Algorithm);
    }
    // The public key taken for a secret.
    let set = signer.set();
    let public = [set["keys"][3]["n"].as_str().unwrap(), &set.to_string()].map(str::to_owned);
    for secret in public {
        let message = format!("{}.{}", encode(r#"{"alg":"HS256","kid":"RS256"}"#), encode(claims().to_string()));
        let mac = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
        assert_eq!(fault(format!("{message}.{}", encode(mac))), Fault::Algorithm);
    }
    assert_eq!(fault(signer.sign("RS384", "RS256", &claims())), Fault::Algorithm, "a key that doesn't say is for RS256");
    assert_eq!(fault(signer.sign("PS256", "RS256", &claims())), Fault::Algorithm);
    assert_eq!(fault(signer.sign("ES256", "ES384", &claims())), Fault::Algorithm);
    assert_eq!(fault(signer.sign("ES256", "unknown", &claims())), Fault::UnknownKey);
    let headless = signer.sign_head("ES256", r#"{"alg":"ES256"}"#, &claims().to_string());
    assert!(verify(headless.as_bytes(), &keys, &demands(), NOW).is_ok(), "without a name, the keys of the algorithm are tried");
}

#[test]
fn each_claim_is_checked() {
    let signer = Signer::new();
    let keys = keys(&signer);
    let verified =
        |claims: Value| verify(signer.sign("EdDSA", "EdDSA", &claims).as_bytes(), &keys, &demands(), NOW).map(|valid| valid.until);
    for (name, value, expected) in [
        ("exp", json!(NOW - 29), Ok(NOW + 1)),
        ("exp", json!(NOW - 30), Err(Fault::Expired)),
        ("exp", json!(0), Err(Fault::Expired)),
        ("exp", json!(-1e300), Err(Fault::Expired)),
        ("exp", json!(1e300), Ok(u64::MAX)),
        ("exp", json!(NOW as f64 + 0.5), Ok(NOW + 30)),
        ("exp", json!("soon"), Err(Fault::Malformed)),
        ("exp", Value::Null, Err(Fault::Claims)),
        ("nbf", json!(NOW + 30), Ok(NOW + 130)),
        ("nbf", json!(NOW + 31), Err(Fault::NotYetValid)),
        ("nbf", json!([NOW]), Err(Fault::Malformed)),
        ("nbf", Value::Null, Ok(NOW + 130)),
        ("iss", json!("other"), Ok(NOW + 130)),
        ("iss", json!("https://issuer/"), Err(Fault::Issuer)),
        ("iss", json!(["https://issuer"]), Err(Fault::Issuer)),
        ("iss", Value::Null, Err(Fault::Issuer)),
        ("aud", json!("api"), Ok(NOW + 130)),
        ("aud", json!(["web"]), Err(Fault::Audience)),
        ("aud", json!([]), Err(Fault::Audience)),
        ("aud", Value::Null, Err(Fault::Audience)),
        ("sub", Value::Null, Err(Fault::Claims)),
    ] {
        assert_eq!(verified(with(name, value.clone())), expected, "{name} {value}");
    }
}

#[test]
fn what_is_not_exactly_a_token_is_malformed() {
    let signer = Signer::new();
    let keys = keys(&signer);
    let good = signer.sign("EdDSA", "EdDSA", &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let head = |head: &str| signer.sign_head("EdDSA", head, &claims().to_string());
    let body = |claims: &str| signer.sign_head("EdDSA", r#"{"alg":"EdDSA"}"#, claims);
    for token in [
        String::new(),
        "..".into(),
        "a.b".into(),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}="),
        format!("{} .{}.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.{}.{}.{}", parts[0], parts[1], parts[2], parts[0], parts[1]),
        head("{}"),
        head(r#"{"alg":"EdDSA","alg":"EdDSA"}"#),
        head(r#"{"alg":"EdDSA","kid":7}"#),
        head(r#"{"alg":"EdDSA","crit":["exp"]}"#),
        head(r#"{"alg":["EdDSA"]}"#),
        head("[]"),
        body("[]"),
        body("{"),
        body(r#"{"exp":1,"exp":9999999999}"#),
        body(&"[".repeat(5000)),
        "a".repeat(70_000),
    ] {
        assert_eq!(verify(token.as_bytes(), &keys, &Demands::default(), NOW), Err(Fault::Malformed), "{token}");
    }
    let big = body(&json!({ "pad": "x".repeat(20_000) }).to_string());
    assert_eq!(verify(big.as_bytes(), &keys, &Demands::default(), NOW), Err(Fault::Malformed));
}

#[test]
fn a_set_keeps_what_can_be_used_and_nothing_secret() {
    let signer = Signer::new();
    let good = signer.set()["keys"][0].clone();
    let set = |keys: Vec<Value>| key_set(json!({ "keys": keys }).to_string().as_bytes(), &[]).map(|keys| keys.len());
    let changed = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    assert_eq!(set(vec![good.clone()]), Ok(1));
    for bad in [
        json!({}),
        json!(7),
        json!({ "kty": "oct", "k": encode(SECRET) }),
        changed("use", json!("enc")),
        changed("key_ops", json!(["sign"])),
        changed("d", json!("secret")),
        changed("alg", json!("ES384")),
        changed("alg", json!("HS256")),
        changed("alg", json!("none")),
        changed("crv", json!("P-521")),
        changed("x", json!("AA")),
        changed("x", json!("!")),
        changed("kid", json!("x".repeat(300))),
        json!({ "kty": "RSA", "n": encode([0xff; 128]), "e": "AQAB" }),
    ] {
        assert_eq!(set(vec![bad.clone()]), Err("has no key that can be used"), "{bad}");
        assert_eq!(set(vec![bad, good.clone()]), Ok(1));
    }
    assert_eq!(set(vec![good; 101]), Err("has more than 100 keys"));
    for text in ["", "[]", "{}", "{\"keys\":{}}", "\u{0}"] {
        assert_eq!(key_set(text.as_bytes(), &[]), Err("is no JSON Web Key Set"), "{text}");
    }
    let only = key_set(signer.set().to_string().as_bytes(), &[Algorithm::PS256]).unwrap();
    assert_eq!(only.iter().map(|key| &key.algorithms[..]).collect::<Vec<_>>(), [[Algorithm::PS256]]);
}

#[test]
fn public_keys_are_read_from_pem() {
    // Made with openssl, of keys that are gone.
    const P256: &str = "-----BEGIN PUBLIC KEY-----\n\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEpa6z+88G5SVIJUguvyPo4Be6RzrD\n\
     DdvQgywJ4fnJMQntY+U7kdaKjamlEvalBd4ZLYTIXvQorqq1l2TgUIm3WA==\n-----END PUBLIC KEY-----\n";
    const P384: &str = "-----BEGIN PUBLIC KEY-----\n\n\
     MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEapO6kuZVPEgVWlgka7JcOvFjJPVvA8AR\n\
     RSxh2Gued9pnCAoyGSj/IaFeIhg0Zm7RT4igxADuKuY5gm4F4NIHET1p5evn9Z/p\n\
     Nwkmnzy7Z2TAOC6OtR3sIjyNL0fcqR/5\n-----END PUBLIC KEY-----\n";
    const ED25519: &str =
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAcH5TS225jTqFeN9c0nCDOvwOy3js8Q4KOZMa5o2LhMM=\n-----END PUBLIC KEY-----\n";
    const RSA: &str = "-----BEGIN PUBLIC KEY-----\n\n\
     MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAnTiyo7gbxbCNbgKppc+s\n\
     3H7DlyjAHjUtf4C0xAQe9BzCPqqztvH9M0zKJYQX4xq8RUKeptlK+W5aeSP7Cj8z\n\
     hOSd8p4TaUIfTJsQdXBBO9biQ7jqvLs+dYU98NKA41GCn9qqB6U8DrMoqMPBeMu+\n\
     paThnTvuYXmiaymP+QAvA8nw/NnA/r9egeqYK3I95QXvc5wJ+qZZeGCid3oVUQ8d\n\
     qeH9JHgH2eq4r+7XQSQsjgDZY3aHlV397FWGTn5TkLqDyX7IjqOIcyVUm2GT1Oi2\n\
     DLlEdtKpfHtlGPrF3mi8DXTjNGeQk1ctuYNm4q4qhBinUtr/JQCXkOTy6na+Rnri\n\
     mQIDAQAB\n-----END PUBLIC KEY-----\n";
    const RSA1024: &str = "-----BEGIN PUBLIC KEY-----\n\n\
     MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCT+y3XmMzHyDr/P401iVMKy5I\n\
     xXarle3mQB1AzbIbxmSrJo9zlM/x1CWv7rvAhUhfAkiCEimqnEy98IejmdGxR0EN\n\
     LCXgyjK0EO9Ki1p3DDeeO5vtlS5GaDKpZq6cAoejHh5tbXoAT9mfcph8G2XtpuuQ\n\
     ACbH+mxVYSLSnkx4+wIDAQAB\n-----END PUBLIC KEY-----\n";
    let read = |text: &str| Key::pem(text).map(|key| key.algorithms);
    assert_eq!(read(P256), Ok(vec![Algorithm::ES256]));
    assert_eq!(read(P384), Ok(vec![Algorithm::ES384]));
    assert_eq!(read(ED25519), Ok(vec![Algorithm::EdDSA]));
    assert_eq!(read(RSA), Ok(vec![Algorithm::RS256]));
    assert_eq!(read(RSA1024), Err("is no RSA key of 2048 to 8192 bits"));
    for text in
        ["", "-----BEGIN PUBLIC KEY-----", &P256.replace("PUBLIC", "PRIVATE"), &P256.replace("MFkw", "MFkx"), &[P256, P256].concat()]
    {
        assert!(read(text).is_err(), "{text}");
    }
    let signer = Signer::new();
    let key = Key::pem(RSA).unwrap().only(&[Algorithm::RS256, Algorithm::ES256]);
    assert_eq!(key.algorithms, [Algorithm::RS256]);
    let token = signer.sign("RS256", "any", &claims());
    assert!(verify(token.as_bytes(), &[key], &demands(), NOW).is_ok(), "the key that tokens are signed with in these tests");
    assert!(Key::secret(b"too short").is_err());
}

proptest! {
    #[test]
    fn a_changed_token_is_never_verified(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        static TOKEN: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| Signer::new().sign("HS256", "any", &claims()));
        let key = [Key::secret(SECRET.as_bytes()).unwrap()];
        let token = TOKEN.clone().into_bytes();
        prop_assert!(verify(&token, &key, &demands(), NOW).is_ok());
        let mut changed = token.clone();
        let at = at.index(changed.len());
        changed[at] = byte;
        prop_assert_eq!(verify(&changed, &key, &demands(), NOW).is_ok(), changed == token);
        prop_assert!(verify(&token[..cut.index(token.len())], &key, &demands(), NOW).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,20}") {
        let key = [Key::secret(SECRET.as_bytes()).unwrap()];
        prop_assert!(verify(&bytes, &key, &demands(), NOW).is_err() && verify(text.as_bytes(), &key, &demands(), NOW).is_err());
        let _ = (key_set(&bytes, &[]), credentials(&bytes), Key::pem(&String::from_utf8_lossy(&bytes)));
    }
}
