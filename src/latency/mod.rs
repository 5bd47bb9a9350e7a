//! Where requests spend their time: HDR histograms of each phase, for each pair of route and upstream, lossless over all cores.
//!
//! Cores [record](Recorder) by adding one to cells of their own; once a second the [`History`] adds up what came since. It knows the
//! time since the start and each of the last 60 seconds, so that any window of whole seconds up to a minute can be asked for. Memory is
//! bounded: a series takes 72 KB on each core that has served it, 215 KB for all, and what of the last minute's cells is not zero (a few
//! hundred KB at most in practice); there are `latency.series` of them at most.

mod bins;
mod export;
mod history;
mod recorder;
mod slow;
#[cfg(test)]
mod tests;

pub use bins::{BINS, MAX_MICROS, bin, empty, highest, lowest};
pub use export::{hgrm, v2};
pub use history::{History, SECONDS, Second, Series, Window};
pub use recorder::{Board, Recorder};
pub use slow::{SLOW_KEPT, Slow, SlowLog};

/// A part of the time that a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From the head's last byte to the answer's last byte: all there is.
    Total,
    /// Waiting for a place: concurrency limits, rate limits that wait.
    Queue,
    /// From the head to the first attempt, without waiting: route, chain, choice of an endpoint.
    Policies,
    /// Opening a connection to the endpoint, where none was kept.
    Connect,
    /// From the request's being sent to the head of the endpoint's answer.
    FirstByte,
    /// From there to the last byte sent to the client.
    Body,
    /// The gateway's own part: neither for a place, nor for the endpoint, nor for a body that came in pieces.
    Overhead,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Phase; 7] =
        [Phase::Total, Phase::Queue, Phase::Policies, Phase::Connect, Phase::FirstByte, Phase::Body, Phase::Overhead];

    /// Its name, as pages and files have it.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Total => "total",
            Phase::Queue => "queue",
            Phase::Policies => "policies",
            Phase::Connect => "connect",
            Phase::FirstByte => "first_byte",
            Phase::Body => "body",
            Phase::Overhead => "overhead",
        }
    }

    /// That of this name.
    pub fn named(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

/// What a request took, in microseconds, by phase; [`Times::NONE`] where it had no such phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times(pub [u32; Phase::ALL.len()]);

impl Times {
    /// There was no such phase.
    pub const NONE: u32 = u32::MAX;

    /// That of a phase.
    pub fn of(&self, phase: Phase) -> Option<u32> {
        Some(self.0[phase as usize]).filter(|&micros| micros != Times::NONE)
    }
}

/// The quantile that a percentile is, to the last digit: 99.9 / 100.0 is a little more than 0.999, and would be the time of one request more.
pub fn quantile(percentile: f64) -> f64 {
    format!("{percentile}e-2").parse().expect("a number's digits, and an exponent")
}

/// Outcomes that are counted beside the times: what each of them is, is for those to say who record it.
pub const OUTCOMES: usize = 64;
/// Cells of a series: of all phases, and one for each outcome.
const CELLS: usize = Phase::ALL.len() * BINS + OUTCOMES;

/// The name of the series of those for which there is no room.
pub const OTHER: &str = "other";
/// The name of a route or upstream where there is none.
pub const NOBODY: &str = "-";
/// Series there is room for, unless the settings say otherwise.
pub const SERIES: usize = 256;
