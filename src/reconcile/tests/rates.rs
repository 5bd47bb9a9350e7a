//! Rate limits at the coordinator: what is lost is said again, whoever begins again makes all begin again, and there is only so much room.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::super::{KEYS_MAX, Limits};
use super::*;
use crate::chance::mix;
use crate::limiter::{Buckets, Limit, LimitUpdate, Limiters, Terms, Verdict};

const LIMIT: Limit = Limit { count: 100, per: Duration::from_secs(1), burst: 8, cost: 1, kind: 0 };

fn buckets(core: u32, born: u64) -> Rc<RefCell<Buckets>> {
    Rc::new(RefCell::new(Buckets::new(Terms::new(LIMIT, 2), 1 << 18, core, 2, born)))
}

fn key(number: u64) -> u128 {
    u128::from(mix(number)) << 64 | u128::from(mix(!number))
}

/// A coordinator and two cores.
struct Stage {
    limits: Limits,
    cores: Vec<(Limiters, Rc<RefCell<Buckets>>)>,
}

fn stage() -> Stage {
    let mut limits = Limits::new(2);
    limits.reconfigure([("a".into(), LIMIT)], 1, at(0));
    let core = |core| {
        let buckets = buckets(core, 1);
        let mut limiters = Limiters::new(core);
        limiters.replace(vec![("a".into(), buckets.clone())]);
        (limiters, buckets)
    };
    let mut stage = Stage { limits, cores: (0..2).map(core).collect() };
    stage.report(0);
    stage
}

impl Stage {
    fn report(&mut self, now: u64) {
        for (limiters, _) in &mut self.cores {
            let report = limiters.report(at(now)).expect("there is a limit");
            self.limits.on_report(&report, at(now));
        }
    }

    fn tick(&mut self, now: u64) -> Vec<(usize, LimitUpdate)> {
        self.limits.tick(at(now))
    }

    /// Reports and updates, until there is nothing more to say.
    fn settle(&mut self, now: u64) {
        loop {
            self.report(now);
            let updates = self.tick(now);
            if updates.is_empty() {
                return;
            }
            for (core, update) in updates {
                assert!(self.cores[core].0.apply(&update, at(now)));
            }
        }
    }

    fn admitted(&self, core: usize, key: u64, requests: usize, now: u64) -> usize {
        let key = self::key(key);
        (0..requests).filter(|_| self.cores[core].1.borrow_mut().check(key, at(now), false).verdict == Verdict::Admitted).count()
    }
}

#[test]
fn a_core_gets_what_others_do_not_use_and_no_more() {
    let mut stage = stage();
    assert_eq!(stage.admitted(0, 7, 20, 10), 4, "its first part");
    stage.settle(10);
    assert_eq!(stage.admitted(0, 7, 20, 10), 4, "the other one's");
    assert_eq!(stage.admitted(1, 7, 20, 10), 0);
    assert_eq!(stage.admitted(1, 8, 20, 10), 4, "another key has its own");
}

#[test]
fn what_is_lost_is_said_again_and_nothing_else_until_it_was_taken_over() {
    let mut stage = stage();
    assert_eq!(stage.admitted(0, 7, 5, 10), 4);
    stage.report(10);
    let first = stage.tick(10);
    assert_eq!(first.len(), 1, "core 1 is to give up its part");
    stage.admitted(0, 7, 5, 12);
    stage.report(12);
    assert_eq!(stage.tick(12), [], "nothing more to say to it");
    assert_eq!(stage.tick(40), first, "again");
    let (core, update) = &first[0];
    assert!(stage.cores[*core].0.apply(update, at(41)));
    assert!(!stage.cores[*core].0.apply(update, at(42)), "once is enough");
    stage.settle(43);
    assert_eq!(stage.tick(100), []);
}

#[test]
fn an_old_report_counts_for_nothing() {
    let mut stage = stage();
    assert_eq!(stage.admitted(0, 7, 5, 10), 4);
    let old = stage.cores[0].0.report(at(10)).unwrap();
    stage.report(11);
    stage.limits.on_report(&old, at(12));
    assert_eq!(stage.tick(12), []);
}

#[test]
fn whoever_begins_again_makes_all_begin_again() {
    let mut stage = stage();
    assert_eq!(stage.admitted(0, 7, 20, 10), 4);
    stage.settle(10);
    assert_eq!(stage.admitted(0, 7, 20, 10), 4);
    // Core 1 has lost its buckets, and with them that it gave its part away.
    let fresh = buckets(1, 3);
    stage.cores[1] = (std::mem::take(&mut stage.cores[1].0), fresh.clone());
    stage.cores[1].0.replace(vec![("a".into(), fresh)]);
    stage.settle(11);
    let parts = |core: usize, now: u64| stage.cores[core].1.borrow_mut().holds(key(7), at(now)).0;
    assert_eq!(parts(0, 12) + parts(1, 12), Terms::new(LIMIT, 2).whole());
    stage.settle(12);
    assert_eq!(stage.admitted(0, 9, 20, 12), 4);
    stage.settle(12);
    assert_eq!(stage.admitted(0, 9, 20, 12), 4, "and it goes on");
}

#[test]
fn there_is_room_for_so_many_keys_and_the_others_keep_their_first_parts() {
    let mut stage = stage();
    let keys = KEYS_MAX as u64 + 1000;
    for number in 0..keys {
        let now = number / 100;
        assert_eq!(stage.admitted(0, number, 5, now), 4);
        if number % 1000 == 0 {
            stage.report(now);
        }
    }
    stage.settle(keys / 100);
    let state = &stage.limits.snapshot()[0];
    assert_eq!(state.hot, KEYS_MAX as u64);
    assert!(state.left_alone > 0);
    let more = (0..keys).filter(|&number| stage.admitted(0, number, 1, keys / 100) == 1).count();
    assert!(more >= KEYS_MAX, "{more}");
    // Once nobody asks for them, there is room again.
    for now in (300..30_000).step_by(300) {
        stage.settle(now);
    }
    assert_eq!(stage.limits.snapshot()[0].hot, 0);
    assert!(!stage.limits.is_busy());
}

#[test]
fn a_plan_without_the_limit_forgets_it_and_another_limit_of_its_name_is_another_one() {
    let mut stage = stage();
    assert_eq!(stage.admitted(0, 7, 20, 10), 4);
    stage.settle(10);
    stage.limits.reconfigure([("a".into(), LIMIT)], 2, at(11));
    assert_eq!(stage.limits.snapshot()[0].hot, 1, "kept");
    stage.limits.reconfigure([("a".into(), Limit { burst: 9, ..LIMIT })], 3, at(12));
    assert_eq!(stage.limits.snapshot()[0].hot, 0);
    stage.report(13);
    assert_eq!(stage.tick(13), [], "reports about the old one say nothing about this one");
    stage.limits.reconfigure([], 4, at(14));
    assert_eq!(stage.limits.snapshot(), []);
}
