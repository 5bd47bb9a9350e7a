//! TLS, towards clients and towards endpoints, with curl, openssl and nginx on the other side.

mod browser;
mod clients;
mod endpoints;
mod http2;
mod reloads;
mod within;

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{Authority, Gateway, Pair, config};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A configuration with the TLS listener, changed by `changes`.
fn tls_config(endpoint: &str, certificates: &[&Pair], changes: Value) -> Value {
    let certificates: Vec<Value> = certificates.iter().map(|pair| pair.setting()).collect();
    let mut config = config(endpoint, json!({ "tls": { "address": "127.0.0.1", "port": 0, "certificates": certificates } }));
    for (section, settings) in changes.as_object().expect("settings") {
        match settings.as_object().filter(|_| config[section].is_object()) {
            Some(settings) => settings.iter().for_each(|(name, value)| config[section][name] = value.clone()),
            None => config[section] = settings.clone(),
        }
    }
    config
}

/// A gateway that has a certificate for `localhost`, `a.example` and 127.0.0.1.
fn gateway(endpoint: &str, changes: Value) -> Gateway {
    let pair = Authority::ours().issue(&["localhost", "a.example", "127.0.0.1"]);
    Gateway::start(&tls_config(endpoint, &[&pair], changes))
}

fn port(gateway: &Gateway) -> &str {
    gateway.secure.rsplit(':').next().unwrap()
}

/// What curl makes of this path by HTTPS as `host`, over HTTP/1.1 if these arguments don't say otherwise.
fn curl(gateway: &Gateway, host: &str, path: &str, arguments: &[&str]) -> Output {
    let url = format!("https://{host}:{}{path}", port(gateway));
    let to = format!("{host}:{}:127.0.0.1:{}", port(gateway), port(gateway));
    let common =
        ["--http1.1", "--silent", "--show-error", "--max-time", "20", "--cacert", &Authority::ours().file, "--connect-to", &to, &url];
    Command::new("curl").args(common).args(arguments).output().expect("curl; tools/check installs it")
}

/// The body of the answer, which there has to be.
#[track_caller]
fn fetched(gateway: &Gateway, host: &str, path: &str, arguments: &[&str]) -> String {
    let output = curl(gateway, host, path, arguments);
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), gateway.log());
    String::from_utf8(output.stdout).unwrap()
}

/// What `openssl s_client` says, given this to send.
fn s_client(gateway: &Gateway, arguments: &[&str], sent: &str) -> String {
    use std::io::Write;
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &gateway.secure, "-CAfile", &Authority::ours().file, "-ign_eof"]).args(arguments);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(sent.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A request that is its connection's last.
const LAST: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

fn results(gateway: &Gateway, result: &str) -> f64 {
    gateway.metric(&format!("gateway_tls_handshakes_total{{result=\"{result}\"}}"))
}
