//! Why a start failed, in words that say what to do.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::{config, net};

/// Why the gateway could not start.
#[derive(Debug)]
pub enum StartError {
    /// A setting is not an IP address.
    Address {
        /// The setting.
        setting: &'static str,
        /// What it says.
        value: String,
    },
    /// An address could not be listened on.
    Bind {
        /// The setting.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        error: io::Error,
    },
    /// A socket was passed to this process that the configuration has no use for.
    Inherited {
        /// Where it listens.
        address: SocketAddr,
        /// Where clients are to connect, by the section of the configuration.
        listening: Vec<(&'static str, SocketAddr)>,
        /// Where operators are to connect, if anywhere.
        admin: Option<SocketAddr>,
    },
    /// The configuration can't be put to work.
    Config(config::Problems),
    /// A worker could not be started.
    Worker {
        /// Its number.
        index: usize,
        /// What went wrong.
        error: io::Error,
    },
    /// The engine that the configuration insists on can't be had.
    Engine(net::RingError),
    /// Something else the process needs was refused.
    Process {
        /// What.
        what: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Address { setting, value } => {
                write!(f, "{setting}.address is `{value}`, which is not an IP address; `0.0.0.0` is every IPv4 address of this host")
            }
            StartError::Bind { setting, address, error } => {
                write!(f, "cannot listen on {address} ({setting}.address and {setting}.port): ")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        let port = address.port();
                        write!(
                            f,
                            "the port is taken by another process, perhaps another ringway. See which with `ss -ltnp 'sport = :{port}'`, \
                             stop it or set {setting}.port to another port"
                        )
                    }
                    io::ErrorKind::PermissionDenied => write!(
                        f,
                        "permission denied. Ports below 1024 need the capability CAP_NET_BIND_SERVICE \
                         (`setcap cap_net_bind_service=+ep` on the binary); or set {setting}.port to 1024 or more"
                    ),
                    io::ErrorKind::AddrNotAvailable => {
                        write!(f, "this host has no such address. See its addresses with `ip addr`, or use `0.0.0.0` for all of them")
                    }
                    _ => write!(f, "{error}"),
                }
            }
            StartError::Inherited { address, listening, admin } => {
                let all: Vec<String> = listening.iter().map(|(setting, address)| format!("{setting} is {address}")).collect();
                let all = all.join(" and ");
                write!(f, "this process was given a socket that listens on {address}, but the configuration's {all}")?;
                match admin {
                    Some(admin) => write!(f, " and its private listener {admin}")?,
                    None => write!(f, " and its private listener is off")?,
                }
                write!(
                    f,
                    ". Clients of that address would wait for ever. Under systemd, make ListenStream= of the .socket unit and the \
                     configuration agree; an upgrade (SIGUSR2) can't change addresses: restart instead"
                )
            }
            StartError::Config(problems) => write!(f, "{problems}"),
            StartError::Worker { index, error } => write!(f, "cannot start worker {index}: {error}"),
            StartError::Engine(error) => write!(f, "{error}"),
            StartError::Process { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
