//! The one with the fewest requests in flight for its weight; among equals by turns, as often as their weights say.

use super::tournament::Tournament;
use super::turns::{NEVER, Turns};
use super::{Balance, Choice, Entry, Ramp};
use crate::config::Strategy;

pub(super) const ENTRY: Entry = Entry {
    strategy: Strategy::LeastConnections,
    make: |seat, _| {
        Box::new(LeastConnections { turns: Turns::new(seat), in_flight: Vec::new(), weights: Vec::new(), order: Tournament::new() })
    },
    ramp: Ramp::Weight,
    tracks_load: true,
    tracks_latency: false,
    weighted: true,
};

#[derive(Debug)]
struct LeastConnections {
    turns: Turns,
    in_flight: Vec<u32>,
    weights: Vec<u32>,
    /// By load, then by turns.
    order: Tournament<(u64, u64)>,
}

impl Balance for LeastConnections {
    #[inline]
    fn pick(&mut self, choice: &Choice<'_>) -> Option<u32> {
        let first = self.order.first();
        let slot = if choice.has(first) { first } else { choice.slots().min_by_key(|&slot| self.order.key(slot))? };
        self.turns.take(slot);
        Some(slot)
    }

    fn reweigh(&mut self, weights: &[u32]) {
        self.turns.reweigh(weights);
        self.in_flight.resize(weights.len(), 0);
        self.weights.clear();
        self.weights.extend_from_slice(weights);
        let loads = self.in_flight.iter().zip(weights).map(|(&in_flight, &weight)| load(in_flight, weight));
        self.order.fill(loads.zip(0..).map(|(load, slot)| (load, self.turns.due(slot))), (u64::MAX, NEVER));
    }

    #[inline]
    fn load_changed(&mut self, slot: u32, in_flight: u32) {
        self.in_flight[slot as usize] = in_flight;
        self.order.set(slot, (load(in_flight, self.weights[slot as usize]), self.turns.due(slot)));
    }
}

/// In flight by weight, in 32 bits behind the point: finer differences between weights count as none.
#[inline]
fn load(in_flight: u32, weight: u32) -> u64 {
    (u64::from(in_flight) << 32).checked_div(u64::from(weight)).unwrap_or(u64::MAX)
}
