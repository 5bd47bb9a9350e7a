//! Queries as they may be shown: secrets hidden.

use crate::http::unescaped;

/// A query with its secrets' values as `***`.
pub(super) fn hidden(query: &[u8], secret: &[String]) -> String {
    let mut out = String::new();
    for (index, pair) in query.split(|&byte| byte == b'&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        let split = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        // As its reader sees it: a secret can't hide behind an escape.
        let name = unescaped(&pair[..split]);
        let name = String::from_utf8_lossy(&name);
        let is = |secret: &str| name.eq_ignore_ascii_case(secret);
        out.push_str(&String::from_utf8_lossy(&pair[..split]));
        if split < pair.len() {
            let hide = SECRET.iter().any(|secret| is(secret)) || secret.iter().any(|secret| is(secret));
            out.push('=');
            out.push_str(&if hide { "***".into() } else { String::from_utf8_lossy(&pair[split + 1..]) });
        }
    }
    out
}

/// Names of query parameters that mean a secret wherever they are met.
const SECRET: &[&str] = &[
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "client_secret",
    "code",
    "id_token",
    "jwt",
    "key",
    "passwd",
    "password",
    "refresh_token",
    "secret",
    "session",
    "sig",
    "signature",
    "token",
    "x-amz-signature",
    "x-amz-security-token",
];
