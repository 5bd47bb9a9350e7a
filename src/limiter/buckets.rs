//! One core's buckets of a rate limit: requests are decided by them alone, and parts come and go as the coordinator says.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use super::decision::{Decision, Verdict};
use super::message::{Allot, Lapsed, Tally, Usage};
use super::table::Table;
use super::terms::{NEVER, PREPAID, Tat, Terms, at, nanos};
use crate::clock::Instant;

/// One core's buckets of a rate limit.
///
/// What the coordinator granted is kept apart from the table, so that no stranger's key puts it out: a core that holds less
/// than its first part must not forget that.
#[derive(Debug)]
pub struct Buckets {
    terms: Terms,
    core: u32,
    cores: u32,
    /// What a first part's request costs, without and with one of the remainder.
    intervals: [u64; 2],
    table: Table,
    granted: Keys<Granted>,
    /// Keys whose first part was too small for what was asked.
    asking: Keys<Demand>,
    /// Keys asked for since the last report, each once.
    asked: Vec<u128>,
    /// Moments of keys when parts of them were given up by the last update: part of every report until the next.
    gave_up: Vec<(u128, Tat)>,
    /// Keys of which requests were paid for not long ago.
    paid: Vec<u128>,
    /// Something is to be told soon.
    urgent: bool,
    /// Requests told to wait in this while.
    waiting: u32,
    waiting_since: u64,
    /// Since which plan the coordinator knows it.
    born: u64,
    /// What was decided so far.
    tally: Tally,
}

#[derive(Debug)]
struct Granted {
    parts: u64,
    interval: u64,
    tat: Tat,
    /// Requests paid for by the coordinator, and until when.
    prepaid: u32,
    prepaid_until: u64,
    lapsed: Lapsed,
    demand: Demand,
}

impl Granted {
    /// What nobody asked for in time is not paid for any longer.
    fn lapse(&mut self, now: u64) {
        if self.prepaid > 0 && now >= self.prepaid_until {
            self.lapsed.requests += u64::from(std::mem::take(&mut self.prepaid));
            self.lapsed.payments += 1;
            self.lapsed.paid_at += u128::from(nanos(self.prepaid_until)) - PREPAID.as_nanos();
        }
    }
}

/// What is asked of a key here.
#[derive(Clone, Copy, Debug, Default)]
struct Demand {
    /// Requests since the last report.
    asked: u32,
    /// One of them found too little.
    short: bool,
    /// Requests that wait.
    waiting: u32,
    /// Who finds too little waits for parts from other cores until then..
    wait_until: u64,
    /// ..and is refused from then until then.
    refuse_until: u64,
}

/// After which a request that was told to wait asks again.
pub const WAIT: Duration = Duration::from_millis(2);
/// How long requests wait for parts at most: from the first one that finds too little on.
const PATIENCE: u64 = 16_000_000;
/// Nothing is paid for whoever will wait no longer than this: it would come too late.
const TOO_LATE: u64 = 5_000_000;
/// How long they are refused at once after that: longer than [`WAIT`], so that nobody waits through two such whiles.
const DISILLUSION: u64 = 5_000_000;
/// Requests that wait at once.
const WAITING_MAX: u32 = 1024;
/// How long reports speak of payments that lapsed: longer than a few of them get lost.
const REPEATED: u64 = 500_000_000;
/// Keys that a report speaks of at most: those most asked for.
const REPORT_MAX: usize = 4096;
/// Keys asked for beyond first parts that are known at once.
const ASKING_MAX: usize = 8192;

impl Buckets {
    /// Buckets for so many keys on core `core` of `cores`; `born` is the generation of the plan.
    pub fn new(terms: Terms, keys: usize, core: u32, cores: u32, born: u64) -> Self {
        let intervals = terms.first_intervals();
        Buckets {
            terms,
            core,
            cores,
            intervals,
            table: Table::new(keys),
            granted: Keys::default(),
            asking: Keys::default(),
            asked: Vec::new(),
            gave_up: Vec::new(),
            paid: Vec::new(),
            urgent: false,
            waiting: 0,
            waiting_since: 0,
            born,
            tally: Tally::default(),
        }
    }

    /// Asks for one request of this key; `again` if it was told to wait before.
    #[inline]
    pub fn check(&mut self, key: u128, now: Instant, again: bool) -> Decision {
        let now = at(now);
        if !self.granted.is_empty()
            && let Some(granted) = self.granted.get_mut(&key)
        {
            if granted.demand.asked == 0 {
                self.asked.push(key);
            }
            granted.demand.asked = granted.demand.asked.saturating_add(1);
            granted.demand.waiting = granted.demand.waiting.saturating_sub(u32::from(again));
            let interval = granted.interval;
            if granted.prepaid > 0 && now < granted.prepaid_until {
                granted.prepaid -= 1;
                if granted.demand.waiting == 0 {
                    // Waiting was of use: the next one may.
                    granted.demand.refuse_until = 0;
                }
                return Decision { verdict: Verdict::Admitted, credit: now.saturating_sub(granted.tat.0), interval };
            }
            let start = granted.tat.0.max(now - self.terms.span);
            let next = start + interval;
            if next <= now {
                granted.tat = Tat(next);
                return Decision { verdict: Verdict::Admitted, credit: now - next, interval };
            }
            return self.short(key, start, interval, now, again);
        }
        let interval = self.intervals[usize::from(self.terms.has_more(key, self.core))];
        match self.table.take(key, interval, &self.terms, now) {
            Ok(next) => Decision { verdict: Verdict::Admitted, credit: now - next, interval },
            Err(start) => self.short(key, start, interval, now, again),
        }
    }

    /// There is too little here: other cores may have more.
    #[cold]
    fn short(&mut self, key: u128, start: u64, interval: u64, now: u64, again: bool) -> Decision {
        let decision = |verdict| Decision { verdict, credit: now.saturating_sub(start), interval };
        if self.cores == 1 {
            return decision(Verdict::Refused);
        }
        let demand = match self.granted.get_mut(&key) {
            Some(granted) => &mut granted.demand,
            None => {
                if self.asking.len() >= ASKING_MAX && !self.asking.contains_key(&key) {
                    return decision(Verdict::Refused);
                }
                let demand = self.asking.entry(key).or_default();
                if demand.asked == 0 {
                    self.asked.push(key);
                }
                demand.asked = demand.asked.saturating_add(1);
                demand.waiting = demand.waiting.saturating_sub(u32::from(again));
                demand
            }
        };
        demand.short = true;
        self.urgent = true;
        if now >= demand.refuse_until && !again {
            demand.waiting = 0;
            demand.wait_until = now + PATIENCE;
            demand.refuse_until = demand.wait_until + DISILLUSION;
        }
        if now >= self.waiting_since + PATIENCE {
            (self.waiting, self.waiting_since) = (0, now);
        }
        if now >= demand.wait_until || self.waiting >= WAITING_MAX || interval == self.terms.interval {
            return decision(Verdict::Refused);
        }
        self.waiting += 1;
        demand.waiting += 1;
        decision(Verdict::Wait)
    }

    /// What is asked for: at most 4096 keys, the most asked for.
    pub fn usages(&mut self, now: Instant) -> Vec<Usage> {
        self.urgent = false;
        let now = at(now);
        self.paid.retain(|key| {
            let Some(granted) = self.granted.get_mut(key) else { return false };
            granted.lapse(now);
            if granted.lapsed.requests > 0 && granted.demand.asked == 0 {
                self.asked.push(*key);
            }
            granted.prepaid > 0 || now < granted.prepaid_until + REPEATED
        });
        let mut usages: Vec<Usage> = Vec::with_capacity(self.asked.len());
        for key in self.asked.drain(..) {
            let (demand, prepaid, lapsed) = match (self.granted.get_mut(&key), self.asking.get_mut(&key)) {
                (Some(granted), _) => (&mut granted.demand, granted.prepaid, granted.lapsed),
                (None, Some(demand)) => (demand, 0, Lapsed::default()),
                (None, None) => continue,
            };
            let (asked, short) = (std::mem::take(&mut demand.asked), std::mem::take(&mut demand.short));
            let waiting = if now + TOO_LATE < demand.wait_until { demand.waiting.saturating_sub(prepaid) } else { 0 };
            usages.push(Usage { key, asked, short, waiting, lapsed });
        }
        if usages.len() > REPORT_MAX {
            usages.select_nth_unstable_by_key(REPORT_MAX, |usage| std::cmp::Reverse((usage.short, usage.asked)));
            usages.truncate(REPORT_MAX);
        }
        self.asking.retain(|_, demand| demand.asked > 0 || now < demand.refuse_until);
        usages
    }

    /// The buckets of keys of which parts were given up by the last update, as they were then.
    pub fn gave_up(&self) -> &[(u128, Tat)] {
        &self.gave_up
    }

    /// Takes over what the coordinator says; `born` is since when it knows this limit. If that is another time than the cores have
    /// known, all hold first parts.
    pub fn apply(&mut self, born: u64, allots: &[Allot], now: Instant) {
        if self.born != born {
            self.born = born;
            for (key, granted) in std::mem::take(&mut self.granted) {
                self.table.insert(key, granted.tat);
            }
        }
        self.gave_up.clear();
        for allot in allots {
            let &Allot { key, parts, gained, prepaid, until, returned, forget } = allot;
            let granted = self.granted.entry(key).or_insert_with(|| {
                let tat = self.table.look(key, &self.terms, at(now));
                self.table.remove(key);
                let demand = self.asking.remove(&key).unwrap_or_default();
                let parts = self.terms.first(key, self.core);
                Granted { parts, interval: 0, tat, prepaid: 0, prepaid_until: NEVER, lapsed: Lapsed::default(), demand }
            });
            granted.tat = self.terms.give_back((granted.parts, granted.tat), returned, now);
            if parts > granted.parts {
                granted.tat = self.terms.join((granted.parts, granted.tat), (parts - granted.parts, gained), now);
            }
            if forget {
                self.table.insert(key, granted.tat);
                self.granted.remove(&key);
                continue;
            }
            if parts < granted.parts {
                self.gave_up.push((key, granted.tat));
            }
            (granted.parts, granted.interval) = (parts, self.terms.interval(parts));
            if prepaid > 0 {
                granted.lapse(at(now));
                granted.prepaid_until = if granted.prepaid > 0 { granted.prepaid_until.min(at(until)) } else { at(until) };
                granted.prepaid += prepaid;
                if !self.paid.contains(&key) {
                    self.paid.push(key);
                }
            }
        }
    }

    /// Since which plan the coordinator knows it.
    pub const fn born(&self) -> u64 {
        self.born
    }

    /// The limit in numbers.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether the coordinator should hear at once.
    pub const fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether it should hear soon: keys that it looks after are asked for.
    pub const fn is_busy(&self) -> bool {
        !self.asked.is_empty() || !self.paid.is_empty()
    }

    /// Counts what became of a request that was not told to wait: refused, or let through though it should have been (`shadow`).
    #[inline]
    pub fn count(&mut self, verdict: Verdict, shadow: bool) {
        let counter = match (verdict, shadow) {
            (Verdict::Admitted, _) => &mut self.tally.allowed,
            (_, false) => &mut self.tally.limited,
            (_, true) => &mut self.tally.shadowed,
        };
        *counter += 1;
    }

    /// What was decided so far.
    pub fn tally(&self) -> Tally {
        Tally { keys: self.table.used + self.granted.len() as u64, evicted: self.table.evicted, ..self.tally }
    }

    /// What a key's bucket holds here: parts and moment.
    pub fn holds(&mut self, key: u128, now: Instant) -> (u64, Tat) {
        match self.granted.get(&key) {
            Some(granted) => (granted.parts, granted.tat),
            None => (self.terms.first(key, self.core), self.table.look(key, &self.terms, at(now))),
        }
    }
}

type Keys<T> = HashMap<u128, T, BuildHasherDefault<AsIs>>;

/// Keys are hashes already.
#[derive(Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are whole numbers");
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key >> 64) as u64 ^ key as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

const _: () = assert!(NEVER < 1 << 62);
