//! Problems of certificates, keys and those who sign them.

use serde_json::{Value, json};

use super::said;

const CERT: &str = include_str!("../../../tests/gateway/auth/tls/own.pem");
const KEY: &str = include_str!("../../../tests/gateway/auth/tls/own.key");
const OTHER: &str = include_str!("../../../tests/gateway/auth/tls/other.key");

/// What is said of these settings, and where.
#[track_caller]
fn told(settings: Value, endpoint: Value, expected: &[&str]) {
    let mut config = json!({ "upstreams": [{ "id": "a", "endpoints": [{ "url": "http://127.0.0.1:1" }] }], "routes": [{ "path": "/", "upstream": "a" }] });
    config["tls"] = settings;
    endpoint.as_object().unwrap().iter().for_each(|(name, value)| config["upstreams"][0][name] = value.clone());
    let said: Vec<String> = said("x.json", &config.to_string()).iter().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect();
    assert_eq!(said, expected);
}

fn pair(cert: &str, key: &str) -> Value {
    json!([{ "cert": cert, "key": key }])
}

#[test]
fn the_listener() {
    let good = || pair(CERT, KEY);
    let none = || json!({});
    told(
        json!({ "certificates": pair("/etc/a.pem", KEY) }),
        none(),
        &[r#"tls.certificates[0].cert: holds no certificate in PEM; to have the file's text put in, write "${file:/etc/a.pem}""#],
    );
    told(
        json!({ "certificates": pair(CERT, "") }),
        none(),
        &[r#"tls.certificates[0].key: is empty; most often it is the text of a file: "${file:/etc/ringway/NAME.pem}""#],
    );
    for (cert, key, said) in [
        ("own.pem", KEY, r#"cert: holds no certificate in PEM; to have the file's text put in, write "${file:own.pem}""#),
        ("a text", KEY, r#"cert: holds no certificate in PEM; PEM is the text that begins with "-----BEGIN""#),
        (KEY, KEY, "cert: holds no certificate in PEM; it holds a private key: the two may be the wrong way round"),
        (CERT, CERT, "key: holds no private key in PEM; it holds a certificate: the two may be the wrong way round"),
        (
            CERT,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
            r#"key: holds no private key in PEM; it has a password, without which it can't be read: "openssl pkey -in FILE -out NEW_FILE" takes it off"#,
        ),
    ] {
        told(json!({ "certificates": pair(cert, key) }), none(), &[&format!("tls.certificates[0].{said}")]);
    }
    told(
        json!({ "certificates": pair(CERT, OTHER) }),
        none(),
        &[
            "tls.certificates[0].key: is not the key of the certificate; both must be of one pair, and in \"cert\" the certificate itself stands before those that vouch for it",
        ],
    );
    told(
        json!({ "certificates": good(), "client_auth": "required" }),
        none(),
        &[r#"tls.client_ca: is empty; most often it is the text of a file: "${file:/etc/ringway/NAME.pem}""#],
    );
    told(
        json!({ "certificates": good(), "client_ca": CERT }),
        none(),
        &[r#"tls.client_ca: is there, but client_auth is "off"; "optional" or "required" asks for certificates"#],
    );
    told(
        json!({ "certificates": good(), "port": 8080 }),
        none(),
        &["tls.port: is the port of the listener too; give one of them another port"],
    );
    told(json!({ "redirect": true }), none(), &[r#"tls.redirect: leads to a listener that isn't there; tls needs "certificates""#]);
    told(
        json!({ "address": "localhost" }),
        none(),
        &[r#"tls.address: must be an IP address, is "localhost"; "0.0.0.0" is every IPv4 address, "127.0.0.1" this host only"#],
    );
}

#[test]
fn endpoints() {
    let secure = || json!([{ "url": "https://a:1" }]);
    told(
        json!({}),
        json!({ "tls": { "server_name": "a" } }),
        &[r#"upstreams[0].tls: is there, but no endpoint's url begins with "https://""#],
    );
    told(
        json!({}),
        json!({ "endpoints": secure(), "tls": { "ca": "nothing" } }),
        &[r#"upstreams[0].tls.ca: holds no certificate in PEM; PEM is the text that begins with "-----BEGIN""#],
    );
    told(
        json!({}),
        json!({ "endpoints": secure(), "tls": { "client_cert": CERT } }),
        &[r#"upstreams[0].tls.client_key: is empty; most often it is the text of a file: "${file:/etc/ringway/NAME.pem}""#],
    );
    told(json!({}), json!({ "endpoints": secure(), "tls": { "server_name": "a b" } }), &["upstreams[0].tls.server_name: is no host name"]);
}
