//! The cells that metrics are made of, and the macro that makes one metric of one field.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What Prometheus calls the type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts durations by how long they were.
    Histogram,
}

/// What is known about a metric before it is read.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Its name on the metrics page.
    pub name: &'static str,
    /// One sentence for a person; the field's doc comment.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// How many cells it has, one for each value of its label.
    pub cells: usize,
    /// Its label and that label's values, in the order of its cells.
    pub label: Option<(&'static str, &'static [&'static str])>,
    /// What a cell's number is divided by when it is shown: 1, or 1e9 for nanoseconds shown as seconds.
    pub divisor: f64,
}

/// A field of cells: what the macro needs to know about its type.
pub(super) trait Cell {
    const KIND: Kind;
    const CELLS: usize = 1;
    const DIVISOR: f64 = 1.0;

    fn read(&self, index: usize) -> u64;
}

/// Adds `n`, as the cell's only writer: no locked instruction.
#[inline]
fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. To be called by the owning core only.
    #[inline]
    pub fn add(&self, n: u64) {
        add(&self.0, n);
    }

    /// The number so far.
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Cell for Counter {
    const KIND: Kind = Kind::Counter;

    fn read(&self, _: usize) -> u64 {
        self.count()
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds `n`. To be called by the owning core only.
    #[inline]
    pub fn add(&self, n: u64) {
        add(&self.0, n);
    }

    /// Takes `n` away. To be called by the owning core only.
    #[inline]
    pub fn sub(&self, n: u64) {
        debug_assert!(self.count() >= n, "a gauge fell below zero");
        self.0.store(self.0.load(Relaxed).saturating_sub(n), Relaxed);
    }

    /// Makes it `n`. To be called by the owning core only.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The present number.
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Cell for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn read(&self, _: usize) -> u64 {
        self.count()
    }
}

/// A sum of durations, shown in seconds.
#[derive(Debug, Default)]
pub struct Nanos(AtomicU64);

impl Nanos {
    /// Adds a duration. To be called by the owning core only.
    #[inline]
    pub fn add(&self, elapsed: Duration) {
        add(&self.0, elapsed.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(elapsed.subsec_nanos())));
    }

    /// The sum so far.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }
}

impl Cell for Nanos {
    const KIND: Kind = Kind::Counter;
    const DIVISOR: f64 = 1e9;

    fn read(&self, _: usize) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Durations, counted by the first of twelve bounds between 1 ms and 5 s that they don't exceed, with their sum; for what is rare, as it is coarse.
#[derive(Debug, Default)]
pub struct Durations {
    /// The last is for those that exceed all bounds.
    counts: [Counter; BOUNDS_MS.len() + 1],
    sum: Nanos,
}

/// Upper bounds of what [`Durations`] tells apart, in milliseconds.
pub(super) const BOUNDS_MS: [u16; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

impl Durations {
    /// Counts a duration. To be called by the owning core only.
    pub fn add(&self, elapsed: Duration) {
        let bin = BOUNDS_MS.partition_point(|&bound| Duration::from_millis(bound.into()) < elapsed);
        self.counts[bin].add(1);
        self.sum.add(elapsed);
    }
}

impl Cell for Durations {
    const KIND: Kind = Kind::Histogram;
    const CELLS: usize = BOUNDS_MS.len() + 2;
    const DIVISOR: f64 = 1e9;

    /// How many there were in each bin, then their sum.
    fn read(&self, index: usize) -> u64 {
        self.counts.get(index).map_or_else(|| self.sum.read(0), Counter::count)
    }
}

/// Counters under one name, told apart by a label of `N` values.
#[derive(Debug)]
pub struct Counters<const N: usize>([Counter; N]);

/// Gauges under one name, told apart by a label of `N` values.
#[derive(Debug)]
pub struct Gauges<const N: usize>([Gauge; N]);

impl<const N: usize> Counters<N> {
    /// Adds `n` to one of them. To be called by the owning core only.
    #[inline]
    pub fn add(&self, index: usize, n: u64) {
        self.0[index].add(n);
    }

    /// One of the numbers so far.
    pub fn count(&self, index: usize) -> u64 {
        self.0[index].count()
    }
}

impl<const N: usize> Gauges<N> {
    /// One of them.
    #[inline]
    pub fn at(&self, index: usize) -> &Gauge {
        &self.0[index]
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Counters(std::array::from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> Default for Gauges<N> {
    fn default() -> Self {
        Gauges(std::array::from_fn(|_| Gauge::default()))
    }
}

impl<const N: usize> Cell for Counters<N> {
    const KIND: Kind = Kind::Counter;
    const CELLS: usize = N;

    fn read(&self, index: usize) -> u64 {
        self.count(index)
    }
}

impl<const N: usize> Cell for Gauges<N> {
    const KIND: Kind = Kind::Gauge;
    const CELLS: usize = N;

    fn read(&self, index: usize) -> u64 {
        self.0[index].count()
    }
}

/// Declares a set of cells: one field with its doc comment, its cells' type and its name is one metric.
macro_rules! cells {
    (
        $(#[$attribute:meta])*
        pub struct $set:ident {
            $(
                #[doc = $help:literal]
                pub $field:ident: $cells:ty = $metric:literal $(by $label:literal in $values:ident)?,
            )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Default)]
        pub struct $set {
            $(#[doc = $help] pub $field: $cells,)+
        }

        impl $set {
            /// What is known about each metric, in order of declaration.
            pub const METRICS: &[Meta] = &[$(Meta {
                name: $metric,
                help: $help.trim_ascii_start(),
                kind: <$cells as Cell>::KIND,
                cells: <$cells as Cell>::CELLS,
                label: { let _label: Option<(&str, &[&str])> = None; $(let _label = Some(($label, $values));)? _label },
                divisor: <$cells as Cell>::DIVISOR,
            },)+];

            /// The number in a cell: of the metric at `metric` in `METRICS`, for the label value at `label`.
            pub fn read(&self, metric: usize, label: usize) -> u64 {
                let cells: &[&dyn Fn(usize) -> u64] = &[$(&|label| self.$field.read(label),)+];
                cells[metric](label)
            }
        }
    };
}

pub(super) use cells;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_add_up() {
        let counter = Counter::default();
        counter.add(2);
        counter.add(3);
        assert_eq!(counter.count(), 5);
        let gauge = Gauge::default();
        gauge.add(2);
        gauge.sub(1);
        assert_eq!(gauge.count(), 1);
        gauge.set(9);
        assert_eq!(gauge.count(), 9);
        let nanos = Nanos::default();
        nanos.add(Duration::new(2, 5));
        nanos.add(Duration::new(1, 5));
        assert_eq!(nanos.sum(), Duration::new(3, 10));
        let counters = Counters::<3>::default();
        counters.add(1, 4);
        assert_eq!((counters.count(0), counters.count(1)), (0, 4));
    }
}
