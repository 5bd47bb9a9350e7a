//! A core's records that nobody has taken over yet: a bounded buffer, handed over whole when it is old or full enough.

use std::sync::Arc;

use super::Record;
use crate::middleware::AccessLog;

/// Records that are handed over together, with the logs that they name by number.
#[derive(Debug)]
pub struct Batch {
    /// The plan's logs.
    pub logs: Arc<[AccessLog]>,
    /// The records, one behind the other.
    pub records: Vec<u8>,
    /// How many they are.
    pub count: u64,
}

/// One core's records.
#[derive(Debug)]
pub struct Journal {
    logs: Arc<[AccessLog]>,
    records: Vec<u8>,
    count: u64,
    limit: usize,
}

impl Journal {
    /// One that holds at most so many bytes of records, which are of these logs.
    pub fn new(limit: usize, logs: Arc<[AccessLog]>) -> Self {
        Journal { logs, records: Vec::with_capacity(limit), count: 0, limit }
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

    /// Whether its records are of these logs.
    #[inline]
    pub fn is_of(&self, logs: &Arc<[AccessLog]>) -> bool {
        Arc::ptr_eq(&self.logs, logs)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Everything in it; an empty buffer of the same size takes its place.
    pub fn take(&mut self, empty: Vec<u8>) -> Batch {
        Batch { logs: self.logs.clone(), records: std::mem::replace(&mut self.records, empty), count: std::mem::take(&mut self.count) }
    }

    /// What comes is of other logs; it must have been emptied. Says how many records are lost because it wasn't.
    pub fn reopen(&mut self, logs: Arc<[AccessLog]>) -> u64 {
        self.logs = logs;
        self.records.clear();
        std::mem::take(&mut self.count)
    }
}
