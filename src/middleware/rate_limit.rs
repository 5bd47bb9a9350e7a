//! How often a client may ask: a token bucket for each key, over all cores (`limiter`).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rate_key::{Key, Secret};
use super::{Denial, Flow, Middleware, Mode, Request, Scope, Settings};
use crate::clock::Instant;
use crate::config::{Rate, Wrong};
use crate::error::Reason;
use crate::http::Edits;
use crate::limiter::{Buckets, Decision, Limit, Terms, Verdict, WAIT};

/// Settings of `rate_limit`. For several limits, several entries with an `id` each: a request must pass them all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Tokens that each key earns.
    pub rate: Rate,
    /// Tokens that a key has at most, and begins with; 0 is the number of `rate`.
    pub burst: u32,
    /// Tokens that a request takes.
    pub cost: u32,
    /// What has a bucket of its own: each combination of these. `ip` (IPv6 by /64), `api_key` (who the client has proved to be, else
    /// its `X-API-Key`), `header:NAME`, `cookie:NAME`, `claim:NAME` (of what `auth`
    /// has verified), `route`. Where a request has none of what is asked for, its address counts in its place.
    pub key: Vec<String>,
    /// Whether it refuses, or only counts and logs what it would have refused.
    pub mode: Mode,
    /// Keys that each core knows, of 13 bytes each; beyond that, the one that wasn't used for longest is forgotten.
    pub keys_max: u32,
    /// Whether answers tell of it: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
    pub headers: bool,
    /// Whether they do by `X-RateLimit-Limit`, `-Remaining` and `-Reset` too.
    pub legacy_headers: bool,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit {
            rate: Rate::per_second(100),
            burst: 0,
            cost: 1,
            key: vec!["ip".into()],
            mode: Mode::Enforce,
            keys_max: 65_536,
            headers: true,
            legacy_headers: false,
        }
    }
}

impl RateLimit {
    /// The limit in numbers.
    pub fn limit(&self) -> Limit {
        let burst = if self.burst == 0 { self.rate.count } else { self.burst };
        let kind = super::rate_key::kind(&self.key, self.keys_max);
        Limit { count: self.rate.count, per: self.rate.per(), burst, cost: self.cost, kind }
    }

    /// `RateLimit-Policy` of an entry of this name.
    fn policy(&self, name: &str) -> String {
        format!("\"{name}\";q={};w={}", self.rate.count, self.rate.per().as_secs())
    }
}

impl Settings for RateLimit {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let limit = self.limit();
        if self.cost == 0 {
            wrong.push(Wrong::new("cost", "is 0: nothing would ever be refused", "set 1, or leave the entry out"));
        }
        if limit.burst < self.cost {
            let message = format!("is {}, less than a request's cost of {}: every request would be refused", limit.burst, self.cost);
            wrong.push(Wrong::new("burst", &message, "set it to the cost at least"));
        }
        let fills = limit.per.as_secs_f64() * f64::from(limit.burst) / f64::from(limit.count);
        if fills > FILL_MAX.as_secs_f64() {
            let message = format!("takes {:.0} days to come back at this rate", fills / 86_400.0);
            wrong.push(Wrong::new("burst", &message, "it may take 366 days at most; lower it, or raise the rate"));
        }
        if !(KEYS_LEAST..=KEYS_MOST).contains(&self.keys_max) {
            wrong.push(Wrong::new("keys_max", &format!("must be {KEYS_LEAST} to {KEYS_MOST}, is {}", self.keys_max), ""));
        }
        if self.key.is_empty() {
            wrong.push(Wrong::new("key", "is empty: nothing has a bucket", "for one bucket for all of a route, name \"route\""));
        }
        let keys = self.key.iter().enumerate().filter_map(|(index, text)| {
            let message = text.parse::<Key>().err()?;
            Some(Wrong { value: Some(text.clone()), ..Wrong::new(&format!("key[{index}]"), &message, Key::HINT) })
        });
        wrong.extend(keys);
        wrong
    }

    fn named_edits(&self, name: &str, response: &mut Edits) {
        if self.headers {
            response.add("RateLimit-Policy", &self.policy(name));
        }
        if self.legacy_headers {
            response.add("X-RateLimit-Limit", &self.rate.count.to_string());
        }
    }

    fn rate_limit(&self) -> Option<Limit> {
        Some(self.limit())
    }

    fn build(&self, scope: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        let limit = self.limit();
        let buckets = scope.state_of(format!("{limit:?}"), || {
            let keys = usize::try_from(self.keys_max).unwrap_or(usize::MAX);
            let terms = Terms::new(limit, scope.cores);
            RefCell::new(Buckets::new(terms, keys, scope.core, scope.cores, scope.ground.generation))
        });
        scope.ground.limiters.borrow_mut().push((scope.name.into(), buckets.clone()));
        Some(Rc::new(Limiter {
            buckets,
            keys: self.key.iter().filter_map(|text| text.parse().ok()).collect(),
            secret: scope.ground.secret,
            shadow: self.mode == Mode::Shadow,
            line: self.headers.then(|| format!("RateLimit: \"{}\";r=", scope.id)),
            legacy: self.legacy_headers,
        }))
    }
}

struct Limiter {
    buckets: Rc<RefCell<Buckets>>,
    keys: Vec<Key>,
    secret: Secret,
    shadow: bool,
    /// What `RateLimit` begins with, if there is to be one.
    line: Option<String>,
    legacy: bool,
}

impl Middleware for Limiter {
    fn on_request(&self, request: &mut Request<'_>, now: Instant) -> Flow {
        let key = self.secret.key(&self.keys, request);
        let mut buckets = self.buckets.borrow_mut();
        let decision = buckets.check(key, now, request.again);
        if decision.verdict == Verdict::Wait {
            return Flow::Pause(WAIT);
        }
        buckets.count(decision.verdict, self.shadow);
        let marks = &mut request.notes.marks;
        if decision.verdict == Verdict::Admitted {
            if marks.rate_limit.is_empty() {
                marks.rate_limit = "allowed";
            }
            self.tell(&decision, buckets.terms(), request);
            return Flow::Next;
        }
        if self.shadow {
            marks.rate_limit = "shadow";
            return Flow::Next;
        }
        marks.rate_limit = "limited";
        self.tell(&decision, buckets.terms(), request);
        let seconds = ceil(decision.retry_after(buckets.terms())).max(1);
        Flow::Refuse(Box::new(Denial { reason: Reason::RateLimited, lines: format!("Retry-After: {seconds}\r\n").into_bytes() }))
    }

    fn reads_heads(&self) -> bool {
        false
    }
}

impl Limiter {
    /// Tells the client how much it has left.
    fn tell(&self, decision: &Decision, terms: &Terms, request: &mut Request<'_>) {
        if self.line.is_none() && !self.legacy {
            return;
        }
        let (remaining, reset) = (decision.remaining(), ceil(decision.reset(terms)));
        let (mut left, mut until) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (left, until) = (left.format(remaining).as_bytes(), until.format(reset).as_bytes());
        let lines = request.notes.response.lines_mut();
        if let Some(line) = &self.line {
            lines.reserve(line.len() + LEFT);
            // One by one: of those whose length is known here, each is a single store.
            lines.extend_from_slice(line.as_bytes());
            lines.extend_from_slice(left);
            lines.extend_from_slice(b";t=");
            lines.extend_from_slice(until);
            lines.extend_from_slice(b"\r\n");
        }
        if self.legacy {
            for part in [b"X-RateLimit-Remaining: ", left, b"\r\nX-RateLimit-Reset: ", until, b"\r\n"] {
                lines.extend_from_slice(part);
            }
        }
    }
}

/// Whole seconds, rounded up.
fn ceil(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Room for what `RateLimit` says of a bucket.
const LEFT: usize = 48;
/// The longest time in which a bucket may fill.
const FILL_MAX: Duration = Duration::from_secs(366 * 86_400);
const KEYS_LEAST: u32 = 8;
const KEYS_MOST: u32 = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: impl FnOnce(&mut RateLimit)) -> Vec<String> {
        let mut settings = RateLimit::default();
        change(&mut settings);
        settings.problems().into_iter().map(|wrong| format!("{}: {}", wrong.setting, wrong.message)).collect()
    }

    #[test]
    fn what_can_be_wrong_is_told_all_at_once() {
        assert_eq!(problems(|_| ()), [""; 0]);
        assert_eq!(problems(|limit| limit.cost = 0), ["cost: is 0: nothing would ever be refused"]);
        let low = "burst: is 5, less than a request's cost of 6: every request would be refused";
        assert_eq!(problems(|limit| (limit.burst, limit.cost) = (5, 6)), [low]);
        let slow = problems(|limit| (limit.rate, limit.burst) = ("1/d".parse().unwrap(), 400));
        assert_eq!(slow, ["burst: takes 400 days to come back at this rate"]);
        assert_eq!(problems(|limit| limit.keys_max = 7), ["keys_max: must be 8 to 16777216, is 7"]);
        assert_eq!(problems(|limit| limit.key.clear()), ["key: is empty: nothing has a bucket"]);
        let keys = ["ip", "IP", "header:", "header:a b", "cookie:x", "claims", "route"].map(String::from).to_vec();
        let wrong = problems(|limit| (limit.key, limit.cost) = (keys, 0));
        let expected = [
            "cost: is 0: nothing would ever be refused",
            "key[1]: is nothing that a limit can count by",
            "key[2]: names what can't be the name of a header or cookie",
            "key[3]: names what can't be the name of a header or cookie",
            "key[5]: is nothing that a limit can count by",
        ];
        assert_eq!(wrong, expected);
    }

    #[test]
    fn a_limit_of_other_keys_is_another_limit() {
        let limit = |key: &str, keys_max| RateLimit { key: vec![key.into()], keys_max, ..RateLimit::default() }.limit();
        assert_eq!(limit("ip", 100), limit("ip", 100));
        assert_ne!(limit("ip", 100), limit("route", 100));
        assert_ne!(limit("ip", 100), limit("ip", 101));
        assert_eq!(limit("ip", 100).burst, 100, "the number of the rate");
    }
}
