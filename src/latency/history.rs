//! What all cores recorded, second by second: since the start, and any window up to a minute.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use hdrhistogram::Histogram;

use super::bins::{BINS, highest, histogram};
use super::recorder::{Board, Cells};
use super::{CELLS, OUTCOMES, Phase, Times};

/// Seconds that are known one by one.
pub const SECONDS: usize = 60;
/// So many requests must be known for the slowest of a thousand to be told from the others.
const SLOW_FROM: u64 = 1000;

/// What all cores recorded.
#[derive(Debug)]
pub struct History {
    board: Arc<Board>,
    series: Vec<Series>,
    /// Seconds collected so far.
    seconds: u64,
}

/// A pair of route and upstream.
#[derive(Debug)]
pub struct Series {
    /// The route's id.
    pub route: Arc<str>,
    /// The upstream's id.
    pub upstream: Arc<str>,
    cores: Vec<Arc<Cells>>,
    /// What was read last: requests, and cells.
    requests: u32,
    seen: Box<[u32]>,
    all: Box<[u64]>,
    /// The last seconds in which there was something.
    recent: VecDeque<Second>,
}

/// What came in one second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Second {
    /// Which: 1 is the first that was collected.
    pub number: u64,
    /// Cells of all phases that aren't zero.
    cells: Vec<(u16, u32)>,
}

/// A time to look back on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// So many whole seconds before now, 1 to 60.
    Seconds(u64),
    /// Since the start.
    All,
}

impl Second {
    /// A phase's times.
    pub fn histogram(&self, phase: Phase) -> Histogram<u64> {
        histogram(self.cells(phase))
    }

    fn cells(&self, phase: Phase) -> impl Iterator<Item = (usize, u64)> {
        let from = phase as usize * BINS;
        let of_phase = self.cells.iter().filter(move |(cell, _)| (from..from + BINS).contains(&usize::from(*cell)));
        of_phase.map(move |&(cell, count)| (usize::from(cell) - from, u64::from(count)))
    }
}

impl Series {
    fn new(route: Arc<str>, upstream: Arc<str>) -> Self {
        let (seen, all) = (vec![0; CELLS].into(), vec![0; CELLS].into());
        Series { route, upstream, cores: Vec::new(), requests: 0, seen, all, recent: VecDeque::new() }
    }

    /// Takes what came since it was last called.
    fn collect(&mut self, number: u64) {
        let requests = self.cores.iter().fold(0u32, |sum, cells| sum.wrapping_add(cells.requests.load(Acquire)));
        if requests != self.requests {
            self.requests = requests;
            let mut cells = Vec::new();
            for (cell, (seen, all)) in self.seen.iter_mut().zip(&mut self.all).enumerate() {
                let count = self.cores.iter().fold(0u32, |sum, core| sum.wrapping_add(core.bins[cell].load(Relaxed)));
                let new = count.wrapping_sub(*seen);
                if new > 0 {
                    (*seen, *all) = (count, *all + u64::from(new));
                    cells.push((cell as u16, new));
                }
            }
            self.recent.push_back(Second { number, cells });
        }
        while self.recent.front().is_some_and(|second| second.number + SECONDS as u64 <= number) {
            self.recent.pop_front();
        }
    }

    /// The slowest of a thousand of the last minute take longer than this, in microseconds.
    fn slow(&self, number: u64) -> u32 {
        let minute = self.window(Phase::Total, Window::Seconds(SECONDS as u64), number);
        if minute.len() < SLOW_FROM { Times::NONE } else { minute.value_at_quantile(0.999) as u32 }
    }

    fn window(&self, phase: Phase, window: Window, now: u64) -> Histogram<u64> {
        match window {
            Window::All => {
                let from = phase as usize * BINS;
                histogram(self.all[from..from + BINS].iter().copied().enumerate())
            }
            Window::Seconds(count) => {
                let recent = self.recent.iter().filter(|second| second.number + count > now);
                histogram(recent.flat_map(|second| second.cells(phase)))
            }
        }
    }

    /// How many requests ended like this since the start.
    pub fn outcome(&self, outcome: usize) -> u64 {
        self.all[CELLS - OUTCOMES + outcome]
    }

    /// What the second last collected brought, if it brought anything.
    pub fn last(&self) -> Option<&Second> {
        self.recent.back()
    }
}

impl History {
    /// Nothing is known yet.
    pub fn new(board: Arc<Board>) -> Self {
        History { board, series: Vec::new(), seconds: 0 }
    }

    /// Takes what came since it was last called: once a second. Takes about 10 µs for each series and core with requests.
    pub fn collect(&mut self) {
        self.seconds += 1;
        let known: usize = self.series.iter().map(|series| series.cores.len()).sum();
        let cells = self.board.cells();
        if cells.len() != known {
            for new in cells.iter() {
                let place = self.series.iter().position(|series| (&series.route, &series.upstream) == (&new.route, &new.upstream));
                let place = place.unwrap_or_else(|| {
                    self.series.push(Series::new(new.route.clone(), new.upstream.clone()));
                    self.series.len() - 1
                });
                let cores = &mut self.series[place].cores;
                if !cores.iter().any(|core| Arc::ptr_eq(core, new)) {
                    cores.push(new.clone());
                }
            }
        }
        drop(cells);
        for series in &mut self.series {
            series.collect(self.seconds);
            let slow = series.slow(self.seconds);
            series.cores.iter().for_each(|cells| cells.slow.store(slow, Relaxed));
        }
    }

    /// All series, in the order in which they began.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// Seconds collected so far.
    pub const fn seconds(&self) -> u64 {
        self.seconds
    }

    /// A phase's times over this window, of all series that `wanted` says, merged without loss.
    pub fn window(&self, phase: Phase, window: Window, wanted: impl Fn(&Series) -> bool) -> Histogram<u64> {
        let mut all = super::empty();
        for series in self.series.iter().filter(|series| wanted(series)) {
            all.add(self.of(series, phase, window)).expect("all have the same bounds");
        }
        all
    }

    /// A phase's times in each second that is known, the oldest first.
    pub fn each_second(&self, phase: Phase) -> Vec<Histogram<u64>> {
        let mut all = vec![super::empty(); SECONDS.min(self.seconds as usize)];
        for second in self.series.iter().flat_map(|series| &series.recent) {
            let place = all.len() - 1 - (self.seconds - second.number) as usize;
            all[place].add(second.histogram(phase)).expect("all have the same bounds");
        }
        all
    }

    /// A phase's times over this window, of one of its series.
    pub fn of(&self, series: &Series, phase: Phase, window: Window) -> Histogram<u64> {
        series.window(phase, window, self.seconds)
    }

    /// How many times of a phase since the start are at most so many microseconds, for each of these; and the sum of all, in microseconds, each
    /// counted as the middle of its cell.
    pub fn cumulative(&self, phase: Phase, bounds: &[u64], wanted: impl Fn(&Series) -> bool) -> (Vec<u64>, u64, f64) {
        let (mut counts, mut len, mut sum) = (vec![0; bounds.len()], 0, 0.0);
        let from = phase as usize * BINS;
        for series in self.series.iter().filter(|series| wanted(series)) {
            for (bin, &count) in series.all[from..from + BINS].iter().enumerate().filter(|(_, count)| **count > 0) {
                len += count;
                sum += count as f64 * (super::lowest(bin) + highest(bin)) as f64 / 2.0;
                let first = bounds.partition_point(|&bound| bound < highest(bin));
                counts[first..].iter_mut().for_each(|sum| *sum += count);
            }
        }
        (counts, len, sum)
    }
}
