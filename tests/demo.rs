//! `ringway demo` as a person meets it: it says where it is, spreads requests over its endpoints, survives their failures, and ends when asked.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longer than anything here takes, so that a fault fails the test and doesn't hang it.
const BOUND: Duration = Duration::from_secs(30);

/// A running demo, ended with its test.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it: its lines, as they come.
fn start() -> (Demo, Receiver<String>) {
    launch(Command::new(env!("CARGO_BIN_EXE_ringway")).args(["demo", "--port", "0"]))
}

fn launch(command: &mut Command) -> (Demo, Receiver<String>) {
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let (send, receive) = channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
    (Demo(process), receive)
}

/// Waits for a line that has all of these in it.
fn wait(lines: &Receiver<String>, wanted: &[&str]) -> String {
    loop {
        let line = lines.recv_timeout(BOUND).unwrap_or_else(|_| panic!("a line with {wanted:?}"));
        if wanted.iter().all(|wanted| line.contains(wanted)) {
            return line;
        }
    }
}

fn get(address: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_shows_what_it_does_and_ends_when_asked() {
    let (mut demo, lines) = start();
    let listening = wait(&lines, &["listening on http://"]);
    let address = listening.strip_prefix("listening on http://").unwrap();
    let mut answered = BTreeSet::new();
    for _ in 0..30 {
        let answer = get(address, "/users/7");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let lower = answer.to_ascii_lowercase();
        let (_, rest) = lower.split_once("x-endpoint: ").expect("who answered");
        answered.insert(rest.lines().next().unwrap().to_owned());
    }
    assert_eq!(answered.iter().map(String::as_str).collect::<Vec<_>>(), ["one", "three", "two"]);
    for target in ["/gateway/health", "/gateway/metrics"] {
        assert!(get(address, target).starts_with("HTTP/1.1 200 "), "{target}");
    }
    wait(&lines, &["curl -i http://", address]);
    wait(&lines, &["one ", "two ", "three ", "p50", "p99", " 0 failed"]);
    assert!(Command::new("kill").args(["-INT", &demo.0.id().to_string()]).status().unwrap().success());
    wait(&lines, &["Stopping", " 0 failed"]);
    while lines.recv_timeout(BOUND).is_ok() {}
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
}

#[test]
fn without_openssl_it_serves_all_but_https() {
    let (_demo, lines) = launch(Command::new(env!("CARGO_BIN_EXE_ringway")).args(["demo", "--port", "0"]).env("PATH", "/nowhere"));
    let listening = wait(&lines, &["listening on http://"]);
    wait(&lines, &["no https: openssl, which makes its certificate, can't be run"]);
    let address = listening.strip_prefix("listening on http://").unwrap();
    assert!(get(address, "/hello").starts_with("HTTP/1.1 200 "));
}

#[test]
fn failures_of_an_endpoint_are_hidden_by_another() {
    let (_demo, lines) = start();
    let listening = wait(&lines, &["listening on http://"]);
    let address = listening.strip_prefix("listening on http://").unwrap();
    let bad: Vec<String> =
        (0..20).map(|_| get(address, "/users/7?fail=0.2")).filter(|answer| !answer.starts_with("HTTP/1.1 200 ")).collect();
    assert!(bad.len() <= 2, "{} of 20 failed, where one endpoint alone would have failed 4: {bad:#?}", bad.len());
    let retried = get(address, "/gateway/metrics");
    let retries = retried.lines().find_map(|line| line.strip_prefix("gateway_upstream_retries_total ")).expect("the counter");
    assert!(retries.parse::<f64>().unwrap() >= 3.0, "{retries}");
}
