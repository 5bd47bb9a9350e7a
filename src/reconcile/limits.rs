//! Rate limits over all cores: the coordinator moves parts of keys to the cores that are asked for them.
//!
//! Each core has one update under way at most; it is sent again until the core's report says that it was taken over. So both always
//! agree on what the core holds, whatever gets lost. A gateway in which no core is short exchanges nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, Aim};
use crate::clock::Instant;
use crate::limiter::{Allot, Limit, LimitReport, LimitUpdate, LimiterReport, LimiterUpdate, Tally, Tat, Terms};

/// The rate limits of a configuration.
#[derive(Debug)]
pub struct Limits {
    seats: Vec<Seat>,
    books: Vec<Book>,
    /// The plan in force.
    generation: u64,
}

/// What is known of a core.
#[derive(Debug, Default)]
struct Seat {
    /// Of its newest report.
    sequence: u64,
    /// Of the newest update made for it.
    version: u64,
    /// That update, until the core has taken it over, and when it is sent again.
    under_way: Option<(LimitUpdate, Instant)>,
}

/// One rate limit.
#[derive(Debug)]
struct Book {
    name: Arc<str>,
    terms: Terms,
    /// Since which plan; grows if cores must begin again.
    born: u64,
    /// What each core says of that; as long as one doesn't agree, nothing moves.
    agreed: Vec<Agreed>,
    accounts: HashMap<u128, Account>,
    /// Those to be looked at.
    stirred: HashSet<u128>,
    /// Keys that go back to first parts.
    leaving: HashSet<u128>,
    swept: Instant,
    /// The largest part of a key's limit that wasn't where it was asked for, since it was last asked.
    error: f64,
    /// Keys that there was no room for.
    turned_away: u64,
    /// What each core decided.
    tallies: Vec<Tally>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreed {
    /// It has not spoken of the limit, or not since it was told.
    Unknown,
    /// It says something else and has to be told.
    Differs,
    Yes,
}

/// Keys of one limit that are looked after at once; those beyond keep their first parts.
pub const KEYS_MAX: usize = 8192;
/// Keys of which an update speaks at most.
const ALLOTS_MAX: usize = 4096;
/// After which an update is sent again.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a key that was short is looked at.
const STIRRED: Duration = Duration::from_millis(100);
/// How long it is looked after though it isn't short.
const KEPT: Duration = Duration::from_secs(10);
/// The same where there is little room left.
const KEPT_CROWDED: Duration = Duration::from_millis(500);
/// Between two looks for keys to be forgotten.
const SWEEP: Duration = Duration::from_millis(250);

impl Limits {
    /// For so many cores; there are no limits yet.
    pub fn new(cores: u32) -> Self {
        Limits { seats: (0..cores).map(|_| Seat::default()).collect(), books: Vec::new(), generation: 0 }
    }

    /// Another plan is put in force. Limits of the same name and settings keep all their state.
    pub fn reconfigure(&mut self, limits: impl IntoIterator<Item = (Arc<str>, Limit)>, generation: u64, now: Instant) {
        self.generation = generation;
        let mut known = std::mem::take(&mut self.books);
        let cores = self.seats.len();
        for (name, limit) in limits {
            let same = known.iter().position(|book| book.name == name && book.terms.limit == limit);
            let book = same.map(|index| known.swap_remove(index));
            self.books.push(book.unwrap_or_else(|| Book::new(name, Terms::new(limit, cores as u32), cores, generation, now)));
        }
    }

    /// A core's report. One that is older than another that was taken counts for nothing.
    pub fn on_report(&mut self, report: &LimitReport, now: Instant) {
        let core = report.core as usize;
        let Some(seat) = self.seats.get_mut(core) else { return };
        if report.sequence <= seat.sequence {
            return;
        }
        seat.sequence = report.sequence;
        let taken = seat.under_way.take_if(|(update, _)| report.applied >= update.version).map(|(update, _)| update);
        let under_way = seat.under_way.as_ref().map_or(&[][..], |(update, _)| &update.limiters);
        for book in &mut self.books {
            let here = |limiter: &&LimiterReport| limiter.name == book.name && limiter.limit == book.terms.limit;
            let Some(said) = report.limiters.iter().find(here) else { continue };
            let told = |limiter: &&LimiterUpdate| limiter.name == book.name && limiter.born == book.born;
            let allots = taken.as_ref().and_then(|update| update.limiters.iter().find(told));
            // It still speaks of what it held before.
            let pending = under_way.iter().find(told).map_or(&[][..], |limiter| &limiter.allots);
            let forgotten = pending.iter().filter(|allot| allot.forget).map(|allot| allot.key).collect();
            book.on_report(core, said, allots.map_or(&[], |limiter| &limiter.allots), &forgotten, now);
        }
    }

    /// Updates to be sent, each to its core: new ones, and those that seem to be lost.
    pub fn tick(&mut self, now: Instant) -> Vec<(usize, LimitUpdate)> {
        let mut next: Vec<Vec<LimiterUpdate>> = self.seats.iter().map(|_| Vec::new()).collect();
        let free: Vec<bool> = self.seats.iter().map(|seat| seat.under_way.is_none()).collect();
        for book in &mut self.books {
            for (core, allots) in book.tick(&free, now).into_iter().enumerate() {
                let differs = book.agreed[core] == Agreed::Differs;
                if free[core] && (!allots.is_empty() || differs) {
                    if differs {
                        book.agreed[core] = Agreed::Unknown;
                    }
                    next[core].push(LimiterUpdate { name: Arc::clone(&book.name), limit: book.terms.limit, born: book.born, allots });
                }
            }
        }
        let mut updates = Vec::new();
        for (core, (seat, limiters)) in self.seats.iter_mut().zip(next).enumerate() {
            match &mut seat.under_way {
                Some((update, again)) if now >= *again => {
                    *again = now + AGAIN;
                    updates.push((core, update.clone()));
                }
                None if !limiters.is_empty() => {
                    seat.version += 1;
                    let update = LimitUpdate { version: seat.version, limiters };
                    seat.under_way = Some((update.clone(), now + AGAIN));
                    updates.push((core, update));
                }
                _ => {}
            }
        }
        updates
    }

    /// Whether to tick again soon: something is under way or in demand.
    pub fn is_busy(&self) -> bool {
        self.seats.iter().any(|seat| seat.under_way.is_some())
            || self.books.iter().any(|book| !book.stirred.is_empty() || !book.leaving.is_empty())
    }

    /// All limits, for the pages; the errors begin anew.
    pub fn snapshot(&mut self) -> Vec<LimiterState> {
        let state = |book: &mut Book| {
            let mut tally = Tally::default();
            for one in &book.tallies {
                tally.allowed += one.allowed;
                tally.limited += one.limited;
                tally.shadowed += one.shadowed;
                tally.keys += one.keys;
                tally.evicted += one.evicted;
            }
            LimiterState {
                name: Arc::clone(&book.name),
                tally,
                hot: book.accounts.len() as u64,
                left_alone: book.turned_away,
                error: std::mem::take(&mut book.error),
            }
        };
        self.books.iter_mut().map(state).collect()
    }
}

/// A rate limit over all cores, as pages show it.
#[derive(Clone, Debug, PartialEq)]
pub struct LimiterState {
    /// Its name.
    pub name: Arc<str>,
    /// What all cores decided, and the keys they know.
    pub tally: Tally,
    /// Keys that are looked after.
    pub hot: u64,
    /// How often there was no room for one.
    pub left_alone: u64,
    /// The largest part of a key's limit that wasn't where it was asked for since this was last asked.
    pub error: f64,
}

impl Book {
    fn new(name: Arc<str>, terms: Terms, cores: usize, born: u64, now: Instant) -> Self {
        Book {
            name,
            terms,
            born,
            agreed: vec![Agreed::Unknown; cores],
            accounts: HashMap::new(),
            stirred: HashSet::new(),
            leaving: HashSet::new(),
            swept: now,
            error: 0.0,
            turned_away: 0,
            tallies: vec![Tally::default(); cores],
        }
    }

    fn on_report(&mut self, core: usize, said: &LimiterReport, taken: &[Allot], forgotten: &HashSet<u128>, now: Instant) {
        self.tallies[core] = said.tally;
        if said.born != self.born {
            if self.agreed[core] == Agreed::Yes {
                // It has begun again: nobody knows what it holds, so that all do.
                *self = Book::new(Arc::clone(&self.name), self.terms.clone(), self.agreed.len(), self.born + 1, now);
            }
            self.agreed[core] = Agreed::Differs;
            return;
        }
        self.agreed[core] = Agreed::Yes;
        if !taken.is_empty() {
            let tats: HashMap<u128, Tat> = said.gave_up.iter().copied().collect();
            for allot in taken.iter().filter(|allot| !allot.forget) {
                let Some(account) = self.accounts.get_mut(&allot.key) else { continue };
                let tat = tats.get(&allot.key).copied().unwrap_or(Terms::empty(now));
                account.on_taken(core, allot.parts, tat, &self.terms, now);
                self.stirred.insert(allot.key);
            }
        }
        for usage in said.usages.iter().filter(|usage| !forgotten.contains(&usage.key)) {
            if !self.accounts.contains_key(&usage.key) {
                if !usage.short {
                    continue;
                }
                if self.accounts.len() >= KEYS_MAX {
                    self.turned_away += 1;
                    continue;
                }
                self.accounts.insert(usage.key, Account::new(usage.key, &self.terms, self.agreed.len(), now));
            }
            let account = self.accounts.get_mut(&usage.key).expect("it is there or was put there");
            account.on_usage(core, usage, &self.terms, now);
            if usage.short {
                self.stirred.insert(usage.key);
                self.leaving.remove(&usage.key);
            }
        }
    }

    /// What each core that is free is to be told.
    fn tick(&mut self, free: &[bool], now: Instant) -> Vec<Vec<Allot>> {
        let mut allots: Vec<Vec<Allot>> = vec![Vec::new(); free.len()];
        if self.agreed.iter().any(|&agreed| agreed != Agreed::Yes) {
            return allots;
        }
        self.sweep(now);
        let mut stirred = std::mem::take(&mut self.stirred);
        stirred.retain(|&key| {
            let Some(account) = self.accounts.get_mut(&key) else { return false };
            if self.leaving.contains(&key) {
                return false;
            }
            if is_full(&allots) {
                return true;
            }
            match account.aim(&self.terms, now) {
                Aim::Keep => {}
                Aim::Parts(targets) => {
                    self.error = self.error.max(account.error(&targets, &self.terms));
                    give(account, key, &targets, false, free, now, &mut allots);
                }
                Aim::Pool => pool(account, key, &self.terms, free, now, &mut allots),
            }
            if let Some((core, returned)) = account.give_back(free, now) {
                allot(account, key, core, now, &mut allots[core]).returned = returned;
            }
            now.since(account.short_at()) < STIRRED
        });
        self.stirred = stirred;
        let mut leaving = std::mem::take(&mut self.leaving);
        leaving.retain(|&key| {
            let Some(account) = self.accounts.get_mut(&key) else { return false };
            let first = account.first(key, &self.terms);
            if is_full(&allots) {
                return true;
            }
            if !account.is(&first) {
                give(account, key, &first, true, free, now, &mut allots);
                return true;
            }
            // All at once, so that no core keeps what another has forgotten.
            if !free.iter().all(|&free| free) {
                return true;
            }
            for (allots, &parts) in allots.iter_mut().zip(&first) {
                allots.push(Allot { forget: true, ..Allot::parts(key, parts, now) });
            }
            self.accounts.remove(&key);
            false
        });
        self.leaving = leaving;
        allots
    }

    /// Keys that nobody was short of for long leave.
    fn sweep(&mut self, now: Instant) {
        if now.since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        let kept = if self.accounts.len() > KEYS_MAX / 4 * 3 { KEPT_CROWDED } else { KEPT };
        let idle = self.accounts.iter().filter(|(_, account)| now.since(account.short_at()) >= kept).map(|(&key, _)| key);
        self.leaving.extend(idle);
    }
}

/// Whether an update has as much to say as it may: what is left out has its turn with the next one.
fn is_full(allots: &[Vec<Allot>]) -> bool {
    allots.iter().any(|allots| allots.len() >= ALLOTS_MAX)
}

/// Lets free cores come nearer to their targets, and to just these with `exact`.
fn give(account: &mut Account, key: u128, targets: &[u64], exact: bool, free: &[bool], now: Instant, allots: &mut [Vec<Allot>]) {
    for (core, parts, gained) in account.settle(targets, exact, free) {
        allots[core].push(Allot { gained, ..Allot::parts(key, parts, now) });
    }
}

/// Takes all parts into the pool, and pays from it for what waits.
fn pool(account: &mut Account, key: u128, terms: &Terms, free: &[bool], now: Instant, allots: &mut [Vec<Allot>]) {
    give(account, key, &vec![0; free.len()], true, free, now, allots);
    for (core, allots) in allots.iter_mut().enumerate().filter(|(core, _)| free[*core]) {
        let prepaid = account.pay(core, terms, now);
        if prepaid == 0 {
            continue;
        }
        let allot = allot(account, key, core, now, allots);
        (allot.prepaid, allot.until) = (prepaid, Terms::prepaid_until(now));
    }
}

/// What a core is told of the key: what it is told already, or a new word that leaves it what it holds.
fn allot<'a>(account: &Account, key: u128, core: usize, now: Instant, allots: &'a mut Vec<Allot>) -> &'a mut Allot {
    if allots.last().is_none_or(|allot| allot.key != key) {
        allots.push(Allot::parts(key, account.holds(core), now));
    }
    allots.last_mut().expect("it was put there")
}
