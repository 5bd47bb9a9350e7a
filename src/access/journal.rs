//! A core's records that nobody has taken over yet: a bounded buffer, handed over whole when it is old or full enough.

use std::sync::Arc;

use super::{Names, Record};

/// Records that are handed over together, with what they name by number.
#[derive(Debug)]
pub struct Batch {
    /// What they name by number.
    pub names: Arc<Names>,
    /// The records, one behind the other.
    pub records: Vec<u8>,
    /// How many they are.
    pub count: u64,
}

/// One core's records.
#[derive(Debug)]
pub struct Journal {
    names: Arc<Names>,
    records: Vec<u8>,
    count: u64,
    limit: usize,
}

impl Journal {
    /// One that holds at most so many bytes of records, which use these names.
    pub fn new(limit: usize, names: Arc<Names>) -> Self {
        Journal { names, records: Vec::with_capacity(limit), count: 0, limit }
    }

    /// Adds a record; `false`: there is no room, so it is dropped.
    #[inline]
    pub fn add(&mut self, record: &Record<'_>) -> bool {
        let fits = record.encode(&mut self.records, self.limit);
        self.count += u64::from(fits);
        fits
    }

    /// Whether it is so full that it should be handed over at once.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.records.len() >= self.limit / 2
    }

    /// Whether its records use these names.
    #[inline]
    pub fn is_of(&self, names: &Arc<Names>) -> bool {
        Arc::ptr_eq(&self.names, names)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Everything in it; an empty buffer of the same size takes its place.
    pub fn take(&mut self, empty: Vec<u8>) -> Batch {
        Batch { names: self.names.clone(), records: std::mem::replace(&mut self.records, empty), count: std::mem::take(&mut self.count) }
    }

    /// What comes uses other names; it must have been emptied. Says how many records are lost because it wasn't.
    pub fn reopen(&mut self, names: Arc<Names>) -> u64 {
        self.names = names;
        self.records.clear();
        std::mem::take(&mut self.count)
    }
}
