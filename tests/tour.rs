//! The README's tour of features: each line prints what the README says that it does.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// What comes before the part of a line's output that is worth seeing.
const SEEN: &str = "#>";

/// A running demo, ended with its test.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it: itself, the ports on which its gateway listens without TLS and with it, and its operators'.
fn start(log: &str) -> (Demo, [String; 3]) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["demo", "--port", "0"])
        .env("RINGWAY_DEMO_LOG", log)
        .env("RINGWAY_DEMO_LATENCY", format!("{log}.latency"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let demo = Demo(process);
    let mut after = |start: &str| {
        let line = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("the demo says `{start}`"))[start.len()..].to_owned()
    };
    let ports = ["listening on http://127.0.0.1", "listening on https://127.0.0.1", "admin on http://127.0.0.1"].map(&mut after);
    std::thread::spawn(move || lines.for_each(drop));
    (demo, ports)
}

#[test]
fn every_line_shows_what_it_says() {
    let readme = include_str!("../README.md");
    let (_, tour) = readme.split_once("```sh\n").expect("the tour");
    let (tour, _) = tour.split_once("```").expect("its end");
    let log = std::env::temp_dir().join(format!("ringway-tour-{}.log", std::process::id())).display().to_string();
    let (_demo, [gateway, tls, admin]) = start(&log);
    let mut failed = Vec::new();
    for line in tour.lines().filter(|line| !line.starts_with("# ")) {
        let (command, seen) = line.rsplit_once(SEEN).unwrap_or_else(|| panic!("what to see: {line}"));
        let command = command.replace("curl ", "curl -s --max-time 10 ").replace("localhost:9901", &format!("localhost{admin}"));
        let command = command.replace("localhost:8443", &format!("localhost{tls}"));
        let command = command.replace("localhost:8080", &format!("localhost{gateway}")).replace("/tmp/ringway-demo.log", &log);
        let command = command.replace("/tmp/ringway-demo-latency", &format!("{log}.latency"));
        let command = command.replace("target/release/ringway ", concat!(env!("CARGO_BIN_EXE_ringway"), " "));
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).replace(&gateway, ":8080");
        if !printed.contains(seen.trim()) {
            failed.push(format!("{line}\n{printed}"));
        }
    }
    let _ = std::fs::remove_dir_all(format!("{log}.latency"));
    let _ = std::fs::remove_file(&log);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
