//! Under a service manager: what it is told, and the sockets it passes; the test is in its place.
#![allow(unsafe_code)]

use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{BOUND, DRIVERS, Gateway, Load, Origin, config, directory, until};

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

/// The program, given these sockets as a service manager does. They stay open here.
fn activated(sockets: &[&TcpListener]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "export LISTEN_PID=$$; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_ringway")]);
    command.env("LISTEN_FDS", sockets.len().to_string());
    // Out of the way of those they are to become.
    let given: Vec<OwnedFd> = sockets.iter().map(|socket| rustix::io::fcntl_dupfd_cloexec(socket, 100).unwrap()).collect();
    let pass = move || {
        for (fd, target) in given.iter().zip(3..) {
            // SAFETY: the descriptors are open, and the call may be made between fork and exec.
            if unsafe { libc::dup2(fd.as_raw_fd(), target) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: it makes system calls only.
    unsafe { command.pre_exec(pass) };
    command
}

/// A listening socket, and the settings of a gateway that is to take it.
fn socket(endpoint: &str, changes: Value) -> (TcpListener, Value) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = config(endpoint, changes);
    settings["listener"]["port"] = socket.local_addr().unwrap().port().into();
    (socket, settings)
}

#[test]
fn a_socket_of_the_manager_outlives_the_gateway() {
    let origin = Origin::start();
    for driver in DRIVERS {
        let (socket, settings) = socket(&origin.address, json!({ "runtime": { "driver": driver, "workers": 3 } }));
        let mut gateway = Gateway::launch(activated(&[&socket]), &settings);
        assert_eq!(gateway.address, socket.local_addr().unwrap().to_string());
        let load = Load::start(&gateway, "/size/1000");
        load.wait(100);
        gateway.signal("TERM");
        assert_eq!(gateway.ended(), 0);
        // Clients that come between two gateways wait.
        let next = Gateway::launch(activated(&[&socket]), &settings);
        load.wait(100);
        load.stop();
        assert_eq!(next.metric("gateway_accept_errors_total"), 0.0);
        assert_eq!(next.stop("TERM"), 0);
    }
}

#[test]
fn all_sockets_are_matched_by_their_address() {
    let (listener, mut settings) = socket("127.0.0.1:9", json!({ "runtime": { "workers": 1 } }));
    let admin = TcpListener::bind("127.0.0.1:0").unwrap();
    settings["admin"]["port"] = admin.local_addr().unwrap().port().into();
    let gateway = Gateway::launch(activated(&[&admin, &listener]), &settings);
    assert_eq!((gateway.get("/livez").status(), gateway.page("GET", "/livez").status()), (200, 200));
    assert_eq!(gateway.stop("TERM"), 0);
}

#[test]
fn a_socket_that_nobody_would_serve_is_refused() {
    let (listener, settings) = socket("127.0.0.1:9", json!({}));
    let stray = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, said) = crate::process::refused_by(activated(&[&listener, &stray]), &settings);
    assert!(code == 3 && said.contains(&format!("listens on {}", stray.local_addr().unwrap())), "{code} {said}");
    let mut command = Command::new("sh");
    command.args(["-c", "export LISTEN_PID=$$; exec \"$@\" 3< /dev/null", "sh", env!("CARGO_BIN_EXE_ringway")]).env("LISTEN_FDS", "1");
    let (code, said) = crate::process::refused_by(command, &settings);
    assert!(code == 3 && said.contains("descriptor 3"), "{code} {said}");
}

#[test]
fn the_manager_is_told_which_process_takes_over() {
    let manager = Manager::start();
    let (socket, settings) = socket("127.0.0.1:9", json!({ "admin": { "enabled": true } }));
    let mut command = activated(&[&socket]);
    command.env("NOTIFY_SOCKET", manager.directory.join("notify"));
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut settings = settings;
    settings["admin"]["port"] = admin.into();
    let mut gateway = Gateway::launch(command, &settings);
    assert_eq!(manager.hears(), "READY=1");
    gateway.signal("USR2");
    let mut heard = [manager.hears(), manager.hears()];
    heard.sort();
    let pid = heard[0].strip_prefix("MAINPID=").expect("the new process's").to_owned();
    assert_eq!(heard[1], "READY=1");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("NOTIFY_SOCKET=") && !environment.contains("LISTEN_"), "{environment}");
    assert_eq!(gateway.ended(), 0);
    assert_eq!(gateway.get("/livez").status(), 200);
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert_eq!(manager.hears(), "STOPPING=1");
    // The manager's socket is the manager's still.
    until("the new process to end", || std::net::TcpStream::connect(&gateway.admin).is_err().then_some(()));
    assert!(std::net::TcpStream::connect(socket.local_addr().unwrap()).is_ok());
}
