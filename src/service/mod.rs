//! Where this process stands among others: what a service manager is told, which sockets it was given, and the process that is to
//! replace it.
//!
//! ```text
//! SIGUSR2 --starts--> successor, with the sockets --not ready in time, or ended--> ended; this process serves on
//!                         |
//!                         +--ready: reports--> this process hands over: accepts no more, ends connections by their next answer
//! ```
//!
//! The sockets themselves are handed over, queues and all: what waits to be accepted is accepted by whichever process comes to it.

mod inherited;
mod notify;
mod successor;

use std::io;

pub use inherited::{Inherited, VARIABLES};
pub use notify::Notifier;
pub use successor::{Program, Progress, Successor};

/// What a process knows of those around it. The default is to know of none.
#[derive(Debug, Default)]
pub struct Service {
    /// Tells the service manager.
    pub notifier: Notifier,
    /// The sockets it was given.
    pub inherited: Inherited,
    /// How to start a process that replaces this one, if that is possible.
    pub program: Option<Program>,
}

impl Service {
    /// As the environment and the arguments say. To be called once, before this process opens anything.
    ///
    /// # Errors
    /// When the environment says what isn't so.
    pub fn from_environment() -> io::Result<Self> {
        let inherited = Inherited::from_environment()?;
        Ok(Service { notifier: Notifier::from_environment()?, inherited, program: Program::from_arguments() })
    }
}
