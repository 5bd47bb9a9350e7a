//! How attempts went, and what follows: relaying, trying again, refusing.

use super::{Attempted, Ending, Exchange, Stage, Step};
use crate::clock::Instant;
use crate::error::Reason;
use crate::health;
use crate::http::RequestHead;
use crate::retry::{self, Situation, Verdict};
use crate::upstream::{Outcome, Permit, Upstream};

impl Exchange {
    /// How the attempt went: decides whether its answer is relayed, another attempt is made, or the request is refused.
    ///
    /// # Panics
    /// If there was no attempt.
    pub fn attempted(&mut self, attempted: Attempted, request: &RequestHead, now: Instant, draw: u64) -> Step {
        self.last = now;
        let view = self.view.clone();
        let mut upstream = view.upstream(self.upstream).upstream.borrow_mut();
        let mut permit = self.permit.take().expect("an attempt holds a permit");
        if std::mem::take(&mut self.holds.retry_budget) {
            upstream.budget().end_retry();
        }
        // The plan's settings, as those of the upstream are borrowed with it, and shared by all cores: no count of theirs is touched.
        let settings = &view.plan.upstreams[self.upstream].settings.retry;
        let verdict = retry::verdict(&self.situation(attempted, request), settings);
        let outcome = match (attempted.ending, verdict) {
            (_, Verdict::RetryStale) => Outcome::Abandoned,
            (Ending::Answered(status) | Ending::Called { counts_as: status, .. }, _) => Outcome::Answered { status },
            (Ending::Failed(reason), _) => Outcome::Failed(reason),
        };
        upstream.record(&mut permit, outcome, now);
        let again = match verdict {
            Verdict::RetryStale => {
                self.tally.stale_retries += 1;
                Some(now)
            }
            Verdict::Retry if !self.has_where_to_retry(&mut upstream, &permit, attempted.ending) => None,
            Verdict::Retry if now < self.deadline && upstream.budget().try_retry() => {
                self.holds.retry_budget = true;
                self.tally.retries += 1;
                self.retries_left -= 1;
                Some(now + retry::backoff(settings, self.tally.retries, draw))
            }
            Verdict::Retry => {
                self.tally.budget_exhausted |= now < self.deadline;
                None
            }
            Verdict::GiveUp => None,
        };
        match (again, attempted.ending) {
            (Some(at), ending) => {
                upstream.release(permit, now);
                if let Ending::Failed(reason) = ending {
                    self.last_failure = Some(reason);
                }
                self.stage = Stage::Paused(at);
                Step::Pause(at)
            }
            (None, Ending::Answered(_) | Ending::Called { .. }) => {
                self.permit = Some(permit);
                self.stage = Stage::Answered;
                Step::Relay
            }
            (None, Ending::Failed(reason)) => {
                upstream.release(permit, now);
                drop(upstream);
                self.refuse(reason)
            }
        }
    }

    /// Remembers that the endpoint was tried; whether there is any to be tried next. One that took its time isn't asked again.
    fn has_where_to_retry(&mut self, upstream: &mut Upstream, permit: &Permit, ending: Ending) -> bool {
        self.tried.add(permit.endpoint().slot);
        !matches!(ending, Ending::Failed(reason) if took_its_time(reason)) || upstream.has_other(&self.tried)
    }

    fn situation(&self, attempted: Attempted, request: &RequestHead) -> Situation {
        let Attempted { ending, trace } = attempted;
        Situation {
            idempotent: request.method.is_idempotent(),
            reused: trace.reused,
            sent_anything: trace.sent,
            response_started: trace.started,
            relayed: trace.relayed,
            body_lost: trace.body_lost,
            stale_retried: self.tally.stale_retries > 0,
            ending,
            retries_left: self.retries_left,
        }
    }

    /// The connection has been upgraded. It keeps its places, as it is in use for as long as it lasts; but where limits are found by how long answers
    /// take, and of what retries are a share, a request is meant, which is over.
    pub fn switched(&mut self) {
        let mut upstream = self.view.upstream(self.upstream).upstream.borrow_mut();
        if let Some(permit) = &mut self.permit {
            upstream.switched(permit);
        }
        if std::mem::take(&mut self.holds.request_budget) {
            upstream.budget().end();
        }
    }

    /// A call of gRPC ended with a status behind its answer that counts as this one of HTTP.
    pub fn called(&mut self, counts_as: u16, now: Instant) {
        if let (true, Some(permit)) = (health::is_failure_status(counts_as), &mut self.permit) {
            let mut upstream = self.view.upstream(self.upstream).upstream.borrow_mut();
            upstream.record(permit, Outcome::Answered { status: counts_as }, now);
        }
    }

    /// The answer has been relayed to its last byte, or broke off for this reason.
    pub fn ended(&mut self, broke: Option<Reason>, now: Instant) {
        self.last = now;
        if let (Some(reason), Some(permit)) = (broke, &mut self.permit) {
            let mut upstream = self.view.upstream(self.upstream).upstream.borrow_mut();
            upstream.record(permit, Outcome::Failed(reason), now);
            upstream.count_failure(reason);
        }
        self.release();
    }
}

/// Whether an attempt that failed for this reason took the time of another one.
pub(super) fn took_its_time(reason: Reason) -> bool {
    matches!(reason, Reason::ConnectTimeout | Reason::SendTimeout | Reason::FirstByteTimeout)
}
