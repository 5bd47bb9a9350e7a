//! What is measured of attempts: for the limit that finds itself, and for hedging.

use std::time::Duration;

use super::Upstream;
use super::attempt::{Outcome, Permit};
use super::circuit::marks;
use crate::clock::Instant;
use crate::hedge::Hedger;
use crate::http::{Framing, RequestHead};
use crate::limiter::Gradient;

impl Upstream {
    /// Brings what measures in line with the settings.
    pub(super) fn place_measures(&mut self, now: Instant) {
        let in_flight = u32::try_from(self.in_flight()).unwrap_or(u32::MAX).saturating_sub(self.switched);
        match (&mut self.adaptive, &self.settings.adaptive_concurrency) {
            (adaptive, None) => *adaptive = None,
            (Some(adaptive), Some(settings)) => adaptive.reconfigure(settings, self.seat.cores),
            (none, Some(settings)) => *none = Some(Box::new(Gradient::new(settings, self.seat.cores, in_flight, now))),
        }
        match (&mut self.hedger, &self.settings.hedge) {
            (hedger, None) => *hedger = None,
            (Some(hedger), Some(settings)) => hedger.reconfigure(settings),
            (none, Some(settings)) => *none = Some(Box::new(Hedger::new(settings))),
        }
        self.measured = self.adaptive.is_some() || self.hedger.is_some();
    }

    /// Takes how long the head of an answer took.
    pub(super) fn measure(&mut self, permit: &Permit, outcome: Outcome, now: Instant) {
        let Outcome::Answered { status } = outcome else { return };
        if let Some(hedger) = &mut self.hedger {
            hedger.took(now.since(permit.started));
        }
        if let (Some(adaptive), ..500) = (&mut self.adaptive, status) {
            adaptive.answered(permit.started, now);
        }
    }

    /// An attempt's connection was upgraded: how long that lasts says nothing of how many requests the endpoints can serve at once.
    pub fn switched(&mut self, permit: &mut Permit) {
        permit.marks |= marks::SWITCHED;
        self.switched += 1;
        self.adaptive.iter_mut().for_each(|adaptive| adaptive.end());
    }

    /// Whether requests are hedged.
    #[inline]
    pub fn hedges(&self) -> bool {
        self.hedger.is_some()
    }

    /// A request begins: after how long a second endpoint may be asked as well. `None` if it may not be sent twice, or too little is
    /// known of how long others take.
    pub fn hedge_after(&mut self, request: &RequestHead) -> Option<Duration> {
        let twice = request.method.is_idempotent() && request.framing == Framing::None && !request.connection.upgrade;
        self.hedger.as_mut().filter(|_| twice)?.begin()
    }

    /// Takes a second attempt out of the budget, if there is one left.
    pub fn try_hedge(&mut self) -> bool {
        let Some(hedger) = &mut self.hedger else { return false };
        let enough = hedger.try_hedge();
        let count = if enough { &mut self.tally.hedges.made } else { &mut self.tally.hedges.exhausted };
        *count += 1;
        enough
    }

    /// No second attempt was made of it.
    pub fn give_hedge_back(&mut self) {
        self.hedger.iter_mut().for_each(|hedger| hedger.give_back());
        self.tally.hedges.made -= 1;
    }

    /// The second attempt was answered before the first. Without counting the first one's time, however little of it there was yet,
    /// slow answers would be missing from what is taken for usual.
    pub fn hedge_won(&mut self, first: &Permit, now: Instant) {
        self.tally.hedges.won += 1;
        self.hedger.iter_mut().for_each(|hedger| hedger.took(now.since(first.started)));
    }
}
