//! What is to be done for a request: RFC 9111 sections 4 and 5.2.1.

use std::fmt;
use std::rc::Rc;

use super::condition::{Form, form};
use super::directives::Directives;
use super::fill::{Fill, Lead, Stage};
use super::hit::Hit;
use super::item::Item;
use super::key::{Key, Rewritten, extra};
use super::shard::{Found, Shard};
use super::status::{Forwarded, Outcome, Status};
use super::terms::{Asked, Terms};
use super::{Ask, Cache};
use crate::clock::Instant;
use crate::http::{Field, Framing, Known, Method, write_line};

/// What is to be done for a request.
pub enum Lookup {
    /// Answer from the store.
    Hit(Hit),
    /// Answer from the store though it is stale, and if there is a fetch, send it without the client waiting for it: it asks for the
    /// whole with `GET`, whatever the request did.
    Stale(Hit, Option<Box<Fetch>>),
    /// Another request fetches the same.
    Wait(Rc<Fill>),
    /// Ask an endpoint.
    Forward(Fetch),
    /// The client wants an answer from a cache only, and there is none: 504.
    OnlyIfCached,
}

/// A request on its way to an endpoint, and what the cache wants of the answer. Dropped, it lets those go on that wait for it.
pub struct Fetch {
    pub(super) why: Forwarded,
    /// The hash of its key; 0 if it wasn't looked for.
    pub(super) hash: u64,
    /// What the request says about storing its answer.
    pub(super) asked: Asked,
    /// The shard's sequence when it was made.
    pub(super) seq: u64,
    /// What is stored, to be asked whether it is valid.
    pub(super) stored: Option<Item>,
    /// What is stored may be served for so many stale seconds if there is an error.
    pub(super) if_error: Option<u32>,
    pub(super) lead: Option<Lead>,
    /// The answer may be stored.
    pub(super) stores: bool,
    /// No client waits for it: its conditions don't count.
    pub(super) background: bool,
}

/// What is remembered of a miss: if the same head comes again, it is one more as long as nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    hash: u64,
    asked: Asked,
    stores: bool,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("why", &self.why).finish_non_exhaustive()
    }
}

/// What a request says to caches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    /// One bit for each known name.
    seen: u64,
    pub(super) directives: Directives,
}

impl Wish {
    #[inline]
    pub(super) fn of(ask: &Ask<'_>) -> Wish {
        let seen = ask.head.fields.iter().fold(0, |seen, field| seen | bit(field.known));
        let directives = if seen & (bit(Known::CacheControl) | bit(Known::Pragma)) == 0 {
            Directives::default()
        } else {
            told(&ask.head.fields, ask.bytes, ask.policy.obey_clients)
        };
        let seen = if ask.identified { seen | bit(Known::Authorization) } else { seen };
        Wish { seen, directives }
    }

    pub(super) fn has(&self, known: Known) -> bool {
        self.seen & bit(known) != 0
    }

    /// Whether a stored response of these terms is new enough. Whether it's fresh is another question.
    fn takes(&self, terms: &Terms, now: Instant) -> bool {
        !self.directives.no_cache && self.directives.max_age.is_none_or(|most| terms.age(now) <= most)
    }

    /// Whether a stored response of these terms can be served as it is.
    #[inline]
    fn is_met(&self, terms: &Terms, now: Instant) -> bool {
        !terms.always_ask && terms.is_fresh_for(self.directives.min_fresh.unwrap_or(0), now) && self.takes(terms, now)
    }

    /// Whether the endpoint's answer would be all of it, whatever the client has.
    fn is_plain(&self) -> bool {
        self.seen & (bit(Known::Range) | bit(Known::IfNoneMatch) | bit(Known::IfModifiedSince)) == 0
    }
}

#[cold]
fn told(fields: &[Field], bytes: &[u8], obeyed: bool) -> Directives {
    let mut found = Directives::read(fields, bytes);
    if !obeyed {
        return Directives { no_store: found.no_store, only_if_cached: found.only_if_cached, ..Directives::default() };
    }
    let mut pragmas = fields.iter().filter(|field| field.known == Known::Pragma);
    let controlled = fields.iter().any(|field| field.known == Known::CacheControl);
    found.no_cache |= found.malformed || found.withholds || (!controlled && pragmas.any(|field| names_no_cache(field.value.of(bytes))));
    found
}

fn names_no_cache(value: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"no-cache"))
}

pub(super) const fn bit(known: Known) -> u64 {
    1 << known as u64
}

/// A request that looks for something in the store.
struct Seeker<'a> {
    ask: &'a Ask<'a>,
    wish: &'a Wish,
    key: &'a Key<'a>,
    /// The key's further parts.
    extra: &'a [u8],
    /// It waits for no other.
    alone: bool,
    now: Instant,
}

impl Cache {
    /// What is to be done for a request. Called again after [`Lookup::Wait`]; `alone` then if the wait took too long.
    pub fn lookup(&self, ask: &Ask<'_>, alone: bool, now: Instant) -> Lookup {
        let wish = Wish::of(ask);
        let mut shard = self.0.borrow_mut();
        if let Some(why) = bypassed(ask, &wish) {
            return Lookup::Forward(Fetch::new(why, &shard));
        }
        let mut rewritten = Rewritten::default();
        let key = Key::of_ask(ask, &mut rewritten, &shard.hasher);
        let extra = if ask.policy.has_extra() { extra(ask) } else { Vec::new() };
        let found = shard.find(ask, &key, &extra);
        let seeker = Seeker { ask, wish: &wish, key: &key, extra: &extra, alone, now };
        match found {
            Found::Item(_, item) if wish.is_met(&item.terms(), now) => Lookup::Hit(Hit::new(item, ask, &wish, Status::hit(Outcome::Hit))),
            Found::Item(_, item) => self.stale(&mut shard, &seeker, item),
            _ if wish.directives.only_if_cached => Lookup::OnlyIfCached,
            Found::Others => self.missed(&mut shard, &seeker, Forwarded::VaryMiss),
            Found::Nothing => self.missed(&mut shard, &seeker, Forwarded::UriMiss),
        }
    }

    /// A request whose head is that of one that missed: whether it misses too, as far as can be told at a glance. It does if nothing is
    /// stored under its key, and nobody waits for such answers.
    #[inline]
    pub fn misses_again(&self, missed: &Missed) -> Option<Fetch> {
        let shard = self.0.borrow();
        let Missed { hash, asked, stores } = *missed;
        (shard.is_unshared(hash) && !shard.has_any(hash)).then(|| Fetch { hash, asked, stores, ..Fetch::new(Forwarded::UriMiss, &shard) })
    }

    /// What is stored can't be served as it is.
    #[cold]
    fn stale(&self, shard: &mut Shard, seeker: &Seeker<'_>, item: Item) -> Lookup {
        let Seeker { ask, wish, now, .. } = *seeker;
        let terms = item.terms();
        let acceptable = !terms.always_ask && wish.takes(&terms, now);
        let why = if terms.always_ask || !terms.is_fresh(now) { Forwarded::Stale } else { Forwarded::Request };
        let mut fetch = seeker.fetch(why, shard);
        let if_error = if terms.never_stale { terms.if_error } else { terms.if_error.max(wish.directives.stale_if_error.unwrap_or(0)) };
        fetch.if_error = acceptable.then_some(if_error);
        let validator = !item.etag().is_empty() || !item.last_modified().is_empty();
        let leads = fetch.stores && (wish.is_plain() || (validator && !wish.has(Known::Range)));
        let under_way = seeker.fill(shard);
        if acceptable && wish.directives.min_fresh.is_none() && !terms.is_fresh(now) {
            let hit = |item: &Item| Hit::new(item.clone(), ask, wish, Status::hit(Outcome::Stale));
            if terms.while_revalidate > 0 && terms.is_within(terms.while_revalidate, now) {
                let hit = hit(&item);
                // What is fetched is the whole, whatever this request wants of it.
                if under_way.is_some() || wish.directives.no_store {
                    return Lookup::Stale(hit, None);
                }
                fetch.stores = true;
                fetch.lead = Some(self.lead(shard, seeker));
                fetch.stored = Some(item);
                fetch.background = true;
                return Lookup::Stale(hit, Some(Box::new(fetch)));
            }
            if !terms.never_stale && wish.directives.max_stale.is_some_and(|most| terms.is_within(most, now)) {
                return Lookup::Stale(hit(&item), None);
            }
        }
        if wish.directives.only_if_cached {
            return Lookup::OnlyIfCached;
        }
        // What must be asked for before each use is asked for by each on its own; so is what a client doesn't take from a cache.
        if seeker.shares(shard) && acceptable && why == Forwarded::Stale {
            match under_way {
                Some(fill) if !seeker.alone => return Lookup::Wait(fill),
                None if leads => fetch.lead = Some(self.lead(shard, seeker)),
                _ => {}
            }
        }
        fetch.stored = Some(item);
        Lookup::Forward(fetch)
    }

    /// Nothing is stored for it.
    fn missed(&self, shard: &mut Shard, seeker: &Seeker<'_>, why: Forwarded) -> Lookup {
        let wish = seeker.wish;
        let mut fetch = seeker.fetch(why, shard);
        if !seeker.shares(shard) || wish.has(Known::Authorization) || wish.directives.no_cache {
            return Lookup::Forward(fetch);
        }
        match seeker.fill(shard) {
            Some(_) if seeker.alone => {}
            Some(fill) => {
                if let Some(lookup) = follow(fill, seeker) {
                    return lookup;
                }
            }
            None if fetch.stores && wish.is_plain() => fetch.lead = Some(self.lead(shard, seeker)),
            None => {}
        }
        Lookup::Forward(fetch)
    }

    fn lead(&self, shard: &mut Shard, seeker: &Seeker<'_>) -> Lead {
        let fill = shard.begin(seeker.ask, seeker.key, seeker.extra, shard.seq, true);
        Lead { cache: self.clone(), fill }
    }
}

impl Seeker<'_> {
    fn fetch(&self, why: Forwarded, shard: &Shard) -> Fetch {
        let stores = self.ask.head.method == Method::Get && !self.wish.directives.no_store;
        let asked = Asked { no_store: self.wish.directives.no_store, authorization: self.wish.has(Known::Authorization) };
        Fetch { stores, asked, hash: self.key.hash, ..Fetch::new(why, shard) }
    }

    /// Whether it waits for others, and others for it.
    fn shares(&self, shard: &Shard) -> bool {
        self.ask.policy.coalesce && shard.limits.waits && !shard.is_unshared(self.key.hash)
    }

    fn fill(&self, shard: &Shard) -> Option<Rc<Fill>> {
        shard.fill(self.key, self.ask.zone(), self.extra).cloned()
    }
}

/// What a request does that finds another one under way; `None` if it goes on its own.
#[cold]
fn follow(fill: Rc<Fill>, seeker: &Seeker<'_>) -> Option<Lookup> {
    let Seeker { ask, wish, now, .. } = *seeker;
    let stage = fill.stage.borrow();
    match &*stage {
        Stage::Asked => {}
        Stage::Receiving(body) => {
            if !wish.is_met(&body.item.terms(), now) || !super::vary::matches(body.item.vary(), ask, &mut Vec::new()) {
                return None;
            }
            // Which part of it a range is can't be told before its length is known.
            if body.expected.is_some() || !wish.has(Known::Range) {
                let sized = body.expected.is_some();
                let status = Status { forwarded: Some(Forwarded::UriMiss), collapsed: true, ..Status::hit(Outcome::Collapsed) };
                let hit = Hit::new(body.item.clone(), ask, wish, status);
                drop(stage);
                return Some(Lookup::Hit(Hit { reader: Some(fill.reader()), sized, ..hit }));
            }
        }
        Stage::Done(_) | Stage::Ended => return None,
    }
    drop(stage);
    Some(Lookup::Wait(fill))
}

/// Why a request isn't one for the cache, if it isn't.
#[inline]
fn bypassed(ask: &Ask<'_>, wish: &Wish) -> Option<Forwarded> {
    let head = ask.head;
    if !matches!(head.method, Method::Get | Method::Head) {
        return Some(Forwarded::Method);
    }
    let judged = bit(Known::IfMatch) | bit(Known::IfUnmodifiedSince);
    (head.framing != Framing::None || head.connection.upgrade || wish.seen & judged != 0).then_some(Forwarded::Bypass)
}

impl Hit {
    #[inline]
    pub(super) fn new(item: Item, ask: &Ask<'_>, wish: &Wish, status: Status) -> Hit {
        let form = match wish.is_plain() {
            true => Form::Whole,
            // A link may want the whole to edit it.
            false => form(&item, ask.head, ask.bytes, !ask.changes.drops(b"Range")),
        };
        Hit { item, reader: None, sized: true, form, head_only: ask.head.method == Method::Head, status, show_key: ask.policy.show_key }
    }
}

impl Fetch {
    fn new(why: Forwarded, shard: &Shard) -> Fetch {
        Fetch {
            why,
            hash: 0,
            asked: Asked::default(),
            seq: shard.seq,
            stored: None,
            if_error: None,
            lead: None,
            stores: false,
            background: false,
        }
    }

    /// Appends the header lines that ask for news of what is stored (RFC 9111 section 4.3.1); whether there are any. If there are, the
    /// request's own `If-None-Match` and `If-Modified-Since` stay behind; if not, they go along, but for a fetch that no client waits for.
    pub fn conditions(&self, ask: &Ask<'_>, out: &mut Vec<u8>) -> bool {
        let Some(stored) = &self.stored else { return false };
        let etag = stored.etag();
        if !etag.is_empty() {
            out.extend_from_slice(b"If-None-Match: ");
            out.extend_from_slice(etag);
            if !self.background {
                for field in ask.head.fields.iter().filter(|field| field.known == Known::IfNoneMatch) {
                    out.extend_from_slice(b", ");
                    out.extend_from_slice(field.value.of(ask.bytes));
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        let date = stored.last_modified();
        if !date.is_empty() {
            write_line(out, b"If-Modified-Since", date);
        }
        !(etag.is_empty() && date.is_empty())
    }

    /// What is to be remembered of it for the next request of the same head.
    #[inline]
    pub fn missed(&self) -> Option<Missed> {
        let Fetch { why, hash, asked, stores, .. } = *self;
        (why == Forwarded::UriMiss).then_some(Missed { hash, asked, stores })
    }

    /// Nothing is stored, and nobody waits.
    #[inline]
    pub fn is_lone(&self) -> bool {
        self.why == Forwarded::UriMiss && self.lead.is_none() && self.stored.is_none()
    }

    /// Why it goes to an endpoint.
    pub fn why(&self) -> Forwarded {
        self.why
    }

    /// The fill that others may wait for: they are to be woken when this fetch is answered, fails or is dropped.
    pub fn fill(&self) -> Option<&Rc<Fill>> {
        self.lead.as_ref().map(|lead| &lead.fill)
    }
}

const _: () = assert!((Known::ProxyAuthorization as u64) < 64, "each known name has a bit");
