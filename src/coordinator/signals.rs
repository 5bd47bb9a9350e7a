//! Signals as flags: raised by the process's handlers, taken by the coordinator at each tick.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};

/// Signals that arrived and were not taken yet. Those of one kind that arrive between two ticks count once.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    terminate: Arc<AtomicBool>,
    interrupt: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
    upgrade: Arc<AtomicBool>,
}

impl Signals {
    /// Signals nobody raises but [`Signals::raise`]; for a gateway inside another program.
    pub fn none() -> Self {
        Signals::default()
    }

    /// Takes over SIGTERM, SIGINT, SIGHUP and SIGUSR2 for this process.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn install() -> io::Result<Self> {
        let signals = Signals::default();
        signal_hook::flag::register(SIGTERM, signals.terminate.clone())?;
        signal_hook::flag::register(SIGINT, signals.interrupt.clone())?;
        signal_hook::flag::register(SIGHUP, signals.hangup.clone())?;
        signal_hook::flag::register(SIGUSR2, signals.upgrade.clone())?;
        Ok(signals)
    }

    /// Raises one by hand: `SIGTERM`, `SIGINT`, `SIGHUP` or `SIGUSR2`; others do nothing.
    pub fn raise(&self, signal: i32) {
        match signal {
            SIGTERM => self.terminate.store(true, SeqCst),
            SIGINT => self.interrupt.store(true, SeqCst),
            SIGHUP => self.hangup.store(true, SeqCst),
            SIGUSR2 => self.upgrade.store(true, SeqCst),
            _ => {}
        }
    }

    /// Whether SIGTERM arrived since it was last asked.
    pub(super) fn take_terminate(&self) -> bool {
        self.terminate.swap(false, SeqCst)
    }

    /// Whether SIGINT arrived since it was last asked.
    pub(super) fn take_interrupt(&self) -> bool {
        self.interrupt.swap(false, SeqCst)
    }

    /// Whether SIGHUP arrived since it was last asked.
    pub(super) fn take_hangup(&self) -> bool {
        self.hangup.swap(false, SeqCst)
    }

    /// Whether SIGUSR2 arrived since it was last asked.
    pub(super) fn take_upgrade(&self) -> bool {
        self.upgrade.swap(false, SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_taken_once() {
        let signals = Signals::none();
        assert!(!signals.take_hangup());
        signals.raise(SIGHUP);
        assert!(signals.take_hangup() && !signals.take_hangup());
        signals.raise(SIGINT);
        signals.raise(SIGTERM);
        assert!(signals.take_interrupt() && signals.take_terminate() && !signals.take_terminate());
    }
}
