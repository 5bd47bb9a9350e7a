//! The one of two taken by chance that promises the shorter wait: latency by a moving average that takes over peaks at once, times
//! what is in flight there (Finagle's "Peak EWMA" load balancer).
//!
//! What was seen of an endpoint fades with time into what is typical of all of them: so it starts when nothing is known of it
//! yet, and so one that was slow is tried again. A failure counts as a long wait, or else quick refusals would draw requests.

use std::time::Duration;

use super::lottery::Lottery;
use super::{Balance, Choice, Entry, Member, Ramp};
use crate::clock::Instant;
use crate::config::Strategy;

pub(super) const ENTRY: Entry = Entry {
    strategy: Strategy::PeakEwma,
    make: |_, _| Box::new(PeakEwma::default()),
    ramp: Ramp::Weight,
    tracks_load: false,
    tracks_latency: true,
    weighted: false,
};

#[derive(Debug, Default)]
struct PeakEwma {
    lottery: Lottery,
    endpoints: Vec<Seen>,
    /// Nanoseconds that a good answer from any of them takes.
    typical: f64,
}

/// What was seen of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    id: u64,
    /// The mean weight of all, divided by its own.
    scarcity: f64,
    /// Nanoseconds, and when that was learnt.
    latency: Option<(f64, Instant)>,
}

impl PeakEwma {
    /// The nanoseconds that an answer is expected to take.
    #[inline]
    fn expected(&self, slot: u32, now: Instant) -> f64 {
        let expected = self.endpoints[slot as usize].latency.map_or(self.typical, |(latency, at)| {
            let weight = fade(now.since(at));
            self.bounded(latency) * weight + self.typical * (1.0 - weight)
        });
        expected.max(1.0)
    }

    /// However bad it was, it is tried again when that much has faded: after about a minute.
    #[inline]
    fn bounded(&self, latency: f64) -> f64 {
        if self.typical > 0.0 { latency.min(self.typical * WORST) } else { latency }
    }

    #[inline]
    fn wait(&self, slot: u32, choice: &Choice<'_>) -> f64 {
        let ahead = f64::from(choice.in_flight[slot as usize]) * self.endpoints[slot as usize].scarcity;
        self.expected(slot, choice.now) * (1.0 + ahead)
    }
}

impl Balance for PeakEwma {
    #[inline]
    fn pick(&mut self, choice: &Choice<'_>) -> Option<u32> {
        let (first, second) = self.lottery.two(choice)?;
        Some(if self.wait(second, choice) < self.wait(first, choice) { second } else { first })
    }

    fn arrange(&mut self, members: &[Member]) {
        self.endpoints.resize(members.len(), Seen::default());
        for (seen, member) in self.endpoints.iter_mut().zip(members) {
            if seen.id != member.id {
                *seen = Seen { id: member.id, ..Seen::default() };
            }
        }
    }

    fn reweigh(&mut self, weights: &[u32]) {
        self.lottery.reweigh(weights);
        let count = weights.iter().filter(|&&weight| weight > 0).count();
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        for (seen, &weight) in self.endpoints.iter_mut().zip(weights) {
            seen.scarcity = if weight == 0 { 1.0 } else { total / count as f64 / f64::from(weight) };
        }
    }

    fn observed(&mut self, slot: u32, latency: Duration, failed: bool, now: Instant) {
        let latency = latency.as_nanos() as f64;
        let expected = self.expected(slot, now);
        let seen = if failed {
            latency.max(expected).max(self.typical) * PENALTY
        } else {
            self.typical += (latency - self.typical) * if self.typical == 0.0 { 1.0 } else { TYPICAL_PART };
            latency
        };
        let learnt = match self.endpoints[slot as usize].latency {
            Some((before, at)) if seen < expected => {
                let weight = fade(now.since(at));
                self.bounded(before) * weight + seen * (1.0 - weight)
            }
            _ => seen,
        };
        self.endpoints[slot as usize].latency = Some((learnt, now));
    }
}

/// How much of what was seen so long ago still counts: a third after [`FADE`], soon nothing.
#[inline]
fn fade(age: Duration) -> f64 {
    (-(age.as_nanos() as f64) / FADE).exp()
}

/// Nanoseconds over which what was seen fades: 10 s, Finagle's default.
const FADE: f64 = 10e9;

/// How much longer than a good answer a failure counts as.
const PENALTY: f64 = 8.0;

/// The worst that is remembered of an endpoint, in times of what is typical.
const WORST: f64 = 32.0;

/// The part that one answer has in what is typical.
const TYPICAL_PART: f64 = 1.0 / 64.0;
