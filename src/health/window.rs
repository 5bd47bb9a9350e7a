//! What has become of attempts lately, from totals that only grow.

use std::collections::VecDeque;
use std::ops::{AddAssign, Sub, SubAssign};
use std::time::Duration;

use crate::clock::Instant;

/// Attempts, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that ended in an answer or a failure.
    pub attempts: u64,
    /// Those of them that count as failures.
    pub failures: u64,
    /// Those of them that took longer than they should.
    pub slow: u64,
}

impl Counts {
    /// Whether there were at least `min_requests` attempts, of which at least so many percent failed.
    pub fn is_over(&self, percent: u8, min_requests: u32) -> bool {
        let enough = self.attempts > 0 && self.attempts >= u64::from(min_requests);
        enough && self.failures * 100 >= self.attempts * u64::from(percent)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.attempts += more.attempts;
        self.failures += more.failures;
        self.slow += more.slow;
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, less: Counts) {
        *self = *self - less;
    }
}

impl Sub for Counts {
    type Output = Counts;

    /// What has come since `before`; nothing where a total has begun anew.
    fn sub(self, before: Counts) -> Counts {
        Counts {
            attempts: self.attempts.saturating_sub(before.attempts),
            failures: self.failures.saturating_sub(before.failures),
            slow: self.slow.saturating_sub(before.slow),
        }
    }
}

/// Attempts within a time that moves along. It is kept in slices, so that it may look back by up to one slice (an eighth) more.
#[derive(Clone, Debug, Default)]
pub struct Window {
    within: Counts,
    /// When slices began, and what they hold.
    slices: VecDeque<(Instant, Counts)>,
}

impl Window {
    /// Adds attempts; forgets what has left the window.
    pub fn add(&mut self, more: Counts, length: Duration, now: Instant) {
        let slice = length / SLICES;
        if self.slices.back().is_none_or(|&(began, ..)| now.since(began) >= slice) {
            self.slices.push_back((now, Counts::default()));
        }
        if let Some((_, counts)) = self.slices.back_mut() {
            *counts += more;
        }
        self.within += more;
        while let Some(&(began, counts)) = self.slices.front()
            && now.since(began) >= length + slice
        {
            self.within -= counts;
            self.slices.pop_front();
        }
    }

    /// What is within. Right after `add` only.
    pub fn counts(&self) -> Counts {
        self.within
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
        fn counts_what_lies_within(adds in prop::collection::vec((0_u64..2000, 0_u64..5, 0_u64..5, 0_u64..3), 1..80)) {
            let mut window = Window::default();
            let (mut now, mut all) = (Instant::ZERO, Vec::new());
            for (millis, good, failures, slow) in adds {
                now = now + Duration::from_millis(millis);
                let more = Counts { attempts: good + failures + slow, failures, slow };
                window.add(more, LENGTH, now);
                all.push((now, more));
                let within = |length: Duration| {
                    let mut sum = Counts::default();
                    all.iter().filter(|&&(at, _)| now.since(at) < length).for_each(|&(_, more)| sum += more);
                    sum
                };
                let (least, counted, most) = (within(LENGTH), window.counts(), within(LENGTH + LENGTH / SLICES));
                for count in [|counts: Counts| counts.attempts, |counts: Counts| counts.failures, |counts: Counts| counts.slow] {
                    prop_assert!((count(least)..=count(most)).contains(&count(counted)), "{least:?} {counted:?} {most:?}");
                }
                for percent in [1, 50, 100] {
                    let over = counted.attempts >= 6 && counted.failures * 100 >= counted.attempts * u64::from(percent);
                    prop_assert_eq!(counted.is_over(percent, 6), over);
                }
            }
        }
    }

    #[test]
    fn begins_anew() {
        let failed = |failures| Counts { attempts: failures, failures, slow: 0 };
        let mut window = Window::default();
        window.add(failed(20), LENGTH, Instant::ZERO);
        assert!(window.counts().is_over(50, 20));
        window.clear();
        window.add(failed(19), LENGTH, Instant::ZERO);
        assert!(!window.counts().is_over(50, 20));
    }
}
