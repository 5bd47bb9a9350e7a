//! Signed tokens (RFC 7519): their form, their signature by a key that is known, and only then what they claim.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::claims::Claims;
use super::keys::{Algorithm, Key};

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It isn't a signed token of three parts, or one that needs what isn't supported.
    Malformed,
    /// It is signed by no algorithm, or by one that its key isn't for.
    Algorithm,
    /// The key that it names isn't known.
    UnknownKey,
    /// It wasn't signed by the key.
    Signature,
    /// Its time is over.
    Expired,
    /// Its time hasn't come.
    NotYetValid,
    /// Somebody else issued it.
    Issuer,
    /// It is meant for somebody else.
    Audience,
    /// A claim is missing.
    Claims,
}

/// What a token must claim.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// Who may have issued it; empty is anyone.
    pub issuers: Vec<String>,
    /// For whom it may be meant; empty is anyone.
    pub audiences: Vec<String>,
    /// Claims that it must have.
    pub required: Vec<String>,
    /// How far the clocks of issuer and gateway may be apart, in seconds.
    pub leeway: u64,
}

/// A token that was verified.
#[derive(Debug, PartialEq)]
pub struct Valid {
    /// What it claims.
    pub claims: Claims,
    /// Seconds since 1970 began at which it ends, the leeway put in; `u64::MAX` if never.
    pub until: u64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515 section 4.1.11): none is.
    crit: Option<Value>,
}

/// Whether this has a signed token's form of three parts.
pub fn is_token(token: &[u8]) -> bool {
    token.iter().filter(|&&byte| byte == b'.').count() == 2
}

/// Verifies a token. `wall` is the present moment in seconds since 1970 began.
///
/// # Errors
/// Why it is refused.
pub fn verify(token: &[u8], keys: &[Key], demands: &Demands, wall: u64) -> Result<Valid, Fault> {
    if token.len() > TOKEN_MAX || !is_token(token) {
        return Err(Fault::Malformed);
    }
    let dot = token.iter().rposition(|&byte| byte == b'.').ok_or(Fault::Malformed)?;
    let (message, signature) = (&token[..dot], &token[dot + 1..]);
    let middle = message.iter().position(|&byte| byte == b'.').ok_or(Fault::Malformed)?;
    let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Malformed);
    let header: Header = serde_json::from_slice(&decode(&message[..middle])?).map_err(|_| Fault::Malformed)?;
    if header.crit.is_some() {
        return Err(Fault::Malformed);
    }
    let algorithm = Algorithm::named(&header.alg).ok_or(Fault::Algorithm)?;
    let signature = decode(signature)?;
    let named = |key: &&Key| match (&key.id, &header.kid) {
        (Some(id), Some(named)) => id == named,
        _ => true,
    };
    let mut candidates = keys.iter().filter(named).peekable();
    if candidates.peek().is_none() {
        return Err(Fault::UnknownKey);
    }
    let mut candidates = candidates.filter(|key| key.algorithms.contains(&algorithm)).take(TRIES_MAX).peekable();
    if candidates.peek().is_none() {
        return Err(Fault::Algorithm);
    }
    if !candidates.any(|key| key.signed(algorithm, message, &signature)) {
        return Err(Fault::Signature);
    }
    let Unique(claims) = serde_json::from_slice(&decode(&message[middle + 1..])?).map_err(|_| Fault::Malformed)?;
    demands.check(claims, wall)
}

impl Demands {
    /// Checks claims that were verified. `wall` is the present moment in seconds since 1970 began.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, claims: Claims, wall: u64) -> Result<Valid, Fault> {
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().filter(|time| time.is_finite()).map(Some).ok_or(Fault::Malformed),
        };
        let (now, leeway) = (wall as f64, self.leeway as f64);
        let end = time("exp")?.map(|exp| exp + leeway);
        if end.is_some_and(|end| now >= end) {
            return Err(Fault::Expired);
        }
        if time("nbf")?.is_some_and(|nbf| now + leeway < nbf) {
            return Err(Fault::NotYetValid);
        }
        let is = |value: &Value, list: &[String]| value.as_str().is_some_and(|text| list.iter().any(|other| other == text));
        if !self.issuers.is_empty() && !claims.get("iss").is_some_and(|iss| is(iss, &self.issuers)) {
            return Err(Fault::Issuer);
        }
        if !self.audiences.is_empty() {
            let meant = match claims.get("aud") {
                Some(Value::Array(all)) => all.iter().any(|aud| is(aud, &self.audiences)),
                Some(aud) => is(aud, &self.audiences),
                None => false,
            };
            if !meant {
                return Err(Fault::Audience);
            }
        }
        if self.required.iter().any(|name| claims.get(name).is_none_or(Value::is_null)) {
            return Err(Fault::Claims);
        }
        Ok(Valid { until: end.map_or(u64::MAX, |end| end as u64), claims })
    }
}

/// An object in which no name stands twice: another reader might take the other one (RFC 7519 section 4).
struct Unique(Claims);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut claims = Claims::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a name stands twice"));
                    }
                }
                Ok(Unique(claims))
            }
        }

        deserializer.deserialize_map(Names)
    }
}

/// Bytes of a token.
const TOKEN_MAX: usize = 16 << 10;
/// Keys that a token without a key's name is tried with.
const TRIES_MAX: usize = 4;
