//! Equal questions of one core at the same time: the first asks, the others wait for what it is told.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

use super::waiters::{Ticket, Waiters};
use crate::exchange::Place;

/// Questions under way, each at most once.
pub(super) struct Merged<Q, A>(RefCell<HashMap<Rc<Q>, Rc<Common<A>>>>);

/// What those wait for who ask the same.
struct Common<A> {
    place: Place,
    answer: OnceCell<A>,
}

impl<Q, A> Default for Merged<Q, A> {
    fn default() -> Self {
        Merged(RefCell::default())
    }
}

/// The one that asks. When it is done, or gone without an answer, the others are woken: then the next of them asks.
struct First<'a, Q: Eq + Hash, A> {
    merged: &'a Merged<Q, A>,
    waiters: &'a Waiters,
    question: &'a Rc<Q>,
    place: Place,
}

impl<Q: Eq + Hash, A> Drop for First<'_, Q, A> {
    fn drop(&mut self) {
        self.merged.0.borrow_mut().remove(self.question);
        self.waiters.wake_all_of(self.place);
    }
}

impl<Q: Eq + Hash, A: Clone> Merged<Q, A> {
    /// The answer to a question: what `ask` comes to, or that of an equal question that was under way.
    pub(super) async fn ask(&self, waiters: &Waiters, ticket: Ticket, question: Rc<Q>, ask: impl Future<Output = A>) -> A {
        let place = Place::Reply(ticket);
        loop {
            let known = self.0.borrow().get(&question).cloned();
            let Some(common) = known else { break };
            waiters.wait(common.place, ticket).await;
            if let Some(answer) = common.answer.get() {
                return answer.clone();
            }
        }
        let common = Rc::new(Common { place, answer: OnceCell::new() });
        self.0.borrow_mut().insert(question.clone(), common.clone());
        let _first = First { merged: self, waiters, question: &question, place };
        let answer = ask.await;
        common.answer.get_or_init(|| answer).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Polls once, as if woken.
    fn poll<A>(future: Pin<&mut impl Future<Output = A>>) -> Poll<A> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_first_asks_and_the_others_get_its_answer() {
        let (waiters, merged, said) = (Waiters::default(), Merged::default(), Cell::new(None));
        let service = std::future::poll_fn(|_| said.get().map_or(Poll::Pending, Poll::Ready));
        let mut first = pin!(merged.ask(&waiters, 1, Rc::new("a"), service));
        let mut second = pin!(merged.ask(&waiters, 2, Rc::new("a"), async { panic!("asked twice") }));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        let other = pin!(merged.ask(&waiters, 3, Rc::new("b"), ready(8)));
        assert_eq!(poll(other), Poll::Ready(8), "another question is another's");
        assert!(poll(second.as_mut()).is_pending(), "woken by a tick, with nothing to be told");
        said.set(Some(7));
        assert_eq!((poll(first), poll(second)), (Poll::Ready(7), Poll::Ready(7)));
        let late = pin!(merged.ask(&waiters, 4, Rc::new("a"), ready(9)));
        assert_eq!(poll(late), Poll::Ready(9), "only what is under way is shared");
        assert!(merged.0.borrow().is_empty());
    }

    #[test]
    fn whoever_waits_for_one_that_leaves_asks_in_its_place() {
        let (waiters, merged) = (Waiters::default(), Merged::default());
        let mut first = Box::pin(merged.ask(&waiters, 1, Rc::new("a"), pending()));
        let mut second = Box::pin(merged.ask(&waiters, 2, Rc::new("a"), pending()));
        let mut third = pin!(merged.ask(&waiters, 3, Rc::new("a"), ready(7)));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending() && poll(third.as_mut()).is_pending());
        drop(first);
        assert!(poll(second.as_mut()).is_pending() && poll(third.as_mut()).is_pending(), "the second asks");
        drop(second);
        assert_eq!(poll(third), Poll::Ready(7));
        assert!(merged.0.borrow().is_empty());
    }
}
