//! Whether a result can be believed, and whether it is good enough.

use ringway::latency::quantile;

use crate::tally::Tally;
use crate::words::{MILLISECOND, show_part, show_time, time};

/// Where this program is itself the bottleneck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The 99th percentile of its own lag in nanoseconds, where that is also more than [`LAG_SHARE`] of the response time's.
    pub lag: u64,
    /// Of the time, the part for which a thread may be on its core or wait for it.
    pub busy: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { lag: MILLISECOND, busy: 0.95 }
    }
}

/// A result is believed whatever the lag, if it is at most this part of what is measured.
pub const LAG_SHARE: f64 = 0.1;

/// What has to hold of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// The response time at this quantile, less than so many nanoseconds.
    Response(f64, u64),
    /// The part of requests that failed or got a status of 400 and above, less than this.
    Errors(f64),
}

/// The one doubt about a result that is no fault of this program's.
pub const UNANSWERED: &str = "not one request was answered";

/// Says why a result can't be believed: each reason a sentence. `wanted` is the part of the time for which a thread was on its core or
/// waited for it, at most: a thread that never sleeps might have done more, had it had the time.
pub fn doubts(tally: &Tally, wanted: f64, limits: &Limits) -> Vec<String> {
    let mut doubts = Vec::new();
    let (lag, response) = (tally.lag.value_at_quantile(0.99), tally.response.value_at_quantile(0.99));
    if lag > limits.lag && lag as f64 > LAG_SHARE * response as f64 {
        let (lag, response) = (show_time(lag), show_time(response));
        doubts.push(format!("ringload itself was late: {lag} at p99, while p99 of the response time is {response}"));
    }
    if wanted > limits.busy {
        let percent = wanted * 100.0;
        doubts.push(format!(
            "ringload itself was at its limit: a thread was busy, or other programs had its core, for {percent:.0} % of the time"
        ));
    }
    if tally.answered() == 0 {
        doubts.push(UNANSWERED.to_owned());
    }
    doubts
}

impl Expectation {
    /// Reads `p99<20ms` or `errors<0.1%`.
    ///
    /// # Errors
    /// A sentence that says what it should look like.
    pub fn read(text: &str) -> Result<Expectation, String> {
        let wrong = || format!("`{text}` is no expectation: write p99<20ms, p99.9<1s or errors<0.1%");
        let (what, bound) = text.split_once('<').ok_or_else(wrong)?;
        let (what, bound) = (what.trim(), bound.trim());
        let percent = |text: &str| text.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent)).map(quantile);
        let kind = match what.strip_prefix('p') {
            Some(quantile) => Kind::Response(percent(quantile).ok_or_else(wrong)?, time(bound)?),
            None if what == "errors" => Kind::Errors(bound.strip_suffix('%').map(str::trim).and_then(percent).ok_or_else(wrong)?),
            None => return Err(wrong()),
        };
        Ok(Expectation { text: text.to_owned(), kind })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time that it bounds, in nanoseconds.
    pub fn bound(&self) -> Option<u64> {
        match self.kind {
            Kind::Response(_, bound) => Some(bound),
            Kind::Errors(_) => None,
        }
    }

    /// Whether it holds, and a line about it.
    pub fn judge(&self, tally: &Tally) -> (bool, String) {
        let (holds, found) = match self.kind {
            Kind::Response(quantile, bound) => {
                let found = tally.response.value_at_quantile(quantile);
                (found < bound && !tally.response.is_empty(), show_time(found))
            }
            Kind::Errors(bound) => {
                let all = tally.answered() + tally.failed();
                ((tally.errors() as f64) < bound * all as f64, show_part(tally.errors(), all))
            }
        };
        (holds, format!("{}: {} (it is {found})", self.text, if holds { "holds" } else { "does NOT hold" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::{Failure, Outcome};

    fn tally(lag: u64, response: u64) -> Tally {
        let mut tally = Tally::default();
        tally.lag.record(lag).unwrap();
        tally.settle(Outcome::Answer(200), response, Some(response));
        tally
    }

    #[test]
    fn a_late_or_busy_generator_is_doubted() {
        let doubts = |lag, response, wanted| doubts(&tally(lag, response), wanted, &Limits::default()).len();
        assert_eq!(doubts(900_000, 1_000_000, 0.9), 0, "within a millisecond");
        assert_eq!(doubts(2_000_000, 50_000_000, 0.9), 0, "small against what is measured");
        assert_eq!(doubts(2_000_000, 10_000_000, 0.9), 1);
        assert_eq!(doubts(2_000_000, 10_000_000, 0.96), 2);
        assert_eq!(super::doubts(&Tally::default(), 0.0, &Limits::default()), [UNANSWERED]);
    }

    #[test]
    fn expectations_are_read_and_judged() {
        let mut tally = tally(1, 10_000_000);
        for _ in 0..9 {
            tally.settle(Outcome::Answer(200), 1_000_000, Some(1_000_000));
        }
        let holds = |tally: &Tally, text| Expectation::read(text).unwrap().judge(tally).0;
        assert!(holds(&tally, "p50<2ms") && holds(&tally, "p99.9 < 11ms") && holds(&tally, "errors<0.1%"));
        assert!(!holds(&tally, "p99<10ms") && !holds(&tally, "p50<1ms"));
        tally.settle(Outcome::Failure(Failure::Cut), 1, None);
        assert!(!holds(&tally, "errors<9%") && holds(&tally, "errors<10%"));
        assert!(!holds(&Tally::default(), "p99<1s"), "nothing was measured");
        let mut many = Tally::default();
        (0..4000).for_each(|index| many.settle(Outcome::Answer(200), if index < 4 { 9_000_000 } else { 1_000_000 }, None));
        assert!(holds(&many, "p99.9<2ms"), "999 of a thousand took less");
        for wrong in ["", "p99", "p99<", "p101<1s", "p<1s", "errors<1", "mean<1s", "p99>1s", "pnan<1s"] {
            assert!(Expectation::read(wrong).is_err(), "{wrong}");
        }
    }
}
