//! Starting: what stands in the way is named, and the exit code tells.

use std::process::Command;

use serde_json::json;

use crate::harness::{Gateway, config, directory, until};

/// Starts a gateway that can't; its exit code and what it says.
fn refused(config: &serde_json::Value) -> (i32, String) {
    refused_by(Command::new(env!("CARGO_BIN_EXE_ringway")), config)
}

/// The same, by this command, which takes the program's arguments.
pub fn refused_by(mut command: Command, config: &serde_json::Value) -> (i32, String) {
    let directory = directory();
    let file = directory.join("gateway.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let output = command.args(["run", "-c"]).arg(&file).output().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_taken_port_is_named() {
    let first = Gateway::to("127.0.0.1:9");
    for (section, address) in [("listener", &first.address), ("admin", &first.admin)] {
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        let (code, said) = refused(&config("127.0.0.1:9", json!({ section: { "port": port } })));
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(address.as_str()) && said.contains("taken") && said.contains(&format!("{section}.port")), "{said}");
    }
    assert_eq!(first.get("/livez").status(), 200);
}

#[test]
fn a_bad_configuration_is_told_as_a_whole() {
    let (code, said) = refused(&config("127.0.0.1:9", json!({ "limits": { "heads": 1 }, "timeouts": { "idle": "soon" } })));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("limits.heads") && said.contains("timeouts.idle"), "{said}");
}

#[test]
fn without_a_private_listener() {
    let config = config("127.0.0.1:9", json!({ "admin": { "enabled": false } }));
    let directory = directory();
    std::fs::write(directory.join("gateway.json"), config.to_string()).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["run", "-c"])
        .arg(directory.join("gateway.json"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(process.stdout.take().unwrap()));
    assert!(lines.next().unwrap().unwrap().starts_with("listening on http://127.0.0.1:"));
    assert!(Command::new("kill").arg(process.id().to_string()).status().unwrap().success());
    assert!(lines.next().is_none(), "nothing is said about a listener that isn't there");
    assert_eq!(process.wait().unwrap().code(), Some(0));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_gateway_is_asked_whether_it_is_ready() {
    let mut settings = config("127.0.0.1:9", json!({ "timeouts": { "drain_delay": "10s" } }));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    settings["admin"]["port"] = free.local_addr().unwrap().port().into();
    drop(free);
    let directory = directory();
    let file = directory.join("gateway.json");
    std::fs::write(&file, settings.to_string()).unwrap();
    let health = || {
        let output = Command::new(env!("CARGO_BIN_EXE_ringway")).args(["health", "-c"]).arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = health();
    assert!(code == Some(1) && said.contains("refused"), "{said}");
    let gateway = Gateway::start(&settings);
    assert_eq!(health(), (Some(0), gateway.page("GET", "/readyz").text().to_owned()));
    gateway.signal("TERM");
    until("readiness to fail", || (health().0 == Some(1)).then_some(()));
    settings["admin"]["enabled"] = false.into();
    std::fs::write(&file, settings.to_string()).unwrap();
    assert!(health().1.contains("admin.enabled"));
    std::fs::remove_dir_all(&directory).unwrap();
}
