//! The less busy one of two taken by chance and weight: nearly as even as asking all, at the price of two (Mitzenmacher, "The
//! Power of Two Choices in Randomized Load Balancing", 2001), and cores that know little of each other don't all run to the
//! same one.

use super::lottery::Lottery;
use super::{Balance, Choice, Entry, Ramp};
use crate::config::Strategy;

pub(super) const ENTRY: Entry = Entry {
    strategy: Strategy::TwoChoices,
    make: |_, _| Box::new(TwoChoices::default()),
    ramp: Ramp::Weight,
    tracks_load: false,
    tracks_latency: false,
    weighted: true,
};

#[derive(Debug, Default)]
struct TwoChoices {
    lottery: Lottery,
}

impl Balance for TwoChoices {
    #[inline]
    fn pick(&mut self, choice: &Choice<'_>) -> Option<u32> {
        let (first, second) = self.lottery.two(choice)?;
        Some(if choice.is_lighter(second, first) { second } else { first })
    }

    fn reweigh(&mut self, weights: &[u32]) {
        self.lottery.reweigh(weights);
    }
}
