//! A table from a number and a text to a number: open addressing, all texts in one arena, never removed from.
//!
//! The hash is not seeded by chance: only the operator's configuration enters texts, so requests can't make them collide.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

/// The table. At most half of its slots are used, so probing ends.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Slot>,
    texts: Vec<u8>,
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    salt: u32,
    start: u32,
    length: u32,
    value: u32,
}

impl Table {
    /// A table with room for `count` texts before it grows.
    pub fn with_room(count: usize) -> Table {
        Table { slots: vec![FREE; (count * 2).next_power_of_two().max(4)], texts: Vec::new(), used: 0 }
    }

    /// The value entered for `salt` and `text`.
    #[inline]
    pub fn find(&self, salt: u32, text: &[u8]) -> Option<u32> {
        let hash = hash(salt, text);
        let mut at = hash as usize & (self.slots.len() - 1);
        loop {
            let slot = &self.slots[at];
            if slot.value == NONE {
                return None;
            }
            if slot.tag == (hash >> 32) as u32 && slot.salt == salt && self.text(slot) == text {
                return Some(slot.value);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Enters a value, which must not be `u32::MAX`, for a salt and text that aren't in the table.
    pub fn insert(&mut self, salt: u32, text: &[u8], value: u32) {
        debug_assert!(value != NONE && self.find(salt, text).is_none());
        if (self.used + 1) * 2 > self.slots.len() {
            let slots = vec![FREE; self.slots.len() * 2];
            for slot in std::mem::replace(&mut self.slots, slots).into_iter().filter(|slot| slot.value != NONE) {
                let hash = hash(slot.salt, self.text(&slot));
                self.place(hash, slot);
            }
        }
        let hash = hash(salt, text);
        let slot = Slot { tag: (hash >> 32) as u32, salt, start: self.texts.len() as u32, length: text.len() as u32, value };
        self.texts.extend_from_slice(text);
        self.place(hash, slot);
        self.used += 1;
    }

    fn place(&mut self, hash: u64, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].value != NONE {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    fn text(&self, slot: &Slot) -> &[u8] {
        &self.texts[slot.start as usize..(slot.start + slot.length) as usize]
    }
}

#[inline]
fn hash(salt: u32, text: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(salt as u64).build_hasher();
    hasher.write(text);
    hasher.finish()
}

/// No value.
pub(super) const NONE: u32 = u32::MAX;

const FREE: Slot = Slot { tag: 0, salt: 0, start: 0, length: 0, value: NONE };

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_was_inserted_and_nothing_else(entries in prop::collection::hash_map((0..3u32, "[ab]{0,4}"), 0..100u32, 0..60), salt in 0..4u32, text in "[ab]{0,4}") {
            let mut table = Table::with_room(0);
            let model: HashMap<(u32, String), u32> = entries;
            for ((salt, text), value) in &model {
                table.insert(*salt, text.as_bytes(), *value);
            }
            for ((salt, text), value) in &model {
                prop_assert_eq!(table.find(*salt, text.as_bytes()), Some(*value));
            }
            prop_assert_eq!(table.find(salt, text.as_bytes()), model.get(&(salt, text)).copied());
        }
    }
}
