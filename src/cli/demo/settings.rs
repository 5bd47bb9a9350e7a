//! The demo's configuration: `config/demo.json` with the ports of this run.

use std::net::SocketAddr;
use std::path::Path;

use ringway::config::{self, Loaded, LogLevel, Problems};

/// The configuration for a gateway on these ports with these endpoints behind it.
pub fn load(port: u16, admin: u16, endpoints: &[(&'static str, SocketAddr)]) -> Result<Loaded, Problems> {
    let mut text = include_str!("../../../config/demo.json").to_owned();
    let mut fill = |name: &str, usual: u16, port: u16| text = text.replace(&format!("${{{name}:-{usual}}}"), &port.to_string());
    fill("RINGWAY_DEMO_PORT", 8080, port);
    fill("RINGWAY_DEMO_ADMIN_PORT", 9901, admin);
    for ((name, usual), (_, address)) in VARIABLES.into_iter().zip(endpoints) {
        fill(name, usual, address.port());
    }
    let mut loaded = config::load_text(&text, Path::new("config/demo.json"))?;
    // What changes is shown, so that log lines needn't tell.
    loaded.config.logging.level = LogLevel::Error;
    Ok(loaded)
}

const VARIABLES: [(&str, u16); 3] = [("RINGWAY_DEMO_PORT_1", 9001), ("RINGWAY_DEMO_PORT_2", 9002), ("RINGWAY_DEMO_PORT_3", 9003)];
