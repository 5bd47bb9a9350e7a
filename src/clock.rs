//! Time as a number: what deciding modules are handed as `now`, and the one place that reads it.

use std::fmt::Write;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment on the process's monotonic time line, in nanoseconds since its [`Clock`] began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The moment the clock began.
    pub const ZERO: Instant = Instant(0);
    /// Later than every moment a clock can tell: "never".
    pub const MAX: Instant = Instant(u64::MAX);

    /// The moment `nanos` nanoseconds after the clock began.
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// Nanoseconds since the clock began.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    #[inline]
    fn add(self, rhs: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(rhs)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, rhs: Duration) -> Instant {
        Instant(self.0.saturating_sub(nanos(rhs)))
    }
}

/// The whole duration, or as many nanoseconds as there can be; without the 128 bits of `Duration::as_nanos`.
#[inline]
const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

/// The process's monotonic clock. Copies share one origin, so that their instants compare.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: u64,
}

impl Clock {
    /// A clock that begins at this call.
    pub fn start() -> Self {
        Clock { origin: monotonic_nanos() }
    }

    /// The present moment. Costs about 22 ns: read once a wake-up and pass the value down.
    #[inline]
    pub fn now(&self) -> Instant {
        Instant(monotonic_nanos().saturating_sub(self.origin))
    }
}

/// Processor time that this thread has taken.
pub fn thread_time() -> Duration {
    Duration::from_nanos(read(libc::CLOCK_THREAD_CPUTIME_ID))
}

/// Nanoseconds of CLOCK_MONOTONIC. The standard library's `Instant` reads the same, but to subtract two of them takes 60 of a
/// request's 13,000 instructions each time.
#[inline]
fn monotonic_nanos() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

#[allow(unsafe_code)]
#[inline]
fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live, properly typed value.
    let result = unsafe { libc::clock_gettime(clock, &mut now) };
    debug_assert_eq!(result, 0, "every Linux has these clocks");
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Whole seconds since 1970 began; 0 before that.
pub fn unix_seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Appends a moment in UTC, in milliseconds since 1970 began, as RFC 3339 writes it: `2026-11-24T02:03:04.567Z`. Years 1970 to 9999.
pub fn write_rfc3339(out: &mut String, millis: u64) {
    let (days, second, millis) = (millis / 86_400_000, millis / 1000 % 86_400, millis % 1000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // Writing to a string can't fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
}

/// The moment of a date and time as RFC 3339 writes it, in UTC and whole seconds (`2026-11-24T02:03:04Z`), in seconds since 1970 began;
/// `None` if it is none, or before that.
pub fn read_utc(text: &str) -> Option<u64> {
    let digits =
        |from: usize, to: usize| text.get(from..to).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?.parse::<u64>().ok();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if text.len() != 20 || marks.iter().any(|&(at, mark)| text.as_bytes()[at] != mark) {
        return None;
    }
    let date = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    if date.0 < 1970 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Years have at least 365 days, and a leap day every fourth at most.
    let least = (date.0 - 1970) * 365;
    let day = (least..least + (date.0 - 1970) / 4 + 367).find(|&day| civil(day) == date)?;
    Some(day * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Year, month and day of the day so many days after 1970-01-01, counting years from March so that the leap day comes last.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}
