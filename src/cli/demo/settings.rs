//! The demo's configuration: `config/demo.json` with the ports of this run.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ringway::config::{self, Certificate, Loaded, LogLevel, Problems};

/// Where the gateway listens; 0 takes a free port.
pub struct Ports {
    pub plain: u16,
    pub tls: u16,
    pub admin: u16,
}

/// The configuration for a gateway on these ports with these endpoints behind it; `certificate` is one with its key (PEM), in place of what the
/// environment names.
pub fn load(ports: &Ports, certificate: Option<&str>, endpoints: &[(&'static str, SocketAddr)]) -> Result<Loaded, Problems> {
    let mut text = include_str!("../../../config/demo.json").to_owned();
    for ((variable, usual), (_, address)) in VARIABLES.into_iter().zip(endpoints) {
        text = text.replace(&format!("${{{variable}:-{usual}}}"), &address.port().to_string());
    }
    let mut loaded = config::load_text(&text, Path::new("config/demo.json"))?;
    let config = Arc::make_mut(&mut loaded.config);
    config.listener.port = ports.plain;
    config.admin.port = ports.admin;
    if let Some(certificate) = certificate {
        config.tls.enabled = true;
        config.tls.port = ports.tls;
        config.tls.certificates = vec![Certificate { cert: certificate.into(), key: certificate.into() }];
    }
    // What changes is shown, so that log lines needn't tell.
    config.logging.level = LogLevel::Error;
    Ok(loaded)
}

const VARIABLES: [(&str, u16); 3] = [("RINGWAY_DEMO_PORT_1", 9001), ("RINGWAY_DEMO_PORT_2", 9002), ("RINGWAY_DEMO_PORT_3", 9003)];
