//! A rate limit in numbers: what one request costs in time, and what of it each core holds until the coordinator moves parts.
//!
//! A bucket is one moment, its [`Tat`] (GCRA, ITU-T I.371): tokens are the time since then. A part of a limit earns its part of
//! the rate, so that a request costs the holder of a tenth ten times as much of that time. Parts of equal age that are joined
//! or split keep their age, which makes moving a part between cores move its tokens too.

use std::time::Duration;

use crate::clock::Instant;

/// A rate limit as it is set: two limits with equal settings are the same limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Tokens earned in each `per`; at least 1.
    pub count: u32,
    /// In what time.
    pub per: Duration,
    /// Tokens there are at most; at least `cost`.
    pub burst: u32,
    /// Tokens that a request takes; at least 1.
    pub cost: u32,
    /// Differs where the keys are of another kind, so that buckets of the one are none of the other.
    pub kind: u64,
}

/// The moment since which a bucket has earned tokens: its theoretical arrival time. It moves on with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tat(pub(super) u64);

impl Tat {
    /// The moment so many nanoseconds after the clock began.
    pub const fn from_nanos(nanos: u64) -> Self {
        Tat(EPOCH + nanos)
    }
}

/// A rate limit in numbers, for one core of several. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What the settings say.
    pub limit: Limit,
    /// In which the whole limit earns one request.
    pub(super) interval: u64,
    /// In which it earns the burst: what a key never seen before has.
    pub(super) fresh: u64,
    /// Tokens older than that are lost.
    pub(super) span: u64,
    /// Requests in a burst.
    units: u64,
    cores: u64,
    /// Those that are left when all cores have equally many.
    rest: u64,
}

/// So many parts make up the share of one request of the burst.
const PARTS: u32 = 20;
/// Moments of buckets are so far from zero that the oldest of them lies before the clock's start.
const EPOCH: u64 = 1 << 62;
/// No bucket takes longer to fill: 36 years.
const AGES: u64 = 1 << 60;
/// What the rate earns in this time is what several cores may admit beyond the burst.
pub const PERIOD: Duration = Duration::from_millis(50);
/// How long a request paid for beforehand may be made.
pub(super) const PREPAID: Duration = Duration::from_millis(10);
/// On several cores a bucket holds what is earned in this time at least, so that nothing is lost while parts move.
const SPAN: Duration = PERIOD.saturating_sub(PREPAID);

impl Terms {
    /// For a gateway of so many cores.
    pub fn new(limit: Limit, cores: u32) -> Self {
        let per = limit.per.as_nanos().max(1);
        let time = |tokens: u128| u64::try_from((per * tokens).div_ceil(limit.count.max(1).into())).unwrap_or(AGES).clamp(1, AGES);
        let units = u64::from((limit.burst / limit.cost.max(1)).max(1));
        let interval = time(limit.cost.max(1).into());
        let fresh = interval.saturating_mul(units).max(time(limit.burst.into())).min(AGES);
        let span = if cores > 1 { fresh.max(SPAN.as_nanos() as u64) } else { fresh };
        let cores = u64::from(cores.max(1));
        Terms { limit, interval, fresh, span, units, cores, rest: units % cores }
    }

    /// The parts that make up the limit.
    pub const fn whole(&self) -> u64 {
        self.units << PARTS
    }

    /// Requests that the whole earns in a second, rounded down.
    pub const fn per_second(&self) -> u64 {
        1_000_000_000 / self.interval
    }

    /// The parts that hold one request at least once they are full; fewer let nothing through.
    pub fn least(&self) -> u64 {
        let least = (u128::from(self.whole()) * u128::from(self.interval)).div_ceil(self.span.into());
        least as u64
    }

    /// What of a key a core holds before the coordinator has said anything: whole requests of the burst, evenly, and the remainder
    /// beginning with a core that depends on the key. Over all cores it sums up to the whole.
    pub fn first(&self, key: u128, core: u32) -> u64 {
        (self.units / self.cores + u64::from(self.has_more(key, core))) << PARTS
    }

    /// What a request costs a core that holds its first part, without and with one of the remainder.
    pub(super) fn first_intervals(&self) -> [u64; 2] {
        let even = self.units / self.cores;
        [self.interval(even << PARTS), self.interval((even + 1) << PARTS)]
    }

    /// Whether it is one of the cores that share the remainder.
    #[inline]
    pub(super) fn has_more(&self, key: u128, core: u32) -> bool {
        let home = ((u128::from(key as u64) * u128::from(self.cores)) >> 64) as u64;
        let core = u64::from(core);
        let place = if core >= home { core - home } else { core + self.cores - home };
        place < self.rest
    }

    /// The time in which so many parts earn one request.
    pub(super) fn interval(&self, parts: u64) -> u64 {
        if parts == 0 {
            return NEVER;
        }
        let nanos = (u128::from(self.interval) * u128::from(self.whole())).div_ceil(parts.into());
        u64::try_from(nanos).unwrap_or(NEVER).min(NEVER)
    }

    /// Two parts of one bucket made one, no token more than both have.
    pub fn join(&self, (parts, tat): (u64, Tat), (more, other): (u64, Tat), now: Instant) -> Tat {
        if parts == 0 || more == 0 {
            return if parts == 0 { other } else { tat };
        }
        let now = at(now);
        let age = |tat: Tat| i128::from(now) - i128::from(tat.0.max(now - self.span));
        let sum = i128::from(parts) * age(tat) + i128::from(more) * age(other);
        let joined = i128::from(now) - sum.div_euclid(i128::from(parts) + i128::from(more));
        Tat(joined as u64)
    }

    /// Requests that so many parts hold.
    pub fn requests(&self, parts: u64, tat: Tat, now: Instant) -> f64 {
        at(now).saturating_sub(tat.0).min(self.span) as f64 / self.interval(parts) as f64
    }

    /// The bucket of so many parts after so many requests.
    pub fn spend(&self, parts: u64, tat: Tat, requests: u64, now: Instant) -> Tat {
        let start = tat.0.max(at(now) - self.span);
        Tat(start.saturating_add(self.interval(parts).saturating_mul(requests)))
    }

    /// The bucket of so many parts to which goes back what the whole earns until then; what it can't hold is lost.
    pub fn give_back(&self, (parts, tat): (u64, Tat), returned: Instant, now: Instant) -> Tat {
        let worth = returned.since(now);
        if parts == 0 || worth.is_zero() {
            return tat;
        }
        let full = at(now) - self.span;
        let age = worth.as_nanos() * u128::from(self.whole()) / u128::from(parts);
        Tat(tat.0.max(full).saturating_sub(u64::try_from(age).unwrap_or(AGES).min(AGES)).max(full))
    }

    /// In which the whole earns so many requests.
    pub fn earns(&self, requests: u64) -> Duration {
        Duration::from_nanos(self.interval.saturating_mul(requests))
    }

    /// Until when a request that is paid for may be made.
    pub fn prepaid_until(now: Instant) -> Instant {
        now + PREPAID
    }

    /// A bucket without a token.
    pub fn empty(now: Instant) -> Tat {
        Tat(at(now))
    }
}

/// A time in which nothing is earned.
pub(super) const NEVER: u64 = 1 << 61;

/// A moment as buckets know it.
pub(super) const fn at(now: Instant) -> u64 {
    let nanos = now.as_nanos();
    EPOCH + if nanos < EPOCH { nanos } else { EPOCH }
}

/// A moment as buckets know it, in nanoseconds of the clock.
pub(super) const fn nanos(at: u64) -> u64 {
    at.saturating_sub(EPOCH)
}
