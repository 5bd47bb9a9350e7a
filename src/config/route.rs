//! Settings of a route: what it matches, where it leads, what it changes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arm, Mirror, Sticky, Time};
use crate::middleware::Entry;

/// A match rule and what happens to the requests it matches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// Name in logs and metrics, unique; else its `path`.
    pub id: Option<String>,
    /// Host names it serves: `api.example.com`, `*.example.com`; empty is any.
    pub hosts: Vec<String>,
    /// Path pattern. `/users` is that path only, `/users/{id}` takes one segment, `/files/*/raw` any one segment,
    /// `/api/*` and `/api/` everything below `/api/` (and `/api`), `~^/v[0-9]+/` is a regular expression.
    pub path: String,
    /// Methods it serves; empty is all.
    pub methods: Vec<String>,
    /// Headers a request must have.
    pub headers: Vec<Match>,
    /// Query parameters a request must have.
    pub query: Vec<Match>,
    /// Cookies a request must have.
    pub cookies: Vec<Match>,
    /// Networks one of which its client must be in: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`; empty is any. Of requests that come
    /// by way of `listener.trusted_proxies` the client's address counts that they tell.
    pub clients: Vec<String>,
    /// Routes of a higher priority are tried first, whatever their patterns.
    pub priority: i32,
    /// What its requests pass besides the gateway's `middlewares`; an entry of the same `id` takes the place of the gateway's.
    pub middlewares: Vec<Entry>,
    /// The `id` of the upstream that serves it.
    pub upstream: String,
    /// In place of `upstream`: several that share its requests.
    pub split: Vec<Arm>,
    /// What keeps a user in one arm of `split`; without it each request goes to an arm by chance.
    pub sticky: Option<Box<Sticky>>,
    /// Requests go to another arm of `split` while no endpoint of theirs can be used. Else they are refused, so that an experiment's
    /// users don't mix.
    pub split_fallback: bool,
    /// The header by which answers tell the upstream of `split` that their request was sent to; without it none does.
    pub split_header: Option<String>,
    /// A share of its requests, copied to another upstream.
    pub mirror: Option<Box<Mirror>>,
    /// Whether answers are stored and requests answered from them (RFC 9111); left out, a route with `cache` has it on.
    pub cache_enabled: Option<bool>,
    /// How long answers are fresh that say nothing about it, with status 200, 203, 204, 300, 301 or 308. Never makes one stored that
    /// forbids it.
    pub cache_ttl: Option<Time>,
    /// How answers are cached.
    pub cache: Option<Box<crate::cache::RouteSettings>>,
    /// Removed from the front of the path.
    pub strip_prefix: Option<String>,
    /// The path that the endpoint sees: `/v2/users/{id}`; `{*}` is what the pattern's last `*` took.
    pub rewrite_path: Option<String>,
    /// Changes to the request's headers.
    pub request: HeaderEdits,
    /// Changes to the response's headers.
    pub response: HeaderEdits,
    /// Headers added to the request; the same as `request.add_headers`.
    pub add_headers: BTreeMap<String, String>,
    /// From the whole request to the head of its answer, retries included; else `timeouts.request`. `0s` is no limit, as long polls
    /// need. If it is longer than `timeouts.first_byte`, that doesn't hold for this route.
    pub timeout: Option<Time>,
    /// How often a failed request is tried again on another endpoint, where that is safe: at most 10 times, else once.
    #[schemars(range(max = 10))]
    pub retry_count: Option<u32>,
    /// Requests this route serves at once, over all cores; 0 is no limit.
    pub max_concurrent_requests: u32,
}

impl Route {
    /// Whether its answers are cached.
    pub fn is_cached(&self) -> bool {
        self.cache_enabled.unwrap_or(self.cache.is_some())
    }

    /// The name it goes by.
    pub fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.path)
    }

    /// The upstreams it leads to, with the setting that says so.
    pub fn upstreams(&self) -> impl Iterator<Item = (Cow<'static, str>, &str)> {
        let arms = self.split.iter().enumerate().map(|(index, arm)| (format!("split[{index}].upstream").into(), arm.upstream.as_str()));
        let one = self.split.is_empty().then(|| ("upstream".into(), self.upstream.as_str()));
        one.into_iter().chain(arms)
    }
}

/// A header, query parameter or cookie that a request must have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Its name.
    pub name: String,
    /// Its value, exactly; left out together with `regex`, any value will do.
    pub value: Option<String>,
    /// A regular expression its value must match somewhere.
    pub regex: Option<String>,
    /// Turns it around: the request must not match this.
    pub invert: bool,
}

/// Changes to a message's headers, in this order: remove, set, add.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderEdits {
    /// Headers taken away.
    pub remove_headers: Vec<String>,
    /// Headers replaced, or added where missing.
    pub set_headers: BTreeMap<String, String>,
    /// Headers added beside those of the same name.
    pub add_headers: BTreeMap<String, String>,
}
