//! User names and passwords, checked by threads of their own.

use serde_json::json;

use super::{OK, assert_hidden, guarded, guarded_with, outcome, with};
use crate::harness::{Hostile, at_once};

const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
/// `ada:U*U`, `ada:U*V`, `eve:U*U`
const RIGHT: &str = "Authorization: Basic YWRhOlUqVQ==";
const WRONG: &str = "Authorization: Basic YWRhOlUqVg==";
const UNKNOWN: &str = "Authorization: Basic ZXZlOlUqVQ==";

#[test]
fn a_right_password_lets_in_and_no_other_does() {
    let endpoint = Hostile::answering(OK);
    let auth = json!({ "any": [{ "basic": { "users": format!("# users\nada:{BCRYPT}\n") } }] });
    let gateway = guarded(&endpoint, auth);
    let long = format!("Authorization: Basic {}", "QUFB".repeat(5000));
    for _again in 0..3 {
        for (lines, expected) in [
            (&[RIGHT][..], (200, "")),
            (&[WRONG], (401, "auth_invalid")),
            (&[UNKNOWN], (401, "auth_invalid")),
            (&["Authorization: Basic"], (401, "auth_invalid")),
            (&["Authorization: Basic YWRhOlUqVQ"], (401, "auth_invalid")),
            (&["Authorization: Basic YWRh"], (401, "auth_invalid")),
            (&[&long], (401, "auth_invalid")),
            (&["Authorization: Bearer YWRhOlUqVQ=="], (401, "auth_missing")),
            (&[], (401, "auth_missing")),
            (&[RIGHT, RIGHT], (400, "auth_repeated")),
        ] {
            let answer = gateway.connect().ask(with("/", lines));
            assert_eq!(outcome(&answer), expected, "{lines:?}");
            if answer.status() == 401 {
                assert_eq!(answer.field("www-authenticate"), Some("Basic realm=\"ringway\", charset=\"UTF-8\""));
            }
        }
    }
    assert_eq!(endpoint.seen().len(), 3);
    gateway.wait_log("\"identity\":\"ada\"");
    assert_hidden(&gateway, &["U*U", "YWRhOlUqVQ", "CCCCCCCC"]);
}

#[test]
fn a_full_queue_refuses_and_who_is_remembered_comes_in_meanwhile() {
    let endpoint = Hostile::answering(OK);
    // A second or so of work in a debug build.
    let slow = BCRYPT.replace("$05$", "$10$");
    let auth = json!({ "any": [{ "basic": { "users": format!("ada:{BCRYPT}\nbob:{slow}\n") } }] });
    let more = json!({ "runtime": { "workers": 1, "pin": false, "ring_entries": 256 }, "limits": { "password_queue": 1 } });
    let gateway = guarded_with(&endpoint, auth, more);
    let mut known = gateway.connect();
    assert_eq!(known.ask(with("/", &[RIGHT])).status(), 200);
    let outcomes = at_once(8, |number| {
        // `bob:0` and so on.
        let token = ["Ym9iOjA=", "Ym9iOjE=", "Ym9iOjI=", "Ym9iOjM=", "Ym9iOjQ=", "Ym9iOjU=", "Ym9iOjY=", "Ym9iOjc="][number];
        let answer = gateway.connect().ask(with("/", &[&format!("Authorization: Basic {token}")]));
        if answer.status() == 503 {
            assert_eq!((answer.reason(), answer.field("retry-after")), ("auth_busy", Some("1")));
        }
        assert_eq!(known_status(&gateway), 200, "remembered: nothing to be checked");
        answer.status()
    });
    assert!(outcomes.contains(&401) && outcomes.contains(&503), "{outcomes:?}");
}

fn known_status(gateway: &crate::harness::Gateway) -> u16 {
    gateway.connect().ask(with("/", &[RIGHT])).status()
}
