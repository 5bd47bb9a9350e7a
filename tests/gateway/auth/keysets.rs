//! Key sets that are fetched from their issuer: late, rotating, broken and gone.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::signer::Signer;
use super::tokens::{bearing, claims};
use super::{OK, guarded, outcome};
use crate::harness::{Gateway, Hostile, until};

/// An issuer whose key set is what the test says.
fn issuer(text: &Arc<Mutex<String>>) -> Hostile {
    let text = text.clone();
    Hostile::start(move |peer| {
        while peer.request().is_some() {
            let said = text.lock().unwrap().clone();
            if peer.try_send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}", said.len())).is_err() {
                return;
            }
        }
    })
}

fn fetching(endpoint: &Hostile, url: &str) -> Gateway {
    guarded(endpoint, json!({ "any": [{ "jwt": { "jwks_url": url, "refresh": "1s" } }] }))
}

#[test]
fn keys_are_fetched_rotated_and_kept_through_an_outage() {
    let (endpoint, old, new) = (Hostile::answering(OK), Signer::new(), Signer::new());
    let text = Arc::new(Mutex::new(old.set().to_string()));
    let issuer = issuer(&text);
    let url = format!("http://{}/jwks.json", issuer.address);
    let gateway = fetching(&endpoint, &url);
    let tokens = [&old, &new].map(|signer| signer.sign("ES256", "ES256", &claims()));
    let outcomes = || tokens.each_ref().map(|token| bearing(&gateway, token).status());
    until("the first keys", || (outcomes() == [200, 401]).then_some(()));
    assert_eq!(issuer.last().target(), "/jwks.json");
    for broken in ["", "{\"keys\":[]}", "<html>", &"x".repeat(300 << 10)] {
        *text.lock().unwrap() = broken.to_owned();
        let seen = issuer.seen().len();
        until("another fetch", || (issuer.seen().len() > seen).then_some(()));
        assert_eq!(outcomes(), [200, 401], "the keys known before stay in use");
    }
    assert!(gateway.log().contains("keys known before stay in use"));
    assert!(gateway.metric("gateway_key_set_fetches_total{result=\"failure\"}") >= 1.0);
    *text.lock().unwrap() = new.set().to_string();
    until("the next keys on all cores", || (outcomes() == [401, 200]).then_some(()));
    let age = format!("gateway_key_set_age_seconds{{url=\"{url}\"}}");
    until("a young key set", || (gateway.metric(&age) < 5.0).then_some(()));
    drop(issuer);
    assert_eq!(outcomes(), [401, 200]);
}

#[test]
fn without_keys_nobody_comes_in_until_the_issuer_is_there() {
    let (endpoint, signer) = (Hostile::answering(OK), Signer::new());
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let gateway = fetching(&endpoint, &format!("http://{address}/"));
    let token = signer.sign("EdDSA", "EdDSA", &claims());
    let answer = bearing(&gateway, &token);
    assert_eq!((answer.refusal(), answer.field("retry-after")), ((503, "auth_unavailable"), Some("1")));
    assert_eq!(outcome(&bearing(&gateway, "none")), (401, "auth_invalid"));
    gateway.wait_log("key set not fetched");
    let set = signer.set().to_string();
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in listener.incoming().take(3) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{set}", set.len()).as_bytes());
        }
    });
    until("the keys", || (bearing(&gateway, &token).status() == 200).then_some(()));
    assert_eq!(endpoint.seen().len(), 1);
}
