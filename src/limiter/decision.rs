//! What comes of asking a bucket for a request, and what is left then.

use std::time::Duration;

use super::terms::Terms;

/// What comes of asking for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on: the tokens are taken.
    Admitted,
    /// Not here and yet; other cores may have some. Ask again after [`super::WAIT`]; whoever doesn't has taken nothing.
    Wait,
    /// No.
    Refused,
}

/// A verdict, and what there is left.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// What to do.
    pub verdict: Verdict,
    /// Earned and not spent, as time.
    pub(super) credit: u64,
    /// What a request costs.
    pub(super) interval: u64,
}

impl Decision {
    /// Requests left on this core.
    pub const fn remaining(&self) -> u64 {
        self.credit / self.interval
    }

    /// Until there is one for somebody who was refused, if all parts are where they are asked for.
    pub fn retry_after(&self, terms: &Terms) -> Duration {
        Duration::from_nanos((self.interval.saturating_sub(self.credit)).min(terms.interval))
    }

    /// Until the burst is there again, if nobody asks.
    pub fn reset(&self, terms: &Terms) -> Duration {
        Duration::from_nanos(terms.fresh.saturating_sub(self.credit))
    }
}
