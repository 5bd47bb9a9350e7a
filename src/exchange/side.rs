//! One attempt at an upstream beside a request: what a link of its chain asks of a service.

use std::rc::Rc;

use super::{Attempt, View};
use crate::clock::Instant;
use crate::config::HostHeader;
use crate::error::Reason;
use crate::upstream::{Ask, Outcome, Permit};

/// An attempt under way. Dropping it gives everything back that it holds.
pub struct Side {
    view: Rc<View>,
    permit: Option<Permit>,
    /// Whom to ask.
    pub attempt: Attempt,
    last: Instant,
}

impl Side {
    /// Picks an endpoint of the upstream of this name; `None` if there is none that may be used. Nothing waits for a place.
    pub fn begin(view: &Rc<View>, upstream: &str, now: Instant, draw: u64) -> Option<Side> {
        let index = view.plan.upstreams.iter().position(|other| other.settings.id == upstream)?;
        let member = view.upstream(index);
        let mut state = member.upstream.borrow_mut();
        let permit = state.admit(&Ask { key: draw, client: draw, ..Ask::default() }, now, draw).ok()?;
        let endpoint = permit.endpoint();
        let address = state.target(endpoint, draw);
        let attempt = Attempt { route: 0, upstream: index, pool: member.pool, endpoint, address, careful: true, hedge_after: None };
        drop(state);
        Some(Side { view: view.clone(), permit: Some(permit), attempt, last: now })
    }

    /// The Host that the endpoint expects.
    pub fn host(&self) -> String {
        if let HostHeader::Set(host) = &self.view.plan.upstreams[self.attempt.upstream].host {
            return host.clone();
        }
        let upstream = self.view.upstream(self.attempt.upstream).upstream.borrow();
        upstream.endpoint(self.attempt.endpoint).settings().authority().unwrap_or("localhost").to_owned()
    }

    /// How it went: the answer's status, or why there was none.
    pub fn ended(mut self, result: Result<u16, Reason>, now: Instant) {
        self.last = now;
        let outcome = result.map_or_else(Outcome::Failed, |status| Outcome::Answered { status });
        self.give(outcome);
    }

    fn give(&mut self, outcome: Outcome) {
        if let Some(mut permit) = self.permit.take() {
            let mut upstream = self.view.upstream(self.attempt.upstream).upstream.borrow_mut();
            upstream.record(&mut permit, outcome, self.last);
            upstream.release(permit, self.last);
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.give(Outcome::Abandoned);
    }
}
