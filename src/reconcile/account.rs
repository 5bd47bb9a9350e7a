//! One key of a rate limit over all cores: who holds how much of it, and who is to.

use std::time::Duration;

use crate::clock::Instant;
use crate::limiter::{Lapsed, Tat, Terms, Usage};

/// One key of a rate limit.
///
/// A part moves in two steps: the core that gives it up says so with its next report, and only then it is granted to another.
/// Between the two it is in the pool, where it earns tokens on. So what cores hold never sums up to more than the whole.
#[derive(Clone, Debug)]
pub(super) struct Account {
    lots: Vec<Lot>,
    /// Parts that no core holds, and their moment.
    pool: (u64, Tat),
    /// What payments that lapsed give back is there until then, where the pool had no parts to take it: it is worth the time that is
    /// left, in which the whole earns it. So it gets less as fast as a bucket that was full all the while could not earn.
    returned: Instant,
    /// When a core was last short.
    short_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Lot {
    /// The most that the core may hold.
    parts: u64,
    /// Requests asked for, older ones counting less: halved with each [`HALF`].
    need: f64,
    /// When that was.
    at: Instant,
    /// When it last found too little.
    short_at: Instant,
    /// Requests that wait there.
    waiting: u32,
    /// Payments that lapsed there and were given back.
    lapsed: Lapsed,
}

/// What is to become of a key.
pub(super) enum Aim {
    /// All stays where it is.
    Keep,
    /// Each core is to hold so much in the end.
    Parts(Vec<u64>),
    /// There isn't a request's worth for each core in need: none holds anything, and the pool pays for what waits.
    Pool,
}

/// By which what was asked for counts half.
const HALF: Duration = Duration::from_millis(10);
/// How long a core counts as short.
const SHORT: Duration = Duration::from_millis(30);

impl Account {
    /// A key of which all cores hold first parts.
    pub fn new(key: u128, terms: &Terms, cores: usize, now: Instant) -> Self {
        let lot = |core| {
            let parts = terms.first(key, core);
            Lot { parts, need: 0.0, at: now, short_at: Instant::ZERO, waiting: 0, lapsed: Lapsed::default() }
        };
        let lots = (0..cores as u32).map(lot).collect();
        Account { lots, pool: (0, Terms::empty(now)), returned: Instant::ZERO, short_at: now }
    }

    /// What a core says of it.
    pub fn on_usage(&mut self, core: usize, usage: &Usage, terms: &Terms, now: Instant) {
        let lot = &mut self.lots[core];
        lot.need = lot.need_at(now) + f64::from(usage.asked);
        lot.at = now;
        lot.waiting = usage.waiting;
        if usage.short {
            lot.short_at = now;
            self.short_at = now;
        }
        let requests = usage.lapsed.requests.saturating_sub(lot.lapsed.requests);
        if requests > 0 {
            // A bucket that was full since would not have earned in that time.
            let paid_at = usage.lapsed.paid_at - lot.lapsed.paid_at;
            let payments = usage.lapsed.payments - lot.lapsed.payments;
            let since = (u128::from(payments) * u128::from(now.as_nanos())).saturating_sub(paid_at);
            let worth = terms.earns(requests).saturating_sub(Duration::from_nanos(u64::try_from(since).unwrap_or(u64::MAX)));
            lot.lapsed = usage.lapsed;
            self.returned = self.returned.max(now) + worth;
            self.take_back(terms, now);
        }
    }

    /// What payments that lapsed give back goes to the pool, if it has parts.
    fn take_back(&mut self, terms: &Terms, now: Instant) {
        if self.pool.0 > 0 {
            self.pool.1 = terms.give_back(self.pool, self.returned, now);
            self.returned = now;
        }
    }

    /// The same to a core of these that holds parts, the one most in need: which, and until when it is there.
    pub fn give_back(&mut self, free: &[bool], now: Instant) -> Option<(usize, Instant)> {
        if self.returned <= now {
            return None;
        }
        let (core, _) = (self.lots.iter().enumerate())
            .filter(|(core, lot)| free[*core] && lot.parts > 0)
            .max_by(|(_, a), (_, b)| a.need_at(now).total_cmp(&b.need_at(now)))?;
        Some((core, std::mem::replace(&mut self.returned, now)))
    }

    /// A core has taken over what it was told: it holds no more than this.
    pub fn on_taken(&mut self, core: usize, parts: u64, tat: Tat, terms: &Terms, now: Instant) {
        let lot = &mut self.lots[core];
        // What was said before that may have been paid for.
        lot.waiting = 0;
        let Some(freed) = lot.parts.checked_sub(parts).filter(|&freed| freed > 0) else { return };
        lot.parts = parts;
        self.pool = (self.pool.0 + freed, terms.join(self.pool, (freed, tat), now));
        self.take_back(terms, now);
    }

    /// Lets free cores come nearer to what they are to hold: what each is told, and the moment of what it gains. First those that give
    /// up parts, unless it is so little that it isn't worth a message; then what the pool has goes to those that lack most.
    pub fn settle(&mut self, targets: &[u64], exact: bool, free: &[bool]) -> Vec<(usize, u64, Tat)> {
        let mut told = Vec::new();
        for (core, (lot, &target)) in self.lots.iter().zip(targets).enumerate() {
            let little = if exact || target == 0 { 0 } else { lot.parts / 8 };
            if free[core] && lot.parts > target + little {
                told.push((core, target, self.pool.1));
            }
        }
        let lack = |lots: &[Lot], core: usize| targets[core].saturating_sub(lots[core].parts);
        let mut lacking: Vec<usize> = (0..targets.len()).filter(|&core| free[core] && lack(&self.lots, core) > 0).collect();
        lacking.sort_by_key(|&core| std::cmp::Reverse(lack(&self.lots, core)));
        for core in lacking {
            let gained = lack(&self.lots, core).min(self.pool.0);
            if gained > 0 {
                self.lots[core].parts += gained;
                self.pool.0 -= gained;
                told.push((core, self.lots[core].parts, self.pool.1));
            }
        }
        told
    }

    /// What a core may hold.
    pub fn holds(&self, core: usize) -> u64 {
        self.lots[core].parts
    }

    /// Requests of a core that wait and that the pool pays for.
    pub fn pay(&mut self, core: usize, terms: &Terms, now: Instant) -> u32 {
        let lot = &mut self.lots[core];
        let waiting = if now.since(lot.at) < FRESH { lot.waiting } else { 0 };
        if waiting == 0 || self.pool.0 == 0 {
            return 0;
        }
        let paid = (terms.requests(self.pool.0, self.pool.1, now) as u64).min(waiting.into());
        self.pool.1 = terms.spend(self.pool.0, self.pool.1, paid, now);
        lot.waiting = 0;
        paid as u32
    }

    /// What is to become of it, by what is asked for.
    pub fn aim(&self, terms: &Terms, now: Instant) -> Aim {
        let mut needs: Vec<f64> = self.lots.iter().map(|lot| lot.need_at(now)).collect();
        let least = FORGOTTEN.max(needs.iter().sum::<f64>() / 256.0);
        needs.iter_mut().filter(|need| **need < least).for_each(|need| *need = 0.0);
        // Those that find enough have tokens that others lack.
        let weighed = |(lot, need): (&Lot, &f64)| if lot.is_short(now) { 2.0 * need } else { *need };
        let needs: Vec<f64> = self.lots.iter().zip(&needs).map(weighed).collect();
        let (whole, sum) = (terms.whole(), needs.iter().sum::<f64>());
        let fair = |core: usize| (whole as f64 * needs[core] / sum) as u64;
        let needing = needs.iter().filter(|&&need| need > 0.0).count() as u64;
        if needing == 0 {
            return Aim::Keep;
        }
        // Shares of which each core has less than a request's worth at hand would leave much of the whole lying about.
        let crumbs = needing * 40 > terms.per_second() || terms.least().saturating_mul(2 * needing) > whole;
        if needing > 1 && crumbs {
            return Aim::Pool;
        }
        let all = 0..needs.len();
        let lacks = |core: usize| self.lots[core].is_short(now) && self.lots[core].parts < fair(core) / 3 * 2;
        let spare = |core: usize| if self.lots[core].is_short(now) { 0 } else { self.lots[core].parts.saturating_sub(fair(core)) };
        let idle = all.clone().map(spare).sum::<u64>() + self.pool.0;
        let moves = all.clone().any(lacks) || idle > whole / 64 || needing == 1 && idle > 0;
        if !moves {
            return Aim::Keep;
        }
        let mut targets: Vec<u64> = all.clone().map(fair).collect();
        let rest = whole - targets.iter().sum::<u64>().min(whole);
        let most = all.max_by(|&a, &b| needs[a].total_cmp(&needs[b])).unwrap_or(0);
        targets[most] += rest;
        Aim::Parts(targets)
    }

    /// First parts for all.
    pub fn first(&self, key: u128, terms: &Terms) -> Vec<u64> {
        (0..self.lots.len() as u32).map(|core| terms.first(key, core)).collect()
    }

    /// Whether all hold exactly this.
    pub fn is(&self, targets: &[u64]) -> bool {
        self.lots.iter().zip(targets).all(|(lot, &target)| lot.parts == target)
    }

    /// When a core was last short.
    pub const fn short_at(&self) -> Instant {
        self.short_at
    }

    /// The part of the whole that isn't where it is asked for.
    pub fn error(&self, targets: &[u64], terms: &Terms) -> f64 {
        let missing: u64 = self.lots.iter().zip(targets).map(|(lot, target)| target.saturating_sub(lot.parts)).sum();
        missing as f64 / terms.whole() as f64
    }
}

impl Lot {
    fn is_short(&self, now: Instant) -> bool {
        self.short_at != Instant::ZERO && now.since(self.short_at) < SHORT
    }

    fn need_at(&self, now: Instant) -> f64 {
        self.need * (-(now.since(self.at).as_secs_f64() / HALF.as_secs_f64())).exp2()
    }
}

/// A need so small counts as none.
const FORGOTTEN: f64 = 0.05;
/// How long it is believed that requests wait.
const FRESH: Duration = Duration::from_millis(3);
