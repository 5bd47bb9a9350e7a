//! All rate limits of one core, in their conversation with the coordinator.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::{Buckets, LimitReport, LimitUpdate, LimiterReport};
use crate::clock::Instant;

/// All rate limits of one core.
#[derive(Debug, Default)]
pub struct Limiters {
    core: u32,
    sequence: u64,
    applied: u64,
    limiters: Vec<Named>,
}

/// A rate limit's buckets and its name; shared with the link that asks them.
pub type Named = (Arc<str>, Rc<RefCell<Buckets>>);

impl Limiters {
    /// Those of this core; there are none yet.
    pub fn new(core: u32) -> Self {
        Limiters { core, ..Limiters::default() }
    }

    /// Another plan is in force, with these; those that it keeps are handed in again.
    pub fn replace(&mut self, limiters: Vec<Named>) {
        self.limiters = limiters;
    }

    /// Those of the plan in force.
    pub fn all(&self) -> &[Named] {
        &self.limiters
    }

    /// Whether the coordinator should hear at once.
    pub fn is_urgent(&self) -> bool {
        self.limiters.iter().any(|(_, buckets)| buckets.borrow().is_urgent())
    }

    /// Whether it should hear soon: keys that it looks after are asked for.
    pub fn is_busy(&self) -> bool {
        self.limiters.iter().any(|(_, buckets)| buckets.borrow().is_busy())
    }

    /// What there is to tell; nothing if there are no limits.
    pub fn report(&mut self, now: Instant) -> Option<LimitReport> {
        if self.limiters.is_empty() {
            return None;
        }
        self.sequence += 1;
        let limiters = self.limiters.iter().map(|(name, buckets)| {
            let mut buckets = buckets.borrow_mut();
            let usages = buckets.usages(now);
            let gave_up = buckets.gave_up().to_vec();
            let (limit, born, tally) = (buckets.terms().limit, buckets.born(), buckets.tally());
            LimiterReport { name: Arc::clone(name), limit, born, tally, usages, gave_up }
        });
        Some(LimitReport { core: self.core, sequence: self.sequence, applied: self.applied, limiters: limiters.collect() })
    }

    /// Takes over an update, unless it is an old one; whether it was new, and so wants to be answered.
    pub fn apply(&mut self, update: &LimitUpdate, now: Instant) -> bool {
        if update.version <= self.applied {
            return false;
        }
        self.applied = update.version;
        for said in &update.limiters {
            let here = |(name, buckets): &&Named| *name == said.name && buckets.borrow().terms().limit == said.limit;
            if let Some((_, buckets)) = self.limiters.iter().find(here) {
                buckets.borrow_mut().apply(said.born, &said.allots, now);
            }
        }
        true
    }
}
