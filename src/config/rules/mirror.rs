//! Rules of a route's mirror.

use super::Rules;
use crate::config::{Mirror, Route};
use crate::http::{Known, is_token};

/// What is wrong besides an upstream that isn't there.
pub(super) fn check(rules: &mut Rules<'_>, route: &Route, mirror: &Mirror, at: &dyn Fn(&str) -> String) {
    let at = |setting: &str| at(&format!("mirror.{setting}"));
    if mirror.upstream.is_empty() {
        let names = rules.upstream_names();
        rules.broken(at("upstream"), "is missing", names);
    } else if route.upstreams().any(|(_, upstream)| upstream == mirror.upstream) {
        let hint = "name another upstream; it may have the same endpoints";
        rules.broken(at("upstream"), "serves the route itself: what copies do to it would touch the requests", hint);
    }
    if mirror.timeout.get().is_zero() {
        rules.broken(at("timeout"), "must not be 0: a copy that hangs would keep its place for ever", "");
    }
    if mirror.max_body.get() > BODY_MAX {
        rules.broken(at("max_body"), "must be at most \"16MiB\"", "a copy is held in memory until the request is complete");
    }
    if !is_token(&mirror.header) || Known::from_name(mirror.header.as_bytes()) != Known::Other {
        let hint = "a name of your own, as in \"X-Mirrored\"";
        rules.broken(at("header"), "must be a header's name that has no meaning yet", hint);
    }
}

/// Bytes of a copied body, at most.
const BODY_MAX: u64 = 16 << 20;
