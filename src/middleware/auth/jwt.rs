//! Signed tokens, checked with keys that are configured.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Request;
use super::scheme::{Call, Found, Judgement, Scheme, authorization, cookie, strip_cookie};
use super::{Keyring, Proof};
use crate::auth::{Algorithm, Demands, Fault, Key, Seed, Source, Valid, Verified, certificates, is_token, key_set, verify};
use crate::clock::Instant;
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
    /// Where the issuer's key set is fetched from: `https://` or `http://`.
    pub jwks_url: String,
    /// Certificates (PEM) of the authorities that sign the certificate there, in place of those that browsers trust; most often
    /// `${file:/etc/ringway/ca.pem}`. Where several entries fetch the same URL, that of the first counts.
    pub jwks_ca: String,
    /// How often it is fetched again. A key that isn't known has it fetched early, once in ten seconds at most; while it can't be fetched,
    /// the keys known before stay in use.
    pub refresh: Time,
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
            jwks_url: String::new(),
            jwks_ca: String::new(),
            refresh: Time::from_secs(300),
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
        if self.jwks_url.is_empty() && sources.iter().all(|source| source.is_empty()) {
            let message = "is empty, as are public_key, jwks and jwks_url: no token could be checked";
            return vec![Wrong::new("secret", message, "set one of them")];
        }
        let url = &self.jwks_url;
        let scheme = url.is_empty() || ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
        if !scheme || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return vec![Wrong::new("jwks_url", "is no URL", "it begins with \"https://\" or \"http://\"")];
        }
        if !self.jwks_ca.is_empty() {
            if !url.starts_with("https://") {
                return vec![Wrong::new("jwks_ca", "is there, but jwks_url isn't \"https://\"", "")];
            }
            if let Err(problem) = certificates(&self.jwks_ca) {
                return vec![Wrong::new("jwks_ca", problem, "")];
            }
        }
        if self.refresh.get() < Duration::from_secs(1) {
            return vec![Wrong::new("refresh", "must be at least \"1s\"", "")];
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

    fn key_set(&self) -> Option<Source> {
        (!self.jwks_url.is_empty()).then(|| Source {
            url: self.jwks_url.clone(),
            refresh: self.refresh.get(),
            roots: certificates(&self.jwks_ca).unwrap_or_default(),
        })
    }

    fn build(&self, _: Seed, ring: &Rc<Keyring>) -> Box<dyn Scheme> {
        let demands = Demands {
            issuers: self.issuers.clone(),
            audiences: self.audiences.clone(),
            required: self.required_claims.clone(),
            leeway: self.leeway.get().as_secs(),
        };
        Box::new(Tokens {
            keys: self.keys().unwrap_or_default(),
            url: (!self.jwks_url.is_empty()).then(|| self.jwks_url.as_str().into()),
            algorithms: self.algorithms.clone(),
            ring: ring.clone(),
            fetched: RefCell::default(),
            wanted: Cell::new(Instant::ZERO),
            demands,
            cookie: self.cookie.clone(),
        })
    }
}

struct Tokens {
    /// The keys that are configured.
    keys: Vec<Key>,
    /// Where others are fetched from.
    url: Option<Arc<str>>,
    algorithms: Vec<Algorithm>,
    ring: Rc<Keyring>,
    /// All keys, as of a version of those fetched.
    fetched: RefCell<(u64, Vec<Key>)>,
    /// Until when a request waits for keys that were wanted.
    wanted: Cell<Instant>,
    demands: Demands,
    cookie: String,
}

impl Tokens {
    /// Checks a token with all keys that are known; `None` if there are none yet.
    fn verify(&self, token: &[u8], wall: u64) -> Option<Result<Valid, Fault>> {
        let Some(url) = &self.url else { return Some(verify(token, &self.keys, &self.demands, wall)) };
        let mut fetched = self.fetched.borrow_mut();
        if fetched.0 != self.ring.version(url) {
            let set = self.ring.find(url)?;
            let keys = key_set(set.text.as_bytes(), &self.algorithms).unwrap_or_default();
            *fetched = (set.version, self.keys.iter().cloned().chain(keys).collect());
        }
        match &fetched.1[..] {
            [] if self.keys.is_empty() => None,
            [] => Some(verify(token, &self.keys, &self.demands, wall)),
            keys => Some(verify(token, keys, &self.demands, wall)),
        }
    }

    /// What is said of a token while its key isn't known: the set is fetched early, and the request waits for that, once.
    fn unknown(&self, url: &Arc<str>, reason: Reason, call: &Call) -> Judgement {
        if call.now >= self.wanted.get() + EARLY {
            self.wanted.set(call.now + PATIENCE);
            self.ring.want(url);
        }
        match call.now < self.wanted.get() && !call.again {
            true => Judgement::Pause(self.wanted.get().since(call.now)),
            false => Judgement::Refused(reason, None, Duration::ZERO),
        }
    }
}

impl Scheme for Tokens {
    fn kind(&self) -> &'static str {
        "jwt"
    }

    fn challenge(&self) -> (&'static str, &'static str) {
        ("Bearer", "")
    }

    fn find<'a>(&self, request: &Request<'a>) -> Found<'a> {
        let incoming = request.incoming;
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

    fn version(&self) -> u64 {
        self.url.as_ref().map_or(0, |url| self.ring.version(url))
    }

    fn check(&self, credential: &[u8], call: Call) -> Judgement {
        // Before the first tick nobody knows what time it is.
        if call.wall == 0 {
            return Judgement::Refused(Reason::AuthUnavailable, None, Duration::ZERO);
        }
        let unknown = |reason| match &self.url {
            Some(url) => self.unknown(url, reason, &call),
            None => Judgement::Refused(reason, None, Duration::ZERO),
        };
        let Some(verified) = self.verify(credential, call.wall) else { return unknown(Reason::AuthUnavailable) };
        match verified {
            Ok(valid) => {
                let time = Duration::from_secs(valid.until.saturating_sub(call.wall)).min(REMEMBERED);
                Judgement::Verified(Verified::new(valid.claims, "jwt").into(), Vec::new(), time)
            }
            Err(Fault::UnknownKey) => unknown(Reason::AuthUnknownKey),
            Err(fault) => Judgement::Refused(reason(fault), None, Duration::ZERO),
        }
    }
}

pub(super) fn reason(fault: Fault) -> Reason {
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
/// How long a request waits for keys that it wants, and how long after that no other does.
const PATIENCE: Duration = Duration::from_millis(500);
const EARLY: Duration = Duration::from_secs(10);
