//! Which arm of a split a user is in: weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables",
//! SPAA 2005, the logarithmic method).
//!
//! Each arm draws a number from the user's key and its own name, divided by its weight: an exponential race, which an arm wins in
//! proportion to its weight. Nothing is remembered and nothing but names, weights and key counts, so every core, and every process
//! after it, decides alike, in whatever order the arms stand. Where weights change,
//!
//! - a user goes from arm `i` to arm `j` only if the weight of `j` grew by the greater factor;
//! - if the weight of one arm alone changes, users move only to it or only away from it, and so many as shares differ;
//! - of two arms this is so for any change.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

/// The arms of one split.
#[derive(Clone, Debug)]
pub struct Split {
    arms: Box<[Arm]>,
}

#[derive(Clone, Copy, Debug)]
struct Arm {
    seed: u64,
    /// One over the weight; infinite for an arm that gets nothing.
    each: f64,
}

impl Split {
    /// Of these arms, by name and weight; 0 gets nothing. At most 64.
    pub fn new<'a>(arms: impl Iterator<Item = (&'a str, u32)>) -> Split {
        let arm = |(name, weight): (&str, u32)| {
            let mut hasher = FixedState::default().build_hasher();
            hasher.write(name.as_bytes());
            Arm { seed: hasher.finish(), each: f64::from(weight).recip() }
        };
        Split { arms: arms.map(arm).collect() }
    }

    /// The arm of a user, by a hash of who it is; of those whose bit in `without` isn't set. None if none is left that gets anything.
    #[inline]
    pub fn arm(&self, user: u64, without: u64) -> Option<usize> {
        let mut best = (f64::INFINITY, None);
        for (index, arm) in self.arms.iter().enumerate().filter(|(index, _)| without >> index & 1 == 0) {
            let time = -share(mix(user ^ arm.seed)).ln() * arm.each;
            if time < best.0 {
                best = (time, Some(index));
            }
        }
        best.1
    }
}

/// Above 0 and at most 1, from the upper 53 bits.
#[inline]
fn share(bits: u64) -> f64 {
    ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Each bit of the result depends on each of the key's (the finalizer of SplitMix64): keys may be counted up.
#[inline]
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USERS: u64 = 4000;

    fn split(weights: &[u32]) -> Split {
        const NAMES: [&str; 5] = ["stable", "canary", "blue", "green", "x"];
        Split::new(NAMES.into_iter().zip(weights.iter().copied()))
    }

    fn arms(weights: &[u32], seed: u64) -> Vec<usize> {
        let split = split(weights);
        (0..USERS).map(|user| split.arm(seed.wrapping_add(user), 0).expect("an arm")).collect()
    }

    fn shares(weights: &[u32]) -> Vec<f64> {
        let all: u32 = weights.iter().sum();
        weights.iter().map(|&weight| f64::from(weight) / f64::from(all)).collect()
    }

    /// Five standard deviations: a law that is kept fails once in a million cases.
    fn within(count: usize, expected: f64) -> bool {
        let users = USERS as f64;
        (count as f64 - users * expected).abs() <= 5.0 * (users * expected * (1.0 - expected)).sqrt() + 1.0
    }

    fn weights(arms: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(0..100_u32, arms)
            .prop_filter("an arm that gets something", |weights| weights.iter().any(|&weight| weight > 0))
    }

    proptest! {
        #[test]
        fn each_arm_gets_its_share(weights in weights(1..=5), seed: u64) {
            let arms = arms(&weights, seed);
            for (arm, share) in shares(&weights).into_iter().enumerate() {
                let count = arms.iter().filter(|&&other| other == arm).count();
                prop_assert!(within(count, share), "{count} of {USERS} in arm {arm} of {weights:?}");
            }
        }

        #[test]
        fn of_two_arms_the_difference_moves_and_only_to_the_one_that_grew(old in weights(2), new in weights(2), seed: u64) {
            let (before, after) = (arms(&old, seed), arms(&new, seed));
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
            prop_assert!(within(moved.clone().count(), (shares(&new)[0] - shares(&old)[0]).abs()));
            for (_, &after) in moved {
                prop_assert!(shares(&new)[after] > shares(&old)[after]);
            }
        }

        #[test]
        fn if_one_weight_changes_nobody_moves_between_the_others(old in weights(2..=5), at: prop::sample::Index, weight in 0..100_u32, seed: u64) {
            let at = at.index(old.len());
            let mut new = old.clone();
            new[at] = weight;
            prop_assume!(new.iter().any(|&weight| weight > 0));
            let (before, after) = (arms(&old, seed), arms(&new, seed));
            let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
            prop_assert!(within(moved.len(), (shares(&new)[at] - shares(&old)[at]).abs()));
            for (&before, &after) in moved {
                prop_assert_eq!(if weight > old[at] { after } else { before }, at);
            }
        }

        #[test]
        fn users_move_only_to_arms_that_grew_by_more(old in weights(3..=5), new in weights(3..=5), seed: u64) {
            let arms_both = old.len().min(new.len());
            let (old, new) = (&old[..arms_both], &new[..arms_both]);
            prop_assume!(old.iter().any(|&weight| weight > 0) && new.iter().any(|&weight| weight > 0));
            for (before, after) in arms(old, seed).into_iter().zip(arms(new, seed)).filter(|(before, after)| before != after) {
                prop_assert!(u64::from(new[after]) * u64::from(old[before]) > u64::from(new[before]) * u64::from(old[after]));
            }
        }

        #[test]
        fn neither_order_nor_a_common_factor_matters(weights in weights(2..=5), factor in 1..1000_u32, user: u64) {
            let scaled: Vec<u32> = weights.iter().map(|weight| weight * factor).collect();
            let arm = split(&weights).arm(user, 0);
            prop_assert_eq!(split(&scaled).arm(user, 0), arm);
            let names = ["stable", "canary", "blue", "green", "x"];
            let turned = Split::new(names.into_iter().zip(weights.iter().copied()).take(weights.len()).collect::<Vec<_>>().into_iter().rev());
            prop_assert_eq!(turned.arm(user, 0).map(|arm| weights.len() - 1 - arm), arm);
        }

        #[test]
        fn without_an_arm_its_users_go_where_they_would_if_it_had_no_weight(weights in weights(2..=5), user: u64) {
            let split = split(&weights);
            let first = split.arm(user, 0).expect("an arm");
            let mut others = weights.clone();
            others[first] = 0;
            prop_assert_eq!(split.arm(user, 1 << first), self::split(&others).arm(user, 0));
            prop_assert_eq!(split.arm(user, !0), None);
        }
    }

    #[test]
    fn users_stay_where_they_are_from_one_version_to_the_next() {
        let split = split(&[95, 5, 50]);
        let arms: Vec<usize> = (0..24).map(|user| split.arm(user, 0).expect("an arm")).collect();
        assert_eq!(arms, [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 0, 2, 2, 2, 1, 0, 0, 2, 0, 0], "whoever changes this moves every user");
    }
}
