//! Requests that were slower than all but one in a thousand of their series: each with its whole story, in a ring of fixed size.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Phase, Times};

/// So many are kept, the latest ones.
pub const SLOW_KEPT: usize = 256;

/// A slow request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// When its head was complete, in microseconds since 1970 began.
    pub at_us: u64,
    /// Its id.
    pub request_id: String,
    /// Its method and path, without the query; at most 256 bytes.
    pub line: String,
    /// Its route's id.
    pub route: Arc<str>,
    /// Its upstream's id.
    pub upstream: Arc<str>,
    /// The endpoint asked last.
    pub endpoint: String,
    /// The answer's status.
    pub status: u16,
    /// Why it ended otherwise than by an endpoint's whole answer: a reason's code.
    pub reason: Option<&'static str>,
    /// How many times an endpoint was asked.
    pub attempts: u32,
    /// Attempts before the last took so long, in microseconds.
    pub lost: u32,
    /// Bytes sent to the client.
    pub bytes_out: u64,
    /// The core that served it.
    pub core: u16,
    /// What it took.
    pub times: Times,
}

impl Slow {
    /// What most of its time went to, in one line.
    pub fn cause(&self) -> String {
        let parts = [
            (self.times.of(Phase::Queue), "waiting for a place under a limit"),
            (self.times.of(Phase::Policies), "in the route's chain, before an endpoint was asked"),
            (Some(self.lost), "attempts that failed"),
            (self.times.of(Phase::Connect), "opening a connection to the endpoint"),
            (self.times.of(Phase::FirstByte), "waiting for the endpoint's answer"),
            (self.times.of(Phase::Body), "passing the body on"),
        ];
        let total = self.times.of(Phase::Total).unwrap_or(0);
        let most = parts.into_iter().filter_map(|(micros, what)| Some((micros?, what))).max_by_key(|(micros, _)| *micros);
        match most.filter(|(micros, _)| total > 0 && *micros > 0) {
            Some((micros, what)) => {
                let whose = if self.endpoint.is_empty() { String::new() } else { format!(" ({}, {})", self.upstream, self.endpoint) };
                format!("{} % {what}{whose}", (u64::from(micros) * 100 / u64::from(total)).min(100))
            }
            None => "answered by the gateway itself".to_owned(),
        }
    }
}

/// The latest slow requests of all cores. Locked where one is slow, and by readers.
#[derive(Debug, Default)]
pub struct SlowLog {
    latest: Mutex<VecDeque<Slow>>,
}

impl SlowLog {
    /// Adds one; the oldest makes room.
    pub fn add(&self, slow: Slow) {
        let mut latest = self.lock();
        if latest.len() == SLOW_KEPT {
            latest.pop_front();
        }
        latest.push_back(slow);
    }

    /// All that are kept, the latest first.
    pub fn latest(&self) -> Vec<Slow> {
        self.lock().iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Slow>> {
        // A ring that somebody panicked beside is whole.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
