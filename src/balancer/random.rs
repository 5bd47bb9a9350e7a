//! By chance, as often as their weights say.

use super::lottery::Lottery;
use super::{Balance, Choice, Entry, Ramp};
use crate::config::Strategy;

pub(super) const ENTRY: Entry = Entry {
    strategy: Strategy::Random,
    make: |_, _| Box::new(Random::default()),
    ramp: Ramp::Weight,
    tracks_load: false,
    tracks_latency: false,
    weighted: true,
};

#[derive(Debug, Default)]
struct Random {
    lottery: Lottery,
}

impl Balance for Random {
    #[inline]
    fn pick(&mut self, choice: &Choice<'_>) -> Option<u32> {
        self.lottery.one(choice, choice.draw)
    }

    fn reweigh(&mut self, weights: &[u32]) {
        self.lottery.reweigh(weights);
    }
}
