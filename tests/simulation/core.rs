//! One core of the simulation: its view and its requests, driven as the gateway drives them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway::balancer::Seat;
use ringway::clock::Instant;
use ringway::error::Reason;
use ringway::exchange::{Attempted, Exchange, Incoming, Place, Plan, Scratch, Step, View};
use ringway::http::RequestHead;
use ringway::http1;
use ringway::upstream::EndpointId;

/// A request on its way.
pub struct Request {
    pub exchange: Exchange,
    bytes: Vec<u8>,
    head: RequestHead,
    scratch: Scratch,
    peer: IpAddr,
    /// Its place among those that wait.
    ticket: Option<u64>,
    /// Its attempt, and a second one beside it.
    pub lanes: [Option<Lane>; 2],
    /// Its attempt was answered: it is relayed, or was and is repeated.
    pub answered: bool,
    /// The route and pool in which it held places.
    pub held: Option<(usize, u32)>,
}

/// An attempt under way.
pub struct Lane {
    /// No other has it.
    pub number: u64,
    /// Where it is in flight.
    pub server: u16,
    /// The pool and endpoint that it is a trial of.
    pub trial: Option<(u32, EndpointId)>,
    /// How the answer's body will go.
    pub body: (Duration, Option<Reason>),
}

impl Request {
    pub fn new(view: Rc<View>, method: &str, path: &str, peer: IpAddr, now: Instant) -> Self {
        let bytes = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes();
        let mut head = RequestHead::default();
        assert_eq!(http1::parse_request(&bytes, &view.plan.head_limits, &mut head), Ok(true), "{path}");
        Request {
            exchange: Exchange::new(view, now),
            bytes,
            head,
            scratch: Scratch::default(),
            peer,
            ticket: None,
            lanes: [None, None],
            answered: false,
            held: None,
        }
    }

    pub fn step(&mut self, now: Instant, draw: u64) -> Step {
        let incoming = Incoming { head: &self.head, bytes: &self.bytes, peer: self.peer, secure: false, wall: 0 };
        self.exchange.step(&incoming, &mut self.scratch, now, draw)
    }

    pub fn attempted(&mut self, attempted: Attempted, now: Instant, draw: u64) {
        self.exchange.attempted(attempted, &self.head, now, draw);
    }
}

pub struct Core {
    pub view: Rc<View>,
    pub requests: BTreeMap<u64, Request>,
    waiting: HashMap<Place, BTreeMap<u64, u64>>,
    tickets: u64,
    sequence: u64,
    /// The newest plan that is on its way.
    pub coming: Option<Arc<Plan>>,
    /// Answers relayed, by route.
    pub served: Vec<u64>,
    /// Refusals, by route and reason.
    pub refused: BTreeMap<(usize, &'static str), u64>,
}

impl Core {
    pub fn new(plan: Arc<Plan>, seat: Seat, now: Instant) -> Self {
        let served = vec![0; plan.routes.len()];
        let view = Rc::new(View::new(plan, seat, 1, now));
        Core {
            view,
            requests: BTreeMap::new(),
            waiting: HashMap::new(),
            tickets: 0,
            sequence: 0,
            coming: None,
            served,
            refused: BTreeMap::new(),
        }
    }

    pub fn report(&mut self, now: Instant) -> ringway::reconcile::Report {
        self.sequence += 1;
        self.view.report(self.sequence, now)
    }

    pub fn take_plan(&mut self, now: Instant) {
        if let Some(plan) = self.coming.take() {
            self.view = Rc::new(self.view.next(plan, now));
        }
    }

    pub fn wait(&mut self, place: Place, id: u64) {
        let request = self.requests.get_mut(&id).expect("it just asked");
        let ticket = *request.ticket.get_or_insert_with(|| {
            self.tickets += 1;
            self.tickets
        });
        self.waiting.entry(place).or_default().insert(ticket, id);
    }

    /// The one that has waited longest for each place that a request held.
    pub fn wake_next(&mut self, held: Option<(usize, u32)>) -> Vec<u64> {
        let Some((route, pool)) = held else { return Vec::new() };
        let places = [Place::Upstream(pool), Place::Route(route), Place::Gateway];
        places.iter().filter_map(|place| self.waiting.get_mut(place)?.pop_first()).map(|(_, id)| id).collect()
    }

    pub fn wake_all(&mut self) -> Vec<u64> {
        let mut all: Vec<(u64, u64)> = self.waiting.drain().flat_map(|(_, waiting)| waiting).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// Ends a request, however it stands; what it held.
    pub fn end(&mut self, id: u64) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        for waiting in self.waiting.values_mut() {
            waiting.retain(|_, waiter| *waiter != id);
        }
        Some(request)
    }

    /// Nothing is held, waited for or budgeted any more.
    pub fn assert_idle(&self) {
        assert!(self.requests.is_empty(), "{} requests never end", self.requests.len());
        let gateway = self.view.gateway.borrow();
        assert_eq!((gateway.in_flight(), gateway.waiting()), (0, 0), "gateway");
        for (index, route) in self.view.plan.routes.iter().enumerate() {
            let share = self.view.route(index).borrow();
            assert_eq!((share.in_flight(), share.waiting()), (0, 0), "route {}", route.name);
        }
        for member in self.view.members() {
            let mut upstream = member.upstream.borrow_mut();
            let budget = upstream.budget().clone();
            assert_eq!((upstream.in_flight(), upstream.waiting()), (0, 0), "upstream {}", upstream.name());
            assert_eq!((budget.active(), budget.retries()), (0, 0), "budget of {}", upstream.name());
            for (_, endpoint) in upstream.endpoints() {
                assert_eq!(endpoint.in_flight(), 0, "endpoint {}", endpoint.name());
                assert!(!endpoint.is_leaving(), "endpoint {} never leaves", endpoint.name());
            }
        }
    }
}
