//! What one core's links count with labels, for metrics.

use std::cell::RefCell;
use std::sync::Arc;

/// Counts by two labels, few of them.
#[derive(Debug, Default)]
pub struct Tallies(RefCell<Vec<([Arc<str>; 2], u64)>>);

impl Tallies {
    /// One more.
    #[cold]
    pub fn add(&self, labels: [&str; 2]) {
        let mut counts = self.0.borrow_mut();
        match counts.iter_mut().find(|(known, _)| known.each_ref().map(|label| &**label) == labels) {
            Some((_, count)) => *count += 1,
            None => counts.push((labels.map(Arc::from), 1)),
        }
    }

    /// All counts, each with its labels.
    pub fn counts(&self) -> Vec<([Arc<str>; 2], u64)> {
        self.0.borrow().clone()
    }
}
