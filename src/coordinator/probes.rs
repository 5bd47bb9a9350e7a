//! The probes under way: so many at once, the rest waits its turn.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures_util::FutureExt;

use super::probe::{Ask, Failure, probe};
use crate::clock::Clock;
use crate::net::{self, Deadlines};

/// Probes under way at once: as many connections, so that thousands of endpoints don't take all descriptors.
const AT_ONCE: usize = 256;

/// A probe that has ended: whose, and the failure, if it was one.
type Done<T> = (T, Result<(), Failure>);

/// Probes of endpoints; `T` says whose.
pub(super) struct Probes<T> {
    clock: Clock,
    deadlines: Rc<Deadlines>,
    waiting: VecDeque<(T, Ask)>,
    under_way: usize,
    done: Rc<RefCell<Vec<Done<T>>>>,
}

impl<T: 'static> Probes<T> {
    /// No probe is under way.
    pub fn new(clock: Clock, deadlines: Rc<Deadlines>) -> Self {
        Probes { clock, deadlines, waiting: VecDeque::new(), under_way: 0, done: Rc::default() }
    }

    /// Begins a probe, or puts it at the end of the queue.
    pub fn begin(&mut self, whose: T, ask: Ask) {
        self.waiting.push_back((whose, ask));
        self.start_waiting();
    }

    /// The probes that have ended since this was last asked.
    pub fn take(&mut self) -> Vec<Done<T>> {
        let done = std::mem::take(&mut *self.done.borrow_mut());
        self.under_way -= done.len();
        self.start_waiting();
        done
    }

    fn start_waiting(&mut self) {
        while self.under_way < AT_ONCE
            && let Some((whose, ask)) = self.waiting.pop_front()
        {
            self.under_way += 1;
            let (deadlines, done, now) = (self.deadlines.clone(), self.done.clone(), self.clock.now());
            net::spawn(async move {
                let result = AssertUnwindSafe(probe(&ask, &deadlines, now)).catch_unwind().await;
                done.borrow_mut().push((whose, result.unwrap_or(Err(Failure::Panicked))));
            });
        }
    }
}
