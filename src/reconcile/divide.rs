//! Dividing a limit among cores by what they need, as whole numbers.

use crate::clock::Instant;

/// Each core's part of `total`, which is given out whole: no core gets more than it needs while another gets less and could
/// have had it (max-min fairness); what nobody needs is spread evenly. If there is enough for one each, every core in need
/// gets one; if not, see [`take_turns`].
pub(super) fn divide(total: u32, needs: &[u32]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&core| needs[core]);
    let mut parts = vec![0; needs.len()];
    let mut rest = total;
    for (position, &core) in order.iter().enumerate() {
        let fair = rest / (needs.len() - position) as u32;
        parts[core] = needs[core].min(fair);
        rest -= parts[core];
    }
    let (each, more) = (rest / needs.len() as u32, rest % needs.len() as u32);
    for (core, part) in (0..).zip(&mut parts) {
        *part += each + u32::from(core < more);
    }
    parts
}

/// What a core's turn depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// It needs any.
    pub needs: bool,
    /// It has one at present and may keep it.
    pub keeps: bool,
    /// When its last turn ended.
    pub ended: Instant,
}

/// Who gets one of `total`, of which there aren't enough for one each: first those who may keep theirs, then those whose last
/// turn is the longest ago. Whoever goes on needing one gets one in the end.
pub(super) fn take_turns(total: u32, turns: &[Turn]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..turns.len()).filter(|&core| turns[core].needs).collect();
    order.sort_by_key(|&core| (!turns[core].keeps, turns[core].ended));
    let mut parts = vec![0; turns.len()];
    order.iter().take(total as usize).for_each(|&core| parts[core] = 1);
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: one unit after the other to the core in need that has least, the first of equals excepted.
    fn one_by_one(total: u32, needs: &[u32]) -> Vec<u32> {
        let mut parts = vec![0; needs.len()];
        for _ in 0..total {
            let poorest = (0..needs.len()).filter(|&core| parts[core] < needs[core]).min_by_key(|&core| parts[core]);
            match poorest {
                Some(core) => parts[core] += 1,
                None => break,
            }
        }
        parts.sort_unstable();
        parts
    }

    proptest! {
        #[test]
        fn a_limit_is_given_out_whole_and_fairly(total in 0_u32..60, needs in prop::collection::vec(0_u32..25, 1..9)) {
            let parts = divide(total, &needs);
            prop_assert_eq!(parts.iter().sum::<u32>(), total);
            let mut useful: Vec<u32> = parts.iter().zip(&needs).map(|(&part, &need)| part.min(need)).collect();
            useful.sort_unstable();
            prop_assert_eq!(useful, one_by_one(total, &needs));
            let in_need = needs.iter().filter(|&&need| need > 0).count();
            if total as usize >= in_need {
                prop_assert!(parts.iter().zip(&needs).all(|(&part, &need)| part > 0 || need == 0), "{parts:?}");
            }
        }

        #[test]
        fn everyone_has_a_turn(total in 1_u32..4, cores in 4_usize..9) {
            let mut ended = vec![Instant::ZERO; cores];
            let patience = cores.div_ceil(total as usize) as u64 + 1;
            for round in 1..=4 * cores as u64 {
                let turns: Vec<Turn> = ended.iter().map(|&ended| Turn { needs: true, keeps: false, ended }).collect();
                let parts = take_turns(total, &turns);
                prop_assert_eq!(parts.iter().sum::<u32>(), total);
                (0..cores).filter(|&core| parts[core] > 0).for_each(|core| ended[core] = Instant::from_nanos(round));
                prop_assert!(ended.iter().all(|ended| round - ended.as_nanos() <= patience), "{ended:?} in round {round}");
            }
        }
    }

    #[test]
    fn a_turn_is_kept_and_not_given_to_those_in_no_need() {
        let turn = |needs, keeps, ended| Turn { needs, keeps, ended: Instant::from_nanos(ended) };
        assert_eq!(take_turns(1, &[turn(true, false, 0), turn(true, true, 5), turn(true, false, 0)]), [0, 1, 0]);
        assert_eq!(take_turns(1, &[turn(true, false, 7), turn(false, true, 0), turn(true, false, 6)]), [0, 0, 1]);
    }
}
