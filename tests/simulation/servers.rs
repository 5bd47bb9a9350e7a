//! The scripted servers behind the endpoints: each port is one.

use std::collections::BTreeMap;
use std::time::Duration;

use ringway::clock::Instant;
use ringway::error::Reason;
use ringway::exchange::{Attempted, Ending, Trace};

use crate::chance::Chance;

/// What a server does.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    Up,
    /// Refuses connections.
    Down,
    /// Takes requests and says nothing.
    Hanging,
    Slow,
    /// So many percent of its answers are bad.
    Failing(u64),
    /// Up and down in turn, this long each.
    Flapping(Duration),
}

#[derive(Debug)]
pub struct Server {
    pub mode: Mode,
    pub in_flight: u32,
    /// Requests that each core has sent to it.
    pub attempts: Vec<u64>,
}

#[derive(Debug, Default)]
pub struct Servers {
    pub all: BTreeMap<u16, Server>,
}

/// What comes of an attempt.
pub struct Outcome {
    pub after: Duration,
    pub attempted: Attempted,
    /// How long the answer's body takes, and whether it breaks off.
    pub body: (Duration, Option<Reason>),
}

impl Servers {
    pub fn at(&mut self, port: u16, cores: usize) -> &mut Server {
        self.all.entry(port).or_insert_with(|| Server { mode: Mode::Up, in_flight: 0, attempts: vec![0; cores] })
    }
}

impl Server {
    /// What the server is at this moment.
    fn now(&self, now: Instant) -> Mode {
        match self.mode {
            Mode::Flapping(time) if (now.as_nanos() / time.as_nanos() as u64).is_multiple_of(2) => Mode::Up,
            Mode::Flapping(_) => Mode::Down,
            mode => mode,
        }
    }

    pub fn outcome(&self, first_byte: Duration, stormy: bool, chance: &mut Chance, now: Instant) -> Outcome {
        let sent = Trace { sent: true, reused: chance.percent(50), ..Trace::default() };
        let failed = |after, reason, trace| Outcome {
            after,
            attempted: Attempted { ending: Ending::Failed(reason), trace },
            body: (Duration::ZERO, None),
        };
        let latency = chance.micros(200, 8_000);
        let answered = |after, status, body| Outcome {
            after,
            attempted: Attempted { ending: Ending::Answered(status), trace: Trace { started: true, ..sent } },
            body,
        };
        let body = if stormy && chance.percent(3) { chance.micros(0, 800_000) } else { chance.micros(0, 5_000) };
        match self.now(now) {
            Mode::Down => failed(Duration::from_micros(300), Reason::ConnectFailed, Trace::default()),
            Mode::Hanging => failed(first_byte, Reason::FirstByteTimeout, sent),
            Mode::Up if chance.percent(2) => failed(latency, Reason::ClosedBeforeHead, Trace { reused: true, ..sent }),
            Mode::Slow => answered(chance.micros(50_000, 500_000), 200, (body, None)),
            Mode::Failing(percent) if chance.percent(percent) => match chance.between(0, 2) {
                0 => answered(latency, 503, (body, None)),
                1 => answered(latency, 200, (body, Some(Reason::ClosedMidBody))),
                _ => failed(latency, Reason::ClosedBeforeHead, sent),
            },
            Mode::Up | Mode::Failing(_) | Mode::Flapping(_) => answered(latency, 200, (body, None)),
        }
    }

    /// Whether a probe finds it well.
    pub fn is_well(&self, chance: &mut Chance, now: Instant) -> bool {
        match self.now(now) {
            Mode::Up | Mode::Slow => true,
            Mode::Failing(percent) => !chance.percent(percent),
            Mode::Down | Mode::Hanging | Mode::Flapping(_) => false,
        }
    }
}

/// A mode by chance.
pub fn mode(chance: &mut Chance) -> Mode {
    match chance.between(0, 9) {
        0..=3 => Mode::Up,
        4 | 5 => Mode::Down,
        6 => Mode::Hanging,
        7 => Mode::Slow,
        8 => Mode::Failing(chance.between(10, 100)),
        _ => Mode::Flapping(Duration::from_millis(chance.between(50, 2_000))),
    }
}
