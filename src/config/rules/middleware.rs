//! Rules of middlewares: one kind an entry, ids that are unique in their list, and what each kind says of its own settings.

use super::{Rules, route};
use crate::middleware::Entry;

/// Checks one list of entries; those of a route may only switch one of the gateway's off, without a kind.
pub(super) fn check_all(rules: &mut Rules<'_>, entries: &[Entry], gateway: Option<&[Entry]>, at: &str) {
    for (index, entry) in entries.iter().enumerate() {
        let here = format!("{at}[{index}]");
        let kinds: Vec<_> = entry.kinds().collect();
        match kinds[..] {
            [(kind, settings)] => {
                settings.problems().into_iter().for_each(|wrong| rules.wrong(&format!("{here}.{kind}"), wrong));
            }
            [] if !entry.enabled && gateway.is_some_and(|entries| entries.iter().any(|other| other.id() == entry.id())) => {}
            [] if !entry.enabled && entry.id.is_some() => {
                let hint = "only an entry of the gateway's \"middlewares\" can be switched off without its kind";
                rules.broken(here, "switches off what isn't there", hint);
            }
            [] => rules.broken(here, "says not what it is", format!("there are: {}", Entry::KINDS.join(", "))),
            [(first, _), (second, _), ..] => {
                rules.broken(here, format!("is both {first:?} and {second:?}"), "an entry is one kind: write two entries");
            }
        }
    }
    let ids = entries.iter().enumerate().map(|(index, entry)| (index, entry.id()));
    rules.unique(ids, &|index| format!("{at}[{index}].id"), "give one of them another \"id\"");
}

/// Checks that the upstreams are there that entries ask.
pub(super) fn check_upstreams(rules: &mut Rules<'_>, entries: &[Entry], ids: &foldhash::HashSet<&str>, at: &str) {
    for (index, entry) in entries.iter().enumerate() {
        for (kind, (setting, upstream)) in
            entry.kinds().flat_map(|(kind, settings)| settings.upstreams().into_iter().map(move |one| (kind, one)))
        {
            if !upstream.is_empty() && !ids.contains(upstream) {
                route::unknown_upstream(rules, format!("{at}[{index}].{kind}.{setting}"), upstream);
            }
        }
    }
}
