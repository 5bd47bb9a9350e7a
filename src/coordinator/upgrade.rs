//! Replacing the running program: a successor is started with the listeners; once it serves, this process leaves them to it.

use super::drain::{Step, Stop};
use super::{Coordinator, Delays};
use crate::clock::Instant;
use crate::net::{Listening, Stopper};
use crate::service::{Program, Progress, Successor};

/// What a successor is started with, and the one that was.
#[derive(Default)]
pub(super) struct Upgrade {
    program: Option<Program>,
    /// Duplicates of all listeners.
    sockets: Vec<Listening>,
    successor: Option<Successor>,
}

impl Upgrade {
    pub(super) fn new(program: Option<Program>, sockets: Vec<Listening>) -> Self {
        Upgrade { program, sockets, successor: None }
    }

    /// From here on nobody is to take over. Ports whose sockets were open here as well could not be closed.
    pub(super) fn give_up(&mut self) {
        if let Some(mut successor) = self.successor.take() {
            successor.end();
            tracing::warn!("upgrade given up: the gateway is told to stop");
        }
        self.sockets.clear();
    }

    /// Starts a successor, or says why not.
    fn begin(&mut self, limit: std::time::Duration, now: Instant) -> Result<(), String> {
        if self.successor.is_some() {
            return Err("one is under way".into());
        }
        // The first process of a container: with its end the container would end.
        if std::process::id() == 1 {
            return Err("this is process 1; replace its container".into());
        }
        let program = self.program.as_ref().ok_or("how this program was started is not known")?;
        let successor = Successor::start(program, &self.sockets, now + limit);
        self.successor = Some(successor.map_err(|error| format!("the program can't be started: {error}"))?);
        Ok(())
    }
}

impl Coordinator {
    /// Starts a successor if told to, and looks after the one that there is; the steps once it has taken over.
    pub(super) fn upgrade(&mut self, delays: Delays, now: Instant) -> Vec<Step> {
        if self.signals.take_upgrade() {
            let limit = self.config.timeouts.upgrade.get();
            let begun = if self.drain.begun() { Err("the gateway is stopping".into()) } else { self.upgrade.begin(limit, now) };
            match begun {
                Ok(()) => tracing::info!(?limit, "upgrade: the program is started anew, and gets the listeners"),
                Err(why) => tracing::error!("upgrade refused: {why}"),
            }
        }
        let Some(successor) = &mut self.upgrade.successor else { return Vec::new() };
        match successor.progress(now) {
            Progress::Starting => Vec::new(),
            Progress::Failed(why) => {
                self.upgrade.successor = None;
                tracing::error!(pid = std::process::id(), "upgrade failed: {why}. This process serves on");
                Vec::new()
            }
            Progress::Ready { pid } => {
                self.upgrade = Upgrade::default();
                self.notifier.replaced_by(pid);
                self.admin.take().iter().for_each(Stopper::hand_over);
                tracing::info!(pid, "upgraded: another process serves on the same listeners");
                self.drain.on_stop(Stop::Replaced, delays, now)
            }
        }
    }
}
