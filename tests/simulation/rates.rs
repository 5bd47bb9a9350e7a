//! A client of a rate limit whose requests come to up to 64 cores, however spread, with messages as they come; and what it gets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway::clock::Instant;
use ringway::limiter::{Buckets, Limit, LimitReport, LimitUpdate, Limiters, PERIOD, Terms, Verdict, WAIT};
use ringway::reconcile::Limits;

use self::ideal::Ideal;
use crate::chance::Chance;

mod ideal;
pub mod late;

enum Event {
    /// A request of the client arrives.
    Arrive,
    /// It asks; when it arrived.
    Ask(usize, Instant),
    CoreTick(usize),
    /// What is urgent is reported.
    Urgent(usize),
    Report(LimitReport),
    Update(usize, LimitUpdate),
    Tick,
    /// The client's connections go elsewhere.
    Move,
}

/// Where a client's requests go.
#[derive(Clone, Copy, Debug)]
enum Spread {
    One,
    Even,
    /// To one core, and after each such time to another.
    Moving(Duration),
    /// To some of the cores.
    Few(u64),
}

/// How its requests come.
#[derive(Clone, Copy, Debug)]
enum Rhythm {
    Even,
    Chance,
    /// So many at once.
    Bunches(u64),
}

struct World {
    seed: u64,
    chance: Chance,
    now: Instant,
    order: u64,
    events: BTreeMap<(Instant, u64), Event>,
    limit: Limit,
    cores: Vec<Core>,
    limits: Limits,
    spread: Spread,
    rhythm: Rhythm,
    gap: Duration,
    place: usize,
    stormy: bool,
    /// Messages come up to so many milliseconds late.
    late: u64,
    /// Since when the coordinator knows the client, and the tokens that cores held then.
    known: Option<(Instant, f64)>,
    ticked: Instant,
    tick_at: Option<(Instant, u64)>,
    arrivals: Vec<Instant>,
    /// Admitted: when they arrived and when they were let through.
    admitted: Vec<(Instant, Instant)>,
    messages: u64,
}

struct Core {
    limiters: Limiters,
    buckets: Rc<RefCell<Buckets>>,
    reported: Instant,
    urgent: bool,
}

const KEY: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// One run.
pub fn run(seed: u64) {
    let mut world = World::new(seed);
    world.stormy = world.chance.percent(30);
    let stormy = world.stormy;
    world.pass(Duration::from_millis(3_500));
    world.check_bound();
    if stormy {
        // What messages did must not matter for long.
        world.stormy = false;
        world.pass(Duration::from_secs(1));
        world.arrivals.clear();
        world.known = Some((world.now, 0.0));
        world.pass(Duration::from_millis(2_500));
        world.check_bound();
    }
    world.check_due();
    // Who is left alone is forgotten, and costs nothing.
    world.gap = Duration::from_secs(3600);
    world.pass(Duration::from_secs(30));
    let before = world.messages;
    world.pass(Duration::from_secs(2));
    let idle = world.messages - before;
    assert!(idle <= 25 * world.cores.len() as u64, "{world}: {idle} messages about nothing");
    let parts: u64 = world.cores.iter().map(|core| core.buckets.borrow_mut().holds(KEY, world.now).0).sum();
    assert_eq!(parts, Terms::new(world.limit, world.cores.len() as u32).whole(), "{world}: all parts come back");
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let cores = *chance.one_of(&[1, 2, 3, 4, 8, 16, 32, 64]);
        let count = *chance.one_of(&[5, 20, 100, 1_000, 5_000, 20_000]);
        let cost = *chance.one_of(&[1, 1, 1, 3]);
        let burst = cost * *chance.one_of(&[1, 2, 10, count / 10 + 1, count, 2 * count]);
        let limit = Limit { count, per: Duration::from_secs(1), burst, cost, kind: 0 };
        let per_second = f64::from(count / cost).max(1.0) * *chance.one_of(&[1.2, 1.5, 2.0, 5.0]);
        let moving = chance.micros(30_000, 1_500_000);
        let few = chance.between(1, cores as u64);
        let spread = *chance.one_of(&[Spread::One, Spread::Even, Spread::Moving(moving), Spread::Few(few)]);
        let bunch = chance.between(1, 40);
        let rhythm = *chance.one_of(&[Rhythm::Even, Rhythm::Chance, Rhythm::Bunches(bunch)]);
        let now = Instant::ZERO + chance.micros(1, 1_000_000);
        let mut world = World {
            seed,
            now,
            order: 0,
            events: BTreeMap::new(),
            limit,
            cores: Vec::new(),
            limits: Limits::new(cores as u32),
            spread,
            rhythm,
            gap: Duration::from_secs_f64(1.0 / per_second),
            place: chance.draw() as usize % cores,
            stormy: false,
            late: 0,
            known: None,
            ticked: now,
            tick_at: None,
            arrivals: Vec::new(),
            admitted: Vec::new(),
            messages: 0,
            chance,
        };
        world.limited_by(limit, cores as u32);
        for core in 0..cores {
            let offset = world.chance.micros(0, 100_000);
            world.after(offset, Event::CoreTick(core));
        }
        world.tick_in(Duration::from_millis(7));
        // By then all have reported.
        world.after(Duration::from_millis(250), Event::Arrive);
        world.after(Duration::from_millis(300), Event::Move);
        world
    }

    /// The limit on so many cores, before anything happens.
    fn limited_by(&mut self, limit: Limit, cores: u32) {
        let terms = Terms::new(limit, cores);
        self.limit = limit;
        self.limits.reconfigure([(Arc::from("default"), limit)], 1, self.now);
        let core = |core| {
            let buckets = Rc::new(RefCell::new(Buckets::new(terms.clone(), 64, core, cores, 1)));
            let mut limiters = Limiters::new(core);
            limiters.replace(vec![("default".into(), buckets.clone())]);
            Core { limiters, buckets, reported: self.now, urgent: false }
        };
        self.cores = (0..cores).map(core).collect();
    }

    fn after(&mut self, delay: Duration, event: Event) -> (Instant, u64) {
        self.order += 1;
        let key = (self.now + delay, self.order);
        self.events.insert(key, event);
        key
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= until
        {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happen(event);
        }
        self.now = until;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Ask(core, since) => self.ask(core, since),
            Event::CoreTick(core) => {
                let busy = self.cores[core].limiters.is_busy();
                self.after(if busy { BUSY } else { TICK }, Event::CoreTick(core));
                self.report(core);
            }
            Event::Urgent(core) => {
                self.cores[core].urgent = false;
                self.report(core);
            }
            Event::Report(report) => {
                self.limits.on_report(&report, self.now);
                if self.limits.is_busy() {
                    self.tick_in((self.ticked + ROUND).since(self.now));
                }
            }
            Event::Update(core, update) => {
                if self.cores[core].limiters.apply(&update, self.now) {
                    self.report(core);
                }
            }
            Event::Tick => {
                self.tick_at = None;
                self.ticked = self.now;
                for (core, update) in self.limits.tick(self.now) {
                    if std::env::var("TRACE").is_ok() {
                        eprintln!("{:?} -> {core} {update:?}", self.now);
                    }
                    for delay in self.deliveries() {
                        self.after(delay, Event::Update(core, update.clone()));
                    }
                }
                self.tick_in(if self.limits.is_busy() { Duration::from_millis(5) } else { Duration::from_millis(50) });
            }
            Event::Move => {
                if let Spread::Moving(time) = self.spread {
                    self.place = self.chance.draw() as usize % self.cores.len();
                    self.after(time, Event::Move);
                }
            }
        }
    }

    /// The coordinator ticks then, or earlier if it would anyway.
    fn tick_in(&mut self, delay: Duration) {
        let at = self.now + delay;
        if let Some(key) = self.tick_at.filter(|(due, _)| *due > at) {
            self.events.remove(&key);
            self.tick_at = None;
        }
        if self.tick_at.is_none() {
            self.tick_at = Some(self.after(delay, Event::Tick));
        }
    }

    fn arrive(&mut self) {
        let (gap, bunch) = match self.rhythm {
            Rhythm::Even => (self.gap, 1),
            Rhythm::Chance => (self.gap.mul_f64(-(self.chance.between(1, 1 << 20) as f64 / f64::from(1 << 20)).ln()), 1),
            Rhythm::Bunches(bunch) => (self.gap * bunch as u32, bunch),
        };
        self.after(gap, Event::Arrive);
        for _ in 0..bunch {
            let core = match self.spread {
                Spread::One | Spread::Moving(_) => self.place,
                Spread::Even => self.chance.draw() as usize,
                Spread::Few(few) => self.chance.between(0, few - 1) as usize * 7 + self.place,
            };
            self.arrivals.push(self.now);
            self.ask(core % self.cores.len(), self.now);
        }
    }

    fn ask(&mut self, core: usize, since: Instant) {
        let trace = std::env::var("TRACE").is_ok();
        let decision = self.cores[core].buckets.borrow_mut().check(KEY, self.now, since < self.now);
        if decision.verdict != Verdict::Admitted && self.known.is_none() {
            let terms = Terms::new(self.limit, self.cores.len() as u32);
            let held = self.cores.iter().map(|core| {
                let (parts, tat) = core.buckets.borrow_mut().holds(KEY, self.now);
                terms.requests(parts, tat, self.now)
            });
            self.known = Some((self.now, held.sum::<f64>() * f64::from(self.limit.cost)));
        }
        if trace {
            eprintln!("{:?} {core} {since:?} {:?}", self.now, decision);
        }
        match decision.verdict {
            Verdict::Admitted => self.admitted.push((since, self.now)),
            Verdict::Refused => {}
            Verdict::Wait => _ = self.after(WAIT, Event::Ask(core, since)),
        }
        let Core { limiters, reported, urgent, .. } = &mut self.cores[core];
        if !*urgent && limiters.is_urgent() {
            *urgent = true;
            let at = (*reported + ROUND).since(self.now);
            self.after(at, Event::Urgent(core));
        }
    }

    fn report(&mut self, core: usize) {
        self.cores[core].reported = self.now;
        let Some(report) = self.cores[core].limiters.report(self.now) else { return };
        self.messages += 1;
        for delay in self.deliveries() {
            self.after(delay, Event::Report(report.clone()));
        }
    }

    /// When copies of a message come in; none if it is lost.
    fn deliveries(&mut self) -> Vec<Duration> {
        if !self.stormy {
            return vec![self.chance.micros(20, 1_000 + 1_000 * self.late)];
        }
        let copies = match self.chance.between(0, 9) {
            0 | 1 => 0,
            2 => 2,
            _ => 1,
        };
        (0..copies).map(|_| self.chance.micros(10, 200_000)).collect()
    }

    fn rate(&self) -> f64 {
        f64::from(self.limit.count) / self.limit.per.as_secs_f64()
    }

    /// In no time `t` more than `burst + rate * t` and a period's rate: as much as a bucket of that size lets through.
    fn check_bound(&self) {
        let most = f64::from(self.limit.burst) + if self.cores.len() > 1 { self.rate() * PERIOD.as_secs_f64() } else { 0.0 };
        let mut bucket = Ideal { level: most, most, rate: self.rate(), at: Instant::ZERO };
        for &(_, at) in &self.admitted {
            assert!(bucket.take(f64::from(self.limit.cost) - 1e-6, at), "{self}: more than the bound at {at:?}");
        }
    }

    /// In each second at least 95 % of what one bucket would have let through that before has let through as much.
    fn check_due(&self) {
        let (Some((known, level)), Some(&last)) = (self.known, self.arrivals.last()) else { return };
        let (burst, cost) = (f64::from(self.limit.burst), f64::from(self.limit.cost));
        let mut begin = known + PERIOD;
        while begin + Duration::from_secs(1) <= last {
            let end = begin + Duration::from_secs(1);
            let mut bucket = Ideal { level, most: burst, rate: self.rate(), at: known };
            for &(_, at) in self.admitted.iter().filter(|&&(since, at)| at >= known && since < begin) {
                bucket.owe(cost, at.min(begin));
            }
            bucket.level_at(begin);
            let within = |at: &&Instant| (begin..end).contains(*at);
            let due = self.arrivals.iter().filter(within).filter(|&&at| bucket.take(cost, at)).count();
            let got = self.admitted.iter().filter(|(since, _)| within(&since)).count();
            assert!(got as f64 + 2.0 >= 0.95 * due as f64, "{self}: {got} of {due} in the second from {begin:?}");
            begin = begin + Duration::from_millis(100);
        }
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let World { seed, limit, spread, rhythm, gap, .. } = self;
        write!(f, "RINGWAY_SEED={seed}: {} cores, {limit:?}, {spread:?}, {rhythm:?}, one each {gap:?}", self.cores.len())
    }
}

/// Between two reports of a core: as a rule, and while keys are asked for that the coordinator looks after.
const TICK: Duration = Duration::from_millis(100);
const BUSY: Duration = Duration::from_millis(10);
/// The least time between two urgent ones, and two rounds of the coordinator.
const ROUND: Duration = Duration::from_millis(1);
