//! A concurrency limit that finds itself, by how much longer answers take than they need to.
//!
//! Little's law: as long as an upstream has room, more requests at once don't take longer; beyond that they only queue there. So the
//! ratio of the time that answers need to the time they take, the gradient, says by how much there are too many:
//!
//! ```text
//! limit' = limit * min(1, tolerance * needed / taken) + sqrt(limit)
//! ```
//!
//! and the limit moves a fifth of the way there with each window. The square root lets it try for more. After Netflix' Gradient2 (Eran
//! Landau, William Thurston, Tim Bozarth, "Performance Under Load", 2018, <https://github.com/Netflix/concurrency-limits>) and the
//! gradient controller of Envoy's adaptive concurrency filter, from which it has that the needed time is measured anew once in a
//! while, with fewer requests at once: under steady load there is always some queueing, and what is the shortest time by then would
//! creep up with the limit.

use std::time::Duration;

use crate::clock::Instant;
use crate::config::AdaptiveConcurrency;

/// The limit of one core.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    min: f64,
    max: f64,
    tolerance: f64,
    limit: f64,
    in_flight: u32,
    /// What answers need, in nanoseconds; zero until it is known.
    needed: u64,
    /// When that was last measured with fewer requests at once.
    measured: Instant,
    measuring: bool,
    window: Window,
}

/// What has been seen since the limit last moved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Window {
    began: Instant,
    answers: u64,
    nanos: u64,
    /// The most requests in flight.
    peak: u32,
}

impl Gradient {
    /// This core's part of the limit's bounds, with so many requests in flight.
    pub fn new(settings: &AdaptiveConcurrency, cores: u32, in_flight: u32, now: Instant) -> Self {
        let mut gradient = Gradient {
            min: 1.0,
            max: 1.0,
            tolerance: 1.0,
            limit: part(settings.initial, cores),
            in_flight,
            needed: 0,
            measured: now,
            measuring: true,
            window: Window { began: now, peak: in_flight, ..Window::default() },
        };
        gradient.reconfigure(settings, cores);
        gradient
    }

    /// Takes over changed settings.
    pub fn reconfigure(&mut self, settings: &AdaptiveConcurrency, cores: u32) {
        self.min = part(settings.min, cores);
        self.max = part(settings.max, cores).max(self.min);
        self.tolerance = settings.tolerance;
        self.limit = self.limit.clamp(self.min, self.max);
    }

    /// Requests that may be in flight.
    #[inline]
    pub fn limit(&self) -> u32 {
        let limit = if self.measuring { (self.limit / (2.0 * self.tolerance)).max(self.min) } else { self.limit };
        limit as u32
    }

    /// Whether one more may be in flight.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.in_flight < self.limit()
    }

    /// A request begins.
    #[inline]
    pub fn begin(&mut self) {
        self.in_flight += 1;
        self.window.peak = self.window.peak.max(self.in_flight);
    }

    /// A request has ended, however it did.
    ///
    /// # Panics
    ///
    /// If none was in flight.
    #[inline]
    pub fn end(&mut self) {
        self.in_flight = self.in_flight.checked_sub(1).expect("ended a request that had not begun");
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// The head of a good answer has come.
    #[inline]
    pub fn answered(&mut self, started: Instant, now: Instant) {
        if started < self.window.began {
            // Under another limit.
            return;
        }
        self.window.answers += 1;
        self.window.nanos += now.as_nanos() - started.as_nanos();
        if self.window.answers >= ANSWERS_MIN && now.since(self.window.began) >= WINDOW {
            self.adjust(now);
        }
    }

    #[cold]
    fn adjust(&mut self, now: Instant) {
        let Window { answers, nanos, peak, .. } = self.window;
        let taken = (nanos / answers).max(1);
        self.window = Window { began: now, peak: self.in_flight, ..Window::default() };
        if std::mem::take(&mut self.measuring) {
            (self.needed, self.measured) = (taken, now);
            return;
        }
        if self.needed == 0 || taken < self.needed {
            self.needed = taken;
        }
        let gradient = (self.tolerance * self.needed as f64 / taken as f64).clamp(GRADIENT_MIN, 1.0);
        let aim = self.limit * gradient + self.limit.sqrt();
        // A limit that isn't made use of says nothing about whether there is room for more.
        if aim < self.limit || f64::from(peak) >= self.limit * USED {
            self.limit = (self.limit + (aim - self.limit) * SMOOTHING).clamp(self.min, self.max);
        }
        self.measuring = now.since(self.measured) >= MEASURE_EVERY;
    }
}

/// A core's part of a setting for all.
fn part(setting: u32, cores: u32) -> f64 {
    f64::from(setting.div_ceil(cores.max(1)).max(1))
}

/// The limit moves after so long at the earliest, so that a window sees more than one burst.
const WINDOW: Duration = Duration::from_millis(100);
/// And after so many answers.
const ANSWERS_MIN: u64 = 10;
/// The limit at least halves its way, whatever the times are: one slow window isn't the end.
const GRADIENT_MIN: f64 = 0.5;
/// Which part of the way it goes at once.
const SMOOTHING: f64 = 0.2;
/// Which part of it must have been in use for it to grow.
const USED: f64 = 0.5;
/// How often the needed time is measured anew: with so few requests at once, half of what is tolerated, that an error in it halves
/// each time.
const MEASURE_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(min: u32, max: u32, initial: u32) -> AdaptiveConcurrency {
        AdaptiveConcurrency { min, max, initial, ..AdaptiveConcurrency::default() }
    }

    /// A server that takes `base` for so many requests at once, and queues the rest; clients keep `wanted` requests wanting.
    struct World {
        gradient: Gradient,
        capacity: u32,
        base: Duration,
        now: Instant,
        /// When those in flight began and end.
        flying: Vec<(Instant, Instant)>,
    }

    impl World {
        fn run(&mut self, time: Duration, wanted: u32) {
            let until = self.now + time;
            while self.now < until {
                while self.gradient.has_room() && self.gradient.in_flight() < wanted {
                    self.gradient.begin();
                    // First come, first served: as many at once as the capacity, whoever is behind waits for a place.
                    let mut ends: Vec<Instant> = self.flying.iter().map(|&(_, ends)| ends).collect();
                    ends.sort_unstable();
                    let place = ends.len().checked_sub(self.capacity as usize).map_or(self.now, |index| ends[index]);
                    self.flying.push((self.now, place.max(self.now) + self.base));
                }
                let next = self.flying.iter().map(|&(_, ends)| ends).min().unwrap_or(until);
                self.now = next.min(until).max(self.now + Duration::from_micros(1));
                let now = self.now;
                let (done, rest) = self.flying.drain(..).partition(|&(_, ends)| ends <= now);
                self.flying = rest;
                for (began, _) in done {
                    self.gradient.answered(began, now);
                    self.gradient.end();
                }
            }
        }
    }

    fn world(settings: &AdaptiveConcurrency, capacity: u32, base: u64) -> World {
        let gradient = Gradient::new(settings, 1, 0, Instant::ZERO);
        World { gradient, capacity, base: Duration::from_millis(base), now: Instant::ZERO, flying: vec![] }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        /// Wherever it begins: it lets the server be busy, and little more than the tolerance queue; for minutes.
        #[test]
        fn finds_what_the_server_can_take(capacity in 5_u32..60, initial in 1_u32..60, base in 5_u64..30) {
            let mut world = world(&settings(1, 400, initial), capacity, base);
            world.run(Duration::from_secs(25), 1000);
            for _ in 0..3 {
                world.run(Duration::from_secs(20), 1000);
                let limit = world.gradient.limit;
                prop_assert!(limit >= f64::from(capacity), "{limit} for a capacity of {capacity}");
                // Balance is where limit * (1 - gradient) is its square root.
                let most = 1.5 * f64::from(capacity) + 3.0 * f64::from(capacity).sqrt() + 4.0;
                prop_assert!(limit <= most, "{limit} for a capacity of {capacity}, more than {most}");
            }
        }

        #[test]
        fn follows_a_server_that_changes(capacity in 8_u32..40, base in 5_u64..30) {
            let mut world = world(&settings(1, 400, 20), capacity, base);
            world.run(Duration::from_secs(25), 1000);
            let before = world.gradient.limit;
            world.capacity = capacity / 4;
            world.run(Duration::from_secs(60), 1000);
            let reduced = world.gradient.limit;
            prop_assert!(reduced < before * 0.75, "{before} to {reduced}");
            world.capacity = capacity;
            world.run(Duration::from_secs(60), 1000);
            prop_assert!(world.gradient.limit >= f64::from(capacity), "{}", world.gradient.limit);
        }

        /// Whatever it is told, it stays within its bounds.
        #[test]
        fn never_leaves_its_bounds(
            min in 1_u32..20, more in 0_u32..50, initial in 1_u32..100, cores in 1_u32..9,
            times in prop::collection::vec((0_u64..5_000_000_000, 1_u64..200), 1..300),
        ) {
            let settings = settings(min, min + more, initial);
            let mut gradient = Gradient::new(&settings, cores, 0, Instant::ZERO);
            let mut now = Instant::ZERO;
            for (took, step) in times {
                let started = now;
                now = now + Duration::from_millis(step);
                (0..ANSWERS_MIN).for_each(|_| gradient.answered(started, started + Duration::from_nanos(took).max(now.since(started))));
                prop_assert!(gradient.limit() >= min.div_ceil(cores));
                prop_assert!((1..=(min + more).div_ceil(cores)).contains(&gradient.limit()));
            }
        }
    }

    #[test]
    fn idle_capacity_lets_it_grow_but_only_if_it_is_used() {
        let mut busy = world(&settings(1, 400, 10), 100, 5);
        busy.run(Duration::from_secs(5), 1000);
        assert!(busy.gradient.limit > 20.0, "{}", busy.gradient.limit);
        let mut idle = world(&settings(1, 400, 10), 100, 5);
        idle.run(Duration::from_secs(60), 4);
        assert!(idle.gradient.limit <= 10.0, "{}", idle.gradient.limit);
    }

    #[test]
    fn one_answer_is_not_enough_and_those_from_before_do_not_count() {
        let mut gradient = Gradient::new(&settings(1, 400, 20), 2, 0, Instant::ZERO);
        let at = |millis: u64| Instant::ZERO + Duration::from_millis(millis);
        assert_eq!((gradient.limit(), gradient.limit), (3, 10.0), "at first, it measures");
        gradient.answered(at(0), at(5000));
        assert_eq!(gradient.window.answers, 1);
        (0..9).for_each(|_| gradient.answered(at(0), at(5000)));
        assert_eq!((gradient.window.answers, gradient.needed), (0, 5_000_000_000));
        gradient.answered(at(4999), at(5001));
        assert_eq!(gradient.window.answers, 0);
    }
}
