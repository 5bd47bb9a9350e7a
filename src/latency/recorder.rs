//! What a core records: a cell more for each phase of a request, by nobody else's leave.
//!
//! Each core has cells of its own for each series, a pair of route and upstream. Only their core writes them, with a plain load and
//! store; the collector reads them whenever it likes. They only grow (and start again at zero behind 2³² - 1), so nothing that is
//! read late is lost.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::{HashMap, HashMapExt};

use super::bins::{BINS, bin};
use super::{CELLS, OTHER, OUTCOMES, Phase, Times};

/// Cells of one series on one core; 72 KB.
#[derive(Debug)]
pub(super) struct Cells {
    /// Its route's id.
    pub route: Arc<str>,
    /// Its upstream's id.
    pub upstream: Arc<str>,
    /// Requests recorded. Written behind their cells, and to be read before them.
    pub requests: AtomicU32,
    /// From how many microseconds on a request is slow.
    pub slow: AtomicU32,
    /// All phases' cells, one after the other, and a count of each outcome.
    pub bins: Box<[AtomicU32]>,
}

/// All cells there are; shared by cores and collector, locked only where a series begins.
#[derive(Debug)]
pub struct Board {
    series_max: usize,
    cells: Mutex<Vec<Arc<Cells>>>,
}

impl Board {
    /// For so many series; what comes beyond is one more, `other`.
    pub fn new(series_max: usize) -> Self {
        Board { series_max, cells: Mutex::default() }
    }

    pub(super) fn cells(&self) -> MutexGuard<'_, Vec<Arc<Cells>>> {
        // A list that somebody panicked beside is whole.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New cells for a core.
    fn open(&self, route: &Arc<str>, upstream: &Arc<str>) -> Arc<Cells> {
        let mut all = self.cells();
        let mut pairs: Vec<_> = all.iter().map(|cells| (&cells.route, &cells.upstream)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let is_known = pairs.binary_search(&(route, upstream)).is_ok();
        let known = |name: &Arc<str>| if is_known || pairs.len() < self.series_max { name.clone() } else { OTHER.into() };
        let cells = Arc::new(Cells {
            route: known(route),
            upstream: known(upstream),
            requests: AtomicU32::new(0),
            slow: AtomicU32::new(u32::MAX),
            bins: (0..CELLS).map(|_| AtomicU32::new(0)).collect(),
        });
        all.push(cells.clone());
        cells
    }
}

/// Records the requests of one core.
#[derive(Debug)]
pub struct Recorder {
    board: Arc<Board>,
    /// The plan, route and upstream recorded last, and which of the cells are theirs.
    last: ([u64; 3], usize),
    /// The plan that numbers are of.
    plan: u64,
    by_number: HashMap<[u64; 2], usize>,
    /// This core's cells.
    own: Vec<Arc<Cells>>,
}

impl Recorder {
    /// Nothing is recorded yet.
    pub fn new(board: Arc<Board>) -> Self {
        Recorder { board, last: ([u64::MAX; 3], 0), plan: u64::MAX, by_number: HashMap::new(), own: Vec::new() }
    }

    /// Records a request of these numbers in this plan, and says whether it was slow: above what all but one in a thousand of its
    /// series lately took. `names` are those of route and upstream; `outcome`, below 64, is counted beside the times.
    #[inline]
    pub fn record(&mut self, numbers: [u64; 3], names: impl FnOnce() -> [Arc<str>; 2], times: &Times, outcome: usize) -> bool {
        if self.last.0 != numbers {
            self.last = (numbers, self.find(numbers, names));
        }
        let cells = &*self.own[self.last.1];
        for (phase, &micros) in times.0.iter().enumerate() {
            if micros != Times::NONE {
                bump(&cells.bins[phase * BINS + bin(micros)], Ordering::Relaxed);
            }
        }
        bump(&cells.bins[CELLS - OUTCOMES + outcome % OUTCOMES], Ordering::Relaxed);
        bump(&cells.requests, Ordering::Release);
        times.0[Phase::Total as usize] > cells.slow.load(Ordering::Relaxed)
    }

    /// Which of the cells are those of these numbers.
    fn find(&mut self, [plan, route, upstream]: [u64; 3], names: impl FnOnce() -> [Arc<str>; 2]) -> usize {
        if self.plan != plan {
            self.plan = plan;
            self.by_number.clear();
        }
        if let Some(place) = self.by_number.get(&[route, upstream]) {
            return *place;
        }
        let place = self.named(names());
        self.by_number.insert([route, upstream], place);
        place
    }

    #[cold]
    fn named(&mut self, [route, upstream]: [Arc<str>; 2]) -> usize {
        let place = |own: &[Arc<Cells>], route: &str, upstream: &str| {
            own.iter().position(|cells| *cells.route == *route && *cells.upstream == *upstream)
        };
        if let Some(place) = place(&self.own, &route, &upstream) {
            return place;
        }
        let new = self.board.open(&route, &upstream);
        // Beyond what there is room for all share one.
        if let Some(other) = place(&self.own, &new.route, &new.upstream) {
            self.board.cells().retain(|cells| !Arc::ptr_eq(cells, &new));
            return other;
        }
        self.own.push(new);
        self.own.len() - 1
    }
}

/// One more; its core is the only writer.
#[inline]
fn bump(cell: &AtomicU32, order: Ordering) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), order);
}
