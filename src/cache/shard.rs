//! Where one core's stored responses are: by URL in a table, in order of arrival in a queue, from which SIEVE takes what goes.
//!
//! SIEVE (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024): a hit marks the entry and moves nothing; a hand goes from the oldest
//! to the newest, takes the marks away and throws out what has none.

use std::rc::Rc;

use foldhash::HashMap;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::fill::Fill;
use super::item::Item;
use super::key::Key;
use super::purge::Ban;
use super::{Ask, Settings, vary};

pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) object_max: u64,
    variants_max: usize,
    /// Requests may wait for each other.
    pub(super) waits: bool,
}

pub(super) struct Entry {
    /// `None` in a place that is free.
    pub(super) item: Option<Item>,
    hash: u64,
    /// The shard's sequence when it was asked for.
    pub(super) seq: u64,
    /// The next older response of the same URL.
    variant: u32,
    newer: u32,
    older: u32,
}

/// The newest response of a URL, all that is needed to serve it: to come to its entry takes as long as all else.
struct First {
    hash: u64,
    item: Item,
    index: u32,
}

pub(super) struct Shard {
    pub(super) limits: Limits,
    pub(super) hasher: FixedState,
    /// The newest response of each URL.
    table: HashTable<First>,
    pub(super) entries: Vec<Entry>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    hand: u32,
    /// A bit for each entry: used since the hand passed.
    visited: Vec<u64>,
    held: usize,
    /// Responses thrown out to make room, and responses stored.
    pub(super) evicted: u64,
    pub(super) stored: u64,
    fills: HashMap<u64, Rc<Fill>>,
    next_fill: u64,
    /// Grows with each purge: what was asked for before is older than the purge.
    pub(super) seq: u64,
    pub(super) bans: Vec<Ban>,
    /// Where the next sweep goes on.
    pub(super) cursor: usize,
    /// The newest ban that is done with: what was asked for before it, and comes later, can't be judged any more and isn't stored.
    pub(super) forgotten: u64,
    /// By hash: when last a URL of this hash was purged.
    pub(super) purged: Box<[u64]>,
    /// By hash: the URL whose answers weren't to be shared when last seen, so that nobody waits for one.
    unshared: Box<[u32]>,
    scratch: Vec<u8>,
}

/// What is stored for a request.
pub(super) enum Found {
    Item(u32, Item),
    /// The URL's responses were chosen by other headers.
    Others,
    Nothing,
}

impl Shard {
    pub(super) fn new(settings: &Settings, seed: u64) -> Shard {
        let mut shard = Shard {
            limits: Limits::new(settings),
            hasher: FixedState::with_seed(seed),
            table: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            hand: NONE,
            visited: Vec::new(),
            held: 0,
            evicted: 0,
            stored: 0,
            fills: HashMap::default(),
            next_fill: 0,
            seq: 1,
            bans: Vec::new(),
            cursor: 0,
            forgotten: 0,
            purged: vec![0; SLOTS].into(),
            unshared: vec![0; SLOTS].into(),
            scratch: Vec::new(),
        };
        // Room is only set aside: memory is taken when it's used, and never copied while requests wait.
        let expected = (shard.limits.bytes / EXPECTED).min(EXPECTED_MAX);
        shard.table.reserve(expected, |first| first.hash);
        shard.entries.reserve(expected);
        shard
    }

    pub(super) fn reconfigure(&mut self, settings: &Settings) {
        self.limits = Limits::new(settings);
        self.reserve(0);
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// What is stored for a request.
    #[inline]
    pub(super) fn find(&mut self, ask: &Ask<'_>, key: &Key<'_>, extra: &[u8]) -> Found {
        let first = self.table.find(key.hash, |first| first.hash == key.hash && key.is(first.item.url()));
        let Some(First { item, index, .. }) = first else { return Found::Nothing };
        let (mut item, mut index, mut others, zone) = (item, *index, false, ask.zone());
        loop {
            let banned = || !self.bans.is_empty() && self.is_banned(item, self.entries[index as usize].seq);
            if item.meta().zone == zone && item.extra() == extra && !banned() {
                if item.vary().is_empty() || vary::matches(item.vary(), ask, &mut self.scratch) {
                    self.visited[index as usize / 64] |= 1 << (index % 64);
                    return Found::Item(index, item.clone());
                }
                others = true;
            }
            index = self.entries[index as usize].variant;
            if index == NONE {
                return if others { Found::Others } else { Found::Nothing };
            }
            item = self.entries[index as usize].item.as_ref().expect("what is named is there");
        }
    }

    #[inline]
    pub(super) fn item(&self, index: u32) -> &Item {
        self.entries[index as usize].item.as_ref().expect("what was found is there")
    }

    /// Stores a response that was asked for at this sequence, in place of those it supersedes; not if it is larger than all there can be,
    /// or was purged meanwhile.
    pub(super) fn insert(&mut self, item: Item, hash: u64, seq: u64) {
        if seq < self.forgotten || self.purged[slot(hash)] > seq || self.is_banned(&item, seq) {
            return;
        }
        self.supersede(&item, hash);
        if !self.reserve(item.cost()) {
            return;
        }
        self.stored += 1;
        // What makes room may have been of the same URL.
        let first = self.first(item.url(), hash);
        let entry = Entry { item: Some(item.clone()), hash, seq, variant: first.unwrap_or(NONE), newer: NONE, older: self.newest };
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                self.visited.resize(self.entries.len().div_ceil(64), 0);
                // A sweep comes past it too before it is back where it began.
                self.bans.iter_mut().for_each(|ban| ban.left += 1);
                (self.entries.len() - 1) as u32
            }
        };
        self.visited[index as usize / 64] &= !(1 << (index % 64));
        match first {
            Some(first) => self.replace_first(hash, first, Some(index)),
            None => drop(self.table.insert_unique(hash, First { hash, item, index }, |first| first.hash)),
        }
        match self.newest {
            NONE => self.oldest = index,
            newest => self.entries[newest as usize].newer = index,
        }
        self.newest = index;
    }

    /// Removes responses of the same URL, route and key that a newer one takes the place of: those chosen by the same values, and those
    /// chosen by other headers, as the newest `Vary` counts; and the oldest if there are too many.
    fn supersede(&mut self, item: &Item, hash: u64) {
        let mut count = 0;
        for index in self.variants(item.url(), hash) {
            let other = self.item(index);
            let same = other.meta().zone == item.meta().zone && other.extra() == item.extra();
            count += 1;
            if (same && (other.vary() == item.vary() || !vary::same_names(other.vary(), item.vary()))) || count >= self.limits.variants_max
            {
                self.remove(index);
                count -= 1;
            }
        }
    }

    /// Removes what is stored for a request.
    pub(super) fn remove_found(&mut self, ask: &Ask<'_>, key: &Key<'_>, extra: &[u8]) {
        if let Found::Item(index, _) = self.find(ask, key, extra) {
            self.remove(index);
        }
    }

    /// All responses of a URL, the newest first.
    pub(super) fn variants(&self, url: &[u8], hash: u64) -> Vec<u32> {
        let first = self.first(url, hash);
        std::iter::successors(first, |&index| Some(self.entries[index as usize].variant).filter(|&next| next != NONE)).collect()
    }

    fn first(&self, url: &[u8], hash: u64) -> Option<u32> {
        let first = self.table.find(hash, |first| first.hash == hash && first.item.url() == url);
        first.map(|first| first.index)
    }

    /// Puts another entry in the place of a URL's newest, or nothing.
    fn replace_first(&mut self, hash: u64, first: u32, by: Option<u32>) {
        let Ok(mut place) = self.table.find_entry(hash, |other| other.index == first) else { return };
        match by {
            Some(index) => {
                let item = self.entries[index as usize].item.clone().expect("what is named is there");
                *place.get_mut() = First { hash, item, index };
            }
            None => drop(place.remove()),
        }
    }

    pub(super) fn remove(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let Some(item) = entry.item.take() else { return };
        let (hash, variant, newer, older) = (entry.hash, entry.variant, entry.newer, entry.older);
        self.held -= item.cost();
        if self.table.find(hash, |first| first.index == index).is_some() {
            self.replace_first(hash, index, Some(variant).filter(|&next| next != NONE));
        } else {
            let before = self.variants(item.url(), hash).into_iter().find(|&before| self.entries[before as usize].variant == index);
            let before = before.expect("an entry that isn't its URL's newest has a newer one");
            self.entries[before as usize].variant = variant;
        }
        match newer {
            NONE => self.newest = older,
            newer => self.entries[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.entries[older as usize].newer = newer,
        }
        if self.hand == index {
            self.hand = newer;
        }
        self.free.push(index);
    }

    /// Makes room for so many bytes and holds them; `false` if there is less room than that even without any stored response.
    pub(super) fn reserve(&mut self, bytes: usize) -> bool {
        if bytes > self.limits.bytes {
            return false;
        }
        while self.held + bytes > self.limits.bytes {
            if !self.evict() {
                return false;
            }
        }
        self.held += bytes;
        true
    }

    /// Gives back what [`Shard::reserve`] held.
    pub(super) fn release(&mut self, bytes: usize) {
        self.held -= bytes;
    }

    fn evict(&mut self) -> bool {
        let mut index = if self.hand == NONE { self.oldest } else { self.hand };
        while index != NONE {
            let (word, bit) = (&mut self.visited[index as usize / 64], 1 << (index % 64));
            if *word & bit == 0 {
                self.hand = index;
                self.remove(index);
                self.evicted += 1;
                return true;
            }
            *word &= !bit;
            let newer = self.entries[index as usize].newer;
            index = if newer == NONE { self.oldest } else { newer };
        }
        false
    }

    /// The fill of the same response that is under way, if it wasn't purged.
    pub(super) fn fill(&self, key: &Key<'_>, zone: u64, extra: &[u8]) -> Option<&Rc<Fill>> {
        let fill = self.fills.get(&key.hash)?;
        let same = fill.zone == zone && *fill.extra == *extra && key.is(&fill.url);
        let purged = self.purged[slot(key.hash)] > fill.seq
            || self.forgotten > fill.seq
            || self.bans.iter().any(|ban| ban.seq > fill.seq && ban.purge.may_take(&fill.url));
        (same && !purged).then_some(fill)
    }

    /// A new fill; others find it if there is none of the same hash.
    pub(super) fn begin(&mut self, ask: &Ask<'_>, key: &Key<'_>, extra: &[u8], seq: u64, shared: bool) -> Rc<Fill> {
        self.next_fill += 1;
        let fill = Fill::new(self.next_fill, key.hash, seq, key.text(), extra.into(), ask.zone());
        if shared {
            self.fills.entry(key.hash).or_insert_with(|| fill.clone());
        }
        fill
    }

    /// Others don't find this fill any more.
    pub(super) fn forget(&mut self, fill: &Fill) {
        if self.fills.get(&fill.hash).is_some_and(|known| known.id() == fill.id()) {
            self.fills.remove(&fill.hash);
        }
    }

    pub(super) fn mark_unshared(&mut self, hash: u64, unshared: bool) {
        let place = &mut self.unshared[slot(hash)];
        if unshared {
            *place = mark(hash);
        } else if *place == mark(hash) {
            *place = 0;
        }
    }

    #[inline]
    pub(super) fn is_unshared(&self, hash: u64) -> bool {
        self.unshared[slot(hash)] == mark(hash)
    }

    /// Whether anything may be stored under a key of this hash.
    #[inline]
    pub(super) fn has_any(&self, hash: u64) -> bool {
        self.table.find(hash, |first| first.hash == hash).is_some()
    }

    /// The number of stored responses.
    pub(super) fn count(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

impl Limits {
    fn new(settings: &Settings) -> Limits {
        let bytes = settings.bytes.get();
        Limits {
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            object_max: settings.object_max.get(),
            variants_max: settings.variants_max.max(1) as usize,
            waits: !settings.wait.get().is_zero(),
        }
    }
}

pub(super) fn slot(hash: u64) -> usize {
    hash as usize % SLOTS
}

/// Tells apart the hashes of one slot; never 0.
fn mark(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

const NONE: u32 = u32::MAX;
/// Places of the tables by hash that forget.
const SLOTS: usize = 1 << 16;
/// Bytes that a response is expected to take, when room is set aside for entries, and for how many at most.
const EXPECTED: usize = 1024;
const EXPECTED_MAX: usize = 1 << 20;

#[cfg(test)]
impl Shard {
    /// Checks that table, queue and count agree; and the bytes, if no fill is under way.
    pub(super) fn check(&self, idle: bool) {
        let items = || self.entries.iter().filter_map(|entry| entry.item.as_ref());
        let there = |index: u32| Some(index).filter(|&index| index != NONE);
        let queued = std::iter::successors(there(self.newest), |&index| there(self.entries[index as usize].older));
        let queued: Vec<u32> = queued.collect();
        assert_eq!((queued.len(), items().count()), (self.count(), self.count()));
        assert!(queued.last().is_none_or(|&last| last == self.oldest));
        let found: usize = self.table.iter().map(|first| self.variants(first.item.url(), first.hash).len()).sum();
        assert_eq!(found, self.count());
        let cost: usize = items().map(Item::cost).sum();
        assert!(cost <= self.held && (cost == self.held || !idle), "{cost} bytes are stored, {} are counted", self.held);
    }
}
