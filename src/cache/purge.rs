//! Purging: one URL's responses go at once. A purge of many is a ban: what was asked for before it and matches it counts as gone from
//! that moment, and is freed by and by, so that no purge makes requests wait.

use super::Purge;
use super::item::Item;
use super::key::{Key, hash_of};
use super::shard::{Shard, slot};

/// What a purge of many took, until all that was there at its time has been looked at.
pub(super) struct Ban {
    pub(super) purge: Purge,
    pub(super) seq: u64,
    /// Entries still to be looked at.
    pub(super) left: usize,
}

impl Shard {
    /// Makes what a purge names unavailable; how many responses that freed at once.
    pub(super) fn purge(&mut self, purge: &Purge) -> usize {
        self.seq += 1;
        match purge {
            Purge::Url(url) => hash_of(url, &self.hasher).map_or(0, |hash| self.purge_url(url, hash)),
            _ => {
                if self.bans.len() == BANS_MAX {
                    self.sweep(self.entries.len());
                }
                self.bans.push(Ban { purge: purge.clone(), seq: self.seq, left: self.entries.len() });
                0
            }
        }
    }

    fn purge_url(&mut self, url: &[u8], hash: u64) -> usize {
        self.purged[slot(hash)] = self.seq;
        let variants = self.variants(url, hash);
        variants.iter().for_each(|&index| self.remove(index));
        variants.len()
    }

    /// Removes a URL's responses.
    pub(super) fn invalidate(&mut self, key: &Key<'_>) -> Purge {
        self.seq += 1;
        let url = key.text();
        self.purge_url(&url, key.hash);
        Purge::Url(url)
    }

    pub(super) fn is_banned(&self, item: &Item, seq: u64) -> bool {
        self.bans.iter().any(|ban| seq < ban.seq && ban.purge.takes(item))
    }

    /// Frees what bans took, looking at no more than so many entries; how many responses that freed.
    pub(super) fn sweep(&mut self, entries: usize) -> usize {
        let (all, mut freed) = (self.entries.len(), 0);
        let entries = entries.min(self.bans.iter().map(|ban| ban.left).max().unwrap_or(0));
        for _ in 0..entries.min(all) {
            self.cursor = if self.cursor + 1 < all { self.cursor + 1 } else { 0 };
            let entry = &self.entries[self.cursor];
            if entry.item.as_ref().is_some_and(|item| self.is_banned(item, entry.seq)) {
                self.remove(self.cursor as u32);
                freed += 1;
            }
        }
        self.bans.retain_mut(|ban| {
            ban.left = ban.left.saturating_sub(entries);
            if ban.left == 0 {
                self.forgotten = self.forgotten.max(ban.seq);
            }
            ban.left > 0
        });
        freed
    }

    /// Whether there is anything to sweep.
    pub(super) fn is_swept(&self) -> bool {
        self.bans.is_empty()
    }
}

impl Purge {
    fn takes(&self, item: &Item) -> bool {
        match self {
            Purge::Tag(tag) => item.has_tag(tag),
            other => other.may_take(item.url()),
        }
    }

    /// Whether it may take a response of this URL whose head hasn't come yet.
    pub(super) fn may_take(&self, url: &[u8]) -> bool {
        match self {
            Purge::Url(own) => **own == *url,
            Purge::Prefix(prefix) => url.starts_with(prefix),
            Purge::Tag(_) | Purge::Everything => true,
        }
    }
}

/// Purges of many that may be under way; one more, and all are brought to their end at once.
const BANS_MAX: usize = 32;
