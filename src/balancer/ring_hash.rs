//! By `hash_key` on a ring: each endpoint owns points on a circle of hashes, and a key belongs to the next point (Karger and
//! others, "Consistent Hashing and Random Trees", 1997). When an endpoint goes, only its keys move.
//!
//! An endpoint that is busy beyond the load bound is passed over, as is one that may not be used: the key goes on to the next
//! point (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016).

use super::{Balance, Choice, Entry, LoadBound, Member, Ramp, mix};
use crate::config::Strategy;

pub(super) const ENTRY: Entry = Entry {
    strategy: Strategy::RingHash,
    make: |_, bound| Box::new(RingHash { ring: Ring::default(), bound }),
    ramp: Ramp::Key,
    tracks_load: false,
    tracks_latency: false,
    weighted: false,
};

#[derive(Debug)]
struct RingHash {
    ring: Ring,
    bound: LoadBound,
}

impl Balance for RingHash {
    #[inline]
    fn pick(&mut self, choice: &Choice<'_>) -> Option<u32> {
        self.ring.pick(choice, choice.key, self.bound)
    }

    fn arrange(&mut self, members: &[Member]) {
        self.ring.arrange(members);
    }
}

/// A circle of hashes with the endpoints' points.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Sorted by hash, of which 32 bits tell them apart well enough, each with its slot.
    points: Vec<(u32, u32)>,
    /// For each part of the circle: the index of the first point that isn't before it. Four times as many parts as points, or more, so that
    /// most have none inside.
    parts: Vec<u32>,
}

impl Ring {
    /// The owner of a key among those that may be picked, or whoever comes after it if that is busy beyond `bound`.
    #[inline]
    pub fn pick(&self, choice: &Choice<'_>, key: u64, bound: LoadBound) -> Option<u32> {
        let start = self.first_from(hash(key));
        let mut owner = None;
        for &(_, slot) in self.points[start..].iter().chain(&self.points[..start]) {
            if !choice.has(slot) {
                continue;
            }
            if choice.is_within(slot, bound) {
                return Some(slot);
            }
            if owner.is_none() {
                owner = Some(slot);
                if !choice.slots().any(|slot| choice.is_within(slot, bound)) {
                    break;
                }
            }
        }
        owner.or_else(|| choice.slots().next())
    }

    /// Places the endpoints. Where one's points are depends on its name only, and how many it has on its weight and on the next
    /// power of two of the heaviest weight: unless that changes, no endpoint's coming or going moves another's points.
    pub fn arrange(&mut self, members: &[Member]) {
        self.points.clear();
        let heaviest = members.iter().map(|member| member.weight).max().unwrap_or(0);
        let whole = u64::from(heaviest).next_power_of_two();
        for (slot, member) in members.iter().enumerate() {
            let count = (u64::from(member.weight) * POINTS_MAX).div_ceil(whole);
            self.points.extend((0..count).map(|number| (hash(member.id.wrapping_add(number)), slot as u32)));
        }
        self.points.sort_unstable();
        let parts = (4 * self.points.len()).next_power_of_two().max(2);
        self.parts.clear();
        let mut index = 0;
        for part in 0..parts {
            let from = (part as u32) << shift(parts);
            while self.points.get(index).is_some_and(|&(at, _)| at < from) {
                index += 1;
            }
            self.parts.push(index as u32);
        }
    }

    /// The index of the first point from this hash on; that of no point if there is none before the circle's end.
    #[inline]
    fn first_from(&self, hash: u32) -> usize {
        let part = self.parts.get((hash >> shift(self.parts.len().max(2))) as usize);
        let mut index = part.map_or(0, |&index| index as usize);
        while self.points.get(index).is_some_and(|&(at, _)| at < hash) {
            index += 1;
        }
        index
    }
}

/// How far a hash is shifted to get the number of its part.
#[inline]
const fn shift(parts: usize) -> u32 {
    32 - parts.trailing_zeros()
}

/// Where on the circle something is.
#[inline]
const fn hash(of: u64) -> u32 {
    (mix(of) >> 32) as u32
}

/// Points of an endpoint of the heaviest weight, at most; at least half of it. With `n` points an endpoint's share of the
/// keys is off by about one part in the square root of `n`.
const POINTS_MAX: u64 = 256;
