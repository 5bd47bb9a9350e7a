//! Response times as an HDR histogram: recorded on the core without a lock, published once in a while.
//!
//! A core records into its own [`Latency`] and about once a second adds that to its [`Spread`], which readers lock.
//! Both are as large as they will ever be from the start, so neither recording nor publishing allocates.

use std::sync::Mutex;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time told apart; longer ones count as this.
const MAX_MICROS: u64 = 60_000_000;
/// Decimal digits that are exact: two times that differ by less than 1 % may fall together.
const DIGITS: u8 = 2;

/// An empty histogram of 1 µs to 60 s, about 20 KB.
fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_MICROS, DIGITS).expect("the bounds are valid")
}

/// Response times of one core since they were last published. Lives on its core.
#[derive(Debug)]
pub struct Latency {
    recent: Histogram<u64>,
}

/// Response times of one core since the start, as last published.
#[derive(Debug)]
pub struct Spread {
    published: Mutex<Histogram<u64>>,
}

impl Default for Latency {
    fn default() -> Self {
        Latency { recent: empty() }
    }
}

impl Default for Spread {
    fn default() -> Self {
        Spread { published: Mutex::new(empty()) }
    }
}

impl Latency {
    /// Counts one response time; 4 to 6 ns.
    #[inline]
    pub fn record(&mut self, elapsed: Duration) {
        let micros = elapsed.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(elapsed.subsec_micros()));
        self.recent.saturating_record(micros);
    }

    /// Adds what was recorded to `spread` and starts anew; does nothing while a reader holds it. A few µs.
    pub fn publish(&mut self, spread: &Spread) {
        if self.recent.is_empty() {
            return;
        }
        if let Ok(mut published) = spread.published.try_lock() {
            published.add(&self.recent).expect("both have the same bounds");
            self.recent.reset();
        }
    }
}

impl Spread {
    /// Response times of all these cores in one histogram, in microseconds.
    pub fn merged<'a>(spreads: impl IntoIterator<Item = &'a Spread>) -> Histogram<u64> {
        let mut all = empty();
        for spread in spreads {
            // A poisoned lock still holds a whole histogram: publishing adds before it resets.
            let published = spread.published.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            all.add(&*published).expect("all have the same bounds");
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_adds_up_and_starts_anew() {
        let (mut latency, spread) = (Latency::default(), Spread::default());
        for millis in 1..=100 {
            latency.record(Duration::from_millis(millis));
        }
        latency.publish(&spread);
        latency.publish(&spread);
        latency.record(Duration::from_secs(3600));
        latency.record(Duration::ZERO);
        latency.publish(&spread);
        let all = Spread::merged([&spread]);
        assert_eq!(all.len(), 102);
        let median = all.value_at_quantile(0.5);
        assert!((49_500..=50_500).contains(&median), "{median}");
        assert!(all.max() >= MAX_MICROS && all.max() < MAX_MICROS * 101 / 100);
    }

    #[test]
    fn publishing_waits_for_no_reader() {
        let (mut latency, spread) = (Latency::default(), Spread::default());
        latency.record(Duration::from_millis(1));
        let reader = spread.published.lock().unwrap();
        latency.publish(&spread);
        drop(reader);
        assert_eq!(Spread::merged([&spread]).len(), 0);
        latency.publish(&spread);
        assert_eq!(Spread::merged([&spread]).len(), 1, "what could not be published is kept");
    }
}
