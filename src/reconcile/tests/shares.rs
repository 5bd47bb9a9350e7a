//! Laws of dividing limits: shares of several cores, one division, and a channel that loses, delays, repeats and reorders.

use proptest::prelude::*;

use super::super::division::Division;
use super::*;
use crate::limiter::{Claim, Grant, Share};

/// What happens, to which core.
#[derive(Clone, Debug)]
enum Op {
    /// A request arrives.
    Request(usize),
    /// One in flight ends.
    End(usize),
    /// One that waits asks again.
    Ask(usize),
    /// It reports; the report comes in after so many others, or never.
    Report(usize, Option<u8>),
    /// The coordinator ticks; its update comes in after so many others, or never.
    Tick(usize, Option<u8>),
    /// The settings change to this limit and queue; cores learn of it in this order.
    Reload(u32, u32, Vec<usize>),
}

fn op(cores: usize) -> impl Strategy<Value = Op> {
    let core = 0..cores;
    let delay = prop::option::weighted(0.8, 0_u8..6);
    let order = Just((0..cores).collect::<Vec<usize>>()).prop_shuffle();
    prop_oneof![
        8 => core.clone().prop_map(Op::Request),
        6 => core.clone().prop_map(Op::End),
        4 => core.clone().prop_map(Op::Ask),
        6 => (core.clone(), delay.clone()).prop_map(|(core, delay)| Op::Report(core, delay)),
        6 => (core, delay).prop_map(|(core, delay)| Op::Tick(core, delay)),
        1 => (1_u32..9, 0_u32..6, order).prop_map(|(limit, queue, order)| Op::Reload(limit, queue, order)),
    ]
}

/// A message under way, and after how many others it comes in.
type Mail<T> = Vec<(u8, T)>;

struct Stage {
    limit: u32,
    queue: u32,
    /// The limits that hold until all cores are known to keep to the present ones.
    ceiling: (u64, u64),
    shares: Vec<Share>,
    generations: Vec<u64>,
    generation: u64,
    division: Division,
    reports: Mail<(usize, u64, u64, Claim)>,
    updates: Mail<(usize, u64, u64, Grant)>,
    sequence: u64,
    newest: Vec<u64>,
    version: u64,
    applied: Vec<u64>,
}

impl Stage {
    fn new(limit: u32, queue: u32, cores: usize) -> Stage {
        let seat = |core| Share::new(limit, queue, core as u32, cores as u32);
        Stage {
            limit,
            queue,
            ceiling: (limit.into(), queue.into()),
            shares: (0..cores).map(seat).collect(),
            generations: vec![1; cores],
            generation: 1,
            division: Division::new(limit, queue, cores),
            reports: vec![],
            updates: vec![],
            sequence: 0,
            newest: vec![0; cores],
            version: 0,
            applied: vec![0; cores],
        }
    }

    fn act(&mut self, op: &Op, now: Instant) {
        match op {
            Op::Request(core) => {
                let _ = self.shares[*core].try_take() || self.shares[*core].try_queue();
            }
            Op::End(core) if self.shares[*core].in_flight() > 0 => self.shares[*core].give(),
            Op::Ask(core) if self.shares[*core].waiting() > 0 => _ = self.shares[*core].take_queued(),
            Op::End(_) | Op::Ask(_) => {}
            Op::Report(core, delay) => {
                self.sequence += 1;
                let report = (*core, self.generations[*core], self.sequence, self.shares[*core].claim());
                self.reports.extend(delay.map(|delay| (delay, report)));
                // A late one comes twice.
                self.reports.extend(delay.filter(|&delay| delay > 3).map(|delay| (delay - 3, report)));
                self.deliver_reports();
            }
            Op::Tick(core, delay) => {
                self.version += 1;
                self.division.tick(self.version, now);
                if let (Some(grant), Some(delay)) = (self.division.grant(*core), *delay) {
                    self.updates.push((delay, (*core, self.generation, self.version, grant)));
                }
                self.deliver_updates();
            }
            Op::Reload(limit, queue, order) => {
                // A core that goes from a queue to no queue to a queue begins with a first share; one that has not heard of the time
                // without keeps its share. Together they may have more than all until they have reported.
                let queues = if self.queue == 0 { u64::MAX } else { u64::from(*queue) };
                (self.limit, self.queue) = (*limit, *queue);
                self.ceiling = (self.ceiling.0.max(u64::from(*limit)), self.ceiling.1.max(queues));
                self.generation += 1;
                self.division.reconfigure(*limit, *queue);
                // The last one learns of it only with the next reload, if ever.
                for &core in &order[..order.len() - 1] {
                    self.learn(core);
                }
            }
        }
    }

    fn learn(&mut self, core: usize) {
        self.generations[core] = self.generation;
        let cores = self.shares.len() as u32;
        self.shares[core].reconfigure(self.limit, self.queue, core as u32, cores);
    }

    fn deliver_reports(&mut self) {
        self.reports.iter_mut().for_each(|(delay, _)| *delay = delay.saturating_sub(1));
        for (_, (core, generation, sequence, claim)) in self.reports.extract_if(.., |(delay, _)| *delay == 0) {
            if generation == self.generation && sequence > self.newest[core] {
                self.newest[core] = sequence;
                self.division.claim(core, &claim, true);
            }
        }
    }

    fn deliver_updates(&mut self) {
        self.updates.iter_mut().for_each(|(delay, _)| *delay = delay.saturating_sub(1));
        for (_, (core, generation, version, grant)) in self.updates.extract_if(.., |(delay, _)| *delay == 0) {
            if generation == self.generations[core] && version > self.applied[core] {
                self.applied[core] = version;
                self.shares[core].apply(grant);
            }
        }
    }

    /// All that cores may be using. Comes down to a changed limit in time, and from then on stays there.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let sum = |of: fn(&Share) -> u32| self.shares.iter().map(|share| u64::from(of(share))).sum::<u64>();
        let running = sum(|share| share.limit().max(share.in_flight()));
        let queues: u64 = self.shares.iter().map(|share| u64::from(share.clone().claim().queue.max(share.waiting()))).sum();
        prop_assert!(running <= self.ceiling.0, "{running} of {}", self.ceiling.0);
        prop_assert!(queues <= self.ceiling.1, "{queues} waiting of {}", self.ceiling.1);
        if self.generations.iter().all(|&generation| generation == self.generation) {
            let limits = (u64::from(self.limit), u64::from(self.queue));
            self.ceiling.0 = if running <= limits.0 { limits.0 } else { self.ceiling.0 };
            self.ceiling.1 = if queues <= limits.1 { limits.1 } else { self.ceiling.1 };
        }
        Ok(())
    }

    /// Reports, ticks and updates without loss, as often as said; `busy` cores always have more to do than they may.
    fn calm(&mut self, rounds: u64, busy: &[usize], from: u64) -> Vec<u64> {
        let mut served = vec![0; self.shares.len()];
        for round in from..from + rounds {
            for (core, served) in served.iter_mut().enumerate() {
                while self.shares[core].in_flight() > 0 {
                    self.shares[core].give();
                }
                while self.shares[core].waiting() > 0 {
                    self.shares[core].leave_queue();
                }
                if busy.contains(&core) {
                    while self.shares[core].try_take() {
                        *served += 1;
                    }
                    while self.shares[core].try_queue() {}
                }
                self.act(&Op::Report(core, Some(1)), at(0));
            }
            for core in 0..self.shares.len() {
                self.act(&Op::Tick(core, Some(1)), at(100 * round));
            }
        }
        served
    }
}

fn stage() -> impl Strategy<Value = (u32, u32, usize, Vec<Op>)> {
    (1_u32..9, 0_u32..6, 1_usize..5)
        .prop_flat_map(|(limit, queue, cores)| (Just(limit), Just(queue), Just(cores), prop::collection::vec(op(cores), 1..250)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_limit_holds_whatever_is_lost((limit, queue, cores, ops) in stage()) {
        let mut stage = Stage::new(limit, queue, cores);
        for (time, op) in (0..).zip(&ops) {
            stage.act(op, at(time * 20));
            stage.check()?;
        }
        // Once nothing is lost any more, all of the limit can be used again, and cores that need some have some.
        (0..cores).for_each(|core| stage.learn(core));
        (stage.reports, stage.updates) = (vec![], vec![]);
        let busy: Vec<usize> = (0..cores).filter(|core| core % 2 == 0).collect();
        stage.calm(25, &busy, 1000);
        stage.check()?;
        prop_assert_eq!(stage.ceiling, (u64::from(stage.limit), u64::from(stage.queue)));
        let parts: Vec<u32> = stage.shares.iter().map(Share::limit).collect();
        let scarce = (stage.limit as usize) < busy.len();
        if !scarce {
            // Where there is enough, an idle core keeps one.
            let kept = if stage.limit as usize >= cores { cores - busy.len() } else { 0 };
            let fair = (stage.limit - kept as u32) / busy.len() as u32;
            prop_assert_eq!(parts.iter().sum::<u32>(), stage.limit);
            prop_assert!(busy.iter().all(|&core| parts[core] >= fair.max(1)), "{parts:?}");
            // Steady demand moves nothing.
            stage.calm(10, &busy, 1025);
            prop_assert_eq!(parts, stage.shares.iter().map(Share::limit).collect::<Vec<_>>());
        }
        // Those for whom there isn't one each take turns.
        let served = stage.calm(8 * cores as u64, &busy, 2000);
        prop_assert!(busy.iter().all(|&core| served[core] > 0), "{served:?}");
        stage.check()?;
    }
}

#[test]
fn an_idle_core_gives_up_what_others_wait_for_in_time() {
    let mut stage = Stage::new(100, 10, 4);
    stage.calm(3, &[], 0);
    stage.calm(6, &[2], 10);
    assert!(stage.shares[2].limit() >= 75, "{:?}", stage.shares);
}

#[test]
fn one_alone_goes_round() {
    let mut stage = Stage::new(1, 4, 4);
    stage.calm(3, &[], 0);
    let served = stage.calm(40, &[0, 1, 2, 3], 10);
    assert!(served.iter().all(|&served| served >= 3), "{served:?}");
}

#[test]
fn a_core_without_a_slot_has_a_place_to_wait() {
    for cores in 1..8 {
        let shares: Vec<Claim> = (0..cores).map(|core| Share::new(3, 5, core, cores).claim()).collect();
        assert!(shares.iter().all(|claim| claim.limit > 0 || claim.queue > 0), "{shares:?}");
    }
    let mut stage = Stage::new(1, 4, 4);
    stage.calm(6, &[0], 0);
    let free = (0..4).filter(|&core| core != 0).all(|core| stage.shares[core].clone().try_queue());
    assert!(free, "what core 0 could use of the queue is left to those that have no slot: {:?}", stage.shares);
}
