//! Settings of a split: which share of a route's requests goes to which upstream, and what keeps a user in one arm.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HashKey, Time};

/// One upstream of several that share a route's requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Arm {
    /// The `id` of the upstream.
    pub upstream: String,
    /// Its share is its weight of the sum of all; 0 gets none.
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
}

impl Default for Arm {
    fn default() -> Self {
        Arm { upstream: String::new(), weight: 1 }
    }
}

/// What keeps a user in one arm of a split: one of the two. Without, each request is sent to an arm by chance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sticky {
    /// What is the same for all requests of a user: `ip`, `header:X-User` or `cookie:session` (`path` is one page, not one user).
    /// Where a request hasn't that header or cookie, the client's address counts.
    pub by: Option<HashKey>,
    /// A cookie that the gateway gives to those who have none.
    pub cookie: Option<StickyCookie>,
}

/// The cookie that tells users apart. It holds 16 hexadecimal digits by chance, and not the arm: when weights change, so does the
/// arm of as many users as are due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StickyCookie {
    /// Its name.
    pub name: String,
    /// How long clients keep it; `0s` is until the browser is closed.
    pub ttl: Time,
    /// The paths it is sent for; those below are, too.
    pub path: String,
    /// The domain it is sent to, subdomains with it; else the host alone that gave it.
    pub domain: Option<String>,
    /// Scripts don't see it.
    pub http_only: bool,
    /// It is sent over TLS only.
    pub secure: bool,
    /// Whether requests that other sites cause carry it.
    pub same_site: SameSite,
}

impl Default for StickyCookie {
    fn default() -> Self {
        StickyCookie {
            name: "ringway_user".into(),
            ttl: Time::from_secs(30 * 24 * 3600),
            path: "/".into(),
            domain: None,
            http_only: true,
            secure: false,
            same_site: SameSite::Lax,
        }
    }
}

impl StickyCookie {
    /// The `Set-Cookie` line (RFC 6265 section 4.1.1) up to its value, and behind it with its line end.
    pub fn line(&self) -> (String, String) {
        let StickyCookie { name, ttl, path, domain, http_only, secure, same_site } = self;
        let mut behind = format!("; Path={path}");
        if let Some(domain) = domain {
            behind.push_str(&format!("; Domain={domain}"));
        }
        if !ttl.get().is_zero() {
            behind.push_str(&format!("; Max-Age={}", ttl.get().as_secs().max(1)));
        }
        behind.push_str(if *http_only { "; HttpOnly" } else { "" });
        behind.push_str(if *secure { "; Secure" } else { "" });
        behind.push_str(match same_site {
            SameSite::Strict => "; SameSite=Strict\r\n",
            SameSite::Lax => "; SameSite=Lax\r\n",
            SameSite::None => "; SameSite=None\r\n",
        });
        (format!("Set-Cookie: {name}="), behind)
    }
}

/// Whether requests that other sites cause carry a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// None do.
    Strict,
    /// Those do by which a page of this site is opened.
    #[default]
    Lax,
    /// All do; browsers want `secure` with it.
    None,
}
