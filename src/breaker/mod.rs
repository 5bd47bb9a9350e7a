//! The circuit breaker: what fails too often, or takes too long, gets no requests for a while, then a few trials.
//!
//! ```text
//! Closed --too many failures, too slow--> Open --open time is over--> Half-open --enough good trials--> Closed
//!                                          ^------------a bad trial-----/
//! ```
//!
//! Closed means that requests flow. Each core has a [`Breaker`] for each endpoint (or upstream) and opens it at once by what it
//! sees itself. The coordinator opens it by the sum of all cores' counts (`reconcile`), takes over what a core has opened, closes
//! it after enough good trials over all cores, and tells all. Going half-open needs no message: all know when it is due.
//!
//! Trials in flight are a concurrency limit over all cores: each core has a [`Share`] of it, and the coordinator moves the shares,
//! takes back before it gives, and believes only reports. So whatever message is lost or late, there are never more.
//!
//! Each of the coordinator's decisions begins an *episode*, named by its moment. What a core reports of another episode than the
//! one in force counts for nothing, and what it hears of an older one than it knows, neither.

mod rules;
#[cfg(test)]
mod tests;

use crate::clock::Instant;
use crate::config::CircuitBreaker;
use crate::health::{Counts, Window};
use crate::limiter::{Claim, Grant, Share};

pub use rules::{Verdict, judge, open_time, verdict};

/// Whether requests get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They do.
    Closed,
    /// They don't, until then.
    Open(Instant),
    /// A few do, as trials.
    HalfOpen,
}

/// Why a breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `consecutive_failures` on one core.
    Consecutive,
    /// `failure_rate` within the window.
    FailureRate,
    /// `latency` within the window.
    Latency,
    /// A trial failed, or took too long.
    Trial,
}

impl Cause {
    /// Its word in log lines.
    pub const fn code(self) -> &'static str {
        match self {
            Cause::Consecutive => "consecutive_failures",
            Cause::FailureRate => "failure_rate",
            Cause::Latency => "latency",
            Cause::Trial => "trial",
        }
    }
}

/// What a core tells of a breaker: a snapshot, the newest one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The newest episode it knows.
    pub episode: Instant,
    /// It has opened it by itself in that episode: until when, and why.
    pub opened: Option<(Instant, Cause)>,
    /// Good trials in that episode.
    pub passed: u32,
    /// What it has seen while it was closed, since it began.
    pub counts: Counts,
    /// Attempts since it began that would not have been made, were it not for shadow mode.
    pub shadowed: u64,
    /// Its share of the trials.
    pub trials: Claim,
}

/// What the coordinator tells of a breaker: a snapshot, older episodes than the newest seen are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// When it decided this.
    pub episode: Instant,
    /// Open until then, half-open afterwards; `None` is closed.
    pub until: Option<Instant>,
    /// Times it has opened without having been closed.
    pub opens: u32,
    /// The core's share of the trials.
    pub trials: Option<Grant>,
}

/// An attempt that a breaker is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub started: Instant,
    /// [`Breaker::pass`] called it a trial.
    pub trial: bool,
    /// It wasn't told of before. The second time only tells that what began well ended badly.
    pub first: bool,
}

/// A breaker on one core.
#[derive(Debug)]
pub struct Breaker {
    /// Zero until the coordinator has said anything.
    episode: Instant,
    /// Open until then, half-open afterwards; `None` is closed.
    until: Option<Instant>,
    /// When it became what it is: attempts that began before say nothing of what is tried since.
    since: Instant,
    /// Why this core has opened it in this episode.
    cause: Option<Cause>,
    opens: u32,
    in_a_row: u32,
    passed: u32,
    counts: Counts,
    /// What the window has taken of the counts: the rest is added when it matters, so that a good attempt costs an addition.
    windowed: Counts,
    window: Window,
    trials: Share,
    shadowed: u64,
}

impl Breaker {
    /// A closed one, on this core of so many.
    pub fn new(settings: &CircuitBreaker, core: u32, cores: u32) -> Self {
        Breaker {
            episode: Instant::ZERO,
            until: None,
            since: Instant::ZERO,
            cause: None,
            opens: 0,
            in_a_row: 0,
            passed: 0,
            counts: Counts::default(),
            windowed: Counts::default(),
            window: Window::default(),
            trials: Share::new(settings.trials, 0, core, cores),
            shadowed: 0,
        }
    }

    /// Forgets all but the trials in flight and the counts: it guards something else from here on, or nothing.
    pub fn reset(&mut self, now: Instant) {
        (self.episode, self.cause) = (Instant::ZERO, None);
        self.become_of(None, 0, now);
    }

    /// Becomes a first one again, as of an endpoint that was gone and has come back; trials in flight stay counted.
    pub fn begin_again(&mut self, settings: &CircuitBreaker, core: u32, cores: u32, now: Instant) {
        self.reset(now);
        self.trials.begin_again(settings.trials, 0, core, cores);
    }

    /// Whether requests get through.
    pub fn state(&self, now: Instant) -> State {
        match self.until {
            None => State::Closed,
            Some(until) if now < until => State::Open(until),
            Some(_) => State::HalfOpen,
        }
    }

    /// Whether it is closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.until.is_none()
    }

    /// Whether an attempt may be made.
    pub fn has_room(&self, now: Instant) -> bool {
        match self.state(now) {
            State::Closed => true,
            State::Open(_) => false,
            State::HalfOpen => self.trials.free() > 0,
        }
    }

    /// An attempt is made; whether it is a trial, which is to be given back by [`Breaker::give`]. One without room is counted as
    /// what shadow mode lets through.
    pub fn pass(&mut self, now: Instant) -> bool {
        match self.state(now) {
            State::Closed => return false,
            State::HalfOpen if self.trials.try_take() => return true,
            State::HalfOpen => _ = self.trials.try_queue(), // It has no queue: counts as demand.
            State::Open(_) => {}
        }
        self.shadowed += 1;
        false
    }

    /// A trial has ended.
    pub fn give(&mut self) {
        self.trials.give();
    }

    /// Takes how an attempt went; whether the breaker has opened by it.
    #[inline]
    pub fn record(&mut self, attempt: Attempt, verdict: Verdict, settings: &CircuitBreaker, now: Instant) -> bool {
        if attempt.started < self.since {
            return false;
        }
        if self.until.is_some() {
            return self.tried(attempt, verdict, settings, now);
        }
        self.counts.attempts += u64::from(attempt.first);
        if verdict.is_good() {
            self.in_a_row = 0;
            return false;
        }
        self.went_wrong(verdict, settings, now)
    }

    #[cold]
    fn went_wrong(&mut self, verdict: Verdict, settings: &CircuitBreaker, now: Instant) -> bool {
        self.counts.failures += u64::from(verdict.failed);
        self.counts.slow += u64::from(verdict.slow);
        self.in_a_row = if verdict.failed { self.in_a_row + 1 } else { 0 };
        self.fill_window(settings, now);
        let row = verdict.failed && settings.consecutive_failures > 0 && self.in_a_row >= settings.consecutive_failures;
        let cause = if row { Some(Cause::Consecutive) } else { judge(self.window.counts(), settings) };
        cause.inspect(|&cause| self.open(cause, settings, now)).is_some()
    }

    /// An attempt ended while it isn't closed.
    #[cold]
    fn tried(&mut self, attempt: Attempt, verdict: Verdict, settings: &CircuitBreaker, now: Instant) -> bool {
        if !attempt.trial || self.state(now) != State::HalfOpen {
            return false;
        }
        if !verdict.is_good() {
            self.open(Cause::Trial, settings, now);
            return true;
        }
        self.passed += u32::from(attempt.first);
        false
    }

    fn open(&mut self, cause: Cause, settings: &CircuitBreaker, now: Instant) {
        self.cause = Some(cause);
        let until = now + open_time(settings, self.opens);
        self.become_of(Some(until), self.opens.saturating_add(1), now);
    }

    fn become_of(&mut self, until: Option<Instant>, opens: u32, now: Instant) {
        (self.until, self.opens, self.since) = (until, opens, now);
        (self.in_a_row, self.passed) = (0, 0);
        self.window.clear();
        self.windowed = self.counts;
    }

    fn fill_window(&mut self, settings: &CircuitBreaker, now: Instant) {
        self.window.add(self.counts - self.windowed, settings.window.get(), now);
        self.windowed = self.counts;
    }

    /// Takes over what the coordinator says, unless something newer is known.
    pub fn apply(&mut self, update: &Update, now: Instant) {
        if let Some(grant) = update.trials {
            self.trials.apply(grant);
        }
        if update.episode <= self.episode {
            return;
        }
        // The first word doesn't undo what this core has done before it.
        let stays = update.until.is_none() && (self.until.is_none() || (self.cause.is_some() && self.episode == Instant::ZERO));
        self.episode = update.episode;
        if !stays {
            self.cause = None;
            self.become_of(update.until, update.opens, now);
        }
    }

    /// Takes over changed settings.
    pub fn reconfigure(&mut self, settings: &CircuitBreaker, core: u32, cores: u32) {
        self.trials.reconfigure(settings.trials, 0, core, cores);
    }

    /// What to tell the coordinator. `wanted`: this core has requests, which could be trials.
    pub fn report(&mut self, wanted: bool, settings: &CircuitBreaker, now: Instant) -> Report {
        self.fill_window(settings, now);
        let mut trials = self.trials.claim();
        if wanted && self.state(now) == State::HalfOpen {
            trials.demand = trials.demand.max(settings.trials);
        }
        Report {
            episode: self.episode,
            opened: self.cause.zip(self.until).map(|(cause, until)| (until, cause)),
            passed: self.passed,
            counts: self.counts,
            shadowed: self.shadowed,
            trials,
        }
    }

    /// This core's share of the trials.
    pub fn trials(&self) -> &Share {
        &self.trials
    }
}
