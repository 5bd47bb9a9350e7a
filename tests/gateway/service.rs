//! Under a service manager: what it is told, by a socket of the test's own in its place.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::harness::{BOUND, Gateway, config, directory};

/// What a service manager hears.
struct Manager {
    socket: UnixDatagram,
    directory: PathBuf,
}

impl Manager {
    fn start() -> Manager {
        let directory = directory();
        let socket = UnixDatagram::bind(directory.join("notify")).unwrap();
        socket.set_read_timeout(Some(BOUND)).unwrap();
        Manager { socket, directory }
    }

    /// The program, told of this manager.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.env("NOTIFY_SOCKET", self.directory.join("notify"));
        command
    }

    /// The next message.
    #[track_caller]
    fn hears(&self) -> String {
        let mut message = [0; 256];
        let length = self.socket.recv(&mut message).expect("a message");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn monotonic_us() -> u128 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    (seconds * 1e6) as u128
}

#[test]
fn the_manager_is_told_of_start_reload_and_stop() {
    let manager = Manager::start();
    let settings = config("127.0.0.1:9", json!({}));
    let mut gateway = Gateway::launch(manager.command(), &settings);
    assert_eq!(manager.hears(), "READY=1");
    assert_eq!(gateway.get("/livez").status(), 200);
    for (settings, status) in [(config("127.0.0.1:10", json!({})), 200), (json!({ "nonsense": 1 }), 422)] {
        let before = monotonic_us();
        assert_eq!(gateway.reload(&settings).status(), status);
        let reloading = manager.hears();
        let at: u128 = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading).parse().unwrap();
        // The system tells of its uptime in hundredths of a second, and counts sleep into it.
        assert!(at + 20_000 > before && at < monotonic_us() + 20_000, "{before} {at}");
        assert_eq!(manager.hears(), "READY=1");
    }
    gateway.signal("TERM");
    assert_eq!(manager.hears(), "STOPPING=1");
    assert_eq!(gateway.ended(), 0);
}

#[test]
fn the_manager_gets_signs_of_life_if_it_asks_for_them() {
    let manager = Manager::start();
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "600000");
    let gateway = Gateway::launch(command, &config("127.0.0.1:9", json!({})));
    let heard: Vec<String> = (0..4).map(|_| manager.hears()).collect();
    assert_eq!(heard.iter().filter(|message| *message == "WATCHDOG=1").count(), 3, "{heard:?}");
    assert_eq!(gateway.stop("TERM"), 0);
    // It was meant for another process.
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "1").env("WATCHDOG_PID", "1");
    while manager.socket.set_nonblocking(true).is_ok() && manager.socket.recv(&mut [0; 64]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    let gateway = Gateway::launch(command, &config("127.0.0.1:9", json!({})));
    assert_eq!(gateway.stop("TERM"), 0);
    assert_eq!([manager.hears(), manager.hears()], ["READY=1", "STOPPING=1"]);
}

#[test]
fn a_start_without_its_manager_is_a_start_all_the_same() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.env("NOTIFY_SOCKET", "/nowhere/notify");
    assert_eq!(Gateway::launch(command, &config("127.0.0.1:9", json!({}))).stop("TERM"), 0);
}
