//! The world: events in order of time, messages that get lost, and what must come true in the end.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ringway::address::Address;
use ringway::balancer::Seat;
use ringway::clock::Instant;
use ringway::config::{Config, Endpoint, Route, Strategy, Target};
use ringway::error::Reason;
use ringway::exchange::{Attempted, Plan, Step};
use ringway::reconcile::{Lookup, ProbeId, Reconciler, Report, ShareKey, Update};

use crate::chance::Chance;
use crate::check::{Ceilings, check_refusal};
use crate::core::{Core, Request};
use crate::scenario::{Scenario, detection, recovery};
use crate::servers::{self, Mode, Servers};

enum Event {
    Arrive(usize),
    Step(usize, u64),
    Attempted(usize, u64, Attempted),
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
    seed: u64,
    chance: Chance,
    now: Instant,
    order: u64,
    events: BTreeMap<(Instant, u64), Event>,
    config: Config,
    generation: u64,
    scenario: Scenario,
    spare: Vec<(String, Endpoint)>,
    cores: Vec<Core>,
    reconciler: Reconciler,
    servers: Servers,
    ceilings: Ceilings,
    /// Messages get lost, servers fail, configurations change.
    stormy: bool,
    /// Between two requests on a core, on average; none if there are no more.
    pace: Option<Duration>,
    requests: u64,
    /// The last things that happened.
    trail: VecDeque<String>,
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

    fn after(&mut self, delay: Duration, event: Event) {
        self.order += 1;
        self.events.insert((self.now + delay, self.order), event);
    }

    fn note(&mut self, line: String) {
        if self.trail.len() == 60 {
            self.trail.pop_front();
        }
        self.trail.push_back(format!("{:>10.3} ms {line}", self.now.as_nanos() as f64 / 1e6));
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
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
            Event::Attempted(core, id, attempted) => return self.attempted(core, id, attempted),
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
                self.reconciler.on_probe(&id, ok);
            }
            Event::Resolved(lookup) => self.resolved(&lookup),
            Event::Turn => self.turn(),
            Event::Reload => self.reload(),
        }
        None
    }

    fn arrive(&mut self, core: usize) {
        let Some(pace) = self.pace else { return };
        let micros = pace.as_micros() as u64;
        let gap = self.chance.micros(0, 2 * micros);
        self.after(gap, Event::Arrive(core));
        self.requests += 1;
        let id = self.requests;
        let route = self.chance.draw() as usize % self.config.routes.len();
        let path = format!("/r{route}/{}", self.chance.draw());
        let peer = IpAddr::from((self.chance.draw() as u32).to_be_bytes());
        let method = *self.chance.one_of(&["GET", "GET", "POST"]);
        let request = Request::new(self.cores[core].view.clone(), method, &path, peer, self.now);
        self.cores[core].requests.insert(id, request);
        self.after(Duration::ZERO, Event::Step(core, id));
        if self.chance.percent(3) {
            let patience = self.chance.micros(0, 300_000);
            self.after(patience, Event::Leave(core, id));
        }
    }

    fn step(&mut self, core: usize, id: u64) -> Option<usize> {
        let draw = self.chance.draw();
        let now = self.now;
        let request = self.cores[core].requests.get_mut(&id)?;
        let step = request.step(now, draw);
        if !matches!(step, Step::Relay)
            && let Some(port) = request.server.take()
        {
            // The attempt before was given up.
            self.servers.all.get_mut(&port).expect("it was asked").in_flight -= 1;
        }
        match step {
            Step::Page(page) => panic!("{page:?} was not asked for"),
            Step::Pause(until) => self.after(until.since(now), Event::Step(core, id)),
            Step::Wait(place) => self.cores[core].wait(place, id),
            Step::Relay => {
                let body = request.body.0;
                self.after(body, Event::Finish(core, id));
            }
            Step::Refuse(refusal) => {
                let request = self.cores[core].end(id).expect("it just asked");
                let view = request.exchange.view().clone();
                let upstream = view.member(request.exchange.route()).upstream.borrow();
                *self.cores[core].refused.entry((request.exchange.route(), refusal.reason.code())).or_default() += 1;
                check_refusal(refusal.reason, &upstream, view.plan.config.features.health_checks, now);
                self.wake(core, request.held);
            }
            Step::Attempt(attempt) => {
                request.held = Some((attempt.route, attempt.pool));
                let address = attempt.address.as_ref().expect("only endpoints with an address are picked");
                let port = port(address);
                request.server = Some(port);
                let deadline = request.exchange.deadline();
                let upstream = request.exchange.view().plan.upstreams[attempt.upstream].settings.id.clone();
                let cores = self.cores.len();
                let server = self.servers.at(port, cores);
                server.in_flight += 1;
                server.attempts[core] += 1;
                let in_flight = u64::from(server.in_flight);
                let mut outcome = server.outcome(self.config.timeouts.first_byte.get(), self.stormy, &mut self.chance, now);
                self.check_server(&upstream, port, in_flight);
                if now + outcome.after > deadline {
                    outcome.after = deadline.since(now);
                    outcome.attempted.ending = ringway::exchange::Ending::Failed(Reason::RequestTimeout);
                }
                self.cores[core].requests.get_mut(&id).expect("it just asked").body = outcome.body;
                self.after(outcome.after, Event::Attempted(core, id, outcome.attempted));
            }
        }
        Some(core)
    }

    /// What a server itself sees of its limit.
    fn check_server(&self, upstream: &str, port: u16, in_flight: u64) {
        let settings = self.config.upstreams.iter().find(|settings| settings.id == upstream);
        let here = |endpoint: &&Endpoint| url_port(&endpoint.url) == port;
        if let Some(endpoint) = settings.and_then(|settings| settings.endpoints.iter().find(here)) {
            let allowed = self.ceilings.allowed(&ShareKey::Endpoint(upstream.into(), endpoint.name().into()));
            assert!(in_flight <= allowed, "{} has {in_flight} of {allowed} in flight", endpoint.name());
        }
    }

    fn attempted(&mut self, core: usize, id: u64, attempted: Attempted) -> Option<usize> {
        let draw = self.chance.draw();
        let request = self.cores[core].requests.get_mut(&id)?;
        let view = request.exchange.view().clone();
        let member = view.member(request.exchange.route());
        let retries = member.upstream.borrow_mut().budget().retries();
        let before = request.exchange.tally().retries;
        let route = request.exchange.route();
        request.attempted(attempted, self.now, draw);
        if request.exchange.tally().retries > before {
            let mut upstream = member.upstream.borrow_mut();
            let settings = upstream.settings().retry.clone();
            let budget = upstream.budget();
            let bound = (budget.active() * u32::from(settings.budget_percent) / 100).max(settings.budget_min);
            // A retry that is repeated has given its place back before; others may hold more since requests have ended.
            assert!(budget.retries() <= bound, "{} retries of {bound} on route {route}, {retries} before", budget.retries());
            assert!(request.exchange.tally().retries <= view.plan.routes[route].retries);
        }
        self.step(core, id)
    }

    fn finish(&mut self, core: usize, id: u64) -> Option<usize> {
        let mut request = self.cores[core].end(id)?;
        request.exchange.ended(request.body.1, self.now);
        self.cores[core].served[request.exchange.route()] += 1;
        self.left(core, request);
        Some(core)
    }

    /// The client leaves.
    fn leave(&mut self, core: usize, id: u64) -> Option<usize> {
        let request = self.cores[core].end(id)?;
        self.left(core, request);
        Some(core)
    }

    fn left(&mut self, core: usize, request: Request) {
        if let Some(port) = request.server {
            let cores = self.cores.len();
            self.servers.at(port, cores).in_flight -= 1;
        }
        let held = request.held;
        drop(request);
        self.wake(core, held);
    }

    fn wake(&mut self, core: usize, held: Option<(usize, u32)>) {
        for id in self.cores[core].wake_next(held) {
            self.after(Duration::ZERO, Event::Step(core, id));
        }
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
            self.note(change.to_string());
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

    /// All are well, and everybody knows: each core sends requests to each endpoint and gets answers on each route.
    fn assert_all_serve(&mut self) {
        self.note("all should serve".into());
        self.servers.all.values_mut().for_each(|server| server.attempts.fill(0));
        for core in &mut self.cores {
            core.served.fill(0);
            core.refused.clear();
        }
        self.pace = Some(Duration::from_millis(8));
        self.pass(Duration::from_secs(3));
        let cores = self.cores.len();
        for (index, Core { served, refused, .. }) in self.cores.iter().enumerate() {
            assert!(served.iter().any(|&served| served > 0) || self.scarce(None) > 1, "core {index} serves nothing, refused {refused:?}");
            for (route, &served) in self.config.routes.iter().zip(served) {
                let name = route.name();
                assert!(served > 0 || self.scarce(Some(route)) > 1, "core {index} serves nothing on {name}, refused {refused:?}");
            }
        }
        for upstream in &self.config.upstreams {
            let sent: Vec<Vec<u64>> =
                upstream.endpoints.iter().map(|endpoint| self.servers.at(url_port(&endpoint.url), cores).attempts.clone()).collect();
            let weights: u64 = upstream.endpoints.iter().map(|endpoint| u64::from(endpoint.weight)).sum();
            // What it has seen of an endpoint that failed fades within minutes only, by design.
            let forgives = upstream.strategy != Strategy::PeakEwma;
            for (endpoint, attempts) in upstream.endpoints.iter().zip(&sent) {
                let open = endpoint.max_concurrent_requests == 0 || endpoint.max_concurrent_requests as usize >= cores;
                for core in (0..cores).filter(|_| open && forgives) {
                    // Enough that chance alone would not leave an endpoint out.
                    let enough = 25 * weights.div_ceil(u64::from(endpoint.weight));
                    let all: u64 = sent.iter().map(|attempts| attempts[core]).sum();
                    assert!(all < enough || attempts[core] > 0, "{} of {} gets {attempts:?} of {sent:?}", endpoint.name(), upstream.id);
                }
            }
        }
    }

    /// How many of the limits that a request passes (on this route, or any) have less than one for each core. Where there are two,
    /// a core's turns may miss each other; where the gateway's is one, there may be no time for each route.
    fn scarce(&self, route: Option<&Route>) -> usize {
        let scarce = |limit: u32| limit > 0 && (limit as usize) < self.cores.len();
        let on = |route: &Route| {
            let upstream = self.config.upstreams.iter().find(|upstream| upstream.id == route.upstream).expect("a checked route");
            let limits = upstream.endpoints.iter().map(|endpoint| endpoint.max_concurrent_requests);
            let endpoints = if limits.clone().all(|limit| limit > 0) { limits.sum() } else { 0 };
            usize::from(scarce(route.max_concurrent_requests)) + usize::from(scarce(endpoints))
        };
        let gateway = usize::from(scarce(self.config.limits.max_concurrent_requests));
        match route {
            Some(route) => 2 * gateway + on(route),
            None => gateway + self.config.routes.iter().map(on).min().unwrap_or(0),
        }
    }

    /// A server dies: those that are probed get nothing any more once all know.
    fn assert_the_dead_are_left_alone(&mut self) {
        let endpoints =
            self.config.upstreams.iter().flat_map(|upstream| upstream.endpoints.iter().map(move |endpoint| (upstream, endpoint)));
        let all: Vec<(u16, bool)> = endpoints
            .map(|(upstream, endpoint)| (url_port(&endpoint.url), upstream.health_check.enabled && upstream.panic_threshold == 0))
            .collect();
        let (port, known) = *self.chance.one_of(&all);
        self.note(format!("server {port} dies"));
        let cores = self.cores.len();
        self.servers.at(port, cores).mode = *self.chance.one_of(&[Mode::Down, Mode::Hanging]);
        self.pass(detection(&self.config));
        self.servers.at(port, cores).attempts.fill(0);
        self.pass(Duration::from_secs(1));
        let attempts = &self.servers.at(port, cores).attempts;
        assert!(!known || attempts.iter().all(|&attempts| attempts == 0), "the dead server {port} gets {attempts:?}");
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

fn plan(config: &Config, generation: u64) -> Plan {
    let problems = |problems: Vec<ringway::exchange::PlanProblem>| -> Plan { panic!("{problems:?}") };
    Plan::build(config.clone(), generation, generation).unwrap_or_else(problems)
}

fn port(address: &Address) -> u16 {
    match address {
        Address::Tcp(address) => address.port(),
        Address::Unix(path) => path.to_str().and_then(|path| path[1..].parse().ok()).expect("a number"),
    }
}

fn url_port(url: &str) -> u16 {
    match url.parse().expect("a good url") {
        Target::Address(address) => address.port(),
        Target::Name { port, .. } => port,
        Target::Unix(path) => path.to_str().and_then(|path| path[1..].parse().ok()).expect("a number"),
    }
}
