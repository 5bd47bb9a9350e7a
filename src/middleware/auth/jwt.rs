//! Signed tokens, checked with keys that are configured.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Incoming, Request};
use super::Proof;
use super::scheme::{Call, Found, Judgement, Scheme, authorization, cookie, strip_cookie};
use crate::auth::{Algorithm, Demands, Fault, Key, Seed, Verified, is_token, key_set, verify};
use crate::config::{Time, Wrong};
use crate::error::Reason;

/// Settings of `jwt`: signed tokens (RFC 7519), as `Authorization: Bearer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Jwt {
    /// The secret that tokens are signed with (HS256, HS384, HS512), of 32 bytes at least.
    pub secret: String,
    /// The public key of the issuer, as PEM.
    pub public_key: String,
    /// The public keys of the issuer, as a JSON Web Key Set (RFC 7517); most often `${file:/etc/ringway/jwks.json}`.
    pub jwks: String,
    /// Algorithms that tokens may be signed by. Empty: those that the keys of a set name, else HS256, RS256, ES256, ES384, EdDSA, as fits
    /// the key.
    pub algorithms: Vec<Algorithm>,
    /// Who may have issued a token (`iss`); empty is anyone.
    pub issuers: Vec<String>,
    /// For whom a token may be meant (`aud`); empty is anyone.
    pub audiences: Vec<String>,
    /// Claims that a token must have.
    pub required_claims: Vec<String>,
    /// How far the clocks of issuer and gateway may be apart.
    pub leeway: Time,
    /// The cookie that a token is looked for in, if it isn't in `Authorization`; empty doesn't look.
    pub cookie: String,
}

impl Default for Jwt {
    fn default() -> Self {
        Jwt {
            secret: String::new(),
            public_key: String::new(),
            jwks: String::new(),
            algorithms: Vec::new(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            required_claims: vec!["exp".into()],
            leeway: Time::from_secs(30),
            cookie: String::new(),
        }
    }
}

impl Jwt {
    /// The keys that are configured; else the setting that has none.
    fn keys(&self) -> Result<Vec<Key>, (&'static str, &'static str)> {
        let mut keys = Vec::new();
        if !self.secret.is_empty() {
            keys.push(Key::secret(self.secret.as_bytes()).map_err(|problem| ("secret", problem))?);
        }
        if !self.public_key.is_empty() {
            keys.push(Key::pem(&self.public_key).map_err(|problem| ("public_key", problem))?);
        }
        keys = keys.into_iter().map(|key| key.only(&self.algorithms)).collect();
        if !self.jwks.is_empty() {
            keys.extend(key_set(self.jwks.as_bytes(), &self.algorithms).map_err(|problem| ("jwks", problem))?);
        }
        Ok(keys)
    }
}

impl Proof for Jwt {
    fn problems(&self) -> Vec<Wrong> {
        let sources = [&self.secret, &self.public_key, &self.jwks];
        if sources.iter().all(|source| source.is_empty()) {
            return vec![Wrong::new("secret", "is empty, as are public_key and jwks: no token could be checked", "set one of them")];
        }
        match self.keys() {
            Err((setting, problem)) => vec![Wrong::new(setting, problem, "")],
            Ok(keys) if keys.iter().any(|key| key.algorithms.is_empty()) => {
                vec![Wrong::new("algorithms", "are none that one of the keys is for", "")]
            }
            Ok(_) => Vec::new(),
        }
    }

    fn headers(&self) -> Vec<&str> {
        vec!["Authorization"]
    }

    fn build(&self, _: Seed) -> Box<dyn Scheme> {
        let demands = Demands {
            issuers: self.issuers.clone(),
            audiences: self.audiences.clone(),
            required: self.required_claims.clone(),
            leeway: self.leeway.get().as_secs(),
        };
        Box::new(Tokens { keys: self.keys().unwrap_or_default(), demands, cookie: self.cookie.clone() })
    }
}

struct Tokens {
    keys: Vec<Key>,
    demands: Demands,
    cookie: String,
}

impl Scheme for Tokens {
    fn kind(&self) -> &'static str {
        "jwt"
    }

    fn challenge(&self) -> (&'static str, &'static str) {
        ("Bearer", "")
    }

    fn find<'a>(&self, incoming: &'a Incoming<'a>) -> Found<'a> {
        match authorization(incoming, "Bearer") {
            Found::Absent if !self.cookie.is_empty() => cookie(incoming, &self.cookie),
            // Another way may know it; if none does, it is refused as what it isn't.
            Found::There(token) if !is_token(&token) => Found::Foreign,
            found => found,
        }
    }

    fn strip(&self, request: &mut Request<'_>) {
        if !self.cookie.is_empty() {
            strip_cookie(request, &self.cookie);
        }
    }

    fn check(&self, credential: &[u8], call: Call) -> Judgement {
        // Before the first tick nobody knows what time it is.
        if call.wall == 0 {
            return Judgement::Refused(Reason::AuthUnavailable, Duration::ZERO);
        }
        match verify(credential, &self.keys, &self.demands, call.wall) {
            Ok(valid) => {
                let time = Duration::from_secs(valid.until.saturating_sub(call.wall)).min(REMEMBERED);
                Judgement::Verified(Verified::new(valid.claims, "jwt").into(), time)
            }
            Err(fault) => Judgement::Refused(reason(fault), Duration::ZERO),
        }
    }
}

fn reason(fault: Fault) -> Reason {
    match fault {
        Fault::Malformed => Reason::AuthInvalid,
        Fault::Algorithm => Reason::AuthAlgorithm,
        Fault::UnknownKey => Reason::AuthUnknownKey,
        Fault::Signature => Reason::AuthSignature,
        Fault::Expired => Reason::AuthExpired,
        Fault::NotYetValid => Reason::AuthNotYetValid,
        Fault::Issuer => Reason::AuthIssuer,
        Fault::Audience => Reason::AuthAudience,
        Fault::Claims => Reason::AuthClaims,
    }
}

/// How long a token is remembered at most; it never is beyond its end.
const REMEMBERED: Duration = Duration::from_secs(3600);
