//! What one core serves with: its view of the plan, connections, buffers, deadlines, counters. Nothing here is shared with another core.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use super::ask::{Asked, Checks, Shared};
use super::mirror::Copying;
use super::trace::Traced;
use super::waiters::Waiters;
use crate::access::{Batch, Journal};
use crate::cache::Purge;
use crate::chance::Chance;
use crate::client::{Pool, http2};
use crate::clock::{Clock, Instant};
use crate::config::Timeouts;
use crate::exchange::{Incoming, Page, Scratch, View};
use crate::http::{RequestHead, RequestId, RequestWriter, ResponseHead, ResponseWriter, Sender, write_line};
use crate::latency::{Recorder, SlowLog};
use crate::metrics;
use crate::net::{Buffers, Deadlines};
use crate::server::Client;
use crate::trace::Trace;

/// Between two urgent reports.
const HURRY_LEAST: Duration = Duration::from_millis(1);

/// A page the gateway answers itself: status, content type, body.
pub type PageAnswer = (u16, &'static str, String);

/// One core.
pub struct Core {
    own: Weak<Core>,
    clock: Clock,
    now: Cell<Instant>,
    /// The plan and this core's part of it.
    pub view: RefCell<Rc<View>>,
    /// Deadlines of all connections.
    pub deadlines: Rc<Deadlines>,
    /// Free buffers.
    pub buffers: Buffers,
    /// Idle connections to endpoints.
    pub pool: Pool,
    /// HTTP/2 connections to endpoints.
    pub multiplexed: Rc<http2::Connections>,
    /// Requests that wait for their turn.
    pub waiters: Waiters,
    /// This core's counters.
    pub counters: Arc<metrics::Core>,
    /// This core's response times.
    pub(super) latency: RefCell<Recorder>,
    /// Requests that were slow, of all cores.
    pub(super) slow: Arc<SlowLog>,
    /// Takes requests that were traced; says whether there was room.
    pub(super) spans: Box<dyn Fn(Traced) -> bool>,
    /// Renders a built-in page.
    pub pages: Box<dyn Fn(Page) -> PageAnswer>,
    /// Answers are the last of their connections.
    pub leaving: Cell<bool>,
    /// Connections end after the request under way, and no more are accepted.
    pub draining: Cell<bool>,
    /// The ports that clients connect to, as text: without TLS, and with it.
    pub ports: [String; 2],
    /// Seconds since 1970 began.
    pub wall: Cell<u64>,
    /// When the clock began, in microseconds since 1970 began.
    pub epoch_us: Cell<u64>,
    /// Requests that ended and whose lines aren't made yet.
    pub(super) journal: RefCell<Journal>,
    /// Makes lines of them.
    scribe: Box<dyn Scribe>,
    /// Checks passwords.
    pub(super) checks: Box<dyn Checks>,
    pub(super) asked: RefCell<Asked>,
    pub(super) questions: Shared,
    /// This core's number.
    pub(super) index: u16,
    /// The `Date` line of the present second, with its line end.
    pub date: Cell<[u8; 37]>,
    /// Boxed as they are used: taking one out moves a pointer.
    #[allow(clippy::vec_box)]
    pub(super) sessions: RefCell<Vec<Box<Session>>>,
    chance: Chance,
    /// The first half of this core's request ids.
    id: [u8; 16],
    /// Connections that fell idle since this was last asked.
    pub(super) cooled: Cell<u32>,
    hurry: Box<dyn Fn()>,
    /// When that was last called.
    hurried: Cell<Instant>,
    /// What requests made invalid, until the coordinator is told.
    pub purges: RefCell<Vec<Purge>>,
}

/// What one warm spell of a client's connection works with; reused, so that a request allocates nothing.
#[derive(Default)]
pub struct Session {
    pub(super) sender: Sender,
    pub(super) peer: Option<IpAddr>,
    pub(super) head: RequestHead,
    pub(super) response: ResponseHead,
    pub(super) request_writer: RequestWriter,
    pub(super) response_writer: ResponseWriter,
    pub(super) scratch: Scratch,
    /// Its spans, if it is traced.
    pub(super) trace: Option<Box<Trace>>,
    /// How long it took to open a connection to the endpoint asked last, in microseconds; `None` if a kept one was used.
    pub(super) connect: Option<u32>,
    /// Bytes of the request that were there when it began.
    pub(super) arrived: u64,
    pub(super) served: u32,
    /// Interim answers aren't passed on.
    pub(super) hushed: bool,
    /// The request is a call of gRPC, or one of gRPC-Web that has become one or is refused.
    pub(super) grpc: bool,
    /// When the request's own time for the head of its answer is over.
    pub(super) limit: Option<Instant>,
    /// The request's copy, until its body is sent.
    pub(super) copying: Option<Box<Copying>>,
}

/// Makes lines of a core's records, elsewhere.
pub trait Scribe {
    /// An empty buffer for records, if there is one.
    fn buffer(&self) -> Option<Vec<u8>>;
    /// Takes records over; gives them back if it can't.
    fn take(&self, batch: Batch) -> Option<Batch>;
}

/// What a core begins with.
pub struct Parts {
    /// The core's number.
    pub index: u16,
    /// Bytes of records a core keeps until they are taken over.
    pub journal: usize,
    /// Takes them over.
    pub scribe: Box<dyn Scribe>,
    /// Checks passwords.
    pub checks: Box<dyn Checks>,
    /// The process's clock.
    pub clock: Clock,
    /// The plan and this core's part of it.
    pub view: View,
    /// Free buffers.
    pub buffers: Buffers,
    /// This core's counters.
    pub counters: Arc<metrics::Core>,
    /// Records response times.
    pub latency: Recorder,
    /// Requests that were slow, of all cores.
    pub slow: Arc<SlowLog>,
    /// Takes requests that were traced; says whether there was room.
    pub spans: Box<dyn Fn(Traced) -> bool>,
    /// Renders a built-in page.
    pub pages: Box<dyn Fn(Page) -> PageAnswer>,
    /// The ports that clients connect to, as text: without TLS, and with it.
    pub ports: [String; 2],
    /// Where its random numbers begin.
    pub chance: u64,
    /// Wakes this core's worker to report what can't wait.
    pub hurry: Box<dyn Fn()>,
}

impl Core {
    /// A core without connections.
    pub fn new(parts: Parts) -> Rc<Core> {
        let Parts { index, journal, scribe, checks, clock, view, buffers, counters, pages, ports, chance, hurry, latency, slow, spans } =
            parts;
        let panicking = counters.clone();
        Rc::new_cyclic(|own| Core {
            own: own.clone(),
            epoch_us: Cell::new(0),
            journal: RefCell::new(Journal::new(journal, view.plan.names.clone())),
            scribe,
            checks,
            asked: RefCell::default(),
            questions: Shared::default(),
            index,
            now: Cell::new(clock.now()),
            clock,
            view: RefCell::new(Rc::new(view)),
            deadlines: Rc::default(),
            buffers,
            pool: Pool::default(),
            multiplexed: http2::Connections::new(move || panicking.panics.add(1)),
            waiters: Waiters::default(),
            counters,
            latency: RefCell::new(latency),
            slow,
            spans,
            pages,
            leaving: Cell::new(false),
            draining: Cell::new(false),
            ports,
            wall: Cell::new(0),
            date: Cell::new(*b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            sessions: RefCell::default(),
            chance: Chance::new(chance),
            id: digits(chance.rotate_left(32) ^ 0x5851_f42d_4c95_7f2d),
            cooled: Cell::new(0),
            hurry,
            hurried: Cell::new(Instant::ZERO),
            purges: RefCell::default(),
        })
    }

    /// Lets what is urgent about rate limits be reported, once a millisecond at most: who waits for an answer asks again.
    #[cold]
    pub(super) fn hurry(&self) {
        let now = self.now();
        if now.since(self.hurried.get()) >= HURRY_LEAST && self.view.borrow().limiters().borrow().is_urgent() {
            self.hurried.set(now);
            (self.hurry)();
        }
    }

    /// For a task that outlives the request it is for.
    pub(super) fn shared(&self) -> Option<Rc<Core>> {
        self.own.upgrade()
    }

    /// Other cores' shards of the cache are to be told of this. They are told to forget all, if it gets too much to be told one by one.
    pub fn tell_others(&self, purges: Vec<Purge>) {
        let mut untold = self.purges.borrow_mut();
        untold.extend(purges);
        if untold.len() > PURGES_MAX {
            *untold = vec![Purge::Everything];
        }
    }

    /// The present moment as of the last [`Core::woke`], which is a tick ago at most.
    #[inline]
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Reads the clock. To be called after each wait, so that a request reads it as often as it waits for a message, and not
    /// at each of its deadlines.
    #[inline]
    pub fn woke(&self) -> Instant {
        let now = self.clock.now();
        self.now.set(now);
        now
    }

    /// The next number by chance.
    #[inline]
    pub fn draw(&self) -> u64 {
        self.chance.draw()
    }

    pub(super) fn session(&self, client: &Client) -> Box<Session> {
        let mut session = self.sessions.borrow_mut().pop().unwrap_or_default();
        let ip = client.peer.ip().to_canonical();
        let tls = client.secured.is_some();
        if session.peer != Some(ip) || session.sender.tls || tls {
            session.peer = Some(ip);
            session.sender = Sender::new(ip, &self.ports[usize::from(tls)], tls);
            self.tell_certificate(client, &mut session.sender);
        }
        session.sender.http2 = client.http2;
        session.sender.trusted = self.view.borrow().plan.trusts(ip);
        session.served = 0;
        session.scratch.forget();
        session.request_writer.clear();
        session.response_writer.clear();
        session
    }

    /// Endpoints are told of the client's certificate, if it has shown one and they are to be told.
    fn tell_certificate(&self, client: &Client, sender: &mut Sender) {
        let view = self.view.borrow();
        if let Some(subject) = client.secured.as_ref().and_then(|secured| secured.subject.as_ref())
            && let Some(header) = view.plan.config.tls.subject_header()
        {
            write_line(&mut sender.certificate, header.as_bytes(), subject.as_bytes());
        }
    }

    /// How many connections have fallen idle since this was last called.
    pub fn take_cooled(&self) -> u32 {
        self.cooled.take()
    }

    /// Has lines made of what has been noted, if somebody can.
    pub fn hand_over(&self) {
        let mut journal = self.journal.borrow_mut();
        // A core that drains may not get another chance: it doesn't wait for a buffer to come back.
        let empty = || self.scribe.buffer().or_else(|| self.draining.get().then(Vec::new));
        if !journal.is_empty()
            && let Some(empty) = empty()
            && let Some(lost) = self.scribe.take(journal.take(empty))
        {
            self.counters.access_log_dropped.add(lost.count);
        }
    }

    pub(super) fn keep(&self, mut session: Box<Session>) {
        session.head.seen.trim();
        session.response.seen.trim();
        let mut sessions = self.sessions.borrow_mut();
        if sessions.len() < SESSIONS_KEPT {
            sessions.push(session);
        }
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.view.borrow().plan.config.timeouts.clone()
    }

    /// A fresh request id: this core's half, then the request's, each by chance.
    pub(super) fn request_id(&self, uuid: bool) -> RequestId {
        let mut id = [0; 32];
        id[..16].copy_from_slice(&self.id);
        id[16..].copy_from_slice(&digits(self.draw()));
        RequestId::new(&id, uuid)
    }
}

impl Session {
    /// The request as decisions see it, and what they work with.
    pub(super) fn parts<'a>(&'a mut self, bytes: &'a [u8], wall: u64) -> (Incoming<'a>, &'a mut Scratch, &'a ResponseHead) {
        let peer = self.peer.expect("set for each session");
        let secure = self.sender.is_secure(&self.head, bytes);
        (Incoming { head: &self.head, bytes, peer, secure, wall }, &mut self.scratch, &self.response)
    }
}

/// Sixteen hexadecimal digits.
fn digits(bits: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&hex((bits >> 32) as u32));
    digits[8..].copy_from_slice(&hex(bits as u32));
    digits
}

/// Eight hexadecimal digits, all at once: each half byte to a byte of its own, then `a` to `f` raised above the digits.
const fn hex(bits: u32) -> [u8; 8] {
    let mut spread = bits as u64;
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((spread + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (spread + 0x3030_3030_3030_3030 + letters * 0x27).to_be_bytes()
}

/// A moment so long after now; never, if the limit is zero.
pub fn after(now: Instant, limit: Duration) -> Instant {
    if limit.is_zero() { Instant::MAX - Duration::from_nanos(1) } else { now + limit }
}

const SESSIONS_KEPT: usize = 128;
/// Purges that may wait for the next tick.
const PURGES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_the_standard_library_writes() {
        let edges = (0..32).flat_map(|bit| [(1u32 << bit) - 1, 1 << bit, 0x0123_4567 << (bit % 8), 0x89ab_cdef >> (bit % 8)]);
        for bits in edges.chain([u32::MAX]) {
            assert_eq!(hex(bits), format!("{bits:08x}").as_bytes());
        }
    }
}
