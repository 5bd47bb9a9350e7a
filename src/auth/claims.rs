//! Who somebody has proved to be, and what is known of them: the claims of a token (RFC 7519 section 4), or what the configuration says.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// What is known of somebody.
pub type Claims = Map<String, Value>;

/// Somebody who has proved who they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verified {
    /// Their name, for logs and limits; at most 256 bytes, never empty, never a secret.
    pub identity: String,
    /// What is known of them.
    pub claims: Claims,
}

impl Verified {
    /// Somebody known by these claims: their identity is `sub`, else `client_id`, else `fallback`.
    pub fn new(claims: Claims, fallback: &str) -> Self {
        let named = ["sub", "client_id"].into_iter().filter_map(|name| claims.get(name)?.as_str()).find(|name| !name.is_empty());
        let name = named.unwrap_or(fallback);
        let mut identity = String::new();
        for char in name.chars().filter(|char| !char.is_control()) {
            if identity.len() + char.len_utf8() > IDENTITY_MAX {
                break;
            }
            identity.push(char);
        }
        if identity.is_empty() {
            identity.push_str("unnamed");
        }
        Verified { identity, claims }
    }

    /// Somebody whom the configuration names, with these scopes.
    pub fn named(name: &str, scopes: &[String]) -> Self {
        let mut claims = Claims::new();
        claims.insert("sub".into(), name.into());
        if !scopes.is_empty() {
            claims.insert("scope".into(), scopes.join(" ").into());
        }
        Verified::new(claims, name)
    }

    /// A claim by its name, or by its path with dots (`realm_access.roles`) where no claim has that name.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.claims.get(name) {
            return Some(value);
        }
        let mut parts = name.split('.');
        let mut value = self.claims.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        Some(value)
    }

    /// A claim as text: a list's values with commas between them; `None` for what has no such form.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.claim(name)? {
            Value::Array(values) => {
                let texts: Option<Vec<_>> = values.iter().map(plain).collect();
                Some(Cow::Owned(texts?.join(",")))
            }
            value => plain(value),
        }
    }

    /// Whether a claim is this value or has it among its values: those of a list, or of a text with spaces between them
    /// (RFC 6749 section 3.3).
    pub fn has(&self, name: &str, wanted: &str) -> bool {
        match self.claim(name) {
            Some(Value::String(text)) => text.split(' ').any(|value| value == wanted),
            Some(Value::Array(values)) => values.iter().any(|value| value == wanted),
            _ => false,
        }
    }
}

fn plain(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(word) => Some(Cow::Borrowed(if *word { "true" } else { "false" })),
        _ => None,
    }
}

/// Bytes of an identity.
const IDENTITY_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(claims: Value) -> Verified {
        Verified::new(claims.as_object().unwrap().clone(), "jwt")
    }

    #[test]
    fn an_identity_is_never_empty_nor_long_nor_breaks_a_line() {
        for (claims, identity) in [
            (json!({ "sub": "ada" }), "ada"),
            (json!({ "client_id": "app" }), "app"),
            (json!({ "sub": "", "client_id": "app" }), "app"),
            (json!({ "sub": 7 }), "jwt"),
            (json!({}), "jwt"),
            (json!({ "sub": "a\r\nb\u{7f}" }), "ab"),
            (json!({ "sub": "\n" }), "unnamed"),
        ] {
            assert_eq!(of(claims).identity, identity);
        }
        let long = of(json!({ "sub": "\u{e9}".repeat(200) })).identity;
        assert_eq!(long.len(), IDENTITY_MAX);
    }

    #[test]
    fn claims_are_found_by_name_and_by_path() {
        let verified = of(json!({ "realm": { "roles": ["a", "b"] }, "x.y": 1, "x": { "y": 2 }, "on": true, "deep": [{}] }));
        assert_eq!(verified.text("realm.roles").unwrap(), "a,b");
        assert_eq!(verified.text("x.y").unwrap(), "1", "a claim of that name comes first");
        assert_eq!(verified.text("on").unwrap(), "true");
        for name in ["none", "realm", "realm.none", "on.off", "deep", "", "."] {
            assert_eq!(verified.text(name), None, "{name}");
        }
        assert!(verified.has("realm.roles", "b") && !verified.has("realm.roles", "c") && !verified.has("realm.roles", "a,b"));
    }

    #[test]
    fn scopes_are_words() {
        let verified = of(json!({ "scope": "read write", "scp": "readwrite" }));
        assert!(verified.has("scope", "read") && verified.has("scope", "write"));
        assert!(!verified.has("scope", "rea") && !verified.has("scp", "read") && !verified.has("scope", "read write"));
    }
}
