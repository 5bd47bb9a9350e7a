//! Who may come in: what clients get with good, bad and no credentials, what endpoints see, and that no secret shows anywhere.

mod asked;
mod keysets;
mod listed;
mod passwords;
mod signer;
mod tls;
mod tokens;

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, Message};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gateway before this endpoint whose requests pass `auth`, with all of the access log in its log.
fn guarded(endpoint: &Hostile, auth: Value) -> Gateway {
    guarded_with(endpoint, auth, json!({}))
}

/// The same, with further settings.
fn guarded_with(endpoint: &Hostile, auth: Value, more: Value) -> Gateway {
    let mut settings = json!({ "middlewares": [{ "access_log": { "path": "stderr", "query": true } }, { "auth": auth }] });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Gateway::with(&endpoint.address, settings)
}

/// A GET with these header lines.
fn with(target: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n")
}

/// Status and reason of a refusal, else the status only.
fn outcome(answer: &Message) -> (u16, &str) {
    if answer.status() == 200 { (200, "") } else { answer.refusal() }
}

/// None of these texts shows in the log or on a page.
#[track_caller]
fn assert_hidden(gateway: &Gateway, secrets: &[&str]) {
    let pages = ["/config", "/metrics", "/upstreams", "/gateway/health"].map(|page| gateway.page("GET", page));
    let shown: String = pages.iter().map(|page| String::from_utf8_lossy(&page.body)).collect();
    for secret in secrets {
        assert!(!gateway.log().contains(secret), "{secret} is in the log:\n{}", gateway.log());
        assert!(!shown.contains(secret), "{secret} is on a page:\n{shown}");
    }
}
