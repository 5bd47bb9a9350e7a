//! By `hash_key` in a table that endpoints fill by turns: the evenest spread, at the price of a few keys more that move (Eisenbud
//! and others, "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4).
//!
//! Beyond the paper: weights, by letting lighter endpoints sit out turns; and the table isn't made anew when an endpoint is
//! down for a while: its keys are hashed once more until they hit another. The same goes for those busy beyond the load bound
//! (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016).

use super::{Balance, Choice, Entry, LoadBound, Member, Ramp, below, mix};
use crate::config::Strategy;

pub(super) const ENTRY: Entry = Entry {
    strategy: Strategy::Maglev,
    make: |_, bound| Box::new(Maglev { bound, ids: Vec::new(), table: Vec::new() }),
    ramp: Ramp::Key,
    tracks_load: false,
    tracks_latency: false,
    weighted: false,
};

#[derive(Debug)]
struct Maglev {
    bound: LoadBound,
    ids: Vec<u64>,
    /// Slots; empty if there is nothing to fill it with.
    table: Vec<u32>,
}

/// An endpoint that fills the table: the sequence of the places it would like to have.
struct Filler {
    id: u64,
    slot: u32,
    next: u64,
    skip: u64,
    weight: u32,
    credit: u32,
}

impl Filler {
    /// Takes the first of its places that is free.
    fn take_place(&mut self, table: &mut [u32]) {
        loop {
            let place = self.next as usize;
            self.next = (self.next + self.skip) % TABLE as u64;
            if table[place] == FREE {
                table[place] = self.slot;
                return;
            }
        }
    }
}

impl Balance for Maglev {
    #[inline]
    fn pick(&mut self, choice: &Choice<'_>) -> Option<u32> {
        let mut hash = mix(choice.key);
        if !self.table.is_empty() {
            for _ in 0..TRIES {
                let slot = self.table[below(hash, TABLE as u64) as usize];
                if choice.has(slot) && choice.is_within(slot, self.bound) {
                    return Some(slot);
                }
                hash = mix(hash);
            }
        }
        // Hardly any is left: the highest random weight wins (Thaler and Ravishankar 1998).
        choice.slots().max_by_key(|&slot| (choice.is_within(slot, self.bound), mix(hash ^ self.ids[slot as usize])))
    }

    fn arrange(&mut self, members: &[Member]) {
        self.ids = members.iter().map(|member| member.id).collect();
        self.table.clear();
        let fillers = members.iter().zip(0..).filter(|(member, _)| member.weight > 0).map(|(&Member { id, weight }, slot)| {
            let (next, skip) = (below(mix(id), TABLE as u64), 1 + below(mix(!id), TABLE as u64 - 1));
            Filler { id, slot, next, skip, weight, credit: 0 }
        });
        let mut fillers: Vec<Filler> = fillers.collect();
        let Some(heaviest) = fillers.iter().map(|filler| filler.weight).max() else { return };
        // In an order that is the same on every core, whatever the slots.
        fillers.sort_unstable_by_key(|filler| filler.id);
        self.table.resize(TABLE, FREE);
        let mut free = TABLE;
        while free > 0 {
            for filler in &mut fillers {
                filler.credit += filler.weight;
                if filler.credit >= heaviest && free > 0 {
                    filler.credit -= heaviest;
                    filler.take_place(&mut self.table);
                    free -= 1;
                }
            }
        }
    }
}

/// Places of the table: the paper's smaller size, a prime, so that every skip visits all of them. With up to 600 endpoints
/// they differ by about one part in a hundred.
const TABLE: usize = 65_537;

const FREE: u32 = u32::MAX;

/// Places looked at before all endpoints are.
const TRIES: usize = 8;
