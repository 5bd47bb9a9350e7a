//! Tokens that only their issuer can read: it is asked (OAuth 2.0 token introspection, RFC 7662), and what it said is remembered.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Fetch, Question, Reply, Request};
use super::scheme::{Call, Found, Judgement, Scheme, authorization};
use super::{Keyring, Proof};
use crate::auth::{Claims, Demands, Fault, Seed, Verified};
use crate::config::{Time, Wrong};
use crate::error::Reason;

/// Settings of `introspection`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Introspection {
    /// The upstream that is asked.
    pub upstream: String,
    /// The path there.
    pub path: String,
    /// Who asks, by Basic authentication; empty asks without.
    pub client_id: String,
    /// What proves that.
    pub client_secret: String,
    /// For whom a token may be meant (`aud`); empty is anyone.
    pub audiences: Vec<String>,
    /// How long an answer may take; then 503.
    pub timeout: Time,
    /// How long a core remembers that a token is active; never beyond its `exp`. While it is asked about one, others with that
    /// token wait for the answer. `0s` asks for each request.
    pub remember: Time,
    /// How long it remembers that one isn't.
    pub remember_inactive: Time,
}

impl Default for Introspection {
    fn default() -> Self {
        Introspection {
            upstream: String::new(),
            path: "/introspect".into(),
            client_id: String::new(),
            client_secret: String::new(),
            audiences: Vec::new(),
            timeout: Time::from_secs(2),
            remember: Time::from_secs(60),
            remember_inactive: Time::from_secs(10),
        }
    }
}

impl Proof for Introspection {
    fn problems(&self) -> Vec<Wrong> {
        super::external::asked(&self.upstream, &self.path, self.timeout)
    }

    fn headers(&self) -> Vec<&str> {
        vec!["Authorization"]
    }

    fn upstream(&self) -> Option<&str> {
        Some(&self.upstream)
    }

    fn build(&self, _: Seed, _: &Rc<Keyring>) -> Box<dyn Scheme> {
        let mut lines = b"Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\n".to_vec();
        if !self.client_id.is_empty() {
            // RFC 6749 section 2.3.1.
            let pair = format!("{}:{}", escaped(self.client_id.as_bytes()), escaped(self.client_secret.as_bytes()));
            lines.extend_from_slice(format!("Authorization: Basic {}\r\n", STANDARD.encode(pair)).as_bytes());
        }
        let demands = Demands { audiences: self.audiences.clone(), ..Demands::default() };
        Box::new(Asked { settings: self.clone(), lines, demands })
    }
}

struct Asked {
    settings: Introspection,
    lines: Vec<u8>,
    demands: Demands,
}

impl Asked {
    fn judge(&self, body: &[u8], wall: u64) -> Judgement {
        let unavailable = Judgement::Refused(Reason::AuthUnavailable, None, Duration::ZERO);
        let Ok(claims) = serde_json::from_slice::<Claims>(body) else { return unavailable };
        let inactive = |reason| Judgement::Refused(reason, None, self.settings.remember_inactive.get());
        match claims.get("active").and_then(serde_json::Value::as_bool) {
            Some(true) => {}
            Some(false) => return inactive(Reason::AuthInvalid),
            None => return unavailable,
        }
        match self.demands.check(claims, wall) {
            Ok(valid) => {
                let left = Duration::from_secs(valid.until.saturating_sub(wall));
                let verified = Verified::new(valid.claims, "introspection");
                Judgement::Verified(verified.into(), Vec::new(), self.settings.remember.get().min(left))
            }
            Err(Fault::Malformed) => unavailable,
            Err(fault) => inactive(super::jwt::reason(fault)),
        }
    }
}

impl Scheme for Asked {
    fn kind(&self) -> &'static str {
        "introspection"
    }

    fn challenge(&self) -> (&'static str, &'static str) {
        ("Bearer", "")
    }

    fn find<'a>(&self, request: &Request<'a>) -> Found<'a> {
        authorization(request.incoming, "Bearer")
    }

    fn check(&self, credential: &[u8], call: Call) -> Judgement {
        if credential.is_empty() || credential.len() > TOKEN_MAX || !credential.iter().all(u8::is_ascii_graphic) {
            return Judgement::Refused(Reason::AuthInvalid, None, Duration::ZERO);
        }
        match call.reply.map(|reply| *reply) {
            None => Judgement::Ask(Box::new(Question::Fetch(Fetch {
                upstream: self.settings.upstream.clone(),
                method: "POST",
                path: self.settings.path.clone(),
                lines: self.lines.clone(),
                body: format!("token={}&token_type_hint=access_token", escaped(credential)).into_bytes(),
                timeout: self.settings.timeout.get(),
                shared: !self.settings.remember.get().is_zero(),
            }))),
            Some(Reply::Fetched(fetched)) if fetched.status == 200 && call.wall != 0 => {
                self.judge(fetched.body.as_deref().unwrap_or_default(), call.wall)
            }
            Some(_) => Judgement::Refused(Reason::AuthUnavailable, None, Duration::ZERO),
        }
    }
}

/// As a form has it: what isn't plain is escaped.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Bytes of a token.
const TOKEN_MAX: usize = 8 << 10;
