//! The response cache of one core (RFC 9111): what may be stored, what may be answered from it, what is asked anew. Pure.
//!
//! ```text
//! lookup -> Hit                      write_head, copy the body; done
//!         | Stale(hit, fetch)        serve the hit; send `fetch`, if any, on the side, its answer goes to `answered`
//!         | Wait(fill)               another request fetches the same: wait until `fill` moved on, then lookup again
//!         | Forward(fetch)           to an endpoint, with `fetch.conditions`; then `answered` or `failed`
//!         | OnlyIfCached             504
//! answered -> Pass                   relay
//!           | Store(filling)         relay; push each piece of the body to `filling`, then finish it
//!           | Serve(hit)             don't relay: serve the hit (after 304, or a stale one instead of an error)
//!           | Again(fetch)           the 304 is about nothing that is stored: send it once more, without conditions
//! ```
//! Dropping a `Fetch` or a `Filling` at any stage gives up what it stood for; those that wait for it go on their own.

mod answered;
mod condition;
mod directives;
mod fill;
mod head;
mod hit;
mod item;
mod key;
mod lookup;
mod meta;
mod policy;
mod purge;
mod settings;
mod shard;
mod status;
mod terms;
mod vary;

use std::cell::RefCell;
use std::rc::Rc;

pub use answered::Verdict;
pub use directives::{Directives, SECONDS_MAX};
pub use fill::{Fill, Filling};
pub use hit::{Copied, Hit, Piece};
pub use lookup::{Fetch, Lookup, Missed};
pub use policy::Policy;
pub use settings::{KeySettings, RouteSettings, SetCookie, Settings};
pub use status::{Forwarded, Outcome, Status};

use crate::clock::Instant;
use crate::http::{Changes, RequestHead, ResponseHead};
use shard::Shard;

/// A request as the cache sees it.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Its route's policy.
    pub policy: &'a Policy,
    /// Its parsed head.
    pub head: &'a RequestHead,
    /// The bytes the head was parsed from.
    pub bytes: &'a [u8],
    /// What the chain changes of its headers: an answer is chosen by what its endpoint sees.
    pub changes: &'a Changes,
    /// The client has proved who it is, by whatever means: its answers are kept from others as if it had sent `Authorization`.
    pub identified: bool,
    /// Its path in normal form, as the router matched it.
    pub path: &'a [u8],
    /// It came over TLS.
    pub secure: bool,
    /// Which of several upstreams the route has chosen for it: each has answers of its own. 0 where there is no choice.
    pub arm: u32,
}

impl<'a> Ask<'a> {
    /// The values of a header as the endpoint sees it, but for what the route changes of all requests alike.
    fn values<'b>(&self, name: &'b [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'b> {
        let Ask { head, bytes, changes, .. } = *self;
        let received = if changes.drops(name) { &[][..] } else { &head.fields[..] };
        let received = received.iter().filter(|field| field.name.of(bytes).eq_ignore_ascii_case(name)).map(|field| field.value.of(bytes));
        let added = changes.lines().split(|&byte| byte == b'\n').filter_map(|line| {
            let (own, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":").filter(|_| own.eq_ignore_ascii_case(name))?;
            Some(value.trim_ascii())
        });
        received.chain(added)
    }

    /// What keeps responses apart that come from elsewhere.
    fn zone(&self) -> u64 {
        self.policy.zone.wrapping_add(u64::from(self.arm))
    }
}

/// An endpoint's answer as the cache sees it.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// Its parsed head; not an interim one.
    pub head: &'a ResponseHead,
    /// The bytes the head was parsed from.
    pub bytes: &'a [u8],
    /// When the request was sent.
    pub sent: Instant,
    /// Seconds since 1970 began.
    pub wall: u64,
    /// The `Date` line of the present moment with its line end.
    pub date: &'a [u8],
}

/// What is to be removed. Keys are URLs: `http://example.com/path?query`, the host in lower case and without a port that goes without
/// saying, the path in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// All stored responses of this URL.
    Url(Box<[u8]>),
    /// All whose URL begins so.
    Prefix(Box<[u8]>),
    /// All that bear this tag (`Cache-Tag`, `Surrogate-Key`).
    Tag(Box<[u8]>),
    /// All.
    Everything,
}

/// What came of a purge on one core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Responses that were freed.
    pub responses: usize,
    /// None is left to be freed: those that are can't be had any more, but aren't counted.
    pub complete: bool,
}

/// One core's shard. Clones are the same shard.
#[derive(Clone)]
pub struct Cache(Rc<RefCell<Shard>>);

impl Cache {
    /// An empty shard. `seed` is a number by chance that nobody outside knows: it keeps hashes from being foreseen.
    pub fn new(settings: &Settings, seed: u64) -> Cache {
        Cache(Rc::new(RefCell::new(Shard::new(settings, seed))))
    }

    /// Takes over other settings; what is too much goes.
    pub fn reconfigure(&self, settings: &Settings) {
        self.0.borrow_mut().reconfigure(settings);
    }

    /// Makes stored responses, and those under way, unavailable from this moment; how many were freed at once. The others' bytes are
    /// freed by [`Cache::sweep`].
    pub fn purge(&self, purge: &Purge) -> usize {
        self.0.borrow_mut().purge(purge)
    }

    /// Frees what was purged, looking at no more than so many entries, about 100 ns each; how many it freed. To be called at each tick.
    pub fn sweep(&self, entries: usize) -> usize {
        self.0.borrow_mut().sweep(entries)
    }

    /// Whether all that was purged has been freed.
    pub fn is_swept(&self) -> bool {
        self.0.borrow().is_swept()
    }

    /// Responses that were stored, and thrown out to make room, since this was last asked.
    pub fn take_counts(&self) -> (u64, u64) {
        let mut shard = self.0.borrow_mut();
        (std::mem::take(&mut shard.stored), std::mem::take(&mut shard.evicted))
    }

    /// Bytes held, those of fills under way included; never more than the settings' `bytes`.
    pub fn bytes(&self) -> usize {
        self.0.borrow().held()
    }

    /// Responses stored, those not yet freed after a purge included.
    pub fn count(&self) -> usize {
        self.0.borrow().count()
    }
}

#[cfg(test)]
mod tests;
