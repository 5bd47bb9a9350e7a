//! Who the client is, and what it hashes to.

use std::net::IpAddr;

use super::*;
use crate::config::{Cidr, HashKey};

/// The client's address in the eyes of a gateway that trusts these networks.
fn client(peer: &str, fields: &[&str], trusted: &[&str]) -> String {
    with(peer, fields, trusted, |incoming, trusted| incoming.client(trusted).to_string())
}

fn with<T>(peer: &str, fields: &[&str], trusted: &[&str], ask: impl FnOnce(&Incoming<'_>, &[Cidr]) -> T) -> T {
    let bytes = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", fields.iter().map(|field| format!("{field}\r\n")).collect::<String>());
    let mut head = RequestHead::default();
    let limits = Core::new(config(&["/*"], 1)).view.plan.head_limits;
    assert_eq!(http1::parse_request(bytes.as_bytes(), &limits, &mut head), Ok(true));
    let trusted: Vec<Cidr> = trusted.iter().map(|network| network.parse().expect("a network")).collect();
    let peer: IpAddr = peer.parse().expect("an address");
    ask(&Incoming { head: &head, bytes: bytes.as_bytes(), peer, secure: false, wall: 0 }, &trusted)
}

#[test]
fn nobody_is_believed_who_is_not_trusted() {
    assert_eq!(client("192.0.2.1", &["X-Forwarded-For: 198.51.100.7"], &[]), "192.0.2.1");
    assert_eq!(client("192.0.2.1", &["X-Forwarded-For: 198.51.100.7"], &["10.0.0.0/8"]), "192.0.2.1");
    assert_eq!(client("::ffff:192.0.2.1", &[], &[]), "192.0.2.1");
}

#[test]
fn the_last_address_that_is_not_a_trusted_proxy_is_the_client() {
    let trusted = &["10.0.0.0/8", "fd00::/8"];
    for (fields, expected) in [
        (&[][..], "10.0.0.1"),
        (&["X-Forwarded-For: 198.51.100.7"], "198.51.100.7"),
        (&["X-Forwarded-For: 203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (&["X-Forwarded-For: 203.0.113.9,198.51.100.7 , 10.1.1.1"], "198.51.100.7"),
        (&["X-Forwarded-For: 203.0.113.9, 198.51.100.7", "x-forwarded-for: 10.2.2.2, fd00::1"], "198.51.100.7"),
        (&["X-Forwarded-For: 10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        (&["X-Forwarded-For: 2001:db8::5"], "2001:db8::5"),
        (&["X-Forwarded-For: ::ffff:198.51.100.7"], "198.51.100.7"),
        (&["X-Forwarded-For: 198.51.100.7, nonsense"], "10.0.0.1"),
        (&["X-Forwarded-For: 198.51.100.7, nonsense, 10.2.2.2"], "10.2.2.2"),
        (&["X-Forwarded-For: "], "10.0.0.1"),
        (&["Forwarded: for=198.51.100.7"], "10.0.0.1"),
    ] {
        assert_eq!(client("10.0.0.1", fields, trusted), expected, "{fields:?}");
    }
}

#[test]
fn a_client_hashes_the_same_however_it_comes() {
    let hash = |peer: &str, fields: &[&str]| with(peer, fields, &["10.0.0.0/8"], |incoming, trusted| incoming.client_hash(trusted));
    let direct = hash("192.0.2.1", &[]);
    assert_eq!(hash("::ffff:192.0.2.1", &[]), direct);
    assert_eq!(hash("10.0.0.1", &["X-Forwarded-For: 192.0.2.1"]), direct);
    assert_ne!(hash("192.0.2.2", &[]), direct);
}

#[test]
fn without_the_header_or_cookie_the_client_is_hashed() {
    for key in [HashKey::Header("Tenant".into()), HashKey::Cookie("id".into()), HashKey::Ip] {
        with("192.0.2.1", &["Cookie: other=1; ident=2"], &[], |incoming, trusted| {
            assert_eq!(incoming.hash_key(&key, trusted), incoming.client_hash(trusted), "{key:?}");
        });
    }
}
