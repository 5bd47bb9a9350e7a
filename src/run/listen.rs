//! The sockets it listens on.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::StartError;
use crate::config::Config;
use crate::net::{self, Listening};
use crate::service::Inherited;

/// The address a setting gives.
fn socket_address(setting: &'static str, address: &str, port: u16) -> Result<SocketAddr, StartError> {
    let ip: IpAddr = address.trim_matches(['[', ']']).parse().map_err(|_| StartError::Address { setting, value: address.to_owned() })?;
    Ok(SocketAddr::new(ip, port))
}

/// What is listened on for clients.
pub(super) struct Port {
    /// The section of the configuration.
    pub setting: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// The sockets, all on this address.
    pub sockets: Vec<Listening>,
}

/// All that is listened on for clients: without TLS, and with it if the configuration says so.
pub(super) fn bind_all(config: &Config, inherited: &mut Inherited, workers: usize) -> Result<Vec<Port>, StartError> {
    let (plain, tls) = (&config.listener, &config.tls);
    let wanted = [("listener", &plain.address, plain.port, true), ("tls", &tls.address, tls.port, tls.listens())];
    let mut ports = Vec::new();
    for (setting, address, port, _) in wanted.into_iter().filter(|(.., wanted)| *wanted) {
        let address = socket_address(setting, address, port)?;
        let (address, mut sockets) = bind(setting, address, plain.backlog, inherited, workers)?;
        sockets.iter_mut().for_each(|listening| listening.tls = setting == "tls");
        ports.push(Port { setting, address, sockets });
    }
    Ok(ports)
}

/// Listeners on the same address: those that this process was given, or one bound for each worker.
///
/// Sockets that share a port share it with other processes of the same user too, so a second gateway would quietly take
/// half of the first one's connections: a first bind that doesn't share shows whether the port is free.
fn bind(
    setting: &'static str,
    mut address: SocketAddr,
    backlog: u32,
    inherited: &mut Inherited,
    workers: usize,
) -> Result<(SocketAddr, Vec<Listening>), StartError> {
    let failed = |error| StartError::Bind { setting, address, error };
    let given = inherited.take(address);
    if !given.is_empty() {
        return Ok((address, given));
    }
    if address.port() != 0 {
        drop(net::bind(address, 1, false).map_err(failed)?);
    }
    let own = |socket| Listening { socket, kept: false, tls: false };
    let first = net::bind(address, backlog, true).map_err(failed)?;
    address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![own(first)];
    for _ in 1..workers {
        listeners.push(own(net::bind(address, backlog, true).map_err(|error| StartError::Bind { setting, address, error })?));
    }
    Ok((address, listeners))
}

/// Gives each worker a listener and each listener a worker: where there are fewer listeners, workers share them, as those that
/// were bound besides would have queues of their own, which nobody could hand back if this start failed.
fn spread(given: Vec<Listening>, workers: usize) -> io::Result<Vec<Vec<Listening>>> {
    let mut seats: Vec<Vec<Listening>> = (0..workers).map(|_| Vec::new()).collect();
    for worker in given.len()..workers {
        seats[worker].push(given[worker % given.len()].duplicate()?);
    }
    given.into_iter().enumerate().for_each(|(index, listening)| seats[index % workers].push(listening));
    Ok(seats)
}

/// The same of each port.
pub(super) fn spread_all(ports: Vec<Port>, workers: usize) -> io::Result<Vec<Vec<Listening>>> {
    let mut seats: Vec<Vec<Listening>> = (0..workers).map(|_| Vec::new()).collect();
    for port in ports {
        seats.iter_mut().zip(spread(port.sockets, workers)?).for_each(|(seat, listeners)| seat.extend(listeners));
    }
    Ok(seats)
}

/// A descriptor of each listening socket there is, for the process that replaces this one.
pub(super) fn duplicates(ports: &[Port], admin: &Option<Listening>) -> io::Result<Vec<Listening>> {
    ports.iter().flat_map(|port| &port.sockets).chain(admin).map(Listening::duplicate).collect()
}

/// The private listener, if there is to be one.
pub(super) fn bind_admin(config: &Config, inherited: &mut Inherited) -> Result<Option<Listening>, StartError> {
    let (setting, admin) = ("admin", &config.admin);
    if !admin.enabled {
        return Ok(None);
    }
    let address = socket_address(setting, &admin.address, admin.port)?;
    if let Some(given) = inherited.take(address).pop() {
        return Ok(Some(given));
    }
    let bound = net::bind(address, 128, false).map_err(|error| StartError::Bind { setting, address, error })?;
    Ok(Some(Listening { socket: bound, kept: false, tls: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(port: u16) -> Config {
        let mut config = Config::default();
        config.listener.address = "127.0.0.1".into();
        config.listener.port = port;
        config.admin.port = port;
        config
    }

    fn plain(config: &Config, workers: usize) -> Result<Port, StartError> {
        bind_all(config, &mut Inherited::default(), workers).map(|mut ports| ports.remove(0))
    }

    #[test]
    fn workers_share_a_free_port_and_others_are_refused_it() {
        let Port { address, sockets: listeners, .. } = plain(&config(0), 3).unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(listeners.len(), 3);
        for listener in &listeners {
            assert_eq!(listener.socket.local_addr().unwrap(), address);
        }
        let error = plain(&config(address.port()), 1).err().unwrap().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("taken"), "{error}");
        let error = bind_admin(&config(address.port()), &mut Inherited::default()).unwrap_err().to_string();
        assert!(error.contains("admin.port"), "{error}");
        drop(listeners);
        plain(&config(address.port()), 2).unwrap();
    }

    #[test]
    fn each_worker_has_a_listener_and_each_listener_a_worker() {
        for (listeners, workers, each) in [(3, 3, vec![1, 1, 1]), (1, 3, vec![1, 1, 1]), (2, 3, vec![1, 1, 1]), (5, 2, vec![3, 2])] {
            let given = plain(&config(0), listeners).unwrap();
            let seats = spread_all(vec![given], workers).unwrap();
            assert_eq!(seats.iter().map(Vec::len).collect::<Vec<_>>(), each);
        }
    }

    #[test]
    fn a_name_is_no_address() {
        let error = socket_address("listener", "localhost", 1).unwrap_err().to_string();
        assert!(error.contains("listener.address is `localhost`"), "{error}");
        assert_eq!(socket_address("listener", "[::1]", 80).unwrap(), "[::1]:80".parse().unwrap());
    }
}
