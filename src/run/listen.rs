//! The sockets it listens on.

use std::net::{IpAddr, SocketAddr, TcpListener};

use super::StartError;
use crate::config::Config;
use crate::net;

/// The address a setting gives.
fn socket_address(setting: &'static str, address: &str, port: u16) -> Result<SocketAddr, StartError> {
    let ip: IpAddr = address.trim_matches(['[', ']']).parse().map_err(|_| StartError::Address { setting, value: address.to_owned() })?;
    Ok(SocketAddr::new(ip, port))
}

/// Binds one listener a worker, all to the same address.
///
/// Sockets that share a port share it with other processes of the same user too, so a second gateway would quietly take
/// half of the first one's connections: a first bind that doesn't share shows whether the port is free.
pub(super) fn bind_all(config: &Config, workers: usize) -> Result<(SocketAddr, Vec<TcpListener>), StartError> {
    let setting = "listener";
    let mut address = socket_address(setting, &config.listener.address, config.listener.port)?;
    let failed = |error| StartError::Bind { setting, address, error };
    if address.port() != 0 {
        drop(net::bind(address, 1, false).map_err(failed)?);
    }
    let backlog = config.listener.backlog;
    let first = net::bind(address, backlog, true).map_err(failed)?;
    address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(net::bind(address, backlog, true).map_err(|error| StartError::Bind { setting, address, error })?);
    }
    Ok((address, listeners))
}

/// Binds the private listener, if there is to be one.
pub(super) fn bind_admin(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let (setting, admin) = ("admin", &config.admin);
    if !admin.enabled {
        return Ok(None);
    }
    let address = socket_address(setting, &admin.address, admin.port)?;
    net::bind(address, 128, false).map(Some).map_err(|error| StartError::Bind { setting, address, error })
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

    #[test]
    fn workers_share_a_free_port_and_others_are_refused_it() {
        let (address, listeners) = bind_all(&config(0), 3).unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(listeners.len(), 3);
        for listener in &listeners {
            assert_eq!(listener.local_addr().unwrap(), address);
        }
        let error = bind_all(&config(address.port()), 1).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("taken"), "{error}");
        let error = bind_admin(&config(address.port())).unwrap_err().to_string();
        assert!(error.contains("admin.port"), "{error}");
        drop(listeners);
        bind_all(&config(address.port()), 2).unwrap();
    }

    #[test]
    fn a_name_is_no_address() {
        let error = socket_address("listener", "localhost", 1).unwrap_err().to_string();
        assert!(error.contains("listener.address is `localhost`"), "{error}");
        assert_eq!(socket_address("listener", "[::1]", 80).unwrap(), "[::1]:80".parse().unwrap());
    }
}
