//! Laws of the strategy that goes by latency.

use super::*;

const SLOW: Duration = Duration::from_millis(100);
const FAST: Duration = Duration::from_millis(1);

fn core(slots: usize) -> Core {
    Core::new(entry(Strategy::PeakEwma), ALONE, &vec![1; slots])
}

/// How many of so many requests each endpoint gets, all of which end at once and show nothing.
fn counts(core: &mut Core, requests: u64) -> Vec<u64> {
    let mut counts = vec![0; core.members.len()];
    for number in 0..requests {
        counts[core.serve(Ask::number(number)).expect("one is open") as usize] += 1;
    }
    counts
}

fn observe(core: &mut Core, slot: u32, latency: Duration, failed: bool) {
    core.balance.observed(slot, latency, failed, core.now);
}

#[test]
fn the_slow_one_of_two_gets_nothing_while_the_fast_one_is_idle() {
    let mut core = core(2);
    observe(&mut core, 0, FAST, false);
    observe(&mut core, 1, SLOW, false);
    assert_eq!(counts(&mut core, 1000), [1000, 0]);
}

#[test]
fn a_busy_fast_one_is_passed_over_for_an_idle_one() {
    let mut core = core(2);
    observe(&mut core, 0, FAST, false);
    observe(&mut core, 1, FAST * 4, false);
    core.in_flight[0] = 2;
    assert_eq!(counts(&mut core, 100), [100, 0], "three times 1 ms is less than 4 ms");
    core.in_flight[0] = 4;
    assert_eq!(counts(&mut core, 100), [0, 100], "five times 1 ms is more than 4 ms");
}

#[test]
fn a_peak_counts_at_once_and_a_better_answer_only_with_time() {
    let mut core = core(2);
    for _ in 0..100 {
        observe(&mut core, 0, FAST, false);
        observe(&mut core, 1, FAST * 2, false);
    }
    observe(&mut core, 0, SLOW, false);
    observe(&mut core, 0, FAST, false);
    assert_eq!(counts(&mut core, 100), [0, 100]);
    core.now = core.now + Duration::from_secs(120);
    observe(&mut core, 0, FAST, false);
    observe(&mut core, 1, FAST * 2, false);
    assert_eq!(counts(&mut core, 100), [100, 0]);
}

#[test]
fn a_quick_failure_draws_no_requests() {
    let mut core = core(2);
    observe(&mut core, 0, FAST, false);
    observe(&mut core, 1, Duration::from_micros(10), true);
    assert_eq!(counts(&mut core, 1000), [1000, 0]);
    let mut both_fail = Core::new(entry(Strategy::PeakEwma), ALONE, &[1, 1]);
    for _ in 0..100 {
        observe(&mut both_fail, 0, FAST, true);
        observe(&mut both_fail, 1, FAST, true);
    }
    assert!(counts(&mut both_fail, 1000).iter().all(|&count| count > 400));
}

#[test]
fn one_that_was_slow_is_tried_again_after_a_while() {
    let mut core = core(2);
    for _ in 0..100 {
        observe(&mut core, 0, FAST, false);
    }
    observe(&mut core, 1, SLOW, false);
    core.in_flight[0] = 1;
    assert_eq!(counts(&mut core, 100)[1], 0, "100 ms is more than twice 1 ms");
    core.now = core.now + Duration::from_secs(600);
    assert_eq!(counts(&mut core, 100)[1], 100, "what was seen ten minutes ago says little");
}

#[test]
fn one_that_hung_is_tried_again_within_two_minutes() {
    let mut core = core(3);
    for _ in 0..20 {
        observe(&mut core, 0, Duration::from_secs(15), true);
    }
    // The others take 1 ms, give or take a tenth, ten times a second each.
    let second = |core: &mut Core| {
        for tenth in 0..10_u64 {
            for slot in [1, 2] {
                observe(core, slot, FAST * (90 + (tenth * 7 + u64::from(slot)) as u32 % 21) / 100, false);
            }
            core.now = core.now + Duration::from_millis(100);
        }
    };
    (0..10).for_each(|_| second(&mut core));
    for _ in 0..20 {
        observe(&mut core, 0, Duration::from_secs(15), true);
    }
    assert_eq!(counts(&mut core, 300)[0], 0);
    (0..120).for_each(|_| second(&mut core));
    assert!(counts(&mut core, 300)[0] > 0);
}

#[test]
fn a_new_one_is_not_flooded() {
    let mut core = core(3);
    for _ in 0..100 {
        (0..3).for_each(|slot| observe(&mut core, slot, FAST, false));
    }
    let mut members = core.members.clone();
    members.push(Member { id: mix(99), weight: 1 });
    core.arrange(members);
    for number in 0..200 {
        core.take(Ask::number(number));
    }
    assert!(core.in_flight.iter().all(|in_flight| (45..=55).contains(in_flight)), "{:?}", core.in_flight);
}

#[test]
fn a_heavier_one_bears_more() {
    let mut core = Core::new(entry(Strategy::PeakEwma), ALONE, &[1, 3]);
    observe(&mut core, 0, FAST, false);
    observe(&mut core, 1, FAST, false);
    for number in 0..400 {
        core.take(Ask::number(number));
    }
    assert!((90..=110).contains(&core.in_flight[0]), "{:?}", core.in_flight);
}
