//! Requests in the world: they arrive, are attempted, end, or are left by their clients.

use std::net::IpAddr;
use std::time::Duration;

use ringway::breaker::State;
use ringway::config::{BreakerMode, Endpoint};
use ringway::error::Reason;
use ringway::exchange::{Attempt, Attempted, Ending, Step};
use ringway::reconcile::ShareKey;
use ringway::upstream::EndpointId;

use crate::check::check_refusal;
use crate::core::{Lane, Request};
use crate::scenario::url_port;
use crate::world::{Event, World, port};

impl World {
    pub fn arrive(&mut self, core: usize) {
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

    pub fn step(&mut self, core: usize, id: u64) -> Option<usize> {
        let draw = self.chance.draw();
        let now = self.now;
        let request = self.cores[core].requests.get_mut(&id)?;
        let step = request.step(now, draw);
        if !matches!(step, Step::Relay)
            && let Some(lane) = request.lanes[0].take()
        {
            // The attempt before was given up.
            self.servers.all.get_mut(&lane.server).expect("it was asked").in_flight -= 1;
        }
        match step {
            Step::Page(page) => panic!("{page:?} was not asked for"),
            Step::Answer(answer) => panic!("no link makes {answer:?}"),
            Step::Collect(most) => panic!("no link wants a body of {most} bytes"),
            Step::Ask(question) => panic!("no link asks {question:?}"),
            Step::Serve(..) | Step::AwaitFill(_) => panic!("no route is cached"),
            Step::Pause(until) => self.after(until.since(now), Event::Step(core, id)),
            Step::Wait(place) => self.cores[core].wait(place, id),
            Step::Relay => {
                let body = request.lanes[0].as_ref().expect("it was answered").body.0;
                self.after(body, Event::Finish(core, id));
            }
            Step::Refuse(refusal) => {
                let request = self.cores[core].end(id).expect("it just asked");
                let view = request.exchange.view().clone();
                let upstream = view.upstream(request.exchange.upstream()).upstream.borrow();
                *self.cores[core].refused.entry((request.exchange.route(), refusal.reason.code())).or_default() += 1;
                check_refusal(refusal.reason, &upstream, view.plan.config.features.health_checks, now);
                self.wake(core, request.held);
            }
            Step::Attempt(attempt) => {
                request.held = Some((attempt.route, attempt.pool));
                let number = self.send(core, id, 0, &attempt);
                if let Some(delay) = attempt.hedge_after {
                    self.after(delay, Event::Hedge(core, id, number));
                }
            }
        }
        Some(core)
    }

    /// Makes an attempt; its number.
    fn send(&mut self, core: usize, id: u64, lane: usize, attempt: &Attempt) -> u64 {
        let (now, cores) = (self.now, self.cores.len());
        let request = self.cores[core].requests.get_mut(&id).expect("it just asked");
        let port = port(attempt.address.as_ref().expect("only endpoints with an address are picked"));
        let deadline = request.exchange.deadline();
        let upstream = request.exchange.view().plan.upstreams[attempt.upstream].settings.id.clone();
        let server = self.servers.at(port, cores);
        server.in_flight += 1;
        server.attempts[core] += 1;
        let in_flight = u64::from(server.in_flight);
        let mut outcome = server.outcome(self.config.timeouts.first_byte.get(), self.stormy, &mut self.chance, now);
        if now + outcome.after > deadline {
            outcome.after = deadline.since(now);
            outcome.attempted.ending = Ending::Failed(Reason::RequestTimeout);
        }
        self.order += 1;
        let number = self.order;
        request.lanes[lane] = Some(Lane { number, server: port, trial: None, body: outcome.body });
        self.check_trial(core, id, lane, (attempt.pool, attempt.endpoint));
        self.check_server(&upstream, port, in_flight);
        self.after(outcome.after, Event::Attempted(core, id, number, outcome.attempted));
        number
    }

    /// An attempt has taken longer than most.
    pub fn hedge(&mut self, core: usize, id: u64, number: u64) -> Option<usize> {
        let draw = self.chance.draw();
        let request = self.cores[core].requests.get_mut(&id)?;
        // One that was answered has its place still, while its body is relayed.
        let waits = request.lanes[0].as_ref().is_some_and(|lane| lane.number == number) && !request.answered;
        if waits && let Some(second) = request.exchange.hedge(self.now, draw) {
            self.send(core, id, 1, &second);
        }
        Some(core)
    }

    /// An attempt has ended: the request's only one, or the first of two to do so.
    pub fn ended(&mut self, core: usize, id: u64, number: u64, attempted: Attempted) -> Option<usize> {
        let request = self.cores[core].requests.get_mut(&id)?;
        let lane = request.lanes.iter().position(|lane| lane.as_ref().is_some_and(|lane| lane.number == number))?;
        if request.lanes[1].is_some() {
            let failed = if let Ending::Failed(reason) = attempted.ending { Some(reason) } else { None };
            match failed {
                Some(reason) => request.exchange.hedge_failed(lane == 1, reason, self.now),
                None => request.exchange.hedge_answered(lane == 1, self.now),
            }
            // The one that goes on is the only one from here on.
            let stays = if failed.is_some() { 1 - lane } else { lane };
            let given_up = request.lanes[1 - stays].take().expect("two were under way");
            request.lanes.swap(0, stays);
            self.servers.all.get_mut(&given_up.server).expect("it was asked").in_flight -= 1;
            if failed.is_some() {
                return Some(core);
            }
        }
        self.attempted(core, id, attempted)
    }

    /// An attempt where a breaker isn't closed is a trial, and there are no more of those than are counted.
    fn check_trial(&mut self, core: usize, id: u64, lane: usize, of: (u32, EndpointId)) {
        let requests = &mut self.cores[core].requests;
        let request = requests.get_mut(&id).expect("it just asked");
        let view = request.exchange.view().clone();
        let upstream = view.upstream(request.exchange.upstream()).upstream.borrow();
        let enforced = upstream.settings().circuit_breaker.as_ref().is_some_and(|rules| rules.mode == BreakerMode::Enforce);
        let Some(breaker) = upstream.endpoint(of.1).breaker().filter(|_| enforced) else { return };
        match breaker.state(self.now) {
            State::Closed => {}
            State::Open(_) => panic!("the breaker of {} is open", upstream.endpoint(of.1).name()),
            State::HalfOpen => {
                request.lanes[lane].as_mut().expect("it was just sent").trial = Some(of);
                let lanes = requests.values().flat_map(|request| request.lanes.iter().flatten());
                let trials = lanes.filter(|lane| lane.trial == Some(of)).count();
                assert!(trials <= breaker.trials().in_flight() as usize, "{trials} trials, counted are {:?}", breaker.trials());
            }
        }
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
        let member = view.upstream(request.exchange.upstream());
        let retries = member.upstream.borrow_mut().budget().retries();
        let before = request.exchange.tally().retries;
        let route = request.exchange.route();
        request.answered = matches!(attempted.ending, Ending::Answered(_));
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

    pub fn finish(&mut self, core: usize, id: u64) -> Option<usize> {
        let mut request = self.cores[core].end(id)?;
        let body = request.lanes[0].as_ref().expect("it was answered").body;
        request.exchange.ended(body.1, self.now);
        self.cores[core].served[request.exchange.route()] += 1;
        self.left(core, request);
        Some(core)
    }

    /// The client leaves.
    pub fn leave(&mut self, core: usize, id: u64) -> Option<usize> {
        let request = self.cores[core].end(id)?;
        self.left(core, request);
        Some(core)
    }

    fn left(&mut self, core: usize, request: Request) {
        for lane in request.lanes.iter().flatten() {
            self.servers.all.get_mut(&lane.server).expect("it was asked").in_flight -= 1;
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
}
