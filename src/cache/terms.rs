//! May it be stored, and how long is it fresh: RFC 9111 sections 3 and 4.2, for a shared cache.

use super::directives::{Directives, SECONDS_MAX, seconds};
use super::{Policy, SetCookie};
use crate::clock::Instant;
use crate::http::{Field, Known, parse_date};

/// What an answer's head says about its storing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) status: u16,
    pub(super) directives: Directives,
    /// `Date`, if it is one.
    date: Option<u64>,
    /// `Age`: the first member of a list (RFC 9111 section 5.1). What is no number, stands in several lines or was put together from them
    /// (which the white space tells) is as old as can be: how old it is nobody knows.
    age: Option<u32>,
    /// The earliest `Expires`; `Some(None)` if any is no date.
    expires: Option<Option<u64>>,
    /// `Last-Modified`, if it is a date.
    pub(super) modified: Option<u64>,
    /// It can be asked whether it is still valid.
    validator: bool,
    set_cookie: bool,
    /// It has an `Expires` or a `Last-Modified`, whatever they say.
    lasts: bool,
}

/// What the request says about storing its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) no_store: bool,
    pub(super) authorization: bool,
}

/// When an answer was asked for, and when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) sent: Instant,
    pub(super) now: Instant,
    /// Seconds since 1970 began.
    pub(super) wall: u64,
}

/// How long a stored response may be served, and on what terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// The moment its age was zero, in nanoseconds of the monotonic clock; may lie before that began.
    pub(super) origin: i64,
    /// Seconds from then on that it is fresh.
    pub(super) lifetime: u32,
    /// Seconds beyond its lifetime that it may be served while it is asked for anew.
    pub(super) while_revalidate: u32,
    /// Seconds beyond its lifetime that it may be served where the endpoint fails.
    pub(super) if_error: u32,
    /// It must be asked for anew before each use.
    pub(super) always_ask: bool,
    /// A client's wish for a stale answer isn't enough.
    pub(super) never_stale: bool,
}

impl Facts {
    pub(super) fn gather(status: u16, fields: &[Field], bytes: &[u8]) -> Facts {
        Facts::undated(status, fields, bytes).dated(fields, bytes)
    }

    /// All but the dates, which take the longest to read.
    pub(super) fn undated(status: u16, fields: &[Field], bytes: &[u8]) -> Facts {
        let mut facts = Facts { status, directives: Directives::read(fields, bytes), ..Facts::default() };
        for field in fields {
            match field.known {
                Known::Etag => facts.validator |= !field.value.is_empty(),
                Known::SetCookie => facts.set_cookie = true,
                Known::Expires | Known::LastModified => facts.lasts = true,
                _ => {}
            }
        }
        facts
    }

    /// The same with its dates and its age.
    pub(super) fn dated(self, fields: &[Field], bytes: &[u8]) -> Facts {
        let mut facts = self;
        for field in fields {
            let value = || field.value.of(bytes);
            match field.known {
                Known::Date => facts.date = parse_date(value()),
                Known::Age => facts.age = Some(if facts.age.is_some() { SECONDS_MAX } else { age(value()) }),
                Known::Expires => {
                    let date = parse_date(value());
                    facts.expires = Some(match (facts.expires, date) {
                        (Some(None), _) | (_, None) => None,
                        (Some(Some(other)), Some(date)) => Some(other.min(date)),
                        (None, date) => date,
                    });
                }
                Known::LastModified => {
                    facts.modified = parse_date(value());
                    facts.validator |= facts.modified.is_some();
                }
                _ => {}
            }
        }
        facts
    }

    /// The same with another answer's age: that of the 304 which made it valid again.
    pub(super) fn aged(self, other: &Facts) -> Facts {
        Facts { age: other.age, ..self }
    }

    /// Why it may not be stored, as far as that doesn't depend on dates.
    pub(super) fn glance(&self, policy: &Policy, asked: Asked) -> Result<(), &'static str> {
        let found = &self.directives;
        if self.status < 200 || matches!(self.status, 206 | 304) {
            return Err("partial");
        }
        if found.must_understand && !is_understood(self.status) {
            return Err("not-understood");
        }
        if asked.no_store || (found.no_store && !found.must_understand) {
            return Err("no-store");
        }
        if found.private {
            return Err("private");
        }
        if asked.authorization && !(found.public || found.must_revalidate || found.s_maxage.is_some()) {
            return Err("authorization");
        }
        if self.set_cookie && policy.set_cookie == SetCookie::Pass {
            return Err("set-cookie");
        }
        let explicit = self.lasts || found.s_maxage.is_some() || found.max_age.is_some();
        if !(explicit || found.malformed || is_heuristic(self.status) || found.public) {
            return Err("no-freshness");
        }
        let stale = policy.stale_while_revalidate > 0
            || policy.stale_if_error > 0
            || found.stale_while_revalidate.is_some()
            || found.stale_if_error.is_some();
        if !explicit && !self.validator && !stale && policy.ttl.is_none() {
            return Err("not-fresh");
        }
        Ok(())
    }

    /// The terms it may be stored on, or why it may not be.
    pub(super) fn terms(&self, policy: &Policy, asked: Asked, times: Times) -> Result<Terms, &'static str> {
        self.glance(policy, asked)?;
        let found = &self.directives;
        let date = self.date.unwrap_or(times.wall);
        let heuristic = is_heuristic(self.status) || found.public;
        let explicit = found.s_maxage.or(found.max_age).or_else(|| self.expires.map(|at| at.map_or(0, |at| span(date, at))));
        let origin = self.origin(date, times);
        let lifetime = match explicit {
            _ if found.malformed => 0,
            Some(lifetime) => lifetime,
            // The route's word counts from the moment it came: an endpoint's clock that goes wrong doesn't switch the cache off.
            None if policy.ttl.is_some() && heuristic && self.status < 400 => {
                let age = (times.now.as_nanos() as i64 - origin) as u64 / NANOS;
                u32::try_from(age + u64::from(policy.ttl.unwrap_or(0))).unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
            }
            None if heuristic => self.modified.map_or(0, |modified| (span(modified, date) / 10).min(policy.heuristic_max)),
            None => return Err("no-freshness"),
        };
        let always_ask = found.no_cache || found.malformed;
        let stale = |own: Option<u32>, policy: u32, forbidden: bool| match own {
            // The origin's own word goes before what `s-maxage` only implies (RFC 5861; RFC 9111 section 5.2.2.10).
            _ if found.must_revalidate || always_ask => 0,
            Some(own) => own,
            None if forbidden => 0,
            None => policy,
        };
        let shared = found.s_maxage.is_some();
        let terms = Terms {
            origin,
            lifetime,
            while_revalidate: stale(found.stale_while_revalidate, policy.stale_while_revalidate, shared),
            if_error: stale(found.stale_if_error, policy.stale_if_error, shared),
            always_ask,
            never_stale: found.must_revalidate || always_ask || shared,
        };
        let useful = self.validator || terms.while_revalidate > 0 || terms.if_error > 0 || (terms.is_fresh(times.now) && !always_ask);
        if useful { Ok(terms) } else { Err("not-fresh") }
    }

    /// The moment its age was zero (RFC 9111 section 4.2.3). The wall clock counts only for what passed before it came: jumps later on
    /// make nothing older or younger.
    fn origin(&self, date: u64, times: Times) -> i64 {
        let apparent = u64::from(span(date, times.wall)) * NANOS;
        let delay = times.now.since(times.sent).as_nanos() as u64;
        let corrected = u64::from(self.age.unwrap_or(0)) * NANOS + delay.min(u64::from(SECONDS_MAX) * NANOS);
        times.now.as_nanos() as i64 - apparent.max(corrected) as i64
    }
}

impl Terms {
    /// Its age in nanoseconds.
    fn age_nanos(&self, now: Instant) -> u64 {
        u64::try_from((now.as_nanos() as i64).saturating_sub(self.origin)).unwrap_or(0)
    }

    /// Its age in seconds, as `Age` says it.
    #[inline]
    pub(super) fn age(&self, now: Instant) -> u32 {
        u32::try_from(self.age_nanos(now) / NANOS).unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
    }

    /// Seconds it is still fresh, rounded up; zero or less if it is stale.
    pub(super) fn ttl(&self, now: Instant) -> i64 {
        i64::from(self.lifetime) - i64::from(self.age(now))
    }

    /// Whether it is fresh, with so many seconds to spare.
    #[inline]
    pub(super) fn is_fresh_for(&self, seconds: u32, now: Instant) -> bool {
        u64::from(self.lifetime) * NANOS > self.age_nanos(now) + u64::from(seconds) * NANOS
    }

    /// Whether it is fresh.
    #[inline]
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.is_fresh_for(0, now)
    }

    /// Whether it is fresh, or stale for no longer than so many seconds.
    pub(super) fn is_within(&self, seconds: u32, now: Instant) -> bool {
        (u64::from(self.lifetime) + u64::from(seconds)) * NANOS >= self.age_nanos(now)
    }
}

/// The seconds that an `Age` says.
fn age(value: &[u8]) -> u32 {
    let first = value.split(|&byte| byte == b',').next().filter(|_| !value.contains(&b' ') && !value.contains(&b'\t'));
    first.and_then(seconds).unwrap_or(SECONDS_MAX)
}

/// Seconds from one date to another; none if the other is earlier.
fn span(from: u64, to: u64) -> u32 {
    u32::try_from(to.saturating_sub(from)).unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
}

/// Statuses whose answers may be stored without a word about their freshness (RFC 9110 section 15.1), 206 left out.
const fn is_heuristic(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses whose caching rules are followed here (RFC 9111 section 5.2.2.3).
const fn is_understood(status: u16) -> bool {
    is_heuristic(status) || matches!(status, 302 | 303 | 307 | 400 | 401 | 403 | 500 | 502 | 503 | 504)
}

const NANOS: u64 = 1_000_000_000;
