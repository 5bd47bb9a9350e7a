//! `ringway demo`: three endpoints, the gateway in front of them, and a client whose requests are shown as they are spread.

mod certificate;
// The endpoint of our tests is also the demo's. It belongs to the tools, so it is compiled into this program from there and
// the library stays without it.
#[path = "../../../tools/ringorigin/origin/mod.rs"]
mod origin;
mod settings;
mod show;
mod traffic;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use crossbeam_channel::bounded;
use ringway::net;
use ringway::run::{self, Running, StartError};

use origin::Origin;

/// The port unless told otherwise.
const PORT: u16 = 8080;
/// The port for HTTPS, and the private listener's, if the gateway has its usual one and nobody has these.
const TLS_PORT: u16 = 8443;
const ADMIN_PORT: u16 = 9901;
/// The endpoints.
const NAMES: [&str; 3] = ["one", "two", "three"];

/// What the command line says.
pub struct Options {
    /// The gateway's port, if it is to be a certain one.
    pub port: Option<u16>,
}

/// Runs the demo until a signal ends it.
pub fn run(options: Options) -> ExitCode {
    let endpoints = match start_endpoints() {
        Ok(endpoints) => endpoints,
        Err(error) => return super::ended(Err(StartError::Process { what: "start the demo's endpoints", error })),
    };
    let port = options.port.unwrap_or_else(|| free_or_any(PORT));
    let moved = options.port.is_none() && port != PORT;
    // Beside another gateway, or started by a program, it leaves the usual ports alone.
    let beside = |usual| if port == PORT { free_or_any(usual) } else { 0 };
    let ports = settings::Ports { plain: port, tls: beside(TLS_PORT), admin: beside(ADMIN_PORT) };
    // Whoever has one of their own says so.
    let made = std::env::var_os("RINGWAY_DEMO_TLS").is_none().then(certificate::make);
    let certificate = made.as_ref().and_then(|made| made.as_deref().ok());
    let loaded = match settings::load(&ports, certificate, &endpoints) {
        Ok(loaded) => loaded,
        Err(problems) => return super::ended(Err(StartError::Config(problems))),
    };
    let (ready, wait) = bounded::<Running>(1);
    let shown = std::thread::spawn(move || {
        // Nothing comes if the gateway can't start.
        if let Ok(running) = wait.recv() {
            show::run(&running, &endpoints, moved, made.as_ref());
        }
    });
    let on_ready: run::OnReady = Box::new(move |running| drop(ready.send(running.clone())));
    let options = run::Options { on_ready: Some(on_ready), ..run::Options::default() };
    let ended = super::ended(super::start_log().and_then(|()| run::run(loaded, options)));
    let _ = shown.join();
    ended
}

/// Starts the endpoints on ports of their own, all on one thread.
fn start_endpoints() -> io::Result<Vec<(&'static str, SocketAddr)>> {
    let mut addresses = Vec::new();
    let mut listeners: Vec<(TcpListener, Arc<Origin>)> = Vec::new();
    for name in NAMES {
        let listener = net::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1024, false)?;
        addresses.push((name, listener.local_addr()?));
        listeners.push((listener, Arc::new(Origin::new(name, false, None))));
    }
    let start = |nonblocking| listeners.into_iter().try_for_each(|(listener, origin)| origin::spawn_tcp(listener, nonblocking, origin));
    std::thread::Builder::new().name("endpoints".into()).spawn(move || {
        if let Err(error) = origin::run(start) {
            eprintln!("ringway: the demo's endpoints cannot start: {error}");
        }
    })?;
    Ok(addresses)
}

/// This port if nobody has it, else 0, which takes a free one.
fn free_or_any(port: u16) -> u16 {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if net::bind(address, 1, false).is_ok() { port } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_insisted_on() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(free_or_any(port), 0);
        drop(taken);
        assert_eq!(free_or_any(port), port);
    }
}
