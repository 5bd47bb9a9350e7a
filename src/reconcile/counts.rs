//! Counts with labels: each core counts for itself and reports its totals, which are summed here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::metrics::{Count, Family};

/// The newest counts of each core.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<Vec<Count>>);

impl Counts {
    /// For so many cores.
    pub fn new(cores: usize) -> Counts {
        Counts(vec![Vec::new(); cores])
    }

    /// Takes over what a core has counted.
    pub fn set(&mut self, core: usize, counts: Vec<Count>) {
        self.0[core] = counts;
    }

    /// What all cores together have counted, in the order in which they count.
    pub fn sum(&self) -> Vec<Count> {
        let mut sums: Vec<Count> = Vec::new();
        let mut places: HashMap<(Family, &[Arc<str>; 2]), usize> = HashMap::new();
        for Count { family, labels, total } in self.0.iter().flatten() {
            let place = *places.entry((*family, labels)).or_insert(sums.len());
            match sums.get_mut(place) {
                Some(sum) => sum.total += total,
                None => sums.push(Count { family: *family, labels: labels.clone(), total: *total }),
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(route: &str, total: u64) -> Count {
        Count { family: Family::SplitRequests, labels: [route.into(), "a".into()], total }
    }

    #[test]
    fn the_newest_counts_of_all_cores_are_summed_by_their_labels() {
        let mut counts = Counts::new(3);
        counts.set(0, vec![count("x", 99)]);
        counts.set(0, vec![count("x", 1), count("y", 2)]);
        counts.set(2, vec![count("y", 10), count("z", 20)]);
        assert_eq!(counts.sum(), [count("x", 1), count("y", 12), count("z", 20)]);
    }
}
