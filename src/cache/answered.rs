//! What becomes of an endpoint's answer: RFC 9111 sections 3, 4.3.3 to 4.3.5 and 4.4.

use super::condition::same;
use super::fill::{Filling, Lead, Receiving, Stage};
use super::hit::Hit;
use super::item::{Item, OVERHEAD};
use super::key::{Key, Rewritten, extra};
use super::lookup::{Fetch, Wish};
use super::status::{Forwarded, Outcome, Status};
use super::terms::{Facts, Terms, Times};
use super::{Answer, Ask, Cache, Purge, head};
use crate::clock::Instant;
use crate::http::{Framing, Known, Method};

/// What is to become of an answer.
pub enum Verdict {
    /// Relay it. Other cores' shards need telling of what it made invalid.
    Pass(Status, Vec<Purge>),
    /// Relay it, and store a copy.
    Store(Status, Box<Filling>),
    /// Serve this.
    Serve(Box<Hit>),
    /// Send the request once more.
    Again(Box<Fetch>),
}

impl Cache {
    /// An answer's head has come.
    pub fn answered(&self, ask: &Ask<'_>, mut fetch: Fetch, answer: &Answer<'_>, now: Instant) -> Verdict {
        let code = answer.head.status;
        let status = Status::forwarded(fetch.why, code);
        match fetch.why {
            Forwarded::Method => return Verdict::Pass(status, self.invalidate(ask, answer)),
            Forwarded::Bypass => return Verdict::Pass(status, Vec::new()),
            _ => {}
        }
        if fetch.stored.is_some() {
            if code == 304 {
                return self.not_modified(ask, fetch, answer, now);
            }
            if matches!(code, 500 | 502 | 503 | 504)
                && let Some(hit) = stale(ask, &mut fetch, Some(code), now)
            {
                return Verdict::Serve(Box::new(hit));
            }
            if ask.head.method == Method::Head && !fetch.background && code == 200 {
                self.head_answered(ask, &fetch, answer, now);
                return Verdict::Pass(status, Vec::new());
            }
        }
        if !fetch.stores {
            return Verdict::Pass(Status { detail: Some("not-stored"), ..status }, Vec::new());
        }
        match self.begin(ask, &mut fetch, answer, now) {
            Ok((lead, terms)) => {
                let status = Status { stored: true, ttl: Some(terms.ttl(now)), ..status };
                Verdict::Store(status, Box::new(Filling { lead, show_key: ask.policy.show_key }))
            }
            Err(detail) => {
                self.unstored(ask, &fetch, code);
                Verdict::Pass(Status { detail: Some(detail), ..status }, Vec::new())
            }
        }
    }

    /// No answer came: a stale response, if one may be served.
    pub fn failed(&self, ask: &Ask<'_>, mut fetch: Fetch, now: Instant) -> Option<Hit> {
        stale(ask, &mut fetch, None, now)
    }

    /// What the answer to an unsafe method makes invalid (RFC 9111 section 4.4), already gone from this shard; other cores' shards need
    /// telling. For routes without a cache; [`Cache::answered`] says the same in [`Verdict::Pass`].
    pub fn invalidate(&self, ask: &Ask<'_>, answer: &Answer<'_>) -> Vec<Purge> {
        let safe = matches!(ask.head.method, Method::Get | Method::Head | Method::Options | Method::Trace);
        if safe || !(200..400).contains(&answer.head.status) {
            return Vec::new();
        }
        let mut shard = self.0.borrow_mut();
        let hasher = shard.hasher.clone();
        let mut rewritten = Rewritten::default();
        let key = Key::of_ask(ask, &mut rewritten, &hasher);
        let mut purges = vec![shard.invalidate(&key)];
        for known in [Known::Location, Known::ContentLocation] {
            if let Some(other) = answer.head.known(answer.bytes, known).and_then(|reference| key.relative(reference, &hasher)) {
                purges.push(shard.invalidate(&other));
            }
        }
        purges
    }

    /// The answer is to be stored: who leads its fill, and the terms; or why it isn't.
    fn begin(&self, ask: &Ask<'_>, fetch: &mut Fetch, answer: &Answer<'_>, now: Instant) -> Result<(Lead, Terms), &'static str> {
        let facts = Facts::undated(answer.head.status, &answer.head.fields, answer.bytes);
        facts.glance(ask.policy, fetch.asked)?;
        let facts = facts.dated(&answer.head.fields, answer.bytes);
        let terms = facts.terms(ask.policy, fetch.asked, answer.times(now))?;
        let expected = match answer.head.framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
            // Whether all of it came can't be told.
            Framing::UntilClose => return Err("until-close"),
        };
        let mut text = Vec::with_capacity(answer.head.length + 64);
        head::write(&mut text, answer, ask.policy);
        if let Framing::Length(length) = answer.head.framing {
            head::write_length(&mut text, length);
        }
        let mut shard = self.0.borrow_mut();
        if expected.unwrap_or(0).saturating_add(text.len() as u64) > shard.limits.object_max {
            return Err("too-large");
        }
        let mut rewritten = Rewritten::default();
        let key = Key::of_ask(ask, &mut rewritten, &shard.hasher);
        let extra = if ask.policy.has_extra() { extra(ask) } else { Vec::new() };
        let item = Item::new(ask, &key, &extra, &text, &facts, terms, expected.unwrap_or(0)).ok_or("vary")?;
        let reserved = item.cost() + expected.unwrap_or(0) as usize + OVERHEAD;
        if !shard.reserve(reserved) {
            return Err("full");
        }
        let shared = terms.is_fresh(now) && !terms.always_ask && !shard.is_unshared(key.hash);
        let lead =
            fetch.lead.take().unwrap_or_else(|| Lead { cache: self.clone(), fill: shard.begin(ask, &key, &extra, fetch.seq, shared) });
        if !shared {
            shard.mark_unshared(key.hash, true);
            shard.forget(&lead.fill);
        }
        *lead.fill.stage.borrow_mut() = Stage::Receiving(Receiving::new(item, expected, reserved));
        Ok((lead, terms))
    }

    /// The answer isn't stored: nobody waits for the next one, and what was stored before it is out of date, unless it was an error.
    fn unstored(&self, ask: &Ask<'_>, fetch: &Fetch, code: u16) {
        let mut shard = self.0.borrow_mut();
        shard.mark_unshared(fetch.hash, true);
        if let Some(stored) = fetch.stored.as_ref().filter(|_| code < 500) {
            let hasher = shard.hasher.clone();
            shard.remove_found(ask, &Key::of_ask(ask, &mut Rewritten::default(), &hasher), stored.extra());
        }
    }

    /// 304: what is stored is valid again, if that is what it is about (RFC 9111 section 4.3.4).
    fn not_modified(&self, ask: &Ask<'_>, mut fetch: Fetch, answer: &Answer<'_>, now: Instant) -> Verdict {
        let stored = fetch.stored.take().expect("it was there");
        let status = Status::forwarded(fetch.why, 304);
        let own = !fetch.background && ask.head.known(ask.bytes, Known::IfNoneMatch).is_some();
        let conditional = !(stored.etag().is_empty() && stored.last_modified().is_empty());
        if !conditional || !is_about(&stored, answer, own) {
            if own || (!conditional && !fetch.background) {
                // It answers the client's own condition.
                return Verdict::Pass(status, Vec::new());
            }
            return Verdict::Again(Box::new(fetch));
        }
        let (item, kept) = self.renew(ask, &fetch, &stored, answer, now);
        let status = Status { ttl: Some(item.terms().ttl(now)), stored: kept, outcome: Outcome::Revalidated, ..status };
        Verdict::Serve(Box::new(Hit::new(item, ask, &Wish::of(ask), status)))
    }

    /// Renews what is stored by a 304's head, or by that of an answer to HEAD; whether it stays stored.
    fn renew(&self, ask: &Ask<'_>, fetch: &Fetch, stored: &Item, answer: &Answer<'_>, now: Instant) -> (Item, bool) {
        let mut text = Vec::new();
        head::write_renewed(&mut text, stored.head(), answer, ask.policy);
        let told = Facts::gather(answer.head.status, &answer.head.fields, answer.bytes);
        let facts = Facts::gather(stored.meta().status, &head::fields(&text), &text).aged(&told);
        let terms = facts.terms(ask.policy, fetch.asked, answer.times(now));
        let mut shard = self.0.borrow_mut();
        let hasher = shard.hasher.clone();
        let mut rewritten = Rewritten::default();
        let key = Key::of_ask(ask, &mut rewritten, &hasher);
        let renewed = stored.renewed(ask, &key, &text, &facts, terms.unwrap_or(stored.terms()));
        shard.remove_found(ask, &key, stored.extra());
        match renewed {
            Some(item) if terms.is_ok() => {
                shard.mark_unshared(key.hash, item.terms().always_ask || !item.terms().is_fresh(now));
                shard.insert(item.clone(), key.hash, fetch.seq);
                if let Some(lead) = &fetch.lead {
                    *lead.fill.stage.borrow_mut() = Stage::Ended;
                }
                (item, true)
            }
            renewed => {
                shard.mark_unshared(key.hash, true);
                (renewed.unwrap_or_else(|| stored.clone()), false)
            }
        }
    }

    /// 200 to HEAD: the head of what is stored is renewed if it is of the same body, else what is stored goes (RFC 9111 section 4.3.5).
    fn head_answered(&self, ask: &Ask<'_>, fetch: &Fetch, answer: &Answer<'_>, now: Instant) {
        let Some(stored) = &fetch.stored else { return };
        let value = |known| answer.head.known(answer.bytes, known);
        let length = value(Known::ContentLength).is_none_or(|length| length == itoa::Buffer::new().format(stored.meta().length).as_bytes());
        let same = length
            && value(Known::Etag).is_none_or(|etag| etag == stored.etag())
            && value(Known::LastModified).is_none_or(|date| date == stored.last_modified())
            && (value(Known::Etag).is_some() || value(Known::LastModified).is_some());
        if same {
            self.renew(ask, fetch, stored, answer, now);
        } else {
            let mut shard = self.0.borrow_mut();
            let hasher = shard.hasher.clone();
            shard.remove_found(ask, &Key::of_ask(ask, &mut Rewritten::default(), &hasher), stored.extra());
        }
    }
}

/// The stale response that may be served where the endpoint failed (RFC 5861 section 4).
fn stale(ask: &Ask<'_>, fetch: &mut Fetch, code: Option<u16>, now: Instant) -> Option<Hit> {
    let most = fetch.if_error?;
    let stored = fetch.stored.take_if(|stored| most > 0 && stored.terms().is_within(most, now))?;
    let status = Status { forwarded: Some(fetch.why), code, detail: Some("stale-if-error"), ..Status::hit(Outcome::Stale) };
    Some(Hit::new(stored, ask, &Wish::of(ask), status))
}

/// Whether a 304 is about what is stored: its validator is the stored one, or it has none and nothing else was asked about.
fn is_about(stored: &Item, answer: &Answer<'_>, own: bool) -> bool {
    match (answer.head.known(answer.bytes, Known::Etag), answer.head.known(answer.bytes, Known::LastModified)) {
        (Some(etag), _) => !stored.etag().is_empty() && same(etag, stored.etag()),
        (None, Some(date)) => date == stored.last_modified() && !own,
        (None, None) => !own,
    }
}

impl Answer<'_> {
    fn times(&self, now: Instant) -> Times {
        Times { sent: self.sent, now, wall: self.wall }
    }
}
