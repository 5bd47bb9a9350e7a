//! Sets of public keys (RFC 7517). A key that can't be used here is left out, as section 5 says; so is any that holds a secret, as
//! whoever can read the set could sign.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::keys::{Algorithm, Key};

/// The keys of a set.
///
/// # Errors
/// When it is no set, has more than 100 keys, or none that can be used.
pub fn key_set(text: &[u8], only: &[Algorithm]) -> Result<Vec<Key>, &'static str> {
    let set: Set = serde_json::from_slice(text).map_err(|_| "is no JSON Web Key Set")?;
    if set.keys.len() > KEYS_MAX {
        return Err("has more than 100 keys");
    }
    let keys: Vec<Key> = set.keys.into_iter().filter_map(|value| key(value, only)).collect();
    if keys.is_empty() { Err("has no key that can be used") } else { Ok(keys) }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private part of a key, which has no place in a set that is given away.
    d: Option<Value>,
}

fn key(value: Value, only: &[Algorithm]) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let signs = jwk.r#use.as_deref().is_none_or(|word| word == "sig");
    let verifies = jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|word| word == "verify"));
    if !signs || !verifies || jwk.d.is_some() || jwk.kid.as_ref().is_some_and(|id| id.len() > ID_MAX) {
        return None;
    }
    let bytes = |member: &Option<String>| URL_SAFE_NO_PAD.decode(member.as_ref()?).ok();
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Key::rsa(&bytes(&jwk.n)?, &bytes(&jwk.e)?),
        ("EC", Some("P-256" | "P-384")) => Key::curve(&bytes(&jwk.x)?, &bytes(&jwk.y)?),
        ("OKP", Some("Ed25519")) => Key::ed25519(&bytes(&jwk.x)?),
        _ => return None,
    };
    let mut key = key.ok()?.only(only);
    if let Some(name) = jwk.alg {
        let algorithm = Algorithm::named(&name).filter(|algorithm| key.fits(*algorithm))?;
        key.algorithms = if only.is_empty() || only.contains(&algorithm) { vec![algorithm] } else { Vec::new() };
    }
    key.id = jwk.kid;
    (!key.algorithms.is_empty()).then_some(key)
}

/// Keys of a set.
const KEYS_MAX: usize = 100;
/// Bytes of a key's name.
const ID_MAX: usize = 256;
