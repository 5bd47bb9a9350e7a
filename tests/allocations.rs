//! In steady state a proxied request on kept connections allocates nothing: counted by the allocator, on the worker's thread.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;

use ringway::config;
use ringway::run::{self, Options, Running};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations made on worker threads.
static ON_WORKERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread is a worker, once that is known.
    static WORKER: Cell<Option<bool>> = const { Cell::new(None) };
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_worker() {
            ON_WORKERS.fetch_add(1, Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_worker() {
            ON_WORKERS.fetch_add(1, Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn is_worker() -> bool {
    WORKER.try_with(|worker| {
        if let Some(known) = worker.get() {
            return known;
        }
        let mut name = [0_u8; 16];
        // SAFETY: the buffer is live and as long as the kernel's names.
        let named = unsafe { libc::pthread_getname_np(libc::pthread_self(), name.as_mut_ptr().cast(), name.len()) } == 0;
        let is = named && name.starts_with(b"worker-");
        // Threads get their name after they begin to run.
        if is || (named && !name.starts_with(b"allocations")) {
            worker.set(Some(is));
        }
        is
    }) == Ok(true)
}

const REQUESTS: u64 = 4_000;
const CLIENTS: usize = 4;

#[test]
fn a_request_in_steady_state_allocates_nothing() {
    let mut origin = Command::new(env!("CARGO_BIN_EXE_ringorigin"))
        .args(["--listen", "127.0.0.1:0", "--quiet"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("ringorigin starts");
    let mut line = String::new();
    BufReader::new(origin.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it says where it listens");
    let endpoint = line.trim().strip_prefix("listening on ").expect("it listens").to_owned();

    let text = format!(
        r#"{{"listener": {{"address": "127.0.0.1", "port": 0}}, "admin": {{"enabled": false}}, "logging": {{"level": "error"}},
            "runtime": {{"workers": 1, "pin": false}}, "timeouts": {{"drain_delay": "0s"}},
            "upstreams": [{{"id": "app", "endpoints": [{{"url": "{endpoint}", "max_concurrent_requests": 100}}]}}],
            "routes": [{{"path": "/api/*", "upstream": "app", "max_concurrent_requests": 50,
                         "request": {{"set_headers": {{"X-Set": "1"}}}}, "response": {{"remove_headers": ["Server"]}}}}]}}"#
    );
    let loaded = config::load_text(&text, Path::new("test.json")).expect("the configuration is good");
    let (ready, wait) = mpsc::channel::<Running>();
    let gateway = std::thread::spawn(move || {
        let on_ready: run::OnReady = Box::new(move |running| ready.send(running.clone()).expect("the test waits"));
        run::run(loaded, Options { on_ready: Some(on_ready), ..Options::default() })
    });
    let address = wait.recv().expect("the gateway listens").listener;

    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| TcpStream::connect(address).expect("the gateway accepts")).collect();
    rounds(&mut clients, address, 100);
    let before = ON_WORKERS.load(Relaxed);
    rounds(&mut clients, address, REQUESTS / CLIENTS as u64);
    let during = ON_WORKERS.load(Relaxed) - before;
    drop(clients);

    // SAFETY: the process is this one.
    unsafe { libc::kill(libc::getpid(), libc::SIGINT) };
    gateway.join().expect("it ends in order").expect("it ran");
    origin.kill().expect("it runs");
    origin.wait().expect("it ends");
    println!("{during} allocations on the worker in {REQUESTS} requests, {before} before");
    assert!(before > 0, "the worker's allocations are seen at all");
    // A tick's report to the coordinator allocates, ten times a second whatever the load.
    assert!(during * 20 < REQUESTS, "{during} allocations in {REQUESTS} requests");
}

/// Sends so many rounds of one request on each connection, each with a path and a body of its own.
fn rounds(clients: &mut [TcpStream], address: SocketAddr, rounds: u64) {
    let mut answer = [0; 8192];
    for round in 0..rounds {
        let request = format!("GET /api/size/{}?n={round} HTTP/1.1\r\nHost: {address}\r\nX-Round: {round}\r\n\r\n", 100 + round % 50);
        for client in &mut *clients {
            client.write_all(request.as_bytes()).expect("the gateway takes requests");
        }
        for client in &mut *clients {
            let mut length = 0;
            loop {
                length += client.read(&mut answer[length..]).expect("the gateway answers");
                if complete(&answer[..length]) {
                    break;
                }
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer[..length].escape_ascii());
        }
    }
}

fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).and_then(|n| n.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}
