//! Laws that hold whatever happens: operation lists over every strategy.

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// A request, its random part by this seed, that has tried these slots.
    Take(u64, Vec<u32>),
    /// The request that has run for so long, counted in requests, ends.
    Give(prop::sample::Index),
    Busy(prop::sample::Index, bool),
    /// An effective weight changes: slow start, health.
    Weigh(prop::sample::Index, u32),
    /// An endpoint takes another's slot, or a further one.
    Join(prop::sample::Index, u32),
    /// An endpoint is gone from the settings.
    Leave(prop::sample::Index),
    Observe(prop::sample::Index, u64, bool),
    Advance(u64),
}

fn op() -> impl proptest::strategy::Strategy<Value = Op> {
    let slot = any::<prop::sample::Index>;
    prop_oneof![
        12 => (any::<u64>(), prop::collection::vec(0_u32..140, 0..4)).prop_map(|(seed, tried)| Op::Take(seed, tried)),
        6 => slot().prop_map(Op::Give),
        3 => (slot(), any::<bool>()).prop_map(|(slot, busy)| Op::Busy(slot, busy)),
        2 => (slot(), prop_oneof![Just(0), 1_u32..3000]).prop_map(|(slot, weight)| Op::Weigh(slot, weight)),
        1 => (slot(), 0_u32..=20).prop_map(|(slot, weight)| Op::Join(slot, weight)),
        1 => slot().prop_map(Op::Leave),
        3 => (slot(), 0_u64..10_000_000_000, any::<bool>()).prop_map(|(slot, nanos, failed)| Op::Observe(slot, nanos, failed)),
        2 => (0_u64..20_000_000_000).prop_map(Op::Advance),
    ]
}

/// Runs the list and returns all picks.
fn run(core: &mut Core, ops: &[Op]) -> Vec<Option<u32>> {
    let (mut picks, mut running) = (Vec::new(), Vec::new());
    for (number, op) in ops.iter().enumerate() {
        let slots = core.members.len();
        match op {
            Op::Take(seed, slots) => {
                let mut ask = Ask::number(*seed);
                slots.iter().for_each(|&slot| ask.tried.add(slot));
                let picked = core.take(ask);
                running.extend(picked);
                picks.push(picked);
            }
            Op::Give(index) if !running.is_empty() => core.give(running.swap_remove(index.index(running.len()))),
            Op::Give(_) => {}
            Op::Busy(slot, busy) => core.busy[slot.index(slots)] = *busy,
            Op::Weigh(slot, weight) => {
                let (mut weights, slot) = (core.weights.clone(), slot.index(slots));
                weights[slot] = if core.members[slot].weight == 0 { 0 } else { *weight };
                core.reweigh(weights);
            }
            Op::Join(slot, weight) => {
                let (mut members, slot) = (core.members.clone(), slot.index(slots + 1));
                members.resize(members.len().max(slot + 1), Member::default());
                members[slot] = Member { id: mix(1000 + number as u64), weight: *weight };
                core.arrange(members);
            }
            Op::Leave(slot) => {
                let mut members = core.members.clone();
                members[slot.index(slots)] = Member::default();
                core.arrange(members);
            }
            Op::Observe(slot, nanos, failed) if core.entry.tracks_latency => {
                core.balance.observed(slot.index(slots) as u32, Duration::from_nanos(*nanos), *failed, core.now);
            }
            Op::Observe(..) => {}
            Op::Advance(nanos) => core.now = core.now + Duration::from_nanos(*nanos),
        }
    }
    picks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Only open and untried slots are picked, one is whenever there is one, each strategy's own promise is kept, and the same
    /// happenings lead to the same picks.
    #[test]
    fn any_sequence(weights in prop_oneof![weights(1..6), weights(60..140)], core in 0_u32..4, ops in prop::collection::vec(op(), 1..80)) {
        let seat = Seat { core, cores: 4 };
        for entry in STRATEGIES {
            let picks = run(&mut Core::new(entry, seat, &weights), &ops);
            prop_assert_eq!(picks, run(&mut Core::new(entry, seat, &weights), &ops), "{:?}", entry.strategy);
        }
    }

    /// As many cores as endpoints, or fewer, with one request each: no endpoint gets two.
    #[test]
    fn cores_begin_at_different_endpoints(slots in 1_usize..100, cores in 1_u32..100, weight in 1_u32..5) {
        let cores = cores.min(slots as u32);
        for entry in entries(takes_turns) {
            let picks: std::collections::HashSet<_> = (0..cores)
                .map(|core| Core::new(entry, Seat { core, cores }, &vec![weight; slots]).serve(Ask::default()).expect("one is open"))
                .collect();
            prop_assert_eq!(picks.len(), cores as usize, "{:?}", entry.strategy);
        }
    }

    /// Every endpoint gets its turn before another gets its second.
    #[test]
    fn turns_go_round(slots in 1_usize..100, core in 0_u32..8) {
        for entry in entries(takes_turns) {
            let mut core = Core::new(entry, Seat { core, cores: 8 }, &vec![3; slots]);
            for round in 0..3 {
                let picks: std::collections::HashSet<_> = (0..slots).map(|_| core.serve(Ask::default()).expect("one is open")).collect();
                prop_assert_eq!(picks.len(), slots, "{:?} in round {}", entry.strategy, round);
            }
        }
    }
}

#[test]
fn nothing_to_pick_from() {
    for entry in STRATEGIES {
        for weights in [&[][..], &[0], &[0, 0, 0], &[0; 130]] {
            assert_eq!(Core::new(entry, ALONE, weights).pick(Ask::number(1)), None, "{:?}", entry.strategy);
        }
    }
}
