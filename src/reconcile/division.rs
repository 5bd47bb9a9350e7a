//! One limit over all cores: which core holds how much of it, and how parts move to where requests wait.
//!
//! A part moves in two steps, and only reports tell how far it is: the core that has too much is granted less; once it has
//! taken that over and its requests in flight have come down to it, what has become free is granted to others. Until then it
//! counts as held. So at no moment can the cores together believe they may use more than the limit, whatever is lost on the
//! way, comes late or twice. A core is granted something else only when it has taken over the grant before.
//!
//! After a reload nothing is known of what a core holds until it reports under the new plan; until all have, nothing moves.

use std::time::Duration;

use super::divide::{Turn, divide, take_turns};
use crate::clock::Instant;
use crate::limiter::{Claim, Grant, Share};

/// A limit and the queue before it.
#[derive(Clone, Debug)]
pub(super) struct Division {
    /// What may be in flight; [`Share::UNLIMITED`] if only the queue is limited.
    running: Part,
    queue: Part,
    lots: Vec<Lot>,
    /// How long a core keeps what others wait for, where there isn't one for each.
    turn: Duration,
    /// Something has changed since it was last looked at, or turns are taken.
    stirred: bool,
}

/// What is known of one core.
#[derive(Clone, Copy, Debug, Default)]
struct Lot {
    /// It has reported under the plan in force.
    known: bool,
    /// The newest grant.
    version: u64,
    /// It has taken that over.
    taken_over: bool,
}

/// A number that is divided.
#[derive(Clone, Debug)]
struct Part {
    total: u32,
    /// One for each core.
    portions: Vec<Portion>,
    /// Since when every core has what it is to have.
    settled: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Portion {
    /// The most the core may be using.
    held: u32,
    /// By the newest grant.
    granted: u32,
    /// What it is to have in the end.
    target: u32,
    /// The most it could lately have used at once.
    need: u32,
    /// When it last lost its only one to others.
    turn_ended: Instant,
}

impl Division {
    /// A limit of which `cores` hold parts; nothing is known of them.
    pub fn new(limit: u32, queue: u32, cores: usize) -> Self {
        Division {
            running: Part::new(limit, cores),
            queue: Part::new(queue, cores),
            lots: vec![Lot::default(); cores],
            turn: TURN,
            stirred: false,
        }
    }

    /// The same with turns of another length. Where a request needs a place of two limits, those of one must last long enough for the
    /// other's to come round meanwhile.
    pub fn with_turns(self, turn: Duration) -> Self {
        Division { turn, ..self }
    }

    /// Takes over changed settings, which cores will take over in their time.
    pub fn reconfigure(&mut self, limit: u32, queue: u32) {
        (self.running.total, self.queue.total) = (limit, queue);
        self.lots.iter_mut().for_each(|lot| lot.known = false);
    }

    /// What a core holds and needs. With `later`, some time has passed since the claim before: a quarter of what it needed then
    /// is forgotten.
    pub fn claim(&mut self, core: usize, claim: &Claim, later: bool) {
        let lot = &mut self.lots[core];
        if !lot.known {
            *lot = Lot { known: true, version: claim.version, taken_over: false };
            self.stirred = true;
        }
        let takes_over = claim.version >= lot.version;
        self.stirred |= takes_over != lot.taken_over;
        lot.taken_over = takes_over;
        self.stirred |= self.running.claim(core, claim.limit, claim.in_flight, claim.demand, takes_over, later);
        // Where nothing may run, there is to be a place to wait at least.
        let need = claim.queue_demand.max(u32::from(claim.limit == 0));
        self.stirred |= self.queue.claim(core, claim.queue, claim.waiting, need, takes_over, later);
    }

    /// Moves parts; whether a grant has changed. Grants made bear this version.
    pub fn tick(&mut self, version: u64, now: Instant) -> bool {
        if !self.stirred || !self.lots.iter().all(|lot| lot.known) {
            return false;
        }
        let running = self.running.aim(self.turn, now);
        let queue = self.queue.aim(self.turn, now);
        self.stirred = running || queue;
        let mut moved = false;
        // First those that shrink, so that nothing is granted twice in one round.
        for grows in [false, true] {
            for core in 0..self.lots.len() {
                if !self.lots[core].taken_over {
                    continue;
                }
                let (running, queue) = (self.running.next(core, grows), self.queue.next(core, grows));
                if self.running.grant(core, running) | self.queue.grant(core, queue) {
                    self.lots[core] = Lot { known: true, version, taken_over: false };
                    moved = true;
                }
            }
        }
        moved
    }

    /// What a core is granted; `None` while nothing is known of it.
    pub fn grant(&self, core: usize) -> Option<Grant> {
        let Lot { known, version, .. } = self.lots[core];
        known.then(|| Grant { version, limit: self.running.portions[core].granted, queue: self.queue.portions[core].granted })
    }
}

impl Part {
    fn new(total: u32, cores: usize) -> Self {
        Part { total, portions: vec![Portion::default(); cores], settled: None }
    }

    fn claim(&mut self, core: usize, holds: u32, uses: u32, demand: u32, takes_over: bool, later: bool) -> bool {
        let portion = &mut self.portions[core];
        let before = (portion.held, portion.need);
        if takes_over {
            portion.granted = holds;
        }
        portion.held = holds.max(uses).max(portion.granted);
        let kept = if later { portion.need - portion.need.div_ceil(4) } else { portion.need };
        portion.need = demand.max(kept);
        (portion.held, portion.need) != before
    }

    /// Decides what each core is to have; whether to look again though nothing is reported.
    ///
    /// Nothing moves while every core has what it needs, so that steady demand moves nothing.
    fn aim(&mut self, turn: Duration, now: Instant) -> bool {
        let granted: u64 = self.portions.iter().map(|portion| u64::from(portion.granted)).sum();
        // Where there is enough, each core has one in any case: a core that has none of an endpoint would send nothing there as long
        // as it has others, and so never show that it needs one.
        let floor = u32::from(self.total as usize >= self.portions.len());
        let short = |portion: &Portion| portion.need.max(floor) > portion.granted;
        let fits = granted == u64::from(self.total) && !self.portions.iter().any(short);
        if fits || self.total == Share::UNLIMITED {
            self.portions.iter_mut().for_each(|portion| portion.target = portion.granted);
            self.settled = None;
            return false;
        }
        let needing = self.portions.iter().filter(|portion| portion.need > 0).count();
        let scarce = (self.total as usize) < needing;
        let targets = if scarce {
            self.turns(turn, now)
        } else {
            divide(self.total, &self.portions.iter().map(|portion| portion.need.max(floor)).collect::<Vec<_>>())
        };
        // Who has to wait for others gains with each turn; where there is enough for one each, the poorest must gain, as moving a
        // remainder to and fro helps nobody.
        let gains = if scarce {
            self.portions.iter().zip(&targets).any(|(portion, &target)| short(portion) && target > portion.granted)
        } else {
            self.use_of(targets.iter().copied(), floor) > self.use_of(self.portions.iter().map(|portion| portion.granted), floor)
        };
        let moves = granted != u64::from(self.total) || gains;
        for (portion, target) in self.portions.iter_mut().zip(targets) {
            let target = if moves { target } else { portion.granted };
            if portion.target > 0 && target == 0 {
                portion.turn_ended = now;
            }
            portion.target = target;
        }
        scarce && self.total > 0
    }

    /// What cores could use of these parts, the poorest first.
    fn use_of(&self, parts: impl Iterator<Item = u32>, floor: u32) -> Vec<u32> {
        let mut used: Vec<u32> = self.portions.iter().zip(parts).map(|(portion, part)| part.min(portion.need.max(floor))).collect();
        used.sort_unstable();
        used
    }

    /// There isn't one for each: they go round.
    fn turns(&mut self, length: Duration, now: Instant) -> Vec<u32> {
        let settled = self.portions.iter().all(|portion| portion.granted == portion.target && portion.held == portion.granted);
        self.settled = if settled { self.settled.or(Some(now)) } else { None };
        let over = self.settled.is_some_and(|since| now.since(since) >= length);
        let turn = |portion: &Portion| Turn {
            needs: portion.need > 0,
            keeps: portion.target > 0 && !over,
            ended: if portion.target > 0 { now } else { portion.turn_ended },
        };
        let turns: Vec<Turn> = self.portions.iter().map(turn).collect();
        take_turns(self.total, &turns)
    }

    /// What to grant a core next: less at once, more only as far as nobody can be using it.
    fn next(&self, core: usize, grows: bool) -> u32 {
        let Portion { granted, target, held, .. } = self.portions[core];
        if target <= granted || !grows {
            return target.min(granted);
        }
        let others: u64 = self.portions.iter().map(|portion| u64::from(portion.held)).sum::<u64>() - u64::from(held);
        let free = u64::from(self.total).saturating_sub(others);
        target.min(u32::try_from(free).unwrap_or(u32::MAX)).max(granted)
    }

    fn grant(&mut self, core: usize, amount: u32) -> bool {
        let portion = &mut self.portions[core];
        let changed = portion.granted != amount;
        portion.granted = amount;
        portion.held = portion.held.max(amount);
        changed
    }
}

/// How long turns last, if nothing else is said.
const TURN: Duration = Duration::from_millis(200);
