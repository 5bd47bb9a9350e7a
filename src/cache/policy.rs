//! A route's settings made ready to be asked for each request.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::directives::SECONDS_MAX;
use super::{RouteSettings, SetCookie};
use crate::config::Time;

/// A route's way of caching, made ready from its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What keeps the responses of one route from being served by another: its name's hash.
    pub(super) zone: u64,
    /// Seconds that a response without a word about it is fresh.
    pub(super) ttl: Option<u32>,
    pub(super) key_headers: Vec<Box<[u8]>>,
    pub(super) key_cookies: Vec<Box<[u8]>>,
    /// The query's parameters that count, if not all do.
    pub(super) query: Option<Vec<Box<[u8]>>>,
    pub(super) set_cookie: SetCookie,
    pub(super) heuristic_max: u32,
    pub(super) stale_while_revalidate: u32,
    pub(super) stale_if_error: u32,
    pub(super) obey_clients: bool,
    pub(super) coalesce: bool,
    pub(super) show_key: bool,
}

impl Policy {
    /// The policy of a route by its name; `ttl` is its `cache_ttl`.
    pub fn new(route: &str, settings: &RouteSettings, ttl: Option<Time>) -> Policy {
        let mut hasher = foldhash::quality::FixedState::default().build_hasher();
        hasher.write(route.as_bytes());
        let names = |names: &[String]| names.iter().map(|name| name.as_bytes().into()).collect::<Vec<Box<[u8]>>>();
        Policy {
            zone: hasher.finish(),
            ttl: ttl.map(|ttl| seconds(ttl.get())),
            key_headers: names(&settings.key.headers),
            key_cookies: names(&settings.key.cookies),
            query: settings.key.query.as_deref().map(names),
            set_cookie: settings.set_cookie,
            heuristic_max: seconds(settings.heuristic_max.get()),
            stale_while_revalidate: seconds(settings.stale_while_revalidate.get()),
            stale_if_error: seconds(settings.stale_if_error.get()),
            obey_clients: settings.obey_clients,
            coalesce: settings.coalesce,
            show_key: settings.show_key,
        }
    }

    /// Whether `Cache-Status` tells the key.
    pub fn shows_key(&self) -> bool {
        self.show_key
    }

    /// Whether the key has more parts than the URL.
    pub(super) fn has_extra(&self) -> bool {
        !(self.key_headers.is_empty() && self.key_cookies.is_empty())
    }
}

/// Whole seconds, and at least one of any time at all.
fn seconds(time: Duration) -> u32 {
    let up = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(up).unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
}
