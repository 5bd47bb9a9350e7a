//! Requests in the world: they arrive, are attempted, end, or are left by their clients.

use std::net::IpAddr;
use std::time::Duration;

use ringway::config::Endpoint;
use ringway::error::Reason;
use ringway::exchange::{Attempted, Ending, Step};
use ringway::reconcile::ShareKey;

use crate::check::check_refusal;
use crate::core::Request;
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
            && let Some(port) = request.server.take()
        {
            // The attempt before was given up.
            self.servers.all.get_mut(&port).expect("it was asked").in_flight -= 1;
        }
        match step {
            Step::Page(page) => panic!("{page:?} was not asked for"),
            Step::Answer(answer) => panic!("no link makes {answer:?}"),
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
                    outcome.attempted.ending = Ending::Failed(Reason::RequestTimeout);
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

    pub fn attempted(&mut self, core: usize, id: u64, attempted: Attempted) -> Option<usize> {
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

    pub fn finish(&mut self, core: usize, id: u64) -> Option<usize> {
        let mut request = self.cores[core].end(id)?;
        request.exchange.ended(request.body.1, self.now);
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
}
