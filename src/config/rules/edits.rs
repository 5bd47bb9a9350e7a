//! Rules of header edits: what may be taken away, set and added.

use std::collections::BTreeMap;

use super::Rules;
use crate::config::HeaderEdits;
use crate::http::{Known, is_token};

pub(super) fn check_all(rules: &mut Rules<'_>, edits: &HeaderEdits, at: &dyn Fn(&str) -> String) {
    for (index, name) in edits.remove_headers.iter().enumerate() {
        let path = || at(&format!("remove_headers[{index}]"));
        if !is_token(name) {
            let shown = rules.source.shown(&path(), name);
            rules.broken(path(), format!("{shown} is not a header name"), "");
        } else if let Some(hint) = reserved(name) {
            rules.broken(path(), "can't be removed: it belongs to the gateway", hint);
        }
    }
    check_added(rules, &edits.set_headers, &|| at("set_headers"));
    check_added(rules, &edits.add_headers, &|| at("add_headers"));
}

/// Checks headers that are set or added.
pub(super) fn check_added(rules: &mut Rules<'_>, headers: &BTreeMap<String, String>, at: &dyn Fn() -> String) {
    for (name, value) in headers {
        let path = || format!("{}.{}", at(), name.escape_debug());
        if !is_token(name) {
            rules.broken(path(), format!("{name:?} is not a header name"), "letters, digits and \"-\", without spaces or \":\"");
        } else if let Some(hint) = reserved(name) {
            rules.broken(path(), "can't be set or added: it belongs to the gateway", hint);
        } else if value.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
            rules.broken(path(), "the value holds a control character, such as a line end", "a header is one line");
        } else if value.trim_matches([' ', '\t']).len() != value.len() {
            rules.broken(path(), "the value begins or ends with white space", "receivers drop it: leave it out");
        } else if headers.keys().any(|other| other < name && other.eq_ignore_ascii_case(name)) {
            rules.broken(path(), "is there twice: header names are the same in capitals and small letters", "remove one of them");
        }
    }
}

/// Why a header isn't the configuration's to change, if it isn't: what to do.
fn reserved(name: &str) -> Option<&'static str> {
    match Known::from_name(name.as_bytes()) {
        Known::Host => Some("use the upstream's \"host_header\""),
        Known::ContentLength | Known::TransferEncoding | Known::Trailer => {
            Some("it tells where a message ends, which the gateway works out")
        }
        Known::Connection | Known::KeepAlive | Known::ProxyConnection | Known::Te | Known::Upgrade => {
            Some("it is about one connection only, and never passed on")
        }
        Known::Expect => Some("it is settled between the gateway and its peers"),
        _ => None,
    }
}
