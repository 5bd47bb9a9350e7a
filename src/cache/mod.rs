//! The response cache of one core (RFC 9111): what may be stored, what may be answered from it, what is asked anew. Pure.
//!
//! ```text
//! lookup -> Hit                      write_head, copy the body; done
//!         | Stale(hit, fetch)        serve the hit; send `fetch` on the side, its answer goes to `answered`
//!         | Wait(fill)               another request fetches the same: wait until `fill` moved on, then lookup again
//!         | Forward(fetch)           to an endpoint, with `fetch.conditions`; then `answered` or `failed`
//!         | OnlyIfCached             504
//! answered -> Pass                   relay
//!           | Store(filling)         relay; push each piece of the body to `filling`, then finish it
//!           | Serve(hit)             don't relay: serve the hit (after 304, or a stale one instead of an error)
//!           | Again(fetch)           the 304 is about nothing that is stored: send it once more, without conditions
//! ```
//! Dropping a `Fetch` or a `Filling` at any stage gives up what it stood for; those that wait for it go on their own.

mod settings;

use std::rc::Rc;

pub use settings::{KeySettings, RouteSettings, SetCookie, Settings};

use crate::clock::Instant;
use crate::http::{Edits, RequestHead, ResponseHead};

/// A route's way of caching, made ready from its settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {}

impl Policy {
    /// The policy of a route.
    pub fn new(_settings: &RouteSettings) -> Policy {
        todo!()
    }
}

/// A request as the cache sees it.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Its route's policy.
    pub policy: &'a Policy,
    /// Its parsed head.
    pub head: &'a RequestHead,
    /// The bytes the head was parsed from.
    pub bytes: &'a [u8],
    /// Its path in normal form, as the router matched it.
    pub path: &'a [u8],
    /// It came over TLS.
    pub secure: bool,
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

/// One core's shard. Clones are the same shard.
#[derive(Clone)]
pub struct Cache {}

impl Cache {
    /// An empty shard. `seed` is a number by chance that nobody outside knows: it keeps hashes from being foreseen.
    pub fn new(_settings: &Settings, _seed: u64) -> Cache {
        todo!()
    }

    /// Takes over other settings; what is too much goes.
    pub fn reconfigure(&self, _settings: &Settings) {
        todo!()
    }

    /// What is to be done for a request. Called again after [`Lookup::Wait`]; give `alone` then if the wait took too long.
    pub fn lookup(&self, _ask: &Ask<'_>, _alone: bool, _now: Instant) -> Lookup {
        todo!()
    }

    /// An answer's head has come.
    pub fn answered(&self, _ask: &Ask<'_>, _fetch: Fetch, _answer: &Answer<'_>, _now: Instant) -> Verdict {
        todo!()
    }

    /// No answer came: a stale response, if one may be served.
    pub fn failed(&self, _ask: &Ask<'_>, _fetch: Fetch, _now: Instant) -> Option<Hit> {
        todo!()
    }

    /// What the answer to an unsafe method on a route without a cache makes invalid, already gone from this shard; other cores' shards
    /// need telling. (`answered` says the same in [`Verdict::Pass`].)
    pub fn invalidate(&self, _ask: &Ask<'_>, _answer: &Answer<'_>) -> Vec<Purge> {
        todo!()
    }

    /// Makes stored responses, and those under way, unavailable from this moment. Their bytes are freed by `sweep`.
    pub fn purge(&self, _purge: &Purge) {
        todo!()
    }

    /// Frees what was purged, looking at no more than so many entries. To be called at each tick.
    pub fn sweep(&self, _entries: usize) {
        todo!()
    }

    /// Bytes held, those of fills under way included.
    pub fn bytes(&self) -> usize {
        todo!()
    }
}

/// What is to be done for a request.
pub enum Lookup {
    /// Answer from the store.
    Hit(Hit),
    /// Answer from the store though it is stale, and if there is a fetch, send it without the client waiting for it.
    Stale(Hit, Option<Fetch>),
    /// Another request fetches the same.
    Wait(Rc<Fill>),
    /// Ask an endpoint.
    Forward(Fetch),
    /// The client wants an answer from a cache only, and there is none: 504.
    OnlyIfCached,
}

/// A response that is answered from the store, or from a fill that is still under way.
pub struct Hit {}

/// How far a copy of a hit's body came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// So many bytes; there are more.
    More(usize),
    /// So many bytes, which were the last.
    All(usize),
    /// Nothing yet: wait until the fill moved on.
    Wait,
    /// The fill was given up: the answer has to be cut.
    Broken,
}

impl Hit {
    /// The status of the answer: that of the stored response, or 206, 304 or 416.
    pub fn status(&self) -> u16 {
        todo!()
    }

    /// Bytes of the body that the client gets.
    pub fn length(&self) -> u64 {
        todo!()
    }

    /// Appends the answer's head as HTTP/1.1 up to and with `Age` and `Cache-Status`, without what `edits` take away. What follows is
    /// the caller's: `Connection`, other lines, the edits' tail with the blank line.
    pub fn write_head(&self, _out: &mut Vec<u8>, _edits: &Edits, _now: Instant) {
        todo!()
    }

    /// Appends the body from byte `at` on of those that the client gets, at most `room` bytes.
    pub fn copy(&self, _at: u64, _room: usize, _out: &mut Vec<u8>) -> Copied {
        todo!()
    }

    /// The piece of the body at byte `at`, to be sent without copying; `None` where it stands beside the head, or isn't complete: copy
    /// it. A piece keeps its bytes, whatever becomes of the stored response.
    pub fn piece(&self, _at: u64) -> Option<Piece> {
        todo!()
    }

    /// The fill that it is read from, if that is still under way.
    pub fn fill(&self) -> Option<&Rc<Fill>> {
        todo!()
    }

    /// What `Cache-Status` says.
    pub fn outcome(&self) -> Outcome {
        todo!()
    }
}

/// A piece of a body that several answers may share.
#[derive(Clone)]
pub struct Piece {}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        todo!()
    }
}

/// A request on its way to an endpoint, and what the cache wants of the answer.
pub struct Fetch {}

impl Fetch {
    /// Appends the header lines that ask for news of what is stored. If there are any, the request's own `If-None-Match` and
    /// `If-Modified-Since` stay behind; if not, they go along.
    pub fn conditions(&self, _ask: &Ask<'_>, _out: &mut Vec<u8>) -> bool {
        todo!()
    }

    /// The fill that others may wait for: they are to be woken when this fetch is answered, fails or is dropped.
    pub fn fill(&self) -> Option<&Rc<Fill>> {
        todo!()
    }
}

/// What is to become of an answer.
pub enum Verdict {
    /// Relay it. Other cores' shards need telling of what it made invalid.
    Pass(Status, Vec<Purge>),
    /// Relay it, and store a copy.
    Store(Status, Filling),
    /// Serve this.
    Serve(Hit),
    /// Send the request once more.
    Again(Fetch),
}

/// A response on its way into the store.
pub struct Filling {}

impl Filling {
    /// The next piece of the body; `false` if it has become too large to be stored: the rest passes through.
    pub fn push(&mut self, _piece: &[u8]) -> bool {
        todo!()
    }

    /// The body is complete.
    pub fn finish(self, _now: Instant) {
        todo!()
    }

    /// Those that wait are to be woken after `push` and `finish`.
    pub fn fill(&self) -> &Rc<Fill> {
        todo!()
    }

    /// The same response as a hit, for a client that is served from the fill.
    pub fn hit(&self) -> Hit {
        todo!()
    }
}

/// A response that is being fetched, as those see it who wait for it.
pub struct Fill {}

impl Fill {
    /// A number that no other fill of this core has: what waiters are kept under.
    pub fn id(&self) -> u64 {
        todo!()
    }
}

/// What is to be removed. Keys are URLs: `http://example.com/path?query`.
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

/// How a request went, as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Outcome {
    Hit,
    Stale,
    Collapsed,
    Revalidated,
    Miss,
    Bypass,
}

/// What `Cache-Status` (RFC 9211) says of an answer that came from an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {}

impl Status {
    /// Appends the header line.
    pub fn write(&self, _out: &mut Vec<u8>) {
        todo!()
    }

    /// As metrics count it.
    pub fn outcome(&self) -> Outcome {
        todo!()
    }
}
