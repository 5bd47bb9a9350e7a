//! What one core serves with: its view of the plan, connections, buffers, deadlines, counters. Nothing here is shared with another core.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::waiters::Waiters;
use crate::client::Pool;
use crate::clock::{Clock, Instant};
use crate::config::Timeouts;
use crate::exchange::{Page, View};
use crate::http::{RequestHead, ResponseHead, Sender};
use crate::metrics;
use crate::net::{Buffers, Deadlines};
use crate::router::Captures;
use crate::server::Client;

/// A page the gateway answers itself: status, content type, body.
pub type PageAnswer = (u16, &'static str, String);

/// One core.
pub struct Core {
    /// The process's clock.
    pub clock: Clock,
    /// The plan and this core's part of it.
    pub view: RefCell<Rc<View>>,
    /// Deadlines of all connections.
    pub deadlines: Rc<Deadlines>,
    /// Free buffers.
    pub buffers: Buffers,
    /// Idle connections to endpoints.
    pub pool: Pool,
    /// Requests that wait for their turn.
    pub waiters: Waiters,
    /// This core's counters.
    pub counters: Arc<metrics::Core>,
    /// This core's response times.
    pub latency: RefCell<metrics::Latency>,
    /// Renders a built-in page.
    pub pages: Box<dyn Fn(Page) -> PageAnswer>,
    /// Connections end after the request under way.
    pub draining: Cell<bool>,
    /// The port that clients connect to, as text.
    pub port: String,
    /// The present second as an HTTP date.
    pub date: Cell<[u8; 29]>,
    pub(super) sessions: RefCell<Vec<Box<Session>>>,
    pub(super) chance: Cell<u64>,
}

/// What one warm spell of a client's connection works with; reused, so that a request allocates nothing.
#[derive(Default)]
pub struct Session {
    pub(super) sender: Sender,
    pub(super) peer: Option<IpAddr>,
    pub(super) head: RequestHead,
    pub(super) response: ResponseHead,
    pub(super) captures: Captures,
    /// The path without dot segments, where it had some.
    pub(super) normal: Vec<u8>,
    /// The path that the endpoint sees, where it differs.
    pub(super) path: Vec<u8>,
    pub(super) id: [u8; 32],
    pub(super) served: u32,
}

/// What a core begins with.
pub struct Parts {
    /// The process's clock.
    pub clock: Clock,
    /// The plan and this core's part of it.
    pub view: View,
    /// Free buffers.
    pub buffers: Buffers,
    /// This core's counters.
    pub counters: Arc<metrics::Core>,
    /// Renders a built-in page.
    pub pages: Box<dyn Fn(Page) -> PageAnswer>,
    /// The port that clients connect to, as text.
    pub port: String,
    /// Where its random numbers begin.
    pub chance: u64,
}

impl Core {
    /// A core without connections.
    pub fn new(parts: Parts) -> Self {
        let Parts { clock, view, buffers, counters, pages, port, chance } = parts;
        Core {
            clock,
            view: RefCell::new(Rc::new(view)),
            deadlines: Rc::default(),
            buffers,
            pool: Pool::default(),
            waiters: Waiters::default(),
            counters,
            latency: RefCell::default(),
            pages,
            draining: Cell::new(false),
            port,
            date: Cell::new(*b"Thu, 01 Jan 1970 00:00:00 GMT"),
            sessions: RefCell::default(),
            chance: Cell::new(chance),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The next random number (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>); for spreading, not for secrets.
    #[inline]
    pub fn draw(&self) -> u64 {
        let state = self.chance.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.chance.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn session(&self, client: &Client) -> Box<Session> {
        let mut session = self.sessions.borrow_mut().pop().unwrap_or_default();
        let ip = client.peer.ip().to_canonical();
        if session.peer != Some(ip) {
            session.peer = Some(ip);
            session.sender.peer.clear();
            let _ = write!(session.sender.peer, "{ip}");
        }
        session.sender.trusted = self.view.borrow().plan.trusts(ip);
        if session.sender.port.is_empty() {
            session.sender.port.push_str(&self.port);
        }
        session.served = 0;
        session
    }

    pub(super) fn keep(&self, session: Box<Session>) {
        let mut sessions = self.sessions.borrow_mut();
        if sessions.len() < SESSIONS_KEPT {
            sessions.push(session);
        }
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.view.borrow().plan.config.timeouts.clone()
    }

    /// A fresh request id: 32 hexadecimal digits.
    pub(super) fn request_id(&self) -> [u8; 32] {
        let mut id = [0; 32];
        for half in id.chunks_exact_mut(16) {
            let mut bits = self.draw();
            for digit in half {
                *digit = b"0123456789abcdef"[(bits & 15) as usize];
                bits >>= 4;
            }
        }
        id
    }
}

impl Session {
    /// The path that the endpoint sees, if it isn't the received one.
    pub(super) fn path_out(&self) -> Option<&[u8]> {
        (!self.path.is_empty()).then_some(&self.path)
    }
}

/// A moment so long after now; never, if the limit is zero.
pub(super) fn after(now: Instant, limit: Duration) -> Instant {
    if limit.is_zero() { Instant::MAX - Duration::from_nanos(1) } else { now + limit }
}

const SESSIONS_KEPT: usize = 1024;
