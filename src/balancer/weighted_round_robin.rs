//! One after the other, as often as their weights say, evenly mixed: `a a b a c a a` for weights of 5, 1 and 1.

use super::tournament::Tournament;
use super::turns::{NEVER, Turns};
use super::{Balance, Choice, Entry, Ramp};
use crate::config::Strategy;

pub(super) const ENTRY: Entry = Entry {
    strategy: Strategy::WeightedRoundRobin,
    make: |seat, _| Box::new(WeightedRoundRobin { turns: Turns::new(seat), order: Tournament::new() }),
    ramp: Ramp::Weight,
    tracks_load: false,
    tracks_latency: false,
    weighted: true,
};

#[derive(Debug)]
struct WeightedRoundRobin {
    turns: Turns,
    /// By the time of the next turn.
    order: Tournament<u64>,
}

impl Balance for WeightedRoundRobin {
    #[inline]
    fn pick(&mut self, choice: &Choice<'_>) -> Option<u32> {
        let first = self.order.first();
        let slot = if choice.has(first) { first } else { choice.slots().min_by_key(|&slot| self.order.key(slot))? };
        self.turns.take(slot);
        self.order.set(slot, self.turns.due(slot));
        Some(slot)
    }

    fn reweigh(&mut self, weights: &[u32]) {
        self.turns.reweigh(weights);
        self.order.fill((0..weights.len() as u32).map(|slot| self.turns.due(slot)), NEVER);
    }
}
