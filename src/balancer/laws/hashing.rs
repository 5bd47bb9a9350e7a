//! Laws of the hashing strategies: one key, one endpoint; and few keys move.

use super::*;

const KEYS: u64 = 4000;

fn hashes(entry: &Entry) -> bool {
    matches!(entry.ramp, Ramp::Key | Ramp::Client)
}

/// Where each key goes, by the endpoint's identity.
fn placement(core: &mut Core) -> Vec<u64> {
    let place = |number| core.serve(Ask { draw: 0, ..Ask::number(number) }).map_or(0, |slot| core.members[slot as usize].id);
    (0..KEYS).map(place).collect()
}

/// The part of the keys that are at another endpoint, less those that had to leave `gone`.
fn needless_moves(before: &[u64], after: &[u64], gone: u64) -> f64 {
    let moved = before.iter().zip(after).filter(|&(&before, &after)| before != after && before != gone).count();
    moved as f64 / KEYS as f64
}

/// What the placement costs in keys that move without need: the ring has none, Maglev's table a few in a hundred.
fn tolerance(entry: &Entry) -> f64 {
    if entry.strategy == Strategy::Maglev { 0.04 } else { 0.0 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A key stays where it is, whatever went on before, on every core, and in whatever slots the endpoints are.
    #[test]
    fn one_key_one_endpoint(weights in weights(2..20), turned in 1_usize..20, seed in any::<u64>()) {
        for entry in entries(hashes) {
            let mut core = Core::new(entry, ALONE, &weights);
            let first = placement(&mut core);
            prop_assert_eq!(&placement(&mut core), &first);
            let mut other = Core::new(entry, Seat { core: 2, cores: 3 }, &weights);
            for number in 0..50 {
                other.serve(Ask::number(seed ^ number));
            }
            let mut members = other.members.clone();
            members.rotate_left(turned % weights.len());
            members.push(Member::default());
            other.arrange(members);
            prop_assert_eq!(&placement(&mut other), &first, "{:?}", entry.strategy);
        }
    }

    /// When an endpoint goes for good, its keys are shared out and the others stay where they are; when it comes back, so do they.
    #[test]
    fn few_keys_move_when_one_goes(slots in 3_usize..30, weight in 1_u32..6, gone in any::<prop::sample::Index>()) {
        for entry in entries(hashes) {
            let mut core = Core::new(entry, ALONE, &vec![weight; slots]);
            let (before, all, gone) = (placement(&mut core), core.members.clone(), gone.index(slots));
            let mut less = all.clone();
            less[gone] = Member::default();
            core.arrange(less);
            let after = placement(&mut core);
            prop_assert!(!after.contains(&all[gone].id));
            let moves = needless_moves(&before, &after, all[gone].id);
            prop_assert!(moves <= tolerance(entry), "{:?}: {} moved", entry.strategy, moves);
            core.arrange(all);
            prop_assert_eq!(placement(&mut core), before, "{:?}", entry.strategy);
        }
    }

    /// When an endpoint is down or busy for a while, only its own keys move, to more than one other.
    #[test]
    fn only_its_keys_move_when_one_is_down(weights in weights(4..30), gone in any::<prop::sample::Index>(), ineligible in any::<bool>()) {
        for entry in entries(hashes) {
            let mut core = Core::new(entry, ALONE, &weights);
            let (before, gone) = (placement(&mut core), gone.index(weights.len()));
            if ineligible {
                let mut weights = core.weights.clone();
                weights[gone] = 0;
                core.reweigh(weights);
            } else {
                core.busy[gone] = true;
            }
            let after = placement(&mut core);
            let id = core.members[gone].id;
            prop_assert_eq!(needless_moves(&before, &after, id), 0.0, "{:?}", entry.strategy);
            let moved: Vec<u64> = before.iter().zip(&after).filter(|(before, _)| **before == id).map(|(_, &after)| after).collect();
            if moved.len() as u64 > KEYS / 10 {
                prop_assert!(moved.iter().any(|heir| *heir != moved[0]), "{:?}: all keys went to one", entry.strategy);
            }
        }
    }

    /// Keys are shared out by weight, Maglev's more evenly.
    #[test]
    fn keys_are_shared_out_by_weight(weights in weights(2..10)) {
        for entry in entries(hashes) {
            let mut core = Core::new(entry, ALONE, &weights);
            let placement = placement(&mut core);
            let total: u32 = weights.iter().sum();
            for member in &core.members {
                let got = placement.iter().filter(|&&id| id == member.id).count() as f64;
                let part = f64::from(member.weight) / f64::from(total);
                let (expected, chance) = (part * KEYS as f64, 5.0 * (KEYS as f64 * part * (1.0 - part)).sqrt());
                let off = chance + expected * if entry.strategy == Strategy::Maglev { 0.02 } else { 0.6 };
                prop_assert!((got - expected).abs() <= off, "{:?}: {} not {} ± {}", entry.strategy, got, expected, off);
            }
        }
    }

    /// One key that all ask for at once spreads no further than the bound needs; `Core::check` holds the bound.
    #[test]
    fn a_hot_key_spreads_within_the_bound(weights in weights(2..12), key in any::<u64>()) {
        for entry in entries(|entry| entry.ramp == Ramp::Key) {
            let mut core = Core::new(entry, ALONE, &weights);
            for _ in 0..200 {
                core.take(Ask { key, ..Ask::default() });
            }
            let total: u32 = weights.iter().sum();
            for (&in_flight, &weight) in core.in_flight.iter().zip(&weights) {
                let bound = (1.25 * 200.0 * f64::from(weight) / f64::from(total)).ceil();
                prop_assert!(f64::from(in_flight) <= bound, "{:?}: {} above {}", entry.strategy, in_flight, bound);
            }
        }
        let mut clients = Core::new(entry(Strategy::IpHash), ALONE, &weights);
        for _ in 0..200 {
            clients.take(Ask { client: key, ..Ask::default() });
        }
        prop_assert_eq!(clients.in_flight.iter().filter(|&&in_flight| in_flight > 0).count(), 1);
    }
}
