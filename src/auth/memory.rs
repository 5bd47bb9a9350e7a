//! What a core remembers of credentials it has checked: a bounded table, each entry for a time. It holds keyed hashes, no credentials.

use crate::clock::Instant;

/// A bounded table of what was found out, by a keyed hash. A place has four ways; a full one puts out what ends first.
pub struct Memory<T> {
    /// Empty until something is remembered.
    slots: Vec<Option<Slot<T>>>,
    /// A power of two, less one.
    mask: usize,
}

struct Slot<T> {
    hash: u128,
    until: Instant,
    value: T,
}

impl<T> Memory<T> {
    /// For so many entries, rounded up to a power of two; none if zero.
    pub fn new(entries: u32) -> Self {
        let slots = if entries == 0 { 0 } else { (entries as usize).next_power_of_two().max(WAYS) };
        Memory { slots: Vec::new(), mask: slots.wrapping_sub(1) }
    }

    /// What is remembered under this hash.
    #[inline]
    pub fn find(&self, hash: u128, now: Instant) -> Option<&T> {
        let place = self.place(hash);
        let ways = self.slots.get(place..place + WAYS)?;
        ways.iter().flatten().find(|slot| slot.hash == hash && now < slot.until).map(|slot| &slot.value)
    }

    /// Remembers it until then.
    pub fn keep(&mut self, hash: u128, value: T, until: Instant, now: Instant) {
        if self.mask == usize::MAX || until <= now {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(self.mask + 1, || None);
        }
        let place = self.place(hash);
        let ways = &mut self.slots[place..place + WAYS];
        let same = ways.iter().position(|slot| slot.as_ref().is_some_and(|slot| slot.hash == hash));
        let end = |slot: &Option<Slot<T>>| slot.as_ref().map_or(Instant::ZERO, |slot| slot.until);
        let way = same.or_else(|| (0..WAYS).min_by_key(|&way| end(&ways[way]))).unwrap_or(0);
        ways[way] = Some(Slot { hash, until, value });
    }

    #[inline]
    fn place(&self, hash: u128) -> usize {
        hash as usize & self.mask & !(WAYS - 1)
    }
}

/// Entries that one place has room for.
const WAYS: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn nothing_outlives_its_time() {
        let mut memory = Memory::new(8);
        memory.keep(1, "a", at(10), at(0));
        assert_eq!((memory.find(1, at(9)), memory.find(1, at(10)), memory.find(2, at(0))), (Some(&"a"), None, None));
        memory.keep(1, "b", at(20), at(11));
        assert_eq!(memory.find(1, at(11)), Some(&"b"));
        memory.keep(2, "c", at(5), at(11));
        assert_eq!(memory.find(2, at(1)), None, "what is over isn't remembered");
    }

    #[test]
    fn none_is_none() {
        let mut memory = Memory::new(0);
        memory.keep(1, (), at(10), at(0));
        assert_eq!(memory.find(1, at(0)), None);
    }

    #[test]
    fn a_full_place_puts_out_what_ends_first() {
        let mut memory = Memory::new(4);
        for hash in 0..5 {
            memory.keep(hash, hash, at(10 + hash as u64), at(0));
        }
        assert_eq!((0..5).filter(|&hash| memory.find(hash, at(0)).is_some()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn it_never_tells_what_a_map_would_not(ops in prop::collection::vec((0u128..40, 0u64..20, any::<u8>()), 0..200)) {
            let (mut memory, mut model) = (Memory::new(16), HashMap::new());
            for (step, (hash, time, value)) in ops.into_iter().enumerate() {
                let now = at(step as u64 / 4);
                let until = now + Duration::from_secs(time);
                memory.keep(hash, value, until, now);
                if until > now {
                    model.insert(hash, (value, until));
                }
                for hash in 0..40 {
                    if let Some(found) = memory.find(hash, now) {
                        prop_assert!(model.get(&hash).is_some_and(|(value, until)| value == found && now < *until));
                    }
                }
                prop_assert!(memory.slots.len() <= 16);
            }
        }
    }
}
