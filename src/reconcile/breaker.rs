//! The truth about one circuit breaker: opened by the sum of what cores see or by any of them, closed by good trials over all.

use std::time::Duration;

use super::change::What;
use super::division::Division;
use crate::breaker::{self, Cause, Report, Update, judge, open_time};
use crate::clock::Instant;
use crate::config::CircuitBreaker;
use crate::health::{Counts, Window};

/// A breaker over all cores.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    /// When it became what it is: the name of the episode that cores report of.
    episode: Instant,
    /// Open until then, half-open afterwards; `None` is closed.
    until: Option<Instant>,
    /// It was told that it is half-open.
    half_open: bool,
    opens: u32,
    window: Window,
    cores: Vec<Seen>,
    trials: Division,
    tally: Tally,
}

/// What a core had seen when it last reported.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// What it had seen before its first report is history.
    counts: Option<Counts>,
    /// Good trials in this episode.
    passed: u32,
    shadowed: u64,
}

/// How often a breaker has changed, since the coordinator began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// It opened.
    pub opened: u64,
    /// It became half-open.
    pub half_opened: u64,
    /// It closed.
    pub closed: u64,
    /// Attempts that would not have been made, were it not for shadow mode.
    pub shadowed: u64,
}

/// A breaker's state, as pages show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerState {
    /// Whether requests get through.
    pub state: breaker::State,
    /// How often it has changed.
    pub tally: Tally,
}

impl Breaker {
    /// A closed one, of which cores will hear.
    fn new(settings: &CircuitBreaker, turn: Duration, cores: usize, now: Instant) -> Self {
        Breaker {
            episode: now,
            until: None,
            half_open: false,
            opens: 0,
            window: Window::default(),
            cores: vec![Seen::default(); cores],
            trials: Division::new(settings.trials, 0, cores).with_turns(turn),
            tally: Tally::default(),
        }
    }

    /// One by these settings, whatever there was; `None` for none. Cores keep trials so long that others wait for.
    pub fn place(breaker: &mut Option<Breaker>, settings: Option<&CircuitBreaker>, turn: Duration, cores: usize, now: Instant) {
        match (&mut *breaker, settings) {
            (_, None) => *breaker = None,
            (Some(breaker), Some(settings)) => breaker.reconfigure(settings),
            (none, Some(settings)) => *none = Some(Breaker::new(settings, turn, cores, now)),
        }
    }

    /// Another plan is put in force: takes over changed settings.
    fn reconfigure(&mut self, settings: &CircuitBreaker) {
        self.trials.reconfigure(settings.trials, 0);
        // What cores report next may hold counts from before they knew this plan.
        self.cores.iter_mut().for_each(|seen| seen.counts = None);
    }

    /// It guards another server from here on: forgets all but the trials in flight.
    pub fn reset(&mut self, now: Instant) {
        self.become_of(None, 0, now);
    }

    /// Takes what a core has seen; what has changed with it.
    pub fn on_report(&mut self, core: usize, report: &Report, settings: &CircuitBreaker, later: bool, now: Instant) -> Option<What> {
        self.trials.claim(core, &report.trials, later);
        let seen = &mut self.cores[core];
        self.tally.shadowed += report.shadowed.saturating_sub(seen.shadowed);
        seen.shadowed = report.shadowed;
        let more = seen.counts.replace(report.counts).map_or(Counts::default(), |before| report.counts - before);
        if report.episode != self.episode {
            return None;
        }
        if let Some((until, cause)) = report.opened {
            return Some(self.open(until, cause, now));
        }
        if self.until.is_some() {
            seen.passed = report.passed;
            let passed: u32 = self.cores.iter().map(|seen| seen.passed).sum();
            if passed < settings.trials {
                return None;
            }
            self.tally.closed += 1;
            self.become_of(None, 0, now);
            return Some(What::Closed);
        }
        if more.attempts > 0 || more.failures > 0 {
            self.window.add(more, settings.window.get(), now);
        }
        if more.failures == 0 && more.slow == 0 {
            return None;
        }
        let cause = judge(self.window.counts(), settings)?;
        Some(self.open(now + open_time(settings, self.opens), cause, now))
    }

    fn open(&mut self, until: Instant, cause: Cause, now: Instant) -> What {
        self.tally.opened += 1;
        self.become_of(Some(until), self.opens.saturating_add(1), now);
        What::Opened(until.since(now), cause)
    }

    fn become_of(&mut self, until: Option<Instant>, opens: u32, now: Instant) {
        // Two decisions at the same moment are two episodes all the same.
        self.episode = now.max(Instant::from_nanos(self.episode.as_nanos() + 1));
        (self.until, self.opens, self.half_open) = (until, opens, false);
        self.window.clear();
        self.cores.iter_mut().for_each(|seen| seen.passed = 0);
    }

    /// Time has passed: it may become half-open, and parts of the trials may move, which is the second answer.
    pub fn tick(&mut self, version: u64, now: Instant) -> (Option<What>, bool) {
        let moved = self.trials.tick(version, now);
        let due = !self.half_open && self.until.is_some_and(|until| now >= until);
        self.half_open |= due;
        self.tally.half_opened += u64::from(due);
        (due.then_some(What::HalfOpened), moved)
    }

    /// What a core is told.
    pub fn update(&self, core: usize) -> Update {
        Update { episode: self.episode, until: self.until, opens: self.opens, trials: self.trials.grant(core) }
    }

    /// What pages show.
    pub fn state(&self) -> BreakerState {
        let state = match self.until {
            None => breaker::State::Closed,
            Some(_) if self.half_open => breaker::State::HalfOpen,
            Some(until) => breaker::State::Open(until),
        };
        BreakerState { state, tally: self.tally }
    }
}

/// Turns of an endpoint's trials: long enough for those of its concurrency limit.
pub(super) const ENDPOINT_TURN: Duration = Duration::from_secs(1);
/// Turns of an upstream's trials: long enough for its endpoints' trials to come to the core that has them.
pub(super) const UPSTREAM_TURN: Duration = Duration::from_secs(3);
