//! The process that is to replace this one: started with the listening sockets, watched until it serves or has failed.

use std::env;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsRawFd;
use std::process::{Child, Command};

use super::inherited::HANDED_OVER;
use crate::clock::Instant;
use crate::net::{self, Listening};

/// How this process was started.
#[derive(Clone, Debug)]
pub struct Program {
    name: OsString,
    arguments: Vec<OsString>,
}

impl Program {
    /// By its own arguments. The name is the one it was called by, not the file it was then, so that a link may lead elsewhere by now.
    pub fn from_arguments() -> Option<Self> {
        let mut arguments = env::args_os();
        let name = arguments.next().filter(|name| !name.is_empty())?;
        Some(Program { name, arguments: arguments.collect() })
    }
}

/// A process that is to replace this one.
#[derive(Debug)]
pub struct Successor {
    process: Child,
    report: PipeReader,
    until: Instant,
}

/// How far it has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is neither ready nor has it failed.
    Starting,
    /// It serves.
    Ready {
        /// Its pid.
        pid: u32,
    },
    /// It is gone, and this is why.
    Failed(String),
}

impl Successor {
    /// Starts the program again with these sockets; it must be ready by `until`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(program: &Program, sockets: &[Listening], until: Instant) -> io::Result<Successor> {
        let (report, reporter) = io::pipe()?;
        rustix::io::ioctl_fionbio(&report, true)?;
        let list = |kept| {
            let sockets = sockets.iter().filter(|listening| listening.kept == kept);
            sockets.map(|listening| listening.socket.as_raw_fd().to_string()).collect::<Vec<_>>().join(",")
        };
        let said = format!("{}:{}:{}:{}", std::process::id(), reporter.as_raw_fd(), list(false), list(true));
        let mut command = Command::new(&program.name);
        let fds = sockets.iter().map(|listening| listening.socket.as_raw_fd()).chain([reporter.as_raw_fd()]);
        net::pass_only(&mut command, fds.collect());
        // The watchdog's pid is this process's.
        command.args(&program.arguments).env(HANDED_OVER, said).env_remove("WATCHDOG_PID");
        Ok(Successor { process: command.spawn()?, report, until })
    }

    /// Looks after it, without waiting.
    pub fn progress(&mut self, now: Instant) -> Progress {
        if matches!(self.report.read(&mut [0]), Ok(1)) {
            return Progress::Ready { pid: self.process.id() };
        }
        match self.process.try_wait() {
            Ok(Some(status)) => Progress::Failed(format!("it ended before it was ready ({status}); its messages are above")),
            Err(error) => Progress::Failed(format!("it can't be watched: {error}")),
            Ok(None) if now >= self.until => {
                self.end();
                Progress::Failed("it was not ready within timeouts.upgrade and was ended".into())
            }
            Ok(None) => Progress::Starting,
        }
    }

    /// Ends it: it is not wanted any more.
    pub fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
