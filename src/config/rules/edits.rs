//! Rules of header edits: what may be taken away, set and added.

use std::collections::BTreeMap;

use super::Rules;
use crate::config::{HeaderEdits, Wrong};
use crate::http::{Edits, Known, is_token};

impl HeaderEdits {
    /// Whether they change nothing.
    pub fn is_empty(&self) -> bool {
        self.remove_headers.is_empty() && self.set_headers.is_empty() && self.add_headers.is_empty()
    }

    /// What is wrong with them, as settings below `at`.
    pub fn problems(&self, at: &str) -> Vec<Wrong> {
        let mut wrongs = Vec::new();
        for (index, name) in self.remove_headers.iter().enumerate() {
            let setting = format!("{at}.remove_headers[{index}]");
            if !is_token(name) {
                wrongs.push(wrong(setting, Some(name), "is not a header name", ""));
            } else if let Some(hint) = reserved(name) {
                wrongs.push(wrong(setting, None, "can't be removed: it belongs to the gateway", hint));
            }
        }
        added(&mut wrongs, &self.set_headers, &format!("{at}.set_headers"));
        added(&mut wrongs, &self.add_headers, &format!("{at}.add_headers"));
        wrongs
    }

    /// Puts them among the edits of a route.
    pub fn put(&self, edits: &mut Edits) {
        for name in &self.remove_headers {
            edits.remove(name);
        }
        for (name, value) in &self.set_headers {
            edits.set(name, value);
        }
        for (name, value) in &self.add_headers {
            edits.add(name, value);
        }
    }
}

/// Checks headers that are added.
pub(super) fn check_added(rules: &mut Rules<'_>, headers: &BTreeMap<String, String>, at: &str) {
    let mut wrongs = Vec::new();
    added(&mut wrongs, headers, at);
    wrongs.into_iter().for_each(|wrong| rules.wrong("", wrong));
}

/// Headers that are set or added.
fn added(wrongs: &mut Vec<Wrong>, headers: &BTreeMap<String, String>, at: &str) {
    for (name, value) in headers {
        let mut broken = |message: &str, hint: &str| wrongs.push(wrong(format!("{at}.{}", name.escape_debug()), None, message, hint));
        if !is_token(name) {
            broken(&format!("{name:?} is not a header name"), "letters, digits and \"-\", without spaces or \":\"");
        } else if let Some(hint) = reserved(name) {
            broken("can't be set or added: it belongs to the gateway", hint);
        } else if value.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
            broken("the value holds a control character, such as a line end", "a header is one line");
        } else if value.trim_matches([' ', '\t']).len() != value.len() {
            broken("the value begins or ends with white space", "receivers drop it: leave it out");
        } else if headers.keys().any(|other| other < name && other.eq_ignore_ascii_case(name)) {
            broken("is there twice: header names are the same in capitals and small letters", "remove one of them");
        }
    }
}

fn wrong(setting: String, value: Option<&String>, message: &str, hint: &str) -> Wrong {
    Wrong { setting, value: value.cloned(), message: message.into(), hint: hint.into() }
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
