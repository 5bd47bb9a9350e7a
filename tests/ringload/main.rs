//! The load generator as a program: what it shows is what the endpoint did, and nothing that went wrong is left out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

mod find;
mod gateway;
mod grpc;
mod http2;
mod pipeline;
mod scenario;
mod secure;
mod websocket;

/// A process that ends with its test.
struct Process(Child);

impl Process {
    /// Starts one; what it says first.
    fn start(command: &mut Command) -> (Process, String) {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Process(process), line.trim().to_owned())
    }

    /// Starts a peer in Python; its port.
    fn python(arguments: &[&str]) -> (Process, String) {
        Process::start(Command::new("python3").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running `ringorigin`.
struct Origin {
    _process: Process,
    url: String,
}

impl Origin {
    fn start() -> Origin {
        Origin::with(&[])
    }

    fn with(arguments: &[&str]) -> Origin {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringorigin"));
        let (process, line) = Process::start(command.args(["--listen", "127.0.0.1:0", "--quiet"]).args(arguments));
        Origin { _process: process, url: line.strip_prefix("listening on ").expect("where it listens").to_owned() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// An endpoint that does with each of its connections what it is told, each on a thread of its own.
fn endpoint(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    format!("http://{address}/")
}

/// Takes a request without a body; false at the end of the connection.
fn take_request(stream: &mut TcpStream) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// An endpoint that sends these bytes for each request, and then closes or not.
fn says(answer: &'static [u8], closes: bool) -> String {
    endpoint(move |mut stream| while take_request(&mut stream) && stream.write_all(answer).is_ok() && !closes {})
}

fn ringload(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringload")).args(line.split_whitespace()).output().unwrap()
}

/// Runs it for its numbers. However busy the machine is, the result isn't refused for that.
fn numbers(line: &str) -> Value {
    let output = ringload(&format!("--json - --quiet --max-lag 1h {line}"));
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Of a number of requests each has to be accounted for.
fn holds_together(numbers: &Value) {
    let count = |value: &Value| value.as_u64().unwrap();
    let failures: u64 = numbers["failures"].as_object().unwrap().values().map(count).sum();
    let statuses: u64 = numbers["statuses"].as_object().unwrap().values().map(count).sum();
    assert_eq!((failures, statuses), (count(&numbers["failed"]), count(&numbers["answered"])), "{numbers:#}");
    assert_eq!(failures + statuses, count(&numbers["due"]), "{numbers:#}");
}

fn all_answered(numbers: &Value, count: u64) {
    holds_together(numbers);
    assert_eq!((numbers["answered"].as_u64(), numbers["failed"].as_u64()), (Some(count), Some(0)), "{numbers:#}");
}

/// Its borders lie between two due times.
const STALL: std::ops::Range<Duration> = Duration::from_millis(1008)..Duration::from_millis(4008);

/// An endpoint whose answers take 20 ms, and that does nothing in a stall, told in time from its first request.
fn stalling(stall: std::ops::Range<Duration>) -> String {
    let first = OnceLock::new();
    endpoint(move |mut stream| {
        while take_request(&mut stream) {
            let since = first.get_or_init(Instant::now).elapsed();
            let stalled = if stall.contains(&since) { stall.end - since } else { Duration::ZERO };
            thread::sleep(stalled + Duration::from_millis(20));
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    })
}

/// 60 requests a second for 5 seconds: those that are due in the stall wait for its end. The machine may be too busy to keep to
/// that by the millisecond, so it has three tries.
#[test]
fn an_open_loop_shows_a_stall_within_a_hundredth() {
    let due = (0..300).map(|number| Duration::from_secs(number) / 60);
    let mut expected: Vec<f64> = due
        .map(|due| {
            let stalled = if STALL.contains(&due) { STALL.end - due } else { Duration::ZERO };
            (stalled + Duration::from_millis(20)).as_nanos() as f64
        })
        .collect();
    expected.sort_by(f64::total_cmp);
    let mut told = String::new();
    for _ in 0..3 {
        let numbers = numbers(&format!("--rate 60 --duration 5s --connections 200 {}", stalling(STALL)));
        all_answered(&numbers, 300);
        let mut right = true;
        for (name, quantile) in [("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)] {
            let theory = expected[(quantile * 300.0f64).ceil() as usize - 1];
            let shown = numbers["response_ns"][name].as_f64().unwrap();
            right &= (shown - theory).abs() <= theory / 100.0;
            told.push_str(&format!("{name}: {shown} for {theory}\n"));
        }
        if right {
            return;
        }
    }
    panic!("{told}");
}

#[test]
fn a_closed_loop_does_not_show_it() {
    let stall = Duration::from_secs(1)..Duration::from_millis(2500);
    let numbers = numbers(&format!("--connections 3 --duration 3s {}", stalling(stall)));
    holds_together(&numbers);
    let time = |name: &str| numbers["response_ns"][name].as_u64().unwrap();
    assert!(time("p90") < 1_000_000_000 && time("max") > 1_300_000_000, "{numbers:#}");
}

#[test]
fn every_form_of_answer_is_taken() {
    let origin = Origin::start();
    let urls = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("ringload-urls");
    let paths = ["/", "/chunked/size/100k", "/status/204", "/size/300k", "/close", "/trickle/100:1ms"];
    let mut lines: String = paths.iter().map(|path| format!("{}\n", origin.url(path))).collect();
    lines.push_str(&format!("HEAD {}\nPOST {}\n", origin.url("/size/10"), origin.url("/echo")));
    std::fs::write(&urls, lines).unwrap();
    let many = numbers(&format!("--rate 200 --duration 800ms --connections 7 --threads 2 --urls {}", urls.display()));
    all_answered(&many, 160);
    assert!(many["bytes_received"].as_u64() > Some(20 * 400 * 1024), "{many:#}");
    let own = numbers(&format!("--rate 100 --duration 500ms --no-keep-alive {}", origin.url("/")));
    all_answered(&own, 50);
    assert_eq!(own["connections_opened"], 50);
    let posted = numbers(&format!("--rate 100 --duration 200ms --body hello --header x-a:b {}", origin.url("/mirror")));
    all_answered(&posted, 20);
    let closed = numbers(&format!("--connections 4 --duration 300ms {}", origin.url("/")));
    holds_together(&closed);
    assert!(closed["answered"].as_u64() > Some(20) && closed["loop"] == "closed" && closed["connections_opened"] == 4, "{closed:#}");
}

#[test]
fn what_goes_wrong_is_counted_by_its_kind() {
    let failures = |url: &str, name: &str| {
        let numbers = numbers(&format!("--rate 50 --duration 400ms --timeout 300ms {url}"));
        holds_together(&numbers);
        assert_eq!((&numbers["due"], &numbers["failures"][name]), (&20.into(), &20.into()), "{name}: {numbers:#}");
        numbers
    };
    failures(&says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true), "cut");
    failures(&says(b"", true), "cut");
    failures(&says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", false), "malformed");
    failures(&says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", false), "malformed");
    let timeouts = failures(&says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", false), "timeout");
    // Who waited in vain counts with the time waited.
    assert!(timeouts["response_ns"]["p50"].as_u64() >= Some(300_000_000) && timeouts["valid"] == false, "{timeouts:#}");
    // The first look at the target takes the only connection that there ever is.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || drop((listener.accept(), listener)));
    let refused = numbers(&format!("--rate 50 --duration 400ms --no-keep-alive {url}"));
    holds_together(&refused);
    assert_eq!((&refused["answered"], &refused["failures"]["connect"]), (&0.into(), &20.into()), "{refused:#}");
    assert!(refused["last_fault"].as_str().unwrap().contains("refused"), "{refused:#}");
}

#[test]
fn a_run_that_is_stopped_tells_what_it_left() {
    // One connection and no answer: all but the first are never sent.
    let mut process = Command::new(env!("CARGO_BIN_EXE_ringload"))
        .args(["--rate", "100", "--duration", "1h", "--connections", "1", "--json", "-", &says(b"", false)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = String::new();
    BufReader::new(process.stderr.as_mut().unwrap()).read_line(&mut progress).unwrap();
    assert!(
        progress.contains("1 s of 3600 s  asked 100/s  answered 0.0/s  errors 0  in flight 1  no response time  own lag"),
        "{progress}"
    );
    Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    let output = process.wait_with_output().unwrap();
    let numbers: Value = serde_json::from_slice(&output.stdout).unwrap();
    holds_together(&numbers);
    assert_eq!((output.status.code(), &numbers["failures"]["unfinished"]), (Some(1), &1.into()));
    assert!(numbers["failures"]["unsent"].as_u64() >= Some(98), "{numbers:#}");
    assert!(numbers["response_ns"]["max"].as_u64() >= Some(990_000_000), "{numbers:#}");
}

/// `script` gives it a terminal.
#[test]
fn on_a_terminal_progress_is_drawn_anew() {
    let origin = Origin::start();
    let line = format!("{} --rate 50 -d 2500ms --max-lag 1h {}", env!("CARGO_BIN_EXE_ringload"), origin.url("/"));
    let output = Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    let frames: Vec<&str> = shown.split("\x1b[3A\r\x1b[J").collect();
    assert_eq!((output.status.code(), frames.len()), (Some(0), 3), "{shown:?}");
    for frame in &frames[..2] {
        let lines: Vec<&str> = frame.lines().collect();
        assert!(lines[1].starts_with("asked 50.0/s  answered") && lines[1].contains("in flight"), "{shown:?}");
        assert!(lines[2].starts_with("p50 ") && lines[2].contains("p99.9 "), "{shown:?}");
    }
    assert!(frames[2].starts_with("GET ") && frames[2].contains("125 answered"), "{shown:?}");
}

#[test]
fn exit_codes_are_as_documented() {
    let origin = Origin::start();
    let run = |line: &str| {
        let output = ringload(line);
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let url = origin.url("/");
    let (code, summary, progress) = run(&format!("--rate 50 -d 200ms --max-lag 1h -q -e p99<1m -e errors<1% {url}"));
    assert_eq!((code, progress.as_str()), (Some(0), ""), "{summary}");
    for told in ["10 due = 10 answered + 0", "2xx 10", "errors<1%: holds", "result      valid", "own lag"] {
        assert!(summary.contains(told), "{told}: {summary}");
    }
    let (code, summary, _) = run(&format!("--rate 50 -d 200ms --max-lag 1h -e errors<5% {}", origin.url("/status/503")));
    assert_eq!(code, Some(1));
    assert!(summary.contains("errors<5%: does NOT hold (it is 100.0 %)") && summary.contains("5xx 10"), "{summary}");
    let (code, _, problem) = run("http://127.0.0.1:1/");
    assert!(code == Some(1) && problem.contains("nobody answers at 127.0.0.1:1"), "{problem}");
    // TEST-NET-1 (RFC 5737); nothing is sent there.
    let (code, _, problem) = run("--rate 1 http://192.0.2.1/");
    assert!(code == Some(2) && problem.contains("--allow-remote"), "{problem}");
    assert_eq!(run("--rate fast http://127.0.0.1/").0, Some(2));
    let (code, help, _) = run("--help");
    assert!(code == Some(0) && help.contains("EXIT CODES"));
}

#[test]
fn files_are_written_for_other_tools() {
    let origin = Origin::start();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (hgrm, hlog) = (folder.join("ringload.hgrm"), folder.join("ringload.hlog"));
    let (hgrm_path, hlog_path) = (hgrm.display(), hlog.display());
    let html = folder.join("ringload.html");
    let files = format!("--hgrm {hgrm_path} --hlog {hlog_path} --html {}", html.display());
    let numbers = numbers(&format!("--rate 100 -d 1200ms -H Secret:hidden -e p99<1m {files} {}", origin.url("/?a=<b>&c")));
    all_answered(&numbers, 120);
    let page = std::fs::read_to_string(html).unwrap();
    for told in ["/?a=&lt;b&gt;&amp;c", "<svg", "p99&lt;1m: holds", "<th>due</th><td>120</td>", "<th>header fields</th><td>Secret</td>"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(page.matches("<svg").count() == 3 && !page.contains("hidden") && !page.contains("<script"), "{page}");
    let json = folder.join("ringload.json");
    std::fs::write(&json, numbers.to_string()).unwrap();
    let merged = ringload(&format!("merge --json - -e p99<1m {} {}", json.display(), json.display()));
    let merged: Value = serde_json::from_slice(&merged.stdout).unwrap();
    all_answered(&merged, 240);
    let compared = ringload(&format!("diff {} {}", json.display(), json.display()));
    assert!(String::from_utf8_lossy(&compared.stdout).contains(" 0.0 %") && compared.status.code() == Some(0));
    assert_eq!(ringload("diff only-one").status.code(), Some(2));
    let percentiles = std::fs::read_to_string(hgrm).unwrap();
    assert!(percentiles.trim_start().starts_with("Value") && percentiles.contains("Total count    =          120]"), "{percentiles}");
    let log = std::fs::read_to_string(hlog).unwrap();
    let intervals: Vec<&str> = log.lines().filter(|line| line.starts_with("0.") || line.starts_with("1.")).collect();
    assert!(log.contains("#[StartTime:") && intervals.len() == 2 && log.contains("Tag=service,"), "{log}");
    assert!(intervals.iter().all(|line| line.split(',').count() == 4 && line.contains("HISTFAAA")), "{log}");
}
