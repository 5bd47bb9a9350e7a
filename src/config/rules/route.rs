//! Rules of routes. Patterns, conditions and rewrites are judged by the router that compiles them.

use foldhash::{HashMap, HashMapExt};

use super::{Rules, edits, middleware, mirror, split};
use crate::config::problem::meant;
use crate::middleware::{Settings, merged};

/// A file may have many thousands of routes: the path of a setting is made only where something is said about it.
pub(super) fn check_all(rules: &mut Rules<'_>) {
    let config = rules.config;
    if config.routes.is_empty() {
        let hint = "say where requests go: \"routes\": [{ \"path\": \"/\", \"upstream\": \"app\" }]";
        rules.broken("routes", "is missing, or empty: every request would be answered with 404", hint);
    }
    // Without all names, which one is unknown can't be told.
    let named = !config.upstreams.is_empty() && config.upstreams.iter().all(|upstream| !upstream.id.is_empty());
    let ids: foldhash::HashSet<&str> = config.upstreams.iter().map(|upstream| upstream.id.as_str()).collect();
    let mut pages: HashMap<&str, &str> = HashMap::new();
    if config.built_in.enabled {
        pages.extend(config.built_in.pages().into_iter().filter(|(_, path)| !path.is_empty()).map(|(name, path)| (path, name)));
    }
    if named {
        middleware::check_upstreams(rules, &config.middlewares, &ids, "middlewares");
    }
    for (index, route) in config.routes.iter().enumerate() {
        let at = |setting: &str| format!("routes[{index}].{setting}");
        if let Some(id) = &route.id {
            rules.name(&|| at("id"), id);
        }
        let answered =
            merged(&config.middlewares, &route.middlewares).iter().filter_map(|(entry, _)| entry.settings()).any(Settings::answers);
        for (setting, upstream) in route.upstreams() {
            if upstream.is_empty() {
                if !answered {
                    let names = rules.upstream_names();
                    rules.broken(at(&setting), "is missing", names);
                }
            } else if named && !ids.contains(upstream) {
                unknown_upstream(rules, at(&setting), upstream);
            }
        }
        split::check(rules, route, &at);
        if let Some(mirror) = &route.mirror {
            if named && !mirror.upstream.is_empty() && !ids.contains(mirror.upstream.as_str()) {
                unknown_upstream(rules, at("mirror.upstream"), &mirror.upstream);
            }
            mirror::check(rules, route, mirror, &at);
        }
        if let Some(page) = pages.get(route.path.as_str()) {
            let hint = format!("move that page, or switch it off with \"built_in\": {{ {page:?}: \"\" }}");
            rules.broken(at("path"), format!("is never reached: the gateway answers it itself (built_in.{page})"), hint);
        }
        for (way, edits) in [("request", &route.request), ("response", &route.response)] {
            if !edits.is_empty() {
                edits.problems(&at(way)).into_iter().for_each(|wrong| rules.wrong("", wrong));
            }
        }
        if !route.add_headers.is_empty() {
            edits::check_added(rules, &route.add_headers, &at("add_headers"));
        }
        if route.cache_ttl.is_some() && !route.is_cached() {
            rules.broken(at("cache_ttl"), "has no effect: this route has no cache", "add \"cache_enabled\": true");
        }
        if let Some(cache) = &route.cache {
            cache.key.problems(&at("cache.key")).into_iter().for_each(|wrong| rules.wrong("", wrong));
        }
        if !route.middlewares.is_empty() {
            if named {
                middleware::check_upstreams(rules, &route.middlewares, &ids, &at("middlewares"));
            }
            middleware::check_all(rules, &route.middlewares, Some(&config.middlewares), &at("middlewares"));
        }
    }
    let ids = config.routes.iter().enumerate().filter_map(|(index, route)| Some((index, route.id.as_deref()?)));
    rules.unique(ids, &|index| format!("routes[{index}].id"), "rename one of them");
}

pub(super) fn unknown_upstream(rules: &mut Rules<'_>, path: String, name: &str) {
    let shown = rules.source.shown(&path, name);
    let names = rules.upstream_names();
    let written_here = shown == format!("{name:?}");
    let ids = rules.config.upstreams.iter().enumerate();
    let meant = meant(name, ids.clone().map(|(_, upstream)| upstream.id.as_str())).filter(|_| written_here).and_then(|meant| {
        let (index, upstream) = ids.into_iter().find(|(_, upstream)| upstream.id == meant)?;
        Some(rules.source.shown(&format!("upstreams[{index}].id"), &upstream.id))
    });
    let hint = meant.map_or(names.clone(), |meant| format!("did you mean {meant}? {names}"));
    rules.broken(path, format!("no upstream is named {shown}"), hint);
}
