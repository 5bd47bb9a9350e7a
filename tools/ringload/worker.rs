//! One thread of a run: its clock, its connections, and what it hands over each second.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use ringway::address::Address;
use ringway::chance::Chance;
use ringway::clock::{Clock, Instant};
use ringway::net::{self, Deadlines};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::connection;
use crate::dispatch::Dispatch;
use crate::pace::Pace;
use crate::protocol::Speech;
use crate::tally::{Failure, Outcome, Tally};
use crate::target::Request;
use crate::words::{MILLISECOND, SECOND};

/// What all threads do.
pub struct Plan {
    /// Whom to ask.
    pub address: Address,
    /// What TLS is spoken with, and the name that the target's certificate must have, if it is.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// What to ask, in turn.
    pub requests: Vec<Request>,
    /// Whether each request has a connection of its own.
    pub closes: bool,
    /// Requests that may be under way on a connection at a time.
    pub pipeline: usize,
    /// What is spoken.
    pub speech: Speech,
    /// Nanoseconds that a request may take.
    pub timeout: u64,
    /// Nanoseconds from the start until nothing more becomes due.
    pub end: u64,
    /// Nanoseconds from then on for which answers are waited for.
    pub grace: u64,
    /// Set to end the run before its time.
    pub stop: Arc<AtomicBool>,
}

/// What a thread hands over.
pub struct Report {
    /// The thread's number.
    pub thread: usize,
    /// Everything since the last one.
    pub tally: Box<Tally>,
    /// Nanoseconds for which the thread was on its core since the last one.
    pub busy: u64,
    /// Nanoseconds for which it waited for its core, which others had, since the last one.
    pub kept_off: u64,
    /// Nanoseconds since the last one.
    pub time: u64,
    /// Nanoseconds from the start to the last request that ended.
    pub ended: u64,
    /// Requests that its connections have.
    pub under_way: u64,
    /// The last fault in words, if there was one.
    pub note: Option<String>,
    /// Whether the thread is done.
    pub last: bool,
}

/// A thread's own things, which its connections share. All moments are nanoseconds of one clock, which all threads share.
pub struct Worker {
    /// What to do.
    pub plan: Arc<Plan>,
    /// The connections' deadlines.
    pub deadlines: Rc<Deadlines>,
    /// Everything since the last report.
    pub tally: RefCell<Box<Tally>>,
    clock: Clock,
    start: u64,
    state: Cell<State>,
    dispatch: RefCell<Dispatch>,
    seats: Vec<Seat>,
    /// The next request's index.
    turn: Cell<usize>,
    chance: Chance,
    /// Nanoseconds from the start to the last request that ended.
    ended: Cell<u64>,
    note: RefCell<Option<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Running,
    Over,
}

/// What one connection has to do.
#[derive(Default)]
struct Seat {
    /// Its requests in order, those that are under way in front.
    given: RefCell<VecDeque<Given>>,
    /// How many are under way.
    under_way: Cell<usize>,
    /// Woken when there is a request.
    waker: Cell<Option<Waker>>,
}

/// A request that a connection has.
struct Given {
    /// When it was due.
    due: u64,
    /// When the connection got it.
    taken: u64,
    /// When it was sent, if it is under way.
    sent: Option<u64>,
    /// Whether it is a HEAD.
    is_head: bool,
}

impl Worker {
    /// A thread's things for so many connections. `number` is the thread's own.
    pub fn new(plan: Arc<Plan>, (clock, start): (Clock, Instant), dispatch: Dispatch, connections: usize, number: usize) -> Worker {
        let turn = Cell::new(number % plan.requests.len());
        Worker {
            plan,
            deadlines: Rc::default(),
            tally: RefCell::default(),
            clock,
            start: start.as_nanos(),
            state: Cell::new(State::Before),
            dispatch: RefCell::new(dispatch),
            seats: (0..connections).map(|_| Seat::default()).collect(),
            turn,
            chance: Chance::new(start.as_nanos() ^ (number as u64) << 48),
            ended: Cell::new(0),
            note: RefCell::new(None),
        }
    }

    /// Runs until all is done or it is stopped, and reports each second; `back` brings the tallies back, emptied. Never returns: operations
    /// may still be under way in the kernel, whose buffers have to stay.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn run(self: Rc<Self>, thread: usize, reports: Sender<Report>, back: Receiver<Box<Tally>>) -> io::Result<()> {
        let pace = Pace::new()?;
        for number in 0..self.seats.len() {
            net::spawn(connection::run(self.clone(), number));
        }
        let sweep = (self.plan.timeout / 10).clamp(MILLISECOND, 100 * MILLISECOND);
        let (mut next_sweep, mut next_report) = (self.start, self.start + SECOND);
        pace.wait(Duration::from_nanos(self.start.saturating_sub(self.now()))).await?;
        self.state.set(State::Running);
        let (mut core, mut reported) = (core_time(), self.now());
        let mut report = |tally, last| {
            let (before, since) = (std::mem::replace(&mut core, core_time()), std::mem::replace(&mut reported, self.now()));
            let note = self.note.take();
            let [busy, kept_off] = [core[0] - before[0], core[1] - before[1]];
            let under_way = self.dispatch.borrow().under_way();
            let report = Report { thread, tally, busy, kept_off, time: reported - since, ended: self.ended.get(), under_way, note, last };
            // There is room for two of each thread, which has one tally beside its own.
            let _ = reports.try_send(report);
        };
        loop {
            let now = self.now();
            let next_start = self.attend(now - self.start);
            if self.is_over(now) {
                break;
            }
            if now >= next_sweep {
                self.deadlines.sweep(Instant::from_nanos(now));
                next_sweep = now + sweep;
            }
            if now >= next_report
                && let Ok(empty) = back.try_recv()
            {
                self.count_due();
                report(self.tally.replace(empty), false);
                next_report += SECOND;
            }
            let next = next_start.map_or(next_sweep, |start| next_sweep.min(self.start + start));
            pace.wait(Duration::from_nanos(next.saturating_sub(self.now()))).await?;
        }
        self.finish();
        report(self.tally.take(), true);
        pending().await
    }

    /// A number by chance.
    pub fn draw(&self) -> u64 {
        self.chance.draw()
    }

    /// The present moment.
    pub fn now(&self) -> u64 {
        self.clock.now().as_nanos()
    }

    /// This connection has room for one more request: it gets one that is due, or as soon as one is.
    pub fn next(&self, connection: usize) {
        match self.state.get() {
            State::Before => self.dispatch.borrow_mut().rest(connection),
            State::Running => {
                let now = self.now();
                let mut dispatch = self.dispatch.borrow_mut();
                dispatch.notice(now - self.start, |lag| self.lag(lag));
                if let Some(due) = dispatch.next(connection, now - self.start) {
                    self.give(connection, due, now);
                }
            }
            State::Over => {}
        }
    }

    /// Waits until this connection has a request to send, and tells when it got it.
    pub async fn request(&self, connection: usize) -> u64 {
        poll_fn(|context| self.poll_request(connection, context)).await
    }

    /// The same, polled.
    pub fn poll_request(&self, connection: usize, context: &mut Context<'_>) -> Poll<u64> {
        let seat = &self.seats[connection];
        if let Some(first) = seat.given.borrow().get(seat.under_way.get()) {
            return Poll::Ready(first.taken);
        }
        seat.waker.set(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Has the requests written that this connection has to send, so many at most; from this moment on they are under way.
    pub fn start(&self, connection: usize, most: usize, mut write: impl FnMut(&Request)) {
        let seat = &self.seats[connection];
        let (mut given, sent) = (seat.given.borrow_mut(), Some(self.now()));
        let under_way = seat.under_way.get();
        let end = given.len().min(under_way.saturating_add(most));
        for place in given.range_mut(under_way..end) {
            let request = &self.plan.requests[self.turn.get()];
            self.turn.set(if self.turn.get() + 1 < self.plan.requests.len() { self.turn.get() + 1 } else { 0 });
            write(request);
            (place.sent, place.is_head) = (sent, request.is_head);
        }
        seat.under_way.set(end);
    }

    /// How many of this connection's requests are under way.
    pub fn under_way(&self, connection: usize) -> usize {
        self.seats[connection].under_way.get()
    }

    /// Whether any is.
    pub fn is_under_way(&self, connection: usize) -> bool {
        self.under_way(connection) > 0
    }

    /// Whether the answer that comes next is one to a HEAD.
    pub fn awaits_head(&self, connection: usize) -> bool {
        self.seats[connection].given.borrow().front().is_some_and(|first| first.is_head)
    }

    /// How many requests this connection has.
    pub fn given(&self, connection: usize) -> usize {
        self.seats[connection].given.borrow().len()
    }

    /// When this connection got the request that it has for longest.
    pub fn oldest(&self, connection: usize) -> Option<u64> {
        self.seats[connection].given.borrow().front().map(|first| first.taken)
    }

    /// The connection's request in this place has come to its end. One that the end of the run found is counted already.
    pub fn settle(&self, connection: usize, place: usize, outcome: Outcome) {
        let (seat, now) = (&self.seats[connection], self.now());
        if place < seat.under_way.get() {
            seat.under_way.set(seat.under_way.get() - 1);
        }
        let Some(Given { due, sent, .. }) = seat.given.borrow_mut().remove(place).filter(|_| self.state.get() == State::Running) else {
            return;
        };
        self.tally.borrow_mut().settle(outcome, now - due, sent.map(|sent| now - sent));
        self.dispatch.borrow_mut().settle();
        self.ended.set(now - self.start);
    }

    /// The same, and the connection has room for another one.
    pub fn end(&self, connection: usize, place: usize, outcome: Outcome) {
        self.settle(connection, place, outcome);
        self.next(connection);
    }

    /// Remembers the last fault in words.
    pub fn note(&self, fault: impl FnOnce() -> String) {
        *self.note.borrow_mut() = Some(fault());
    }

    /// Notices what is due, hands it to idle connections, and says when to look again.
    fn attend(&self, now: u64) -> Option<u64> {
        let mut dispatch = self.dispatch.borrow_mut();
        dispatch.notice(now, |lag| self.lag(lag));
        while let Some((connection, due)) = dispatch.assign(now) {
            self.give(connection, due, self.start + now);
            if let Some(waker) = self.seats[connection].waker.take() {
                waker.wake();
            }
        }
        dispatch.next_deadline()
    }

    /// Gives a connection the request that was due then, from the start.
    fn give(&self, connection: usize, due: u64, now: u64) {
        let given = Given { due: self.start + due, taken: now, sent: None, is_head: false };
        self.seats[connection].given.borrow_mut().push_back(given);
    }

    fn lag(&self, lag: u64) {
        self.tally.borrow_mut().lag.saturating_record(lag.max(1));
    }

    fn is_over(&self, now: u64) -> bool {
        let patience = self.plan.end + self.plan.grace;
        self.plan.stop.load(Relaxed) || now - self.start > patience || self.dispatch.borrow_mut().is_over(now - self.start)
    }

    /// Counts what became due since it was last counted.
    fn count_due(&self) {
        self.tally.borrow_mut().due += self.dispatch.borrow_mut().take_due();
    }

    /// Ends the run: what is under way or waits is counted as such.
    fn finish(&self) {
        self.state.set(State::Over);
        let now = self.now();
        let mut tally = self.tally.borrow_mut();
        for seat in &self.seats {
            for request in &*seat.given.borrow() {
                let sent = request.sent.map(|sent| now - sent);
                tally.settle(Outcome::Failure(Failure::Unfinished), now - request.due, sent);
                self.ended.set(now - self.start);
            }
        }
        let unsent = Outcome::Failure(Failure::Unsent);
        self.dispatch.borrow_mut().stop(now - self.start, |due| tally.settle(unsent, now - self.start - due, None));
        drop(tally);
        self.count_due();
    }
}

/// Nanoseconds for which this thread was on its core, and for which it waited for it.
fn core_time() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|nanos| nanos.parse().unwrap_or(0));
    [numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)]
}
