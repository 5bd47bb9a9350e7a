//! Settings of the cache: the gateway's, and a route's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Size, Time, Wrong};
use crate::http::is_token;

/// The response cache. Each worker has a shard of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bytes a worker's shard may hold: heads, bodies and what it takes to find them; from `64KiB` to `1024GiB`.
    pub bytes: Size,
    /// The largest response that is stored, head and body, at most a quarter of `bytes`; larger ones pass through.
    pub object_max: Size,
    /// Responses of one URL that may be stored beside each other, told apart by `Vary` and by the route's `key`; the oldest goes first.
    #[schemars(range(min = 1, max = 256))]
    pub variants_max: u32,
    /// How long a request may wait for another one that fetches the same; then it is sent on its own. `0s` never waits.
    pub wait: Time,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { bytes: Size::from_bytes(64 << 20), object_max: Size::from_bytes(1 << 20), variants_max: 16, wait: Time::from_secs(5) }
    }
}

/// How a route's responses are cached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteSettings {
    /// What tells stored responses apart besides URL and `Vary`.
    pub key: KeySettings,
    /// Responses with `Set-Cookie`.
    pub set_cookie: SetCookie,
    /// The longest time a response without any word about it is fresh by a tenth of the age of its `Last-Modified`; `0s` is never.
    pub heuristic_max: Time,
    /// How long after it went stale a response is still served while it is asked for anew, if the response itself says nothing about it.
    pub stale_while_revalidate: Time,
    /// How long after it went stale a response is still served where the endpoint fails, if the response itself says nothing about it.
    pub stale_if_error: Time,
    /// Whether `Cache-Control` and `Pragma` of requests are obeyed. `no-store` and `only-if-cached` always are.
    pub obey_clients: bool,
    /// Whether requests for the same wait for one that is being fetched.
    pub coalesce: bool,
    /// Whether `Cache-Status` shows the key.
    pub show_key: bool,
}

impl Default for RouteSettings {
    fn default() -> Self {
        RouteSettings {
            key: KeySettings::default(),
            set_cookie: SetCookie::Pass,
            heuristic_max: Time::from_secs(24 * 3600),
            stale_while_revalidate: Time::from_secs(0),
            stale_if_error: Time::from_secs(0),
            obey_clients: true,
            coalesce: true,
            show_key: false,
        }
    }
}

/// What tells stored responses of one URL apart. All of them together are at most `variants_max` a URL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// Request headers whose values do.
    pub headers: Vec<String>,
    /// Cookies whose values do.
    pub cookies: Vec<String>,
    /// The query parameters that do, others don't; left out, the whole query does as it stands.
    pub query: Option<Vec<String>>,
}

/// What becomes of a response with `Set-Cookie`: it is likely meant for one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetCookie {
    /// It passes through and isn't stored.
    #[default]
    Pass,
    /// It is stored without its cookies; the client it was made for gets them.
    Strip,
    /// It is stored with its cookies, for everyone.
    Store,
}

impl Settings {
    /// What is wrong with them beyond what a schema can tell.
    pub fn problems(&self) -> Vec<Wrong> {
        let wrong = |setting: &str, message: String, hint: &str| Wrong { setting: setting.into(), value: None, message, hint: hint.into() };
        let mut wrongs = Vec::new();
        if !(BYTES_MIN..=BYTES_MAX).contains(&self.bytes.get()) {
            let (least, most) = (Size::from_bytes(BYTES_MIN), Size::from_bytes(BYTES_MAX));
            wrongs.push(wrong(
                "cache.bytes",
                format!("must be from \"{least}\" to \"{most}\""),
                "to do without a cache: \"features\": { \"cache\": false }",
            ));
        } else if self.object_max.get() > self.bytes.get() / 4 {
            let most = Size::from_bytes(self.bytes.get() / 4);
            wrongs.push(wrong(
                "cache.object_max",
                format!("must be at most a quarter of cache.bytes, \"{most}\""),
                "one response must not push out all others",
            ));
        }
        wrongs
    }
}

impl KeySettings {
    /// What is wrong with them beyond what a schema can tell, as settings below `at`.
    pub fn problems(&self, at: &str) -> Vec<Wrong> {
        let named = |list: &str, names: &[String], what: &str, is: fn(&str) -> bool| {
            let broken = names.iter().enumerate().filter(|(_, name)| !is(name)).map(|(index, name)| Wrong {
                setting: format!("{at}.{list}[{index}]"),
                value: Some(name.clone()),
                message: format!("is not the name of a {what}"),
                hint: String::new(),
            });
            broken.collect::<Vec<_>>()
        };
        let parameter = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"&=#".contains(&byte));
        let mut wrongs = named("headers", &self.headers, "header", is_token);
        wrongs.extend(named("cookies", &self.cookies, "cookie", is_token));
        wrongs.extend(named("query", self.query.as_deref().unwrap_or_default(), "query parameter", parameter));
        wrongs
    }
}

const BYTES_MIN: u64 = 64 << 10;
const BYTES_MAX: u64 = 1 << 40;
