//! How many of an endpoint's attempts have failed lately, from totals that only grow.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Instant;

/// Attempts and failures within a time that moves along. It is kept in slices, so that it may look back by up to one slice
/// (an eighth) more.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    attempts: u64,
    failures: u64,
    /// When slices began, and what they hold.
    slices: VecDeque<(Instant, u64, u64)>,
}

impl Window {
    /// Adds attempts, and those of them that failed; forgets what has left the window.
    pub fn add(&mut self, attempts: u64, failures: u64, length: Duration, now: Instant) {
        let slice = length / SLICES;
        if self.slices.back().is_none_or(|&(began, ..)| now.since(began) >= slice) {
            self.slices.push_back((now, 0, 0));
        }
        if let Some((_, all, failed)) = self.slices.back_mut() {
            *all += attempts;
            *failed += failures;
        }
        self.attempts += attempts;
        self.failures += failures;
        while let Some(&(began, attempts, failures)) = self.slices.front()
            && now.since(began) >= length + slice
        {
            self.attempts -= attempts;
            self.failures -= failures;
            self.slices.pop_front();
        }
    }

    /// Whether there were at least `min_requests` attempts, of which at least so many percent failed. Right after `add` only.
    pub fn is_over(&self, percent: u8, min_requests: u32) -> bool {
        let enough = self.attempts > 0 && self.attempts >= u64::from(min_requests);
        enough && self.failures * 100 >= self.attempts * u64::from(percent)
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        *self = Window::default();
    }
}

const SLICES: u32 = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(8);

    proptest! {
        /// Against a list of all attempts: what the window counts lies between the window's length and that plus one slice.
        #[test]
        fn counts_what_lies_within(adds in prop::collection::vec((0_u64..2000, 0_u64..5, 0_u64..5), 1..80)) {
            let mut window = Window::default();
            let (mut now, mut all) = (Instant::ZERO, Vec::new());
            for (millis, good, bad) in adds {
                now = now + Duration::from_millis(millis);
                window.add(good + bad, bad, LENGTH, now);
                all.push((now, good + bad, bad));
                let within = |length: Duration| {
                    let within = all.iter().filter(|&&(at, ..)| now.since(at) < length);
                    within.fold((0, 0), |(attempts, failures), &(_, more, failed)| (attempts + more, failures + failed))
                };
                let counted = (window.attempts, window.failures);
                let (least, most) = (within(LENGTH), within(LENGTH + LENGTH / SLICES));
                prop_assert!(least.0 <= counted.0 && counted.0 <= most.0, "{least:?} {counted:?} {most:?}");
                prop_assert!(least.1 <= counted.1 && counted.1 <= most.1, "{least:?} {counted:?} {most:?}");
                for percent in [1, 50, 100] {
                    let over = counted.0 >= 6 && counted.1 * 100 >= counted.0 * u64::from(percent);
                    prop_assert_eq!(window.is_over(percent, 6), over);
                }
            }
        }
    }

    #[test]
    fn begins_anew() {
        let mut window = Window::default();
        window.add(20, 20, LENGTH, Instant::ZERO);
        assert!(window.is_over(50, 20));
        window.clear();
        window.add(19, 19, LENGTH, Instant::ZERO);
        assert!(!window.is_over(50, 20));
    }
}
