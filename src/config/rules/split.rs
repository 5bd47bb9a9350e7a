//! Rules of a route's split.

use super::Rules;
use crate::config::{Route, SameSite, StickyCookie};
use crate::http::{Known, is_token};

pub(super) fn check(rules: &mut Rules<'_>, route: &Route, at: &dyn Fn(&str) -> String) {
    let Route { upstream, split, sticky, split_fallback, split_header, .. } = route;
    if split.is_empty() {
        for (setting, there) in
            [("sticky", sticky.is_some()), ("split_fallback", *split_fallback), ("split_header", split_header.is_some())]
        {
            if there {
                rules.broken(at(setting), "has nothing to be about", "it belongs to a \"split\", of which this route has none");
            }
        }
        return;
    }
    if !upstream.is_empty() {
        rules.broken(at("upstream"), "can't stand beside \"split\", which names the upstreams", "use one of them");
    }
    if split.len() > ARMS_MAX {
        rules.broken(at("split"), format!("has {} arms; there can be {ARMS_MAX} at most", split.len()), "");
    }
    if split.iter().all(|arm| arm.weight == 0) {
        rules.broken(at("split"), "sends no request anywhere: all weights are 0", "give one of them a weight");
    }
    let names = split.iter().enumerate().map(|(index, arm)| (index, arm.upstream.as_str()));
    rules.unique(names, &|index| at(&format!("split[{index}].upstream")), "write one arm with the sum of their weights");
    if split_header.as_ref().is_some_and(|name| !is_token(name) || Known::from_name(name.as_bytes()) != Known::Other) {
        rules.broken(at("split_header"), "must be a header's name that has no meaning yet", "a name of your own, as in \"X-Arm\"");
    }
    let Some(sticky) = sticky else { return };
    match (&sticky.by, &sticky.cookie) {
        (None, None) => rules.broken(at("sticky"), "says not by what a user is known", "write \"by\" or \"cookie\""),
        (Some(_), Some(_)) => {
            rules.broken(at("sticky"), "has both \"by\" and \"cookie\"", "use one of them: a user is known by one thing");
        }
        (None, Some(cookie)) => check_cookie(rules, cookie, &|setting| at(&format!("sticky.cookie.{setting}"))),
        (Some(_), None) => {}
    }
}

fn check_cookie(rules: &mut Rules<'_>, cookie: &StickyCookie, at: &dyn Fn(&str) -> String) {
    if !is_token(&cookie.name) {
        rules.broken(at("name"), format!("{:?} is not a cookie's name", cookie.name), "letters, digits, \"-\" and \"_\"");
    }
    let attribute = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    if !cookie.path.starts_with('/') || !attribute(&cookie.path) {
        rules.broken(at("path"), "must begin with \"/\", without spaces or \";\"", "");
    }
    if cookie.domain.as_ref().is_some_and(|domain| domain.is_empty() || !attribute(domain)) {
        rules.broken(at("domain"), "must be a host name", "leave it out for the host that the client asked");
    }
    if cookie.same_site == SameSite::None && !cookie.secure {
        rules.broken(at("same_site"), "\"none\" without \"secure\" makes browsers throw the cookie away", "add \"secure\": true");
    }
}

/// Arms of one split, at most: a request that goes on to the next arm remembers them as bits.
const ARMS_MAX: usize = 32;
