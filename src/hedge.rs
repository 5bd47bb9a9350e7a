//! Hedging: when a request that may be sent twice has waited longer than most do, a second endpoint is asked as well.
//!
//! How long most wait is measured live, on each core, in a histogram of sixteenths of octaves that forgets by halves; how many may
//! be asked twice is a part of all requests, saved up as they come, so that hedging can't double the load on an upstream that is slow
//! as a whole (Jeffrey Dean, Luiz André Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013).

use std::time::Duration;

use crate::clock::Instant;
use crate::config::Hedge;

/// What one core knows of an upstream to hedge its requests.
#[derive(Clone, Debug)]
pub struct Hedger {
    settings: Hedge,
    /// Answers by the time they took.
    buckets: Box<[u32; BUCKETS]>,
    /// In all buckets.
    answers: u32,
    /// Until the delay is worked out anew.
    until_due: u32,
    /// Worked out once in a while; `None` while too little is known.
    delay: Option<Duration>,
    /// In hundredths of a request.
    saved: u32,
}

impl Hedger {
    /// One that knows nothing yet.
    pub fn new(settings: &Hedge) -> Self {
        Hedger { settings: settings.clone(), buckets: Box::new([0; BUCKETS]), answers: 0, until_due: ANSWERS_MIN, delay: None, saved: 0 }
    }

    /// Takes over changed settings; what was measured stays.
    pub fn reconfigure(&mut self, settings: &Hedge) {
        self.settings = settings.clone();
        self.saved = self.saved.min(SAVED_MAX);
        self.work_out();
    }

    /// An answer's head came after so long, or hadn't come by then.
    #[inline]
    pub fn took(&mut self, time: Duration) {
        self.buckets[bucket(time)] += 1;
        self.answers += 1;
        self.until_due -= 1;
        if self.until_due == 0 {
            self.work_out();
        }
    }

    /// A request begins that may be sent twice: after so long without an answer it's time to. `None` while too little is known.
    pub fn begin(&mut self) -> Option<Duration> {
        self.saved = (self.saved + u32::from(self.settings.budget_percent)).min(SAVED_MAX);
        self.delay
    }

    /// Takes one out of the budget, if there is one.
    pub fn try_hedge(&mut self) -> bool {
        let enough = self.saved >= WHOLE;
        if enough {
            self.saved -= WHOLE;
        }
        enough
    }

    /// One that was taken wasn't made use of.
    pub fn give_back(&mut self) {
        self.saved = (self.saved + WHOLE).min(SAVED_MAX);
    }

    #[cold]
    fn work_out(&mut self) {
        self.until_due = WORK_OUT_EVERY;
        if self.answers < ANSWERS_MIN {
            self.delay = None;
            return;
        }
        let rank = (self.settings.after_percentile * f64::from(self.answers)).ceil() as u32;
        let mut below = 0;
        let reached = |count: &u32| {
            below += count;
            below >= rank
        };
        let place = self.buckets.iter().position(reached).unwrap_or(BUCKETS - 1);
        self.delay = Some(upper(place).max(self.settings.min_delay.get()));
        if self.answers >= ANSWERS_MAX {
            self.buckets.iter_mut().for_each(|count| *count /= 2);
            self.answers = self.buckets.iter().sum();
        }
    }
}

/// When a request that began then is to be sent a second time.
pub fn due(started: Instant, delay: Duration, now: Instant) -> Duration {
    (started + delay).since(now)
}

/// Which bucket a time falls in: its octave from 64 µs on, and the sixteenth of that.
fn bucket(time: Duration) -> usize {
    let units = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) / UNIT;
    if units < PARTS {
        return units as usize;
    }
    let octave = u64::from(units.ilog2()) - PARTS.ilog2() as u64;
    let index = PARTS * (octave + 1) + (units >> octave) - PARTS;
    (index as usize).min(BUCKETS - 1)
}

/// The longest time of a bucket.
fn upper(bucket: usize) -> Duration {
    let bucket = bucket as u64 + 1;
    let units = match (bucket / PARTS, bucket % PARTS) {
        (0, part) => part,
        (octaves, part) => (PARTS + part) << (octaves - 1),
    };
    Duration::from_nanos(units * UNIT)
}

/// Buckets an octave: two times that fall together differ by a sixteenth at most.
const PARTS: u64 = 16;
/// Nanoseconds that the first buckets are wide: below 64 µs, nothing is told apart finer.
const UNIT: u64 = 4_096;
/// Up to about a minute; longer times count as that.
const BUCKETS: usize = 336;
/// Fewer answers say nothing.
const ANSWERS_MIN: u32 = 32;
/// With so many, half of each bucket is forgotten.
const ANSWERS_MAX: u32 = 4_096;
/// So many answers apart, the delay is worked out.
const WORK_OUT_EVERY: u32 = 32;
/// A request, in the budget's hundredths.
const WHOLE: u32 = 100;
/// What can be saved up: a burst of ten.
const SAVED_MAX: u32 = 10 * WHOLE;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Time;

    fn settings() -> Hedge {
        Hedge { min_delay: Time::from_millis(0), ..Hedge::default() }
    }

    proptest! {
        /// Against sorting: never shorter than the true percentile, and a sixteenth longer at most.
        #[test]
        fn the_delay_is_the_percentile(
            micros in prop::collection::vec(0_u64..50_000_000, 32..1024), percentile in prop::sample::select(vec![0.5, 0.9, 0.95, 0.99]),
        ) {
            let mut hedger = Hedger::new(&Hedge { after_percentile: percentile, ..settings() });
            micros.iter().for_each(|&micros| hedger.took(Duration::from_micros(micros)));
            hedger.work_out();
            let mut sorted = micros;
            sorted.sort_unstable();
            let truth = Duration::from_micros(sorted[(percentile * sorted.len() as f64).ceil() as usize - 1]);
            let delay = hedger.begin().expect("enough is known");
            let most = truth + truth / 16 + Duration::from_nanos(UNIT);
            prop_assert!(truth <= delay && delay <= most, "{truth:?} {delay:?}");
        }

        #[test]
        fn buckets_follow_each_other(nanos in 0_u64..70_000_000_000) {
            let time = Duration::from_nanos(nanos);
            let place = bucket(time);
            prop_assert!(time <= upper(place) || place == BUCKETS - 1);
            prop_assert!(place == 0 || upper(place - 1) <= time);
        }

        /// However requests and hedges are mixed: never more hedges than a part of the requests, and one burst.
        #[test]
        fn the_budget_holds(percent in 1_u8..=100, asks in prop::collection::vec(any::<bool>(), 1..500)) {
            let mut hedger = Hedger::new(&Hedge { budget_percent: percent, ..settings() });
            let (mut requests, mut hedges) = (0_u32, 0_u32);
            for hedge in asks {
                if hedge {
                    hedges += u32::from(hedger.try_hedge());
                } else {
                    requests += 1;
                    hedger.begin();
                }
                prop_assert!(hedges * WHOLE <= requests * u32::from(percent));
            }
            prop_assert!(hedger.saved <= SAVED_MAX);
        }
    }

    #[test]
    fn too_little_is_known_at_first_and_old_times_are_forgotten() {
        let mut hedger = Hedger::new(&settings());
        (1..ANSWERS_MIN).for_each(|_| hedger.took(Duration::from_millis(10)));
        assert_eq!(hedger.begin(), None);
        hedger.took(Duration::from_millis(10));
        assert!(hedger.begin().is_some_and(|delay| delay < Duration::from_millis(11)));
        (0..3 * ANSWERS_MAX).for_each(|_| hedger.took(Duration::from_millis(100)));
        assert!(hedger.begin().is_some_and(|delay| delay >= Duration::from_millis(100)));
        assert!(hedger.answers <= ANSWERS_MAX);
    }

    #[test]
    fn the_least_delay_is_kept_and_what_was_not_used_comes_back() {
        let mut hedger = Hedger::new(&Hedge { min_delay: Time::from_millis(50), budget_percent: 50, ..Hedge::default() });
        (0..ANSWERS_MIN).for_each(|_| hedger.took(Duration::from_millis(1)));
        assert_eq!((hedger.begin(), hedger.try_hedge()), (Some(Duration::from_millis(50)), false));
        hedger.begin();
        assert!(hedger.try_hedge() && !hedger.try_hedge());
        hedger.give_back();
        assert!(hedger.try_hedge());
    }
}
