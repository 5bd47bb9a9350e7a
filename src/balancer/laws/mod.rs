//! The laws that every strategy obeys, run over the list of all of them.

mod hashing;
mod latency;
mod sequences;
mod weights;

use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use super::*;
use crate::config::Strategy;

/// A strategy on one core together with all that it is asked about. Every pick is checked against the laws that hold always.
struct Core {
    entry: &'static Entry,
    balance: Box<dyn Balance>,
    members: Vec<Member>,
    weights: Vec<u32>,
    in_flight: Vec<u32>,
    /// Slots that may not be picked though they have a weight.
    busy: Vec<bool>,
    now: Instant,
}

/// What a request brings along.
#[derive(Clone, Copy, Debug, Default)]
struct Ask {
    key: u64,
    client: u64,
    draw: u64,
    tried: Tried,
}

impl Ask {
    /// The `number`th of many requests.
    fn number(number: u64) -> Ask {
        Ask { key: mix(number ^ 1), client: mix(number ^ 2), draw: mix(number ^ 3), tried: Tried::NONE }
    }
}

impl Core {
    fn new(entry: &'static Entry, seat: Seat, weights: &[u32]) -> Core {
        let balance = (entry.make)(seat, BOUND);
        let mut core = Core { entry, balance, members: vec![], weights: vec![], in_flight: vec![], busy: vec![], now: Instant::ZERO };
        core.arrange(weights.iter().zip(1..).map(|(&weight, id)| Member { id: mix(id), weight }).collect());
        core
    }

    fn arrange(&mut self, members: Vec<Member>) {
        self.in_flight.resize(members.len(), 0);
        self.busy.resize(members.len(), false);
        self.members = members;
        self.balance.arrange(&self.members);
        let weights = self.members.iter().map(|member| member.weight * WEIGHT_UNIT).collect();
        self.reweigh(weights);
    }

    fn reweigh(&mut self, weights: Vec<u32>) {
        self.weights = weights;
        self.balance.reweigh(&self.weights);
    }

    fn may_pick(&self, slot: u32, tried: &Tried) -> bool {
        self.weights[slot as usize] > 0 && !self.busy[slot as usize] && !tried.has(slot)
    }

    /// A pick that isn't carried out.
    fn pick(&mut self, ask: Ask) -> Option<u32> {
        let mut open = vec![0_u64; self.weights.len().div_ceil(64)];
        for slot in (0..self.weights.len() as u32).filter(|&slot| self.may_pick(slot, &Tried::NONE)) {
            open[slot as usize / 64] |= 1 << (slot % 64);
        }
        let eligible = self.weights.iter().zip(&self.in_flight).filter(|&(&weight, _)| weight > 0);
        let picked = self.balance.pick(&Choice {
            open: &open,
            tried: ask.tried,
            key: ask.key,
            client: ask.client,
            draw: ask.draw,
            now: self.now,
            in_flight: &self.in_flight,
            weights: &self.weights,
            total_in_flight: eligible.map(|(_, &in_flight)| u64::from(in_flight)).sum(),
            total_weight: self.weights.iter().map(|&weight| u64::from(weight)).sum(),
        });
        self.check(ask.tried, picked);
        picked
    }

    fn check(&self, tried: Tried, picked: Option<u32>) {
        let name = self.entry.strategy;
        let open: Vec<u32> = (0..self.weights.len() as u32).filter(|&slot| self.may_pick(slot, &tried)).collect();
        let Some(picked) = picked else {
            assert!(open.is_empty(), "{name:?} picks none of {open:?}");
            return;
        };
        assert!(open.contains(&picked), "{name:?} picks {picked}, which is not one of {open:?}");
        let others: Vec<u32> = open.iter().copied().filter(|&slot| slot != picked).collect();
        match name {
            Strategy::LeastConnections => {
                assert!(!others.iter().any(|&other| self.is_lighter(other, picked)), "{name:?} picks one that isn't the least busy");
            }
            Strategy::TwoChoices => {
                let worst = others.iter().all(|&other| self.is_lighter(other, picked));
                assert!(others.is_empty() || !worst, "{name:?} picks the busiest of {open:?}");
            }
            Strategy::RingHash | Strategy::Maglev => {
                assert!(self.is_within(picked) || !open.iter().any(|&slot| self.is_within(slot)), "{name:?} exceeds the load bound");
            }
            _ => {}
        }
    }

    fn is_lighter(&self, a: u32, b: u32) -> bool {
        let load = |slot: u32, other: u32| u64::from(self.in_flight[slot as usize]) * u64::from(self.weights[other as usize]);
        load(a, b) < load(b, a)
    }

    /// Whether one more keeps the slot at or below the bound: five quarters of its fair share, rounded up.
    fn is_within(&self, slot: u32) -> bool {
        let weight: u64 = self.weights.iter().map(|&weight| u64::from(weight)).sum();
        let eligible = self.weights.iter().zip(&self.in_flight).filter(|&(&weight, _)| weight > 0);
        let all: u64 = 1 + eligible.map(|(_, &in_flight)| u64::from(in_flight)).sum::<u64>();
        let bound = (5 * all * u64::from(self.weights[slot as usize])).div_ceil(4 * weight);
        u64::from(self.in_flight[slot as usize]) < bound
    }

    /// Picks and sends a request there.
    fn take(&mut self, ask: Ask) -> Option<u32> {
        let slot = self.pick(ask)?;
        self.in_flight[slot as usize] += 1;
        self.load_changed(slot);
        Some(slot)
    }

    /// A request has ended.
    fn give(&mut self, slot: u32) {
        self.in_flight[slot as usize] -= 1;
        self.load_changed(slot);
    }

    fn load_changed(&mut self, slot: u32) {
        if self.entry.tracks_load {
            self.balance.load_changed(slot, self.in_flight[slot as usize]);
        }
    }

    /// A request that ends before the next one begins.
    fn serve(&mut self, ask: Ask) -> Option<u32> {
        let slot = self.take(ask)?;
        self.give(slot);
        Some(slot)
    }
}

const ALONE: Seat = Seat { core: 0, cores: 1 };

const BOUND: LoadBound = 1.25;

fn entries(wanted: impl Fn(&Entry) -> bool) -> impl Iterator<Item = &'static Entry> {
    STRATEGIES.iter().filter(move |entry| wanted(entry))
}

/// Those that go one after the other where nothing else tells endpoints apart.
fn takes_turns(entry: &Entry) -> bool {
    matches!(entry.strategy, Strategy::RoundRobin | Strategy::WeightedRoundRobin | Strategy::LeastConnections)
}

fn weights(slots: std::ops::Range<usize>) -> impl proptest::strategy::Strategy<Value = Vec<u32>> {
    prop::collection::vec(1_u32..=10, slots)
}

#[test]
fn every_strategy_has_one_entry() {
    let schema: serde_json::Value = schemars::schema_for!(Strategy).into();
    let named: Vec<Strategy> = schema["oneOf"]
        .as_array()
        .expect("one alternative a strategy")
        .iter()
        .map(|alternative| serde_json::from_value(alternative["const"].clone()).expect("the name of a strategy"))
        .collect();
    assert_eq!(named.len(), STRATEGIES.len());
    for strategy in named {
        assert_eq!(STRATEGIES.iter().filter(|entry| entry.strategy == strategy).count(), 1, "{strategy:?}");
        assert_eq!(entry(strategy).strategy, strategy);
    }
}
