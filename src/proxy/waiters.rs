//! Requests of this core that wait for a place below a concurrency limit: the one that has waited longest is woken first.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::exchange::Place;

/// A request's place in the order of arrival; kept from wait to wait.
pub type Ticket = u64;

/// Requests that wait.
#[derive(Default)]
pub struct Waiters {
    queues: RefCell<HashMap<Place, BTreeMap<Ticket, Waker>>>,
    waiting: Cell<usize>,
    tickets: Cell<Ticket>,
}

impl Waiters {
    /// A ticket, behind all others.
    pub fn ticket(&self) -> Ticket {
        self.tickets.set(self.tickets.get() + 1);
        self.tickets.get()
    }

    /// Waits until woken, which says only that it's worth asking again.
    pub async fn wait(&self, place: Place, ticket: Ticket) {
        let mut queued = false;
        poll_fn(|cx| {
            if queued {
                return Poll::Ready(());
            }
            queued = true;
            if self.queues.borrow_mut().entry(place).or_default().insert(ticket, cx.waker().clone()).is_none() {
                self.waiting.set(self.waiting.get() + 1);
            }
            Poll::Pending
        })
        .await;
    }

    /// Wakes the one that has waited longest for this place: one has become free.
    #[inline]
    pub fn wake_one(&self, place: Place) {
        if self.waiting.get() > 0 {
            self.wake_first(place);
        }
    }

    #[cold]
    fn wake_first(&self, place: Place) {
        let first = self.queues.borrow_mut().get_mut(&place).and_then(BTreeMap::pop_first);
        if let Some((_, waker)) = first {
            self.waiting.set(self.waiting.get() - 1);
            waker.wake();
        }
    }

    /// Wakes all that wait for this place.
    #[inline]
    pub fn wake_all_of(&self, place: Place) {
        if self.waiting.get() > 0
            && let Some(woken) = self.queues.borrow_mut().remove(&place)
        {
            self.waiting.set(self.waiting.get() - woken.len());
            woken.into_values().for_each(Waker::wake);
        }
    }

    /// Wakes all: limits may have changed, or deadlines passed.
    pub fn wake_all(&self) {
        if self.waiting.replace(0) > 0 {
            let all = std::mem::take(&mut *self.queues.borrow_mut());
            all.into_values().flat_map(BTreeMap::into_values).for_each(Waker::wake);
        }
    }
}
