//! What a strategy chooses from: a bitset of endpoints that may be used, less those already tried, and what is known of each.

use super::LoadBound;
use crate::clock::Instant;

/// What a strategy chooses from. Slices are indexed by slot.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Bit set of the slots that may be picked: eligible and below their concurrency limit.
    pub open: &'a [u64],
    /// Slots that this request has tried.
    pub tried: Tried,
    /// Hash of what the hashing strategies go by.
    pub key: u64,
    /// Hash of the client's address.
    pub client: u64,
    /// Chance, evenly spread over all 64 bits.
    pub draw: u64,
    /// The present.
    pub now: Instant,
    /// Requests in flight on this core.
    pub in_flight: &'a [u32],
    /// Effective weights: in units of [`WEIGHT_UNIT`], reduced in slow start, 0 for those that aren't eligible.
    pub weights: &'a [u32],
    /// Sum of `in_flight` over the eligible endpoints.
    pub total_in_flight: u64,
    /// Sum of `weights`.
    pub total_weight: u64,
}

/// The effective weight of an endpoint of weight 1 outside slow start.
pub const WEIGHT_UNIT: u32 = 256;

/// Weights above this count as this.
pub const WEIGHT_MAX: u32 = 65_535;

impl Choice<'_> {
    /// Whether this slot may be picked.
    #[inline]
    pub fn has(&self, slot: u32) -> bool {
        let word = slot as usize / 64;
        word < self.open.len() && self.word(word) >> (slot % 64) & 1 == 1
    }

    /// 64 slots that may be picked.
    #[inline]
    pub fn word(&self, index: usize) -> u64 {
        self.open[index] & !self.tried.word(index)
    }

    /// All slots that may be picked, in order.
    #[inline]
    pub fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.open.len()).flat_map(|index| Ones(self.word(index)).map(move |bit| index as u32 * 64 + bit))
    }

    /// The first slot from `start` on that may be picked, going round at the end.
    #[inline]
    pub fn next_from(&self, start: u32) -> Option<u32> {
        let (first, bit) = (start as usize / 64, start % 64);
        let words = self.open.len();
        if first >= words {
            return self.slots().next();
        }
        let head = self.word(first) >> bit << bit;
        if head != 0 {
            return Some(first as u32 * 64 + head.trailing_zeros());
        }
        for index in (first + 1..words).chain(0..=first) {
            let word = self.word(index);
            if word != 0 {
                return Some(index as u32 * 64 + word.trailing_zeros());
            }
        }
        None
    }

    /// Whether `a` has less in flight for its weight than `b`.
    #[inline]
    pub fn is_lighter(&self, a: u32, b: u32) -> bool {
        let (a, b) = (a as usize, b as usize);
        u64::from(self.in_flight[a]) * u64::from(self.weights[b]) < u64::from(self.in_flight[b]) * u64::from(self.weights[a])
    }

    /// Whether one request more leaves a slot within `bound` times its fair share of all that is in flight, rounded up:
    /// bounded loads as of Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016), section 1.
    #[inline]
    pub fn is_within(&self, slot: u32, bound: LoadBound) -> bool {
        let share = f64::from(self.weights[slot as usize]) * (self.total_in_flight + 1) as f64;
        f64::from(self.in_flight[slot as usize]) * (self.total_weight as f64) < bound * share
    }

    /// One of the slots that may be picked, by chance and weight. Looks at all of them.
    pub fn any_by_weight(&self, draw: u64) -> Option<u32> {
        let total: u64 = self.slots().map(|slot| u64::from(self.weights[slot as usize])).sum();
        let mut rest = below(draw, total);
        for slot in self.slots() {
            let weight = u64::from(self.weights[slot as usize]);
            if rest < weight {
                return Some(slot);
            }
            rest -= weight;
        }
        self.slots().next()
    }
}

/// The slots that a request has tried: as many as a request can sensibly try. The ninth and later ones beyond slot 63 are
/// forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    low: u64,
    high: [u32; 8],
    high_len: u8,
}

impl Tried {
    /// None tried.
    pub const NONE: Tried = Tried { low: 0, high: [0; 8], high_len: 0 };

    /// Adds a slot.
    pub fn add(&mut self, slot: u32) {
        if slot < 64 {
            self.low |= 1 << slot;
        } else if !self.has(slot) && usize::from(self.high_len) < self.high.len() {
            self.high[usize::from(self.high_len)] = slot;
            self.high_len += 1;
        }
    }

    /// Whether it was tried.
    pub fn has(&self, slot: u32) -> bool {
        if slot < 64 { self.low >> slot & 1 == 1 } else { self.high[..usize::from(self.high_len)].contains(&slot) }
    }

    /// Whether none was tried.
    pub fn is_empty(&self) -> bool {
        self.low == 0 && self.high_len == 0
    }

    /// 64 slots as a bit set.
    #[inline]
    pub fn word(&self, index: usize) -> u64 {
        if index == 0 {
            return self.low;
        }
        let mut word = 0;
        for &slot in &self.high[..usize::from(self.high_len)] {
            if slot as usize / 64 == index {
                word |= 1 << (slot % 64);
            }
        }
        word
    }
}

/// The positions of a word's set bits.
#[derive(Clone, Copy, Debug)]
pub struct Ones(pub u64);

impl Iterator for Ones {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

/// A number below `bound` from a draw; 0 if `bound` is 0.
#[inline]
pub const fn below(draw: u64, bound: u64) -> u64 {
    ((draw as u128 * bound as u128) >> 64) as u64
}
