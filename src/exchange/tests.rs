//! Tests of one request's decisions, driven by hand: no socket, no sleep.

mod cached;
mod chain;
mod circuits;
mod clients;
mod hedges;
mod mirrors;
mod places;
mod retries;
mod rewrites;
mod routing;
mod splits;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::balancer::Seat;
use crate::config::{self, Config, Time};
use crate::http::RequestHead;
use crate::http1;

/// One core with its view of a plan.
struct Core {
    view: Rc<View>,
}

impl Core {
    fn new(config: impl Into<Arc<Config>>) -> Core {
        let plan = Plan::build(config, 1, 1).expect("a plan");
        Core { view: Rc::new(View::new(Arc::new(plan), Seat { core: 0, cores: 1 }, 1, at(0))) }
    }

    fn request(&self, text: &str) -> Request {
        self.request_at(text, at(0))
    }

    fn request_at(&self, text: &str, now: Instant) -> Request {
        self.raw(&format!("{text} HTTP/1.1\r\nHost: test\r\n\r\n"), now)
    }

    fn raw(&self, text: &str, now: Instant) -> Request {
        let bytes = text.as_bytes().to_vec();
        let mut head = RequestHead::default();
        assert_eq!(http1::parse_request(&bytes, &self.view.plan.head_limits, &mut head), Ok(true), "{text}");
        let exchange = Exchange::new(self.view.clone(), now);
        Request { bytes, head, exchange, scratch: Scratch::default() }
    }

    /// Nothing is held or waited for any more.
    fn assert_idle(&self, at: &str) {
        for (route, plan) in self.view.plan.routes.iter().enumerate() {
            let member = self.view.upstream(plan.upstream);
            let mut upstream = member.upstream.borrow_mut();
            let share = self.view.route(route).borrow();
            let (name, budget) = (&plan.name, upstream.budget().clone());
            assert_eq!((share.in_flight(), share.waiting()), (0, 0), "{at}: route {name}");
            assert_eq!((upstream.in_flight(), upstream.waiting()), (0, 0), "{at}: upstream of {name}");
            assert_eq!((budget.active(), budget.retries()), (0, 0), "{at}: budget of {name}");
        }
        let gateway = self.view.gateway.borrow();
        assert_eq!((gateway.in_flight(), gateway.waiting()), (0, 0), "{at}: gateway");
    }

    /// Attempts and failures that an endpoint is held accountable for.
    fn failures(&self) -> Vec<(u64, u64)> {
        let report = self.view.report(1, at(0));
        report.upstreams[0].endpoints.iter().map(|endpoint| (endpoint.attempts, endpoint.failures)).collect()
    }
}

struct Request {
    bytes: Vec<u8>,
    head: RequestHead,
    exchange: Exchange,
    scratch: Scratch,
}

impl Request {
    fn step(&mut self, now: Instant) -> Step {
        let incoming = Incoming { head: &self.head, bytes: &self.bytes, peer: [192, 0, 2, 1].into(), secure: false, wall: 0 };
        self.exchange.step(&incoming, &mut self.scratch, now, 0)
    }

    /// The endpoint to ask next.
    fn attempt(&mut self, now: Instant) -> Attempt {
        match self.step(now) {
            Step::Attempt(attempt) => attempt,
            step => panic!("not an attempt but {step:?}"),
        }
    }

    fn refused(&mut self, now: Instant) -> Refusal {
        match self.step(now) {
            Step::Refuse(refusal) => refusal,
            step => panic!("not a refusal but {step:?}"),
        }
    }

    fn waits(&mut self, now: Instant) -> Place {
        match self.step(now) {
            Step::Wait(place) => place,
            step => panic!("not a wait but {step:?}"),
        }
    }

    fn pause(&mut self, now: Instant) -> Instant {
        match self.step(now) {
            Step::Pause(until) => until,
            step => panic!("not a pause but {step:?}"),
        }
    }

    fn answered(&mut self, status: u16, now: Instant) {
        let trace = Trace { sent: true, started: true, ..Trace::default() };
        self.exchange.attempted(Attempted { ending: Ending::Answered(status), trace }, &self.head, now, 0);
    }

    fn failed(&mut self, reason: Reason, trace: Trace, now: Instant) {
        self.exchange.attempted(Attempted { ending: Ending::Failed(reason), trace }, &self.head, now, 0);
    }

    fn called(&mut self, code: u8, counts_as: u16, now: Instant) {
        let trace = Trace { started: true, ..SENT };
        self.exchange.attempted(Attempted { ending: Ending::Called { code, counts_as }, trace }, &self.head, now, 0);
    }

    /// Attempt, answer, relay, end.
    fn serve(&mut self, now: Instant) {
        self.attempt(now);
        self.answered(200, now);
        assert!(matches!(self.step(now), Step::Relay));
        self.exchange.ended(None, now);
    }
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

/// Routes to one upstream of so many endpoints.
fn config(paths: &[&str], endpoints: usize) -> Config {
    let endpoint = |number| config::Endpoint { url: format!("http://127.0.0.1:{}", 9000 + number), ..config::Endpoint::default() };
    let upstream = config::Upstream { id: "u".into(), endpoints: (0..endpoints).map(endpoint).collect(), ..config::Upstream::default() };
    let route = |path: &&str| config::Route { path: (*path).into(), upstream: "u".into(), ..config::Route::default() };
    Config { upstreams: vec![upstream], routes: paths.iter().map(route).collect(), ..Config::default() }
}

const SENT: Trace = Trace { reused: false, sent: true, started: false, relayed: false, body_lost: false };
const REUSED: Trace = Trace { reused: true, ..SENT };
