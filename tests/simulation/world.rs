//! The world: events in order of time, messages that get lost, and what must come true in the end.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringway::address::Address;
use ringway::balancer::Seat;
use ringway::clock::Instant;
use ringway::config::{Config, Endpoint};
use ringway::exchange::{Attempted, Plan};
use ringway::reconcile::{Lookup, ProbeId, Reconciler, Report, Update};

use crate::chance::Chance;
use crate::check::Ceilings;
use crate::core::Core;
use crate::scenario::{Scenario, recovery};
use crate::servers::{self, Mode, Servers};

pub enum Event {
    Arrive(usize),
    Step(usize, u64),
    /// The attempt of this number has ended.
    Attempted(usize, u64, u64, Attempted),
    /// The attempt of this number has taken longer than most.
    Hedge(usize, u64, u64),
    Finish(usize, u64),
    Leave(usize, u64),
    CoreTick(usize),
    CoordinatorTick,
    Report(Report),
    Update(usize, Update),
    Plan(usize),
    Probed(ProbeId, u16),
    Resolved(Lookup),
    /// A server changes its ways.
    Turn,
    Reload,
}

pub struct World {
    pub seed: u64,
    pub chance: Chance,
    pub now: Instant,
    pub order: u64,
    pub events: BTreeMap<(Instant, u64), Event>,
    pub config: Config,
    pub generation: u64,
    pub scenario: Scenario,
    pub spare: Vec<(String, Endpoint)>,
    pub cores: Vec<Core>,
    pub reconciler: Reconciler,
    pub servers: Servers,
    pub ceilings: Ceilings,
    /// Messages get lost, servers fail, configurations change.
    pub stormy: bool,
    /// Between two requests on a core, on average; none if there are no more.
    pub pace: Option<Duration>,
    pub requests: u64,
    /// The last things that happened.
    pub trail: VecDeque<String>,
}

/// One run.
pub fn run(seed: u64) {
    let mut world = World::new(seed);
    world.pass(Duration::from_secs(6));
    world.calm_down();
    world.pass(recovery(&world.config));
    world.assert_all_serve();
    world.assert_the_dead_are_left_alone();
    world.pace = None;
    world.pass(Duration::from_secs(6));
    world.ceilings.assert_settled();
    world.cores.iter().for_each(Core::assert_idle);
    assert!(world.servers.all.values().all(|server| server.in_flight == 0));
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut scenario = Scenario::new();
        let config = scenario.config(seed, &mut chance);
        let cores = chance.between(1, 4) as usize;
        let now = Instant::ZERO + chance.micros(1, 1_000_000);
        let plan = Arc::new(plan(&config, 1));
        let seat = |core| Seat { core, cores: cores as u32 };
        let mut world = World {
            seed,
            now,
            order: 0,
            events: BTreeMap::new(),
            generation: 1,
            scenario,
            spare: Vec::new(),
            cores: (0..cores as u32).map(|core| Core::new(plan.clone(), seat(core), now)).collect(),
            reconciler: Reconciler::new(cores as u32, &config, 1, now),
            servers: Servers::default(),
            ceilings: Ceilings::new(&config, cores),
            stormy: true,
            pace: Some(chance.micros(4_000, 40_000)),
            requests: 0,
            trail: VecDeque::new(),
            config,
            chance,
        };
        for core in 0..cores {
            world.after(Duration::ZERO, Event::Arrive(core));
            let offset = world.chance.micros(0, 100_000);
            world.after(offset, Event::CoreTick(core));
            world.ceilings.measure(core, &world.cores[core].view);
        }
        world.after(Duration::from_millis(7), Event::CoordinatorTick);
        world.after(Duration::from_millis(300), Event::Turn);
        for _ in 0..world.chance.between(0, 3) {
            let at = world.chance.micros(0, 5_500_000);
            world.after(at, Event::Reload);
        }
        world
    }

    pub fn after(&mut self, delay: Duration, event: Event) {
        self.order += 1;
        self.events.insert((self.now + delay, self.order), event);
    }

    pub fn note(&mut self, line: String) {
        if self.trail.len() == 60 {
            self.trail.pop_front();
        }
        self.trail.push_back(format!("{:>10.3} ms {line}", self.now.as_nanos() as f64 / 1e6));
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= until
        {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            let touched = self.happen(event);
            if let Some(core) = touched {
                self.ceilings.measure(core, &self.cores[core].view);
                let current = self.cores.iter().all(|core| core.view.plan.generation == self.generation);
                self.ceilings.check(current);
            }
        }
        self.now = until;
    }

    /// Lets an event happen; which core it touches.
    fn happen(&mut self, event: Event) -> Option<usize> {
        match event {
            Event::Arrive(core) => self.arrive(core),
            Event::Step(core, id) => return self.step(core, id),
            Event::Attempted(core, id, number, attempted) => return self.ended(core, id, number, attempted),
            Event::Hedge(core, id, number) => return self.hedge(core, id, number),
            Event::Finish(core, id) => return self.finish(core, id),
            Event::Leave(core, id) => return self.leave(core, id),
            Event::CoreTick(core) => self.core_tick(core),
            Event::CoordinatorTick => self.coordinator_tick(),
            Event::Report(report) => self.reconciler.on_report(report, self.now),
            Event::Update(core, update) => {
                self.cores[core].view.apply(&update, self.now);
                self.wake_all(core);
                return Some(core);
            }
            Event::Plan(core) => {
                self.cores[core].take_plan(self.now);
                self.note(format!("core {core} runs plan {}", self.cores[core].view.plan.generation));
                return Some(core);
            }
            Event::Probed(id, port) => {
                let cores = self.cores.len();
                let ok = self.servers.at(port, cores).is_well(&mut self.chance, self.now);
                self.reconciler.on_probe(&id, if ok { Ok(()) } else { Err("unwell".into()) });
            }
            Event::Resolved(lookup) => self.resolved(&lookup),
            Event::Turn => self.turn(),
            Event::Reload => self.reload(),
        }
        None
    }

    fn wake_all(&mut self, core: usize) {
        for id in self.cores[core].wake_all() {
            self.after(Duration::ZERO, Event::Step(core, id));
        }
    }

    fn core_tick(&mut self, core: usize) {
        self.after(Duration::from_millis(100), Event::CoreTick(core));
        self.wake_all(core);
        let report = self.cores[core].report(self.now);
        for delay in self.deliveries() {
            self.after(delay, Event::Report(report.clone()));
        }
    }

    /// When copies of a message come in; none if it is lost.
    fn deliveries(&mut self) -> Vec<Duration> {
        if !self.stormy {
            return vec![self.chance.micros(10, 5_000)];
        }
        let copies = match self.chance.between(0, 9) {
            0 | 1 => 0,
            2 => 2,
            _ => 1,
        };
        (0..copies).map(|_| self.chance.micros(10, 400_000)).collect()
    }

    fn coordinator_tick(&mut self) {
        self.after(Duration::from_millis(50), Event::CoordinatorTick);
        let draw = self.chance.draw();
        for probe in self.reconciler.due_probes(self.now, draw) {
            let took = self.chance.micros(500, 200_000);
            self.after(took, Event::Probed(probe.id, port(&probe.address)));
        }
        for lookup in self.reconciler.due_lookups(self.now) {
            let took = self.chance.micros(500, 200_000);
            self.after(took, Event::Resolved(lookup));
        }
        for (core, update) in self.reconciler.tick(self.now).into_iter().enumerate() {
            assert_eq!(update.generation, self.generation);
            for delay in self.deliveries() {
                self.after(delay, Event::Update(core, update.clone()));
            }
        }
        for change in self.reconciler.changes() {
            self.note(format!("{change:?}"));
        }
    }

    fn resolved(&mut self, lookup: &Lookup) {
        let fails = self.stormy && self.chance.percent(30);
        let hosts = if self.chance.percent(80) { 1..=1 } else { 1..=2 };
        let found = hosts.map(|host| SocketAddr::from(([127, 0, 0, host], lookup.port)));
        self.reconciler.on_resolved(lookup, if fails { Vec::new() } else { found.collect() }, self.now);
    }

    fn turn(&mut self) {
        if !self.stormy {
            return;
        }
        let ports: Vec<u16> = self.servers.all.keys().copied().collect();
        if !ports.is_empty() {
            let port = *self.chance.one_of(&ports);
            let mode = servers::mode(&mut self.chance);
            let cores = self.cores.len();
            self.servers.at(port, cores).mode = mode;
            self.note(format!("server {port} is {mode:?}"));
        }
        let next = self.chance.micros(50_000, 600_000);
        self.after(next, Event::Turn);
    }

    fn reload(&mut self) {
        self.config = self.scenario.change(&self.config, &mut self.spare, &mut self.chance);
        self.generation += 1;
        self.note(format!("plan {}: {:#?}", self.generation, (&self.config.limits, &self.config.upstreams, &self.config.routes)));
        let plan = Arc::new(plan(&self.config, self.generation));
        self.reconciler.reconfigure(&self.config, self.generation, self.now);
        self.ceilings.reload(&self.config, &self.cores);
        for core in 0..self.cores.len() {
            // A plan that hasn't come yet is replaced by the newer one.
            self.cores[core].coming = Some(plan.clone());
            let delay = self.chance.micros(10, 400_000);
            self.after(delay, Event::Plan(core));
        }
    }

    fn calm_down(&mut self) {
        self.note("it calms down".into());
        self.stormy = false;
        self.pace = Some(Duration::from_millis(60));
        self.servers.all.values_mut().for_each(|server| server.mode = Mode::Up);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let trail: Vec<&str> = self.trail.iter().map(String::as_str).collect();
            eprintln!("{}\nplan {}: {:?}\nRINGWAY_SEED={} failed", trail.join("\n"), self.generation, self.config.upstreams, self.seed);
        }
    }
}

pub fn plan(config: &Config, generation: u64) -> Plan {
    let problems = |problems: Vec<ringway::exchange::PlanProblem>| -> Plan { panic!("{problems:?}") };
    Plan::build(config.clone(), generation, generation).unwrap_or_else(problems)
}

pub fn port(address: &Address) -> u16 {
    match address {
        Address::Tcp(address) => address.port(),
        Address::Unix(path) => path.to_str().and_then(|path| path[1..].parse().ok()).expect("a number"),
    }
}
