//! Whether a silent peer is still there: it is asked by a PING, and any byte is an answer (RFC 9113 section 6.7).

use std::cell::Cell;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use h2::{Ping, PingPong};

use crate::clock::Instant;

/// How often a peer is asked, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Of silence, while streams are open.
    pub interval: Duration,
    /// For an answer.
    pub timeout: Duration,
}

/// The peer is gone, as far as anybody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

/// One connection's.
pub struct Keepalive {
    pace: Pace,
    ping: PingPong,
    /// When the peer last said something.
    heard: Rc<Cell<Instant>>,
    asked: Option<Instant>,
    /// Somebody waits for the peer.
    busy: bool,
}

/// What is to be done with the alarm that has the peer looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// It stays as it is.
    Stays,
    /// It is set to this moment.
    At(Instant),
    /// It isn't needed.
    Off,
}

impl Keepalive {
    /// Of a connection by which bytes come at `heard`.
    pub fn new(pace: Pace, ping: PingPong, heard: Rc<Cell<Instant>>) -> Keepalive {
        Keepalive { pace, ping, heard, asked: None, busy: false }
    }

    /// Looks after a peer that somebody waits for (`busy`), and asks it if that is due; to be called whenever the alarm `rang`, and when
    /// that may have changed.
    ///
    /// # Errors
    /// When there was no answer in time.
    pub fn look(&mut self, cx: &mut Context<'_>, busy: bool, rang: bool, now: impl FnOnce() -> Instant) -> Result<Alarm, Silent> {
        if std::mem::replace(&mut self.busy, busy) == busy && !rang {
            return Ok(Alarm::Stays);
        }
        if !busy {
            self.asked = None;
            return Ok(Alarm::Off);
        }
        let now = now();
        let before = self.asked;
        let at = next(&mut self.asked, self.heard.get(), self.pace, now)?;
        if self.asked.is_some() && self.asked != before {
            // The answer to the one before has to be taken first.
            let _ = self.ping.poll_pong(cx);
            let _ = self.ping.send_ping(Ping::opaque());
        }
        Ok(Alarm::At(at))
    }
}

fn next(asked: &mut Option<Instant>, heard: Instant, pace: Pace, now: Instant) -> Result<Instant, Silent> {
    if let Some(at) = *asked {
        if heard < at {
            return if now < at + pace.timeout { Ok(at + pace.timeout) } else { Err(Silent) };
        }
        *asked = None;
    }
    if now < heard + pace.interval {
        return Ok(heard + pace.interval);
    }
    *asked = Some(now);
    Ok(now + pace.timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_is_asked_and_then_given_up() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let pace = Pace { interval: Duration::from_secs(10), timeout: Duration::from_secs(3) };
        let mut asked = None;
        let mut look = |heard, now| (next(&mut asked, at(heard), pace, at(now)), asked);
        assert_eq!(look(5, 6), (Ok(at(15)), None));
        assert_eq!(look(9, 15), (Ok(at(19)), None), "something came meanwhile");
        assert_eq!(look(9, 19), (Ok(at(22)), Some(at(19))));
        assert_eq!(look(9, 20), (Ok(at(22)), Some(at(19))), "it is asked once");
        assert_eq!(look(20, 22), (Ok(at(30)), None), "it answered");
        assert_eq!(look(20, 31), (Ok(at(34)), Some(at(31))));
        assert_eq!(look(32, 43), (Ok(at(46)), Some(at(43))), "it answered, and was silent again");
        assert_eq!(look(32, 46).0, Err(Silent));
    }
}
