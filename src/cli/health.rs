//! `ringway health`: is the gateway that runs with this file ready?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ringway::run;

use super::ask::get;

/// What its private listener answers.
///
/// # Errors
/// What it answers if it isn't ready, or why there is no answer.
pub fn ask(path: &Path) -> Result<String, String> {
    let config = run::load(path).map_err(|problems| problems.to_string())?.config;
    let admin = &config.admin;
    if !admin.enabled {
        return Err("not known: admin.enabled is false, so there is nobody to ask".into());
    }
    let ip: IpAddr = admin
        .address
        .trim_matches(['[', ']'])
        .parse()
        .map_err(|_| format!("admin.address is `{}`, which is no IP address", admin.address))?;
    // Where it listens on all addresses it does so on the host's own.
    let ip = match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, admin.port);
    let answer = get(address, "/readyz", LIMIT, ANSWER_MAX);
    let (head, body) = answer.map_err(|error| format!("no answer from http://{address}/readyz: {error}"))?;
    let said = body.trim().to_owned();
    if head.starts_with("HTTP/1.1 200 ") { Ok(said) } else { Err(said) }
}

/// For each of connecting and waiting.
const LIMIT: Duration = Duration::from_secs(2);
/// Bytes of an answer that are looked at.
const ANSWER_MAX: u64 = 64 << 10;
