//! Listening sockets that this process was given: by a service manager (socket activation, sd_listen_fds(3)) or by the process it
//! is to replace.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{OwnedFd, RawFd};

use crate::net::{self, Listening};

/// What a process finds in its environment about itself; to be taken out of it once read, so that no child takes it for its own.
pub const VARIABLES: &[&str] = &["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", HANDED_OVER];

/// How a process tells its successor what it hands over: its own pid, the descriptor to report to, the sockets that are its own and
/// those that a service manager keeps, such as `4711:9:10,11:`.
pub(super) const HANDED_OVER: &str = "RINGWAY_HANDED_OVER";
/// The first descriptor that a service manager passes.
const FIRST: RawFd = 3;

/// Sockets that this process was given, and whom it replaces.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Listening>,
    predecessor: Option<File>,
}

impl Inherited {
    /// As the environment says. To be called once, before this process opens anything.
    ///
    /// # Errors
    /// When it says what isn't so: a descriptor is not open, or is no listening TCP socket.
    pub fn from_environment() -> io::Result<Self> {
        if let Some(said) = env::var_os(HANDED_OVER) {
            return handed_over(said);
        }
        let number = |name| env::var(name).ok()?.parse::<u32>().ok();
        let count = number("LISTEN_FDS").filter(|_| number("LISTEN_PID") == Some(std::process::id())).unwrap_or(0);
        let count = RawFd::try_from(count).unwrap_or(RawFd::MAX - FIRST);
        let sockets = (FIRST..FIRST + count).map(|fd| adopt(fd, true)).collect::<io::Result<_>>()?;
        Ok(Inherited { sockets, predecessor: None })
    }

    /// Takes the sockets that listen on this address out. One on `[::]` stands for `0.0.0.0` too.
    pub fn take(&mut self, wanted: SocketAddr) -> Vec<Listening> {
        self.sockets.extract_if(.., |listening| listening.socket.local_addr().is_ok_and(|address| serves(address, wanted))).collect()
    }

    /// The address of a socket that nobody has taken.
    pub fn left(&self) -> Option<SocketAddr> {
        self.sockets.first()?.socket.local_addr().ok()
    }

    /// Tells the process that is to be replaced, if there is one, that this one serves.
    pub fn tell_predecessor(&mut self) {
        if let Some(mut predecessor) = self.predecessor.take() {
            // It may have ended meanwhile; what it handed over is here all the same.
            let _ = predecessor.write_all(&[1]);
        }
    }
}

fn serves(address: SocketAddr, wanted: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    address.port() == wanted.port() && (address.ip() == wanted.ip() || (address.is_ipv6() && any(address.ip()) && any(wanted.ip())))
}

/// What the process to be replaced says, if this one is its child.
fn handed_over(said: OsString) -> io::Result<Inherited> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("{HANDED_OVER} is not what a ringway writes there"));
    let said = said.into_string().map_err(|_| wrong())?;
    let mut parts = said.split(':');
    let mut part = || parts.next().ok_or_else(wrong);
    if part()? != std::os::unix::process::parent_id().to_string() {
        return Ok(Inherited::default());
    }
    let report: RawFd = part()?.parse().map_err(|_| wrong())?;
    let mut sockets = Vec::new();
    for kept in [false, true] {
        for fd in part()?.split(',').filter(|fd| !fd.is_empty()) {
            sockets.push(adopt(fd.parse().map_err(|_| wrong())?, kept)?);
        }
    }
    let report: OwnedFd = net::adopt(report)?;
    Ok(Inherited { sockets, predecessor: Some(report.into()) })
}

fn adopt(fd: RawFd, kept: bool) -> io::Result<Listening> {
    let socket = net::adopt_listener(fd).map_err(|error| io::Error::new(error.kind(), format!("descriptor {fd}: {error}")))?;
    Ok(Listening { socket, kept, tls: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_serves_its_own_address_and_both_kinds_if_it_is_on_all() {
        let serves = |address: &str, wanted: &str| super::serves(address.parse().unwrap(), wanted.parse().unwrap());
        assert!(serves("127.0.0.1:80", "127.0.0.1:80") && serves("[::]:80", "0.0.0.0:80") && serves("[::]:80", "[::]:80"));
        assert!(!serves("127.0.0.1:80", "127.0.0.1:81") && !serves("0.0.0.0:80", "127.0.0.1:80") && !serves("0.0.0.0:80", "[::]:80"));
    }

    #[test]
    fn what_another_process_was_told_counts_for_nothing() {
        assert!(handed_over("1000000000:9:10:".into()).unwrap().left().is_none());
        assert!(handed_over("nonsense:".into()).is_ok(), "no child of that process");
        let own = std::os::unix::process::parent_id();
        for said in [format!("{own}"), format!("{own}:x::"), format!("{own}:1000000:1000000:")] {
            assert!(handed_over(said.clone().into()).is_err(), "{said}");
        }
    }
}
