//! A second attempt beside the first: the first answer wins, and the other attempt says nothing about its endpoint.

use super::{Attempt, Exchange};
use crate::clock::Instant;
use crate::error::Reason;
use crate::upstream::{Ask, Outcome};

impl Exchange {
    /// The attempt under way has taken longer than most: another one, to another endpoint, if the budget has one left and there is
    /// any.
    pub fn hedge(&mut self, now: Instant, draw: u64) -> Option<Attempt> {
        let view = self.view.clone();
        let member = view.upstream(self.upstream);
        let mut upstream = member.upstream.borrow_mut();
        let first = self.permit.as_ref().expect("an attempt is under way").endpoint().slot;
        let mut tried = self.tried;
        tried.add(first);
        if !upstream.has_other(&tried) || !upstream.try_hedge() {
            return None;
        }
        // Any other will do: what hashing strategies go by leads to the first.
        let ask = Ask { key: draw, client: draw, tried, only_others: true, queued: false };
        let Ok(permit) = upstream.admit(&ask, now, draw) else {
            upstream.give_hedge_back();
            return None;
        };
        let endpoint = permit.endpoint();
        let address = upstream.target(endpoint, draw);
        self.second = Some(Box::new(permit));
        self.attempts += 1;
        let upstream = self.upstream;
        Some(Attempt { route: self.route, upstream, pool: member.pool, endpoint, address, careful: false, hedge_after: None })
    }

    /// One of the two has failed while the other goes on: it was as if it alone had been made.
    pub fn hedge_failed(&mut self, second: bool, reason: Reason, now: Instant) {
        let mut other = *self.second.take().expect("two attempts are under way");
        if !second {
            std::mem::swap(&mut other, self.permit.as_mut().expect("two attempts are under way"));
        }
        let mut upstream = self.view.upstream(self.upstream).upstream.borrow_mut();
        upstream.record(&mut other, Outcome::Failed(reason), now);
        self.tried.add(other.endpoint().slot);
        upstream.release(other, now);
    }

    /// One of the two has been answered, the other is given up.
    pub fn hedge_answered(&mut self, second: bool, now: Instant) {
        let mut other = *self.second.take().expect("two attempts are under way");
        let mut upstream = self.view.upstream(self.upstream).upstream.borrow_mut();
        if second {
            std::mem::swap(&mut other, self.permit.as_mut().expect("two attempts are under way"));
            upstream.hedge_won(&other, now);
        }
        upstream.record(&mut other, Outcome::Abandoned, now);
        upstream.release(other, now);
    }
}
