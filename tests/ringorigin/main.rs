//! The scripted endpoint, over sockets and with curl: it does what it is told, so that other tests can rely on it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

mod protocols;

/// Longer than anything here takes, so that a fault fails a test and doesn't hang it.
const BOUND: Duration = Duration::from_secs(20);

/// A running `ringorigin`, ended with its test.
struct Running {
    process: Child,
    places: Vec<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let listeners = arguments.iter().filter(|argument| ["--listen", "--unix"].contains(argument)).count();
        let mut process = Command::new(env!("CARGO_BIN_EXE_ringorigin"))
            .args(arguments)
            .arg("--quiet")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().take(listeners);
        let places = lines.map(|line| line.unwrap().strip_prefix("listening on ").expect("where it listens").to_owned()).collect();
        Running { process, places }
    }

    fn one() -> Running {
        Running::start(&["--listen", "127.0.0.1:0", "--name", "one"])
    }

    fn address(&self) -> SocketAddr {
        self.places[0].split_once("://").unwrap().1.parse().unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream
    }

    /// Sends these bytes on a connection of their own and takes all that comes back.
    fn say(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, target: &str) -> String {
        self.say(&format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    }

    fn json(&self, request: &str) -> serde_json::Value {
        let answer = self.say(request);
        serde_json::from_str(body(&answer)).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    fn curl(&self, arguments: &[&str], target: &str) -> std::process::Output {
        let url = format!("{}{target}", self.places[0]);
        Command::new("curl").args(["-sS", "-m", "20"]).args(arguments).arg(url).output().expect("curl is installed")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Reads one head and no byte further.
fn head(stream: &mut impl Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn statuses_bodies_and_names() {
    let origin = Running::one();
    let answer = origin.get("/status/418");
    assert!(answer.starts_with("HTTP/1.1 418 I'm a teapot\r\n"), "{answer}");
    assert!(answer.contains("\r\nx-endpoint: one\r\n") && body(&answer) == "one: GET /status/418\n", "{answer}");
    assert!(origin.get("/users/7?status=503&x=1").starts_with("HTTP/1.1 503 "));
    for size in [0, 1, 1000, 65_536, 65_537, 1_048_576] {
        let answer = origin.get(&format!("/bytes/{size}"));
        assert!(answer.contains(&format!("\r\ncontent-length: {size}\r\n")), "{size}");
        assert_eq!(body(&answer).len(), size);
        assert!(size == 0 || answer.ends_with('\n'));
    }
    let help = origin.get("/");
    assert!(help.contains("/trickle/10:100ms") && help.contains("POST /health/down"), "{help}");
}

#[test]
fn answers_without_a_body_have_none() {
    let origin = Running::one();
    let answer = origin.say("HEAD /bytes/1000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("\r\ncontent-length: 1000\r\n") && body(&answer).is_empty(), "{answer}");
    let answer = origin.get("/status/204");
    assert!(!answer.contains("content-length") && !answer.contains("transfer-encoding") && body(&answer).is_empty(), "{answer}");
    assert!(body(&origin.get("/status/304")).is_empty());
}

#[test]
fn bodies_are_framed_as_asked() {
    let origin = Running::one();
    let answer = origin.get("/chunked/users");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("`users` is no word of a script"), "{answer}");
    let answer = origin.get("/bytes/5/chunked");
    assert!(answer.contains("\r\ntransfer-encoding: chunked\r\n") && !answer.contains("content-length"), "{answer}");
    assert_eq!(body(&answer), "5\r\n5678\n\r\n0\r\n\r\n");
    let answer = origin.say("GET /bytes/5/chunked HTTP/1.0\r\n\r\n");
    assert!(!answer.contains("transfer-encoding") && body(&answer) == "5678\n", "{answer}");
    let out = origin.curl(&["-o", "-"], "/bytes/3m/chunked");
    assert_eq!(out.stdout.len(), 3 << 20);
}

#[test]
fn connections_are_kept_until_asked_otherwise() {
    let origin = Running::one();
    let mut stream = origin.connect();
    let pipelined = "GET /status/201 HTTP/1.1\r\nHost: a\r\n\r\nPOST /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    stream.write_all(format!("{pipelined}GET /close HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 20").count(), 3, "{answers}");
    assert!(answers.contains("\r\n\r\nabcHTTP/1.1 200 OK\r\n") && answers.contains("connection: close"), "{answers}");
    let count = origin.json("GET /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!((&count["requests"], &count["connections"]["accepted"]), (&3.into(), &2.into()));
}

#[test]
fn delays_and_trickles_take_their_time() {
    let origin = Running::one();
    let began = Instant::now();
    assert!(origin.get("/delay/150ms").starts_with("HTTP/1.1 200 "));
    assert!(began.elapsed() >= Duration::from_millis(150));
    for framing in ["", "/chunked"] {
        let mut stream = origin.connect();
        let began = Instant::now();
        stream.write_all(format!("GET /trickle{framing}?bytes=3&interval=60ms&size=9 HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        head(&mut stream);
        let mut piece = [0; 64];
        let first = receive(&mut stream, &mut piece);
        assert_eq!(first, if framing.is_empty() { 3 } else { "3\r\n???\r\n".len() }, "only the first piece has come");
        let mut rest = 0;
        while rest + first < if framing.is_empty() { 9 } else { 3 * 8 + 5 } {
            rest += receive(&mut stream, &mut piece);
        }
        assert!(began.elapsed() >= Duration::from_millis(120), "two intervals lie between three pieces");
    }
}

/// What there is. A machine that is stopped for a moment interrupts a read that has a time limit.
fn receive(stream: &mut TcpStream, piece: &mut [u8]) -> usize {
    loop {
        match stream.read(piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result.unwrap(),
        }
    }
}

#[test]
fn hanging_says_nothing_until_the_client_leaves() {
    let origin = Running::one();
    let mut stream = origin.connect();
    stream.write_all(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(stream);
    let limit = Instant::now() + BOUND;
    while origin.json("GET /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")["connections"]["open"] != 1 {
        assert!(Instant::now() < limit, "the connection is let go");
    }
}

#[test]
fn resets_are_resets() {
    let origin = Running::one();
    let mut stream = origin.connect();
    stream.write_all(b"GET /reset HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    for framing in ["", "/chunked"] {
        let mut stream = origin.connect();
        stream.write_all(format!("GET /bytes/100{framing}/reset/5 HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert!(head(&mut stream).starts_with("HTTP/1.1 200 OK\r\n"));
        let mut got = Vec::new();
        assert_eq!(stream.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(got.len(), if framing.is_empty() { 5 } else { "5\r\n?????\r\n".len() });
    }
}

#[test]
fn a_fraction_of_requests_fails() {
    let origin = Running::one();
    let failed = |target: &str, status: &str| (0..10).filter(|_| origin.get(target).starts_with(&format!("HTTP/1.1 {status} "))).count();
    assert_eq!(failed("/fail?rate=0.3", "503"), 3);
    assert_eq!(failed("/any?fail=0.5&fail_status=500", "500"), 5);
    assert_eq!(failed("/fail", "503"), 10);
}

#[test]
fn what_arrived_is_told() {
    let origin = Running::one();
    let told =
        origin.json("PUT /echo?q=1 HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nx-two: 2\r\nConnection: close\r\nContent-Length: 9\r\n\r\n123456789");
    assert_eq!((&told["method"], &told["target"], &told["endpoint"]), (&"PUT".into(), &"/echo?q=1".into(), &"one".into()));
    assert_eq!(told["headers"]["x-two"], serde_json::json!(["1", "2"]));
    // The check value that every catalogue of CRCs gives for CRC-32.
    assert_eq!(told["body"], serde_json::json!({ "bytes": 9, "crc32": "cbf43926" }));
    let chunked = "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n5\r\n56789\r\n0\r\nX-Sum: 7\r\n\r\n";
    let told = origin.json(&format!("POST /echo HTTP/1.1\r\nHost: a\r\n{chunked}"));
    assert_eq!(told["body"]["crc32"], "cbf43926");
    assert_eq!(told["trailers"], serde_json::json!({ "x-sum": ["7"] }));
    let text = origin.get("/echo/text");
    assert!(body(&text).starts_with("GET /echo/text HTTP/1.1\n") && text.ends_with("endpoint=one bytes=0 crc32=00000000\n"), "{text}");
    assert!(body(&origin.get("/headers")).contains("host: a\n"));
    let mirrored = origin.say(&format!("POST /mirror HTTP/1.1\r\nHost: a\r\n{chunked}"));
    assert!(body(&mirrored).contains("1234") && mirrored.ends_with("0\r\n\r\n"), "{mirrored}");
}

#[test]
fn health_is_switched_while_it_runs() {
    let origin = Running::one();
    let post = |target: &str| origin.say(&format!("POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
    assert!(origin.get("/health").starts_with("HTTP/1.1 200 "));
    let refused = origin.get("/health/down");
    assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: POST"), "{refused}");
    assert!(post("/health/down").starts_with("HTTP/1.1 200 "));
    assert!(origin.get("/health").starts_with("HTTP/1.1 503 "));
    assert!(origin.get("/users").starts_with("HTTP/1.1 200 "), "only what /health says changes");
    assert!(post("/health/up").starts_with("HTTP/1.1 200 "));
    assert!(origin.get("/health").starts_with("HTTP/1.1 200 "));
}

#[test]
fn large_bodies_take_little_memory_both_ways() {
    let origin = Running::one();
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", origin.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let began = resident();
    let size: u64 = 64 << 20;
    for framing in [format!("Content-Length: {size}"), "Transfer-Encoding: chunked".to_owned()] {
        let chunked = framing.starts_with('T');
        let mut stream = origin.connect();
        stream.write_all(format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n").as_bytes()).unwrap();
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..size / piece.len() as u64 {
            if chunked {
                stream.write_all(b"10000\r\n").unwrap();
            }
            stream.write_all(&piece).unwrap();
            if chunked {
                stream.write_all(b"\r\n").unwrap();
            }
        }
        if chunked {
            stream.write_all(b"0\r\n\r\n").unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let told: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
        assert_eq!(told["body"]["bytes"], size);
    }
    let mut stream = origin.connect();
    stream.write_all(format!("GET /bytes/{size}/close HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    head(&mut stream);
    assert_eq!(std::io::copy(&mut stream, &mut std::io::sink()).unwrap(), size);
    assert!(resident() - began < 16 << 10, "from {began} to {} KB for bodies of {} KB", resident(), size >> 10);
}

#[test]
fn curl_uploads_and_is_told_to_continue() {
    let origin = Running::one();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("ringorigin-upload");
    std::fs::write(&file, vec![b'u'; 3 << 20]).unwrap();
    let upload = format!("@{}", file.display());
    let began = Instant::now();
    let out = origin.curl(&["-H", "Expect: 100-continue", "--expect100-timeout", "15", "--data-binary", &upload], "/echo");
    let told: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(told["body"]["bytes"], 3 << 20);
    assert!(began.elapsed() < Duration::from_secs(15), "it was told, and had not to wait");
    let out = origin.curl(&["--data-binary", &upload], "/mirror");
    assert!(out.stdout.len() == 3 << 20 && out.stdout.iter().all(|byte| *byte == b'u'));
    let mut early = origin.connect();
    early.write_all(b"POST /early/status/413 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").unwrap();
    assert!(head(&mut early).starts_with("HTTP/1.1 413 "), "before a byte of the body was sent");
}

#[test]
fn what_breaks_the_decoder_ends_one_connection_only() {
    let origin = Running::one();
    let mut kept = origin.connect();
    let mut broken = origin.connect();
    let long = "x".repeat(70 << 10);
    // It may be gone before everything is sent.
    let _ = broken.write_all(format!("GET / HTTP/1.1\r\n{long}: 1\r\n\r\n").as_bytes());
    let mut left = Vec::new();
    let _ = broken.read_to_end(&mut left);
    assert_eq!(left, b"", "no answer");
    kept.write_all(b"GET /status/201 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(head(&mut kept).starts_with("HTTP/1.1 201 "), "on the same thread");
    let answer = origin.say("GET / NONSENSE\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("can be understood"), "{answer}");
    let answer = origin.say("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn it_listens_in_several_places_with_several_threads() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("ringorigin.sock");
    let _ = std::fs::remove_file(&path);
    let path = path.to_str().unwrap();
    let mut origin = Running::start(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--unix", path, "--threads", "3"]);
    assert_ne!(origin.places[0], origin.places[1]);
    assert_eq!(origin.places[2], format!("unix:{path}"));
    for _ in 0..20 {
        assert!(origin.get("/x").starts_with("HTTP/1.1 200 "));
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.write_all(b"GET /status/201 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(head(&mut stream).starts_with("HTTP/1.1 201 "));
    }
    assert_eq!(origin.json("GET /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")["requests"], 40);
    for signal in ["-TERM", "-INT"] {
        let mut held = origin.connect();
        held.write_all(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(Command::new("kill").args([signal, &origin.process.id().to_string()]).status().unwrap().success());
        assert_eq!(origin.process.wait().unwrap().code(), Some(0), "{signal}");
        assert!(!std::path::Path::new(path).exists());
        origin = Running::start(&["--listen", "127.0.0.1:0", "--unix", path]);
    }
}

#[test]
fn it_says_why_it_does_not_start() {
    let origin = Running::one();
    let address = origin.places[0].strip_prefix("http://").unwrap();
    let run = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_ringorigin")).args(arguments).output().unwrap();
    let taken = run(&["--listen", address]);
    assert_eq!(taken.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&taken.stderr).contains(&format!("cannot listen on {address}: ")));
    assert_eq!(run(&["--lisen", address]).status.code(), Some(2));
    let help = run(&["--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("/reset/1000") && help.status.success());
}
