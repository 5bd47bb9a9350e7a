//! The buckets of keys that one core has seen: a fixed number, and the one that has not been used for longest goes out.
//!
//! A key belongs to one set of five, a cache line. A newcomer takes the place of the bucket there that has earned most; if that one was not
//! full again, the newcomer has no more than it had, or one request if that was less. So whoever comes back after having
//! been put out has never gained more than one request by it, and an attacker's keys lock nobody out.

use super::terms::{Tat, Terms};

/// A fixed number of buckets.
#[derive(Debug)]
pub(super) struct Table {
    sets: Box<[Set]>,
    /// Buckets put out before they were full again.
    pub evicted: u64,
    /// Places that hold a key.
    pub used: u64,
}

/// A cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Set {
    /// A place without a key keeps that of its last one.
    tats: [u64; WAYS],
    /// 32 bits of the key besides those that chose the set; 0 is none. Two keys share a bucket by chance where both agree: among
    /// 100,000 keys, in one table of several thousand.
    tags: [u32; WAYS],
}

const WAYS: usize = 5;

impl Table {
    /// For so many keys, rounded up to a multiple of five.
    pub fn new(keys: usize) -> Self {
        let set = Set { tags: [0; WAYS], tats: [0; WAYS] };
        Table { sets: vec![set; keys.div_ceil(WAYS).max(1)].into(), evicted: 0, used: 0 }
    }

    fn set(&mut self, key: u128) -> &mut Set {
        let index = (u128::from(key as u64) * self.sets.len() as u128) >> 64;
        &mut self.sets[index as usize]
    }

    /// Takes one request, which costs `interval`, if the bucket has it; the bucket's moment after that, or as it stays.
    #[inline]
    pub fn take(&mut self, key: u128, interval: u64, terms: &Terms, now: u64) -> Result<u64, u64> {
        let set = self.set(key);
        let Some(way) = set.find(tag(key)) else { return self.take_new(key, interval, terms, now) };
        let start = set.tats[way].max(now - terms.span);
        let next = start + interval;
        if next > now {
            return Err(start);
        }
        set.tats[way] = next;
        Ok(next)
    }

    fn take_new(&mut self, key: u128, interval: u64, terms: &Terms, now: u64) -> Result<u64, u64> {
        let full = now - terms.fresh;
        let set = self.set(key);
        let oldest = set.oldest();
        let known = set.tats[oldest].max(full);
        let start = known.min(now - interval.min(terms.fresh));
        let next = start + interval;
        if next > now {
            return Err(start);
        }
        let was = set.put(oldest, tag(key), next);
        self.evicted += u64::from(was != 0 && known > full);
        self.used += u64::from(was == 0);
        Ok(next)
    }

    /// The moment of a key's bucket, known or not.
    pub fn look(&mut self, key: u128, terms: &Terms, now: u64) -> Tat {
        let set = self.set(key);
        let way = set.find(tag(key)).unwrap_or_else(|| set.oldest());
        Tat(set.tats[way].max(now - terms.fresh))
    }

    /// Forgets a key whose bucket is kept elsewhere from here on.
    pub fn remove(&mut self, key: u128) {
        let set = self.set(key);
        if let Some(way) = set.find(tag(key)) {
            set.tags[way] = 0;
            self.used -= 1;
        }
    }

    /// Takes in a bucket that was kept elsewhere.
    pub fn insert(&mut self, key: u128, tat: Tat) {
        let set = self.set(key);
        let way = set.find(tag(key)).unwrap_or_else(|| set.oldest());
        let was = set.put(way, tag(key), tat.0);
        self.used += u64::from(was == 0);
    }
}

impl Set {
    #[inline]
    fn find(&self, tag: u32) -> Option<usize> {
        self.tags.iter().position(|&here| here == tag)
    }

    fn oldest(&self) -> usize {
        (0..WAYS).min_by_key(|&way| self.tats[way]).unwrap_or(0)
    }

    fn put(&mut self, way: usize, tag: u32, tat: u64) -> u32 {
        self.tats[way] = tat;
        std::mem::replace(&mut self.tags[way], tag)
    }
}

const fn tag(key: u128) -> u32 {
    (key >> 64) as u32 | 1
}
