//! What a service manager is told (sd_notify(3)): ready, reloading, stopping, alive. Without one that listens, nothing is sent.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::clock::Instant;

/// Tells the service manager. Copies share one socket. A message that can't be sent is lost: nothing here may wait for its reader.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    to: Option<Arc<(UnixDatagram, SocketAddr)>>,
    /// Time between two signs of life.
    every: Option<Duration>,
    next: Instant,
}

impl Notifier {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say. Without the first it tells nobody.
    ///
    /// # Errors
    /// When `NOTIFY_SOCKET` names no socket that a process could have.
    pub fn from_environment() -> io::Result<Self> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Ok(Notifier::default()) };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let mine = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let every = number("WATCHDOG_USEC").filter(|limit| mine && *limit > 0).map(|limit| Duration::from_micros(limit) / 3);
        Ok(Notifier { to: Some(Arc::new((socket, address(&name)?))), every, next: Instant::ZERO })
    }

    /// The gateway listens; or a reload is over, whether it changed anything or not.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// A reload begins; [`Notifier::ready`] ends it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000));
    }

    /// Stopping has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// From here on the process with this pid is the service, and this one has nothing more to say.
    pub fn replaced_by(&mut self, pid: u32) {
        self.send(&format!("MAINPID={pid}"));
        *self = Notifier::default();
    }

    /// A sign of life, whenever a third of the time that the service manager waits for one is over. To be called often.
    pub fn alive(&mut self, now: Instant) {
        if let Some(every) = self.every
            && now >= self.next
        {
            self.next = now + every;
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = self.to.as_deref() {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

/// The address a name stands for: a path, or with `@` in front one that is no file.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_come_in_time_and_no_oftener() {
        let name = format!("ringway-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_nonblocking(true).unwrap();
        let to = Some(Arc::new((UnixDatagram::unbound().unwrap(), super::address(OsStr::new(&format!("@{name}"))).unwrap())));
        let mut notifier = Notifier { to, every: Some(Duration::from_secs(1)), next: Instant::ZERO };
        let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
        for (milliseconds, sent) in [(0, true), (500, false), (999, false), (1000, true), (1500, false), (9000, true)] {
            notifier.alive(at(milliseconds));
            let mut message = [0; 64];
            let received = manager.recv(&mut message).map(|length| message[..length].to_vec());
            assert_eq!(received.ok(), sent.then(|| b"WATCHDOG=1".to_vec()), "{milliseconds}");
        }
        Notifier { every: None, ..notifier }.alive(Instant::MAX);
        assert!(manager.recv(&mut [0; 64]).is_err(), "nobody waits for one");
    }
}
