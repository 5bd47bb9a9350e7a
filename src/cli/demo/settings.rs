//! The demo's configuration: what a file would say, with the ports of this run.

use std::net::{Ipv4Addr, SocketAddr};

use ringway::config::{Config, Endpoint, Loaded, LogLevel, Problems, Route, StatusRange, Time, Upstream};

/// The configuration for a gateway on these ports with these endpoints behind it.
pub fn load(port: u16, admin: u16, endpoints: &[(&'static str, SocketAddr)]) -> Result<Loaded, Problems> {
    let mut config = Config::default();
    let mut upstream = Upstream { id: "demo".into(), ..Upstream::default() };
    upstream.endpoints = endpoints
        .iter()
        .map(|(name, address)| Endpoint { id: Some((*name).into()), url: format!("http://{address}"), ..Endpoint::default() })
        .collect();
    upstream.health_check.enabled = true;
    upstream.health_check.interval = Some(Time::from_secs(1));
    upstream.retry.on_status = vec![StatusRange { low: 500, high: 504 }];
    config.upstreams = vec![upstream];
    config.routes = vec![Route { path: "/".into(), upstream: "demo".into(), retry_count: Some(2), ..Route::default() }];
    config.listener.address = Ipv4Addr::LOCALHOST.to_string();
    config.listener.port = port;
    config.admin.port = admin;
    // What changes is shown, so that log lines needn't tell.
    config.logging.level = LogLevel::Error;
    Ok(Loaded { config, hash: 1 })
}
