//! One thread of a run: its clock, its connections, and what it hands over each second.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Poll, Waker};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use ringway::address::Address;
use ringway::clock::{Clock, Instant};
use ringway::net::{self, Deadlines};

use crate::connection;
use crate::dispatch::Dispatch;
use crate::pace::Pace;
use crate::tally::{Failure, Outcome, Tally};
use crate::target::Request;
use crate::words::{MILLISECOND, SECOND};

/// What all threads do.
pub struct Plan {
    /// Whom to ask.
    pub address: Address,
    /// What to ask, in turn.
    pub requests: Vec<Request>,
    /// Whether each request has a connection of its own.
    pub closes: bool,
    /// Nanoseconds that a request may take.
    pub timeout: u64,
    /// Nanoseconds from the start until nothing more becomes due.
    pub end: u64,
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
    /// When the request it has was due.
    due: Cell<Option<u64>>,
    /// When it was sent.
    sent: Cell<Option<u64>>,
    /// Woken when there is a request.
    waker: Cell<Option<Waker>>,
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
            let report = Report { thread, tally, busy, kept_off, time: reported - since, ended: self.ended.get(), note, last };
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

    /// The present moment.
    pub fn now(&self) -> u64 {
        self.clock.now().as_nanos()
    }

    /// Waits for a request for this connection.
    pub async fn next(&self, connection: usize) {
        let seat = &self.seats[connection];
        match self.state.get() {
            State::Before => self.dispatch.borrow_mut().rest(connection),
            State::Running => {
                let now = self.now() - self.start;
                let mut dispatch = self.dispatch.borrow_mut();
                dispatch.notice(now, |lag| self.lag(lag));
                seat.due.set(dispatch.next(connection, now).map(|due| self.start + due));
            }
            State::Over => {}
        }
        poll_fn(|context| {
            if seat.due.get().is_some() {
                return Poll::Ready(());
            }
            seat.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Writes the next request, and says whether it is a HEAD.
    pub fn write_request(&self, out: &mut Vec<u8>) -> bool {
        let request = &self.plan.requests[self.turn.get()];
        self.turn.set((self.turn.get() + 1) % self.plan.requests.len());
        out.clear();
        out.extend_from_slice(&request.bytes);
        request.is_head
    }

    /// The connection's request is about to be sent.
    pub fn sends(&self, connection: usize) {
        self.seats[connection].sent.set(Some(self.now()));
    }

    /// The connection's request has come to its end.
    pub fn settle(&self, connection: usize, outcome: Outcome) {
        let seat = &self.seats[connection];
        let (now, sent) = (self.now(), seat.sent.take());
        // One that the end of the run found under way is counted already.
        let Some(due) = seat.due.take().filter(|_| self.state.get() == State::Running) else { return };
        self.tally.borrow_mut().settle(outcome, now - due, sent.map(|sent| now - sent));
        self.dispatch.borrow_mut().settle();
        self.ended.set(now - self.start);
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
            let seat = &self.seats[connection];
            seat.due.set(Some(self.start + due));
            if let Some(waker) = seat.waker.take() {
                waker.wake();
            }
        }
        dispatch.next_deadline()
    }

    fn lag(&self, lag: u64) {
        self.tally.borrow_mut().lag.saturating_record(lag.max(1));
    }

    fn is_over(&self, now: u64) -> bool {
        let patience = self.plan.end + self.plan.timeout + SECOND;
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
            if let Some(due) = seat.due.get() {
                let sent = seat.sent.get().map(|sent| now - sent);
                tally.settle(Outcome::Failure(Failure::Unfinished), now - due, sent);
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
