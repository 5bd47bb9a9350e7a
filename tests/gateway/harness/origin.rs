//! Endpoints that are programs of their own: ringorigin, whose HTTP is not the gateway's, and nginx, which nobody here wrote.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use super::gateway::{directory, lines_of};
use super::until;

/// A running ringorigin.
pub struct Origin {
    process: Child,
    pub address: String,
}

/// A running nginx.
pub struct Nginx {
    process: Child,
    directory: PathBuf,
    pub address: String,
}

impl Origin {
    pub fn start() -> Origin {
        Origin::with(&["--listen", "127.0.0.1:0"])
    }

    pub fn named(name: &str) -> Origin {
        Origin::with(&["--listen", "127.0.0.1:0", "--name", name])
    }

    /// With these arguments; the address is that of its first listener.
    pub fn with(arguments: &[&str]) -> Origin {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringorigin"));
        let mut process = command.args(arguments).arg("--quiet").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("listening on ").trim_start_matches("http://").to_owned();
        Origin { process, address }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Nginx {
    /// Serves with these directives in its `server`; `$DIR` is its own directory.
    pub fn start(server: &str) -> Nginx {
        Nginx::listening("", server)
    }

    /// The same by HTTPS; the directives say which certificate.
    pub fn secure(server: &str) -> Nginx {
        Nginx::listening("ssl", server)
    }

    fn listening(how: &str, server: &str) -> Nginx {
        // nginx takes no port 0: one that was free a moment ago, and another try if it isn't any more.
        until("nginx on a free port", || {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            let directory = directory();
            let server = server.replace("$DIR", directory.to_str().unwrap());
            let config = format!(
                "daemon off; master_process off; pid {0}/pid; error_log stderr notice;
                events {{ worker_connections 256; }}
                http {{
                    access_log off; client_max_body_size 0; client_body_temp_path {0}/body; proxy_temp_path {0}/proxy;
                    fastcgi_temp_path {0}/a; uwsgi_temp_path {0}/b; scgi_temp_path {0}/c;
                    server {{ listen {address} {how}; {server} }}
                }}",
                directory.display()
            );
            std::fs::write(directory.join("nginx.conf"), config).unwrap();
            let mut command = Command::new("nginx");
            command.arg("-c").arg(directory.join("nginx.conf")).arg("-p").arg(&directory).stderr(Stdio::piped());
            let mut process = command.spawn().unwrap_or_else(|error| panic!("nginx: {error}; tools/check installs it"));
            let log = lines_of(process.stderr.take().unwrap());
            until("nginx to start or to end", || {
                if process.try_wait().unwrap().is_some() {
                    assert!(log.lock().unwrap().contains("Address already in use"), "nginx ended: {}", log.lock().unwrap());
                    return Some(false);
                }
                log.lock()
                    .unwrap()
                    .contains("start worker")
                    .then_some(true)
                    .or_else(|| std::net::TcpStream::connect(&address).is_ok().then_some(true))
            })
            .then_some(Nginx { process, directory, address })
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Runs a program that has to succeed.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; tools/check installs it"));
    assert!(output.status.success(), "{program} {arguments:?}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}
