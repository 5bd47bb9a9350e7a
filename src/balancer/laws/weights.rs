//! Laws of weights: each gets its part, and a change of weights changes nothing else.

use super::*;

/// How far a count may be off what the weights say: for turns by less than the number of endpoints, for chance by five standard
/// deviations.
fn allowance(entry: &Entry, slots: usize, requests: f64, part: f64) -> f64 {
    if takes_turns(entry) { slots as f64 } else { 5.0 * (requests * part * (1.0 - part)).sqrt() + 1.0 }
}

fn assert_parts(core: &Core, counts: &[u32], requests: u32, at: &str) {
    let total: u32 = core.weights.iter().sum();
    for (slot, (&count, &weight)) in counts.iter().zip(&core.weights).enumerate() {
        let part = f64::from(weight) / f64::from(total);
        let (expected, off) = (part * f64::from(requests), allowance(core.entry, counts.len(), f64::from(requests), part));
        let got = f64::from(count);
        let name = core.entry.strategy;
        assert!((got - expected).abs() <= off, "{name:?} {at}: slot {slot} got {got} of {requests}, not {expected} ± {off}");
    }
}

/// Serves requests, so many at once, and checks the counts all along.
fn serve_and_check(core: &mut Core, seed: u64, requests: u32, at_once: usize, at: &str) {
    let mut counts = vec![0_u32; core.weights.len()];
    let mut running = std::collections::VecDeque::new();
    for number in 1..=requests {
        let slot = core.take(Ask::number(mix(seed) ^ u64::from(number))).expect("one is open");
        counts[slot as usize] += 1;
        running.push_back(slot);
        if running.len() >= at_once {
            core.give(running.pop_front().expect("just pushed"));
        }
        if number % 97 == 0 || number == requests {
            assert_parts(core, &counts, number, at);
        }
    }
    running.into_iter().for_each(|slot| core.give(slot));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Requests are shared out by weight, from the first one on.
    #[test]
    fn weights_are_kept(weights in weights(1..12), core in 0_u32..4, seed in any::<u64>()) {
        for entry in entries(|entry| entry.weighted) {
            serve_and_check(&mut Core::new(entry, Seat { core, cores: 4 }, &weights), seed, 2000, 1, "at once");
        }
    }

    /// The same with many in flight at once.
    #[test]
    fn weights_are_kept_under_load(weights in weights(2..6), at_once in 2_usize..50, seed in any::<u64>()) {
        for entry in entries(|entry| entry.weighted && entry.strategy == Strategy::WeightedRoundRobin) {
            serve_and_check(&mut Core::new(entry, ALONE, &weights), seed, 2000, at_once, "under load");
        }
    }

    /// What is in flight at once is shared out by weight by those that go by load.
    #[test]
    fn load_is_kept_by_weight(weights in weights(2..8), seed in any::<u64>()) {
        for entry in entries(|entry| entry.strategy == Strategy::LeastConnections) {
            let mut core = Core::new(entry, ALONE, &weights);
            for number in 0..500_u64 {
                core.take(Ask::number(seed ^ number));
            }
            let total: u32 = weights.iter().sum();
            for (&in_flight, &weight) in core.in_flight.iter().zip(&weights) {
                let expected = 500.0 * f64::from(weight) / f64::from(total);
                prop_assert!((f64::from(in_flight) - expected).abs() <= f64::from(weight.max(1)) + 1.0, "{} not {}", in_flight, expected);
            }
        }
    }

    /// After a change each gets its new part at once: nobody makes up for the past, and nobody is given a burst.
    #[test]
    fn changed_weights_make_no_jump(before in weights(2..9), after in weights(2..9), served in 0_u64..200, seed in any::<u64>()) {
        for entry in entries(|entry| entry.weighted) {
            let mut core = Core::new(entry, ALONE, &before);
            for number in 0..served {
                core.serve(Ask::number(seed ^ number));
            }
            core.arrange(after.iter().zip(1..).map(|(&weight, id)| Member { id: mix(id), weight }).collect());
            serve_and_check(&mut core, seed, 1000, 1, "after a reload");
        }
    }

    /// Weights that keep their proportions, and a reload that changes nothing, change no pick.
    #[test]
    fn the_same_proportions_give_the_same_picks(weights in weights(2..9), factor in 2_u32..5, served in 0_u64..100, seed in any::<u64>()) {
        for entry in STRATEGIES {
            let (mut one, mut other, mut third) = (Core::new(entry, ALONE, &weights), Core::new(entry, ALONE, &weights), Core::new(entry, ALONE, &weights));
            for number in 0..served {
                for core in [&mut one, &mut other, &mut third] {
                    core.serve(Ask::number(seed ^ number));
                }
            }
            other.reweigh(other.weights.iter().map(|weight| weight * factor).collect());
            third.arrange(third.members.clone());
            for number in served..served + 50 {
                let ask = Ask::number(seed ^ number);
                let expected = one.serve(ask);
                prop_assert_eq!(third.serve(ask), expected, "{:?}: a reload", entry.strategy);
                prop_assert_eq!(other.serve(ask), expected, "{:?}: {} times the weights", entry.strategy, factor);
            }
        }
    }

    /// One that was passed over for a while doesn't get a burst to make up for it.
    #[test]
    fn missed_turns_are_not_made_up_for(weights in weights(2..9), missed in 1_u64..300) {
        for entry in entries(|entry| takes_turns(entry) && entry.weighted) {
            let mut core = Core::new(entry, ALONE, &weights);
            core.busy[0] = true;
            for number in 0..missed {
                core.serve(Ask::number(number));
            }
            core.busy[0] = false;
            let total: u32 = weights.iter().sum();
            let picks = (0..u64::from(total)).filter(|&number| core.serve(Ask::number(number)) == Some(0)).count();
            prop_assert!(picks <= weights[0] as usize + weights.len(), "{:?}: {} of {}", entry.strategy, picks, total);
        }
    }
}
