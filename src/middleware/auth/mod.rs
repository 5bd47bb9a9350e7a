//! Who clients are, and whether they may come in: several ways to prove it, of which the first that a request tries decides.

mod basic;
mod external;
mod introspection;
mod jwt;
mod keyring;
mod link;
mod listed;
mod scheme;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Middleware, Mode, Scope, Settings};
use crate::auth::{Seed, Source};
use crate::config::Wrong;
use crate::http::{Edits, is_token};

pub use basic::Basic;
pub use external::External;
pub use introspection::Introspection;
pub use jwt::Jwt;
pub use keyring::Keyring;
pub use listed::{ApiKey, Bearer};

use link::Link;
use scheme::Scheme;

/// Settings of `auth`. Who a client is stands in the access log (`identity`), and rate limits may count by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The ways to prove it, in this order: the first whose credential a request has decides. Without any credential: 401.
    pub any: Vec<Way>,
    /// Whether it refuses, or lets all in and only counts and logs whom it would have refused. In `shadow` endpoints get the credential
    /// whatever `strip_credential` and `replace_authorization` say, and are told of claims that were proved only.
    pub mode: Mode,
    /// What clients are told they need a credential for.
    pub realm: String,
    /// Whether endpoints get the credential, or it is taken away once it is checked. Of cookies only the one that a way names is: an
    /// `external` service is shown all, and endpoints need theirs.
    pub strip_credential: bool,
    /// The `Authorization` that endpoints get in place of the client's; empty leaves that as it is.
    pub replace_authorization: String,
    /// Headers that tell endpoints of claims: the header, and the claim (`sub`, `realm_access.roles`). Clients can't send these.
    pub claims_to_headers: BTreeMap<String, String>,
    /// Scopes (claims `scope` and `scp`) that a client must have all of, else 403.
    pub require_scopes: Vec<String>,
    /// Roles that a client must have one of, else 403.
    pub require_roles: Vec<String>,
    /// The claim that lists a client's roles.
    pub roles_claim: String,
    /// Checked credentials that each core remembers; beyond that, those that end first are forgotten.
    pub remembered_max: u32,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            any: Vec::new(),
            mode: Mode::Enforce,
            realm: "ringway".into(),
            strip_credential: false,
            replace_authorization: String::new(),
            claims_to_headers: BTreeMap::new(),
            require_scopes: Vec::new(),
            require_roles: Vec::new(),
            roles_claim: "roles".into(),
            remembered_max: 4096,
        }
    }
}

macro_rules! ways {
    ($($(#[doc = $doc:literal])+ $kind:ident: $settings:ty,)+) => {
        /// One way to prove who one is: an object with one of these in it.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct Way {
            $($(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $kind: Option<$settings>,)+
        }

        impl Way {
            const KINDS: &[&str] = &[$(stringify!($kind),)+];

            fn kinds(&self) -> impl Iterator<Item = (&'static str, &dyn Proof)> {
                [$(self.$kind.as_ref().map(|settings| (stringify!($kind), settings as &dyn Proof)),)+].into_iter().flatten()
            }
        }
    };
}

ways! {
    /// Static bearer tokens (RFC 6750), in `Authorization`.
    bearer: Bearer,
    /// API keys, in a header, the query or a cookie.
    api_key: ApiKey,
    /// User names and passwords (RFC 7617).
    basic: Basic,
    /// Signed tokens (RFC 7519).
    jwt: Jwt,
    /// Tokens that only their issuer can read (RFC 7662).
    introspection: Introspection,
    /// A service that decides.
    external: External,
}

/// The settings of one way.
trait Proof {
    /// What is wrong with them.
    fn problems(&self) -> Vec<Wrong>;

    /// The request headers that hold the credential.
    fn headers(&self) -> Vec<&str>;

    /// The request headers that it sets, which clients can't send.
    fn sets(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The key set that it needs fetched.
    fn key_set(&self) -> Option<Source> {
        None
    }

    /// The upstream that it asks.
    fn upstream(&self) -> Option<&str> {
        None
    }

    /// What checks it on one core.
    fn build(&self, seed: Seed, keys: &Rc<Keyring>) -> Box<dyn Scheme>;
}

impl Settings for Auth {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.any.is_empty() {
            let hint = format!("name ways to prove who one is: {}", Way::KINDS.join(", "));
            wrong.push(Wrong::new("any", "is empty: nobody could come in", &hint));
        }
        for (index, way) in self.any.iter().enumerate() {
            let kinds: Vec<_> = way.kinds().collect();
            let part = format!("any[{index}]");
            match kinds[..] {
                [(kind, proof)] => {
                    let found = proof.problems().into_iter();
                    wrong.extend(found.map(|wrong| Wrong { setting: format!("{part}.{kind}.{}", wrong.setting), ..wrong }));
                }
                [] => wrong.push(Wrong::new(&part, "says not what it is", &format!("there are: {}", Way::KINDS.join(", ")))),
                _ => wrong.push(Wrong::new(&part, "is several at once", "write an object for each")),
            }
        }
        if !quotable(&self.realm) {
            wrong.push(Wrong::new("realm", "holds quotes, backslashes, control characters or characters outside of ASCII", ""));
        }
        if !self.replace_authorization.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            wrong.push(Wrong::new("replace_authorization", "holds what can't stand in a header", ""));
        }
        for name in self.claims_to_headers.keys() {
            if !is_token(name) {
                let message = "is no name of a header";
                wrong.push(Wrong { value: Some(name.clone()), ..Wrong::new("claims_to_headers", message, "as in \"X-User\"") });
            } else if FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name)) {
                let message = "is a header that says how the message is to be read";
                wrong.push(Wrong { value: Some(name.clone()), ..Wrong::new("claims_to_headers", message, "take another name") });
            }
        }
        for (list, scopes) in [("require_scopes", &self.require_scopes), ("require_roles", &self.require_roles)] {
            for index in scopes.iter().enumerate().filter(|(_, scope)| scope.is_empty() || !quotable(scope)).map(|(index, _)| index) {
                let message = "is empty, or holds quotes, backslashes, control characters or characters outside of ASCII";
                wrong.push(Wrong::new(&format!("{list}[{index}]"), message, ""));
            }
        }
        if self.remembered_max > REMEMBERED_MOST {
            let message = format!("must be at most {REMEMBERED_MOST}, is {}", self.remembered_max);
            wrong.push(Wrong::new("remembered_max", &message, ""));
        }
        wrong
    }

    fn edits(&self, request: &mut Edits, _: &mut Edits) {
        self.claims_to_headers.keys().for_each(|name| request.remove(name));
        let ways = || self.any.iter().flat_map(Way::kinds);
        ways().flat_map(|(_, proof)| proof.sets()).for_each(|name| request.remove(name));
        if self.mode == Mode::Shadow {
            return;
        }
        if self.strip_credential {
            ways().flat_map(|(_, proof)| proof.headers()).for_each(|name| request.remove(name));
        }
        if !self.replace_authorization.is_empty() {
            request.set("Authorization", &self.replace_authorization);
        }
    }

    fn authenticates(&self) -> bool {
        true
    }

    fn lets_all_in(&self) -> bool {
        self.mode == Mode::Shadow
    }

    fn key_sets(&self) -> Vec<Source> {
        self.any.iter().flat_map(Way::kinds).filter_map(|(_, proof)| proof.key_set()).collect()
    }

    fn upstreams(&self) -> Vec<(String, &str)> {
        let ways = self.any.iter().enumerate().flat_map(|(index, way)| way.kinds().map(move |kind| (index, kind)));
        ways.filter_map(|(index, (kind, proof))| Some((format!("any[{index}].{kind}.upstream"), proof.upstream()?))).collect()
    }

    fn build(&self, scope: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        Some(Rc::new(Link::new(self, scope)))
    }
}

/// Whether a text can stand in a quoted string as it is (RFC 9110 section 5.6.4).
fn quotable(text: &str) -> bool {
    text.bytes().all(|byte| (byte.is_ascii_graphic() || byte == b' ') && byte != b'"' && byte != b'\\')
}

/// Headers that no claim may take the place of.
const FRAMING: &[&str] = &["Host", "Content-Length", "Transfer-Encoding", "Connection", "TE", "Trailer", "Upgrade", "Expect"];
/// Entries that each core may be let remember.
const REMEMBERED_MOST: u32 = 1 << 20;
