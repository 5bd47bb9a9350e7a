//! How the gateway stops, as decisions: readiness fails, workers stop accepting, what is in flight ends.
//!
//! ```text
//! Serving --SIGTERM--> Leaving --drain_delay over--> Draining --nothing left, or drain over--> Over
//!    |                    |                            ^                                        ^
//!    |                    +--SIGINT--------------------+--SIGTERM or SIGINT again---------------+
//!    +--SIGINT-----------------------------------------+                                        |
//!    +--replaced--> HandedOver --drain_delay over------+                                        |
//!                       +--nothing left---------------------------------------------------------+
//! ```
//!
//! `drain_delay` gives balancers in front time to see that readiness fails. SIGINT skips it: a person at a terminal is
//! waiting, and there is seldom a balancer in front of that. A signal while draining stops at once.

use std::time::Duration;

use crate::clock::Instant;

/// Who asked the gateway to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: an init system or an orchestrator.
    Terminate,
    /// SIGINT: a person at a terminal.
    Interrupt,
    /// Another process serves in this one's place, on the same sockets.
    Replaced,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything in flight came to its end.
    Drained,
    /// The time was up; what was in flight was cut.
    TimedOut,
    /// A second signal said to stop at once; what was in flight was cut.
    Interrupted,
    /// No worker is left, though nobody asked them to stop.
    Failed,
}

/// What is to be done as a consequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Readiness fails from here on, and each answer ends its connection.
    FailReadiness,
    /// Workers leave their listeners to another process, and each answer ends its connection.
    HandOver,
    /// Workers stop accepting and close connections after the answer they are giving.
    StopAccepting,
    /// The process ends.
    End(Ended),
}

/// How far stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Leaving { until: Instant },
    HandedOver { until: Instant },
    Draining { until: Instant },
    Over,
}

/// The sequence of stopping.
#[derive(Debug)]
pub struct Drain {
    phase: Phase,
}

/// How long each part may take; `timeouts.drain_delay` and `timeouts.drain`. A `drain` of zero waits for ever.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// For balancers to notice.
    pub notice: Duration,
    /// For what is in flight.
    pub finish: Duration,
}

impl Drain {
    /// Nobody has asked to stop.
    pub const fn new() -> Self {
        Drain { phase: Phase::Serving }
    }

    /// Whether stopping has begun.
    pub fn begun(&self) -> bool {
        self.phase != Phase::Serving
    }

    /// Somebody asks to stop. The steps are to be taken in order.
    pub fn on_stop(&mut self, stop: Stop, delays: Delays, now: Instant) -> Vec<Step> {
        match (self.phase, stop) {
            (Phase::Serving, Stop::Terminate) if !delays.notice.is_zero() => {
                self.phase = Phase::Leaving { until: now + delays.notice };
                vec![Step::FailReadiness]
            }
            (Phase::Serving, Stop::Replaced) => {
                self.phase = Phase::HandedOver { until: now + delays.notice.max(LAST_ANSWERS) };
                vec![Step::HandOver]
            }
            (Phase::Serving, _) => {
                self.drain(delays, now);
                vec![Step::FailReadiness, Step::StopAccepting]
            }
            (Phase::Leaving { .. }, Stop::Interrupt) | (Phase::HandedOver { .. }, Stop::Interrupt | Stop::Terminate) => {
                self.drain(delays, now);
                vec![Step::StopAccepting]
            }
            (Phase::Leaving { .. }, _) | (Phase::HandedOver { .. }, Stop::Replaced) | (Phase::Draining { .. }, Stop::Replaced) => vec![],
            (Phase::Draining { .. }, _) => self.end(Ended::Interrupted),
            (Phase::Over, _) => vec![],
        }
    }

    /// Time has passed; `idle` says that no worker accepts and no connection is open any more.
    pub fn on_tick(&mut self, idle: bool, delays: Delays, now: Instant) -> Vec<Step> {
        match self.phase {
            Phase::HandedOver { .. } if idle => self.end(Ended::Drained),
            Phase::Leaving { until } | Phase::HandedOver { until } if now >= until => {
                self.drain(delays, now);
                vec![Step::StopAccepting]
            }
            Phase::Draining { .. } if idle => self.end(Ended::Drained),
            Phase::Draining { until } if now >= until => self.end(Ended::TimedOut),
            _ => vec![],
        }
    }

    fn drain(&mut self, delays: Delays, now: Instant) {
        let until = if delays.finish.is_zero() { Instant::MAX } else { now + delays.finish };
        self.phase = Phase::Draining { until };
    }

    fn end(&mut self, ended: Ended) -> Vec<Step> {
        self.phase = Phase::Over;
        vec![Step::End(ended)]
    }
}

/// How long clients of a process that was replaced have at least for a next request, whose answer ends the connection. Nobody waits
/// for it to be gone.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const DELAYS: Delays = Delays { notice: Duration::from_secs(5), finish: Duration::from_secs(30) };

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn an_orchestrator_gets_the_whole_sequence() {
        let mut drain = Drain::new();
        assert_eq!(drain.on_tick(true, DELAYS, at(0)), []);
        assert!(!drain.begun());
        assert_eq!(drain.on_stop(Stop::Terminate, DELAYS, at(1)), [Step::FailReadiness]);
        assert!(drain.begun());
        assert_eq!(drain.on_tick(true, DELAYS, at(5)), [], "idle or not, balancers get their time");
        assert_eq!(drain.on_tick(true, DELAYS, at(6)), [Step::StopAccepting]);
        assert_eq!(drain.on_tick(false, DELAYS, at(20)), []);
        assert_eq!(drain.on_tick(true, DELAYS, at(21)), [Step::End(Ended::Drained)]);
        assert_eq!(drain.on_tick(true, DELAYS, at(22)), [], "it ends once");
    }

    #[test]
    fn a_person_does_not_wait_for_balancers() {
        let mut drain = Drain::new();
        assert_eq!(drain.on_stop(Stop::Interrupt, DELAYS, at(1)), [Step::FailReadiness, Step::StopAccepting]);
        assert_eq!(drain.on_tick(true, DELAYS, at(1)), [Step::End(Ended::Drained)]);
        let mut drain = Drain::new();
        drain.on_stop(Stop::Terminate, DELAYS, at(1));
        assert_eq!(drain.on_stop(Stop::Terminate, DELAYS, at(2)), [], "repeating itself changes nothing");
        assert_eq!(drain.on_stop(Stop::Interrupt, DELAYS, at(2)), [Step::StopAccepting]);
    }

    #[test]
    fn a_process_that_was_replaced_stays_ready_until_its_clients_have_gone() {
        let mut drain = Drain::new();
        assert_eq!(drain.on_stop(Stop::Replaced, DELAYS, at(1)), [Step::HandOver]);
        assert_eq!(drain.on_tick(false, DELAYS, at(5)), []);
        assert_eq!(drain.on_tick(false, DELAYS, at(6)), [Step::StopAccepting]);
        assert_eq!(drain.on_tick(true, DELAYS, at(7)), [Step::End(Ended::Drained)]);
        let mut drain = Drain::new();
        drain.on_stop(Stop::Replaced, DELAYS, at(1));
        assert_eq!(drain.on_tick(true, DELAYS, at(2)), [Step::End(Ended::Drained)], "without clients there is nothing to wait for");
        let mut drain = Drain::new();
        drain.on_stop(Stop::Replaced, DELAYS, at(1));
        assert_eq!(drain.on_stop(Stop::Terminate, DELAYS, at(2)), [Step::StopAccepting]);
    }

    #[test]
    fn the_time_for_what_is_in_flight_ends() {
        let mut drain = Drain::new();
        drain.on_stop(Stop::Interrupt, DELAYS, at(0));
        assert_eq!(drain.on_tick(false, DELAYS, at(29)), []);
        assert_eq!(drain.on_tick(false, DELAYS, at(30)), [Step::End(Ended::TimedOut)]);
        let mut drain = Drain::new();
        let patient = Delays { finish: Duration::ZERO, ..DELAYS };
        drain.on_stop(Stop::Interrupt, patient, at(0));
        assert_eq!(drain.on_tick(false, patient, at(1 << 30)), []);
    }

    #[test]
    fn a_signal_while_draining_stops_at_once() {
        for (first, again) in [(Stop::Interrupt, Stop::Interrupt), (Stop::Interrupt, Stop::Terminate)] {
            let mut drain = Drain::new();
            drain.on_stop(first, DELAYS, at(0));
            assert_eq!(drain.on_stop(again, DELAYS, at(1)), [Step::End(Ended::Interrupted)]);
            assert_eq!(drain.on_stop(again, DELAYS, at(1)), []);
        }
    }

    #[test]
    fn without_a_delay_workers_stop_accepting_at_once() {
        let mut drain = Drain::new();
        let prompt = Delays { notice: Duration::ZERO, ..DELAYS };
        assert_eq!(drain.on_stop(Stop::Terminate, prompt, at(0)), [Step::FailReadiness, Step::StopAccepting]);
    }
}
