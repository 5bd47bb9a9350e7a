//! The flight recorder: takes what cores have recorded once a second and, if there is a directory for it, keeps each second's
//! histograms on disk, within a bound. Off the data path, on a thread of its own: a slow disk delays nothing but itself.

mod files;
mod look;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::admin::Shared;
use crate::config;
use crate::latency::{History, Phase};
use crate::log;

pub use files::{Files, Interval, Tag};
pub use look::{Found, Question, look};

/// The thread, until [`Flight::land`].
pub struct Flight {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Flight {
    /// Takes the last second and ends.
    pub fn land(self) {
        drop(self.stop);
        // A panic of its own was printed already.
        let _ = self.thread.join();
    }
}

/// Starts it.
///
/// # Errors
/// When there can be no thread, or nothing can be written to the directory.
pub fn start(shared: Arc<Shared>, settings: &config::Latency) -> io::Result<Flight> {
    let mut files = match settings.directory.as_str() {
        "" => None,
        directory => Some(Files::open(Path::new(directory), settings.size.get())?),
    };
    let (stop, stopped) = bounded::<()>(0);
    let thread = thread::Builder::new().name("flight".into()).spawn(move || {
        let mut began = Instant::now();
        let (mut next, mut told) = (began + SECOND, log::Seldom::default());
        loop {
            let last = stopped.recv_timeout(next.saturating_duration_since(Instant::now())) != Err(RecvTimeoutError::Timeout);
            next += SECOND;
            shared.pace(began.elapsed());
            began = Instant::now();
            shared.history().collect();
            if let Some(files) = &mut files {
                // Bound, so that the history isn't locked while the disk is written.
                let second = last_second(&shared.history());
                if let Err(error) = files.add(SystemTime::now() - SECOND, &second)
                    && told.is_due(TELL_AGAIN)
                {
                    tracing::warn!(%error, "histograms of response times can't be written and are lost");
                }
            }
            if last {
                return;
            }
        }
    })?;
    Ok(Flight { stop, thread })
}

/// What the second last collected brought.
fn last_second(history: &History) -> Vec<Interval> {
    let now = history.seconds();
    let mut second = Vec::new();
    for series in history.series() {
        let Some(last) = series.last().filter(|last| last.number == now) else { continue };
        for phase in Phase::ALL {
            let histogram = last.histogram(phase);
            if !histogram.is_empty() {
                second.push(Interval {
                    tag: Tag { route: series.route.to_string(), upstream: series.upstream.to_string(), phase },
                    histogram,
                });
            }
        }
    }
    second
}

const SECOND: Duration = Duration::from_secs(1);
/// How often the log tells that histograms are lost, while it lasts.
const TELL_AGAIN: Duration = Duration::from_secs(60);
