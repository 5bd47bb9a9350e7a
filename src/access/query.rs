//! Queries as they may be shown: secrets hidden.

/// A query with its secrets' values as `***`.
pub(super) fn hidden(query: &[u8], secret: &[String]) -> String {
    let mut out = String::new();
    for (index, pair) in query.split(|&byte| byte == b'&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        let split = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let name = unescaped(&pair[..split]);
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

/// A parameter's name as its reader sees it: a secret can't hide behind an escape.
fn unescaped(name: &[u8]) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut at = 0;
    while at < name.len() {
        let escape = name.get(at + 1..at + 3).filter(|_| name[at] == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(name[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
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
