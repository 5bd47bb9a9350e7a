//! A route with a split: which arm a request goes to, once its chain has let it pass.

use super::{Exchange, Incoming, Scratch, View};
use crate::config::{self, HashKey, Route};
use crate::http::Mark;
use crate::middleware::Notes;
use crate::router;

/// A route's split made ready.
#[derive(Debug)]
pub struct SplitPlan {
    arms: router::Split,
    /// The index of each arm's upstream.
    pub upstreams: Box<[usize]>,
    known_by: KnownBy,
    fallback: bool,
    /// The header that tells the arm.
    header: Option<Box<str>>,
}

/// What tells users apart.
#[derive(Debug)]
enum KnownBy {
    /// Nothing: each request counts for itself.
    Chance,
    /// Something that requests come with.
    Key(HashKey),
    /// A cookie that the gateway gives.
    Cookie(Box<Cookie>),
}

#[derive(Debug)]
struct Cookie {
    name: String,
    /// The `Set-Cookie` line before its value and behind it.
    before: Vec<u8>,
    behind: Vec<u8>,
}

/// Where a request stands between arms. Kept with [`Scratch`], so that routes without a split have nothing of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drawn {
    user: u64,
    /// A bit for each arm that was found to have no endpoint.
    passed: u64,
    /// Where the answer's changes stand without the header that tells the arm.
    before: Mark,
}

impl SplitPlan {
    /// The split of a route, if it has one; its upstreams are found by `index`.
    pub(super) fn new(route: &Route, index: impl Fn(&str) -> usize) -> Option<Box<SplitPlan>> {
        if route.split.is_empty() {
            return None;
        }
        let known_by = match route.sticky.as_deref() {
            Some(config::Sticky { cookie: Some(cookie), .. }) => {
                let (before, behind) = cookie.line();
                KnownBy::Cookie(Box::new(Cookie { name: cookie.name.clone(), before: before.into(), behind: behind.into() }))
            }
            Some(config::Sticky { by: Some(key), .. }) => KnownBy::Key(key.clone()),
            _ => KnownBy::Chance,
        };
        Some(Box::new(SplitPlan {
            arms: router::Split::new(route.split.iter().map(|arm| (arm.upstream.as_str(), arm.weight))),
            upstreams: route.split.iter().map(|arm| index(&arm.upstream)).collect(),
            known_by,
            fallback: route.split_fallback,
            header: route.split_header.as_deref().map(Into::into),
        }))
    }
}

impl Exchange {
    /// Chooses the arm of the route's split; a user who isn't known yet is given the cookie to be known by.
    pub(super) fn choose_arm(&mut self, view: &View, split: &SplitPlan, request: &Incoming<'_>, scratch: &mut Scratch, draw: u64) {
        let user = match &split.known_by {
            KnownBy::Chance => draw,
            KnownBy::Key(key) => request.hash_key(key, &view.plan.trusted),
            KnownBy::Cookie(cookie) => request.cookie(&cookie.name).and_then(known).unwrap_or_else(|| {
                let digits = format!("{draw:016x}");
                scratch.notes.response.add_lines(&[&cookie.before, digits.as_bytes(), &cookie.behind].concat());
                draw
            }),
        };
        scratch.drawn = Drawn { user, passed: 0, before: scratch.notes.response.mark() };
        // The rules see to it that some arm has a weight.
        let arm = split.arms.arm(user, 0).unwrap_or_default();
        self.enter(view, split, arm, &mut scratch.notes);
    }

    /// Goes on to the next arm, if this one's upstream has no endpoint and that is wanted; whether it did. Its place in the budget of
    /// the upstream is changed for one in the next.
    pub(super) fn next_arm(&mut self, view: &View, scratch: &mut Scratch) -> bool {
        let Some(split) = view.plan.routes[self.route].split.as_deref().filter(|split| split.fallback && self.attempts == 0) else {
            return false;
        };
        let drawn = &mut scratch.drawn;
        let Some(left) = split.upstreams.iter().position(|&upstream| upstream == self.upstream) else { return false };
        drawn.passed |= 1 << left;
        let Some(arm) = split.arms.arm(drawn.user, drawn.passed) else { return false };
        view.uncount_arm(self.route, left);
        view.upstream(self.upstream).upstream.borrow_mut().budget().end();
        scratch.notes.response.rewind(drawn.before);
        self.enter(view, split, arm, &mut scratch.notes);
        view.upstream(self.upstream).upstream.borrow_mut().budget().begin();
        true
    }

    fn enter(&mut self, view: &View, split: &SplitPlan, arm: usize, notes: &mut Notes) {
        self.upstream = split.upstreams[arm];
        if let Some(header) = &split.header {
            notes.response.set(header, view.plan.upstreams[self.upstream].settings.id.as_bytes());
        }
        view.count_arm(self.route, arm);
    }
}

/// The number in a cookie that the gateway gave; none if it gave no such value.
fn known(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u64::from_str_radix(digits, 16).ok()
}
