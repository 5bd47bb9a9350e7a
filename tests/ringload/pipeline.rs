//! Several requests under way on a connection: how many, what their times are, and what becomes of them when it ends.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::{Origin, all_answered, endpoint, holds_together, numbers, stalling, take_request};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Takes requests until there are so many or none has come for a while, and tells how many there were.
fn take_requests(stream: &mut TcpStream, most: usize) -> usize {
    stream.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    (0..most).take_while(|_| take_request(stream)).count()
}

#[test]
fn a_closed_loop_keeps_as_many_under_way() {
    let (most, batches) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, full) = (most.clone(), batches.clone());
    let url = endpoint(move |mut stream| {
        loop {
            // Room for more than there may be: it answers once no more come.
            let count = take_requests(&mut stream, 9);
            if count == 0 || stream.write_all(&ANSWER.repeat(count)).is_err() {
                return;
            }
            seen.fetch_max(count, Relaxed);
            full.fetch_add(usize::from(count == 4), Relaxed);
        }
    });
    let numbers = numbers(&format!("--connections 1 --pipeline 4 --duration 700ms {url}"));
    holds_together(&numbers);
    assert_eq!((&numbers["failed"], &numbers["connections_opened"], &numbers["pipeline"]), (&0.into(), &1.into(), &4.into()));
    assert!(most.load(Relaxed) == 4 && batches.load(Relaxed) >= 2, "{most:?} {batches:?} {numbers:#}");
}

#[test]
fn an_open_loop_sends_when_it_is_due_behind_others() {
    let run = |pipeline: usize| {
        let url = stalling(Duration::from_millis(308)..Duration::from_millis(808));
        let numbers = numbers(&format!("--rate 20 --duration 1500ms --connections 1 --pipeline {pipeline} {url}"));
        all_answered(&numbers, 30);
        let time = |times: &str| numbers[times]["p90"].as_u64().unwrap() / 1_000_000;
        (time("response_ns"), time("service_ns"), numbers["late"].as_u64().unwrap())
    };
    let (response, service, late) = run(1);
    assert!(response > 300 && service < 250 && late > 5, "it waits before it is sent: {response} {service} {late}");
    let (response, service, _) = run(50);
    assert!(response > 300 && service > 300, "it waits on the connection: {response} {service}");
}

#[test]
fn every_form_of_answer_is_told_from_the_next() {
    let origin = Origin::start();
    let urls = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("ringload-pipeline-urls");
    let mut lines: String = ["/", "/chunked/size/10k", "/status/204", "/size/30k"].map(|path| format!("{}\n", origin.url(path))).concat();
    lines.push_str(&format!("HEAD {}\nPOST {}\n", origin.url("/size/10"), origin.url("/echo")));
    std::fs::write(&urls, lines).unwrap();
    let numbers = numbers(&format!("--rate 400 --duration 600ms --connections 2 --pipeline 8 --urls {}", urls.display()));
    all_answered(&numbers, 240);
    assert_eq!(numbers["connections_opened"], 2);
}

#[test]
fn a_connection_that_ends_takes_its_requests_along() {
    let ends_after_one = |answer: &'static [u8]| {
        endpoint(move |mut stream| {
            if take_requests(&mut stream, 3) > 0 {
                let _ = stream.write_all(answer);
            }
        })
    };
    // Nothing is sent behind an answer that says it: of each three, two are cut.
    let url = ends_after_one(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let said = numbers(&format!("--rate 1000 --duration 30ms --connections 1 --pipeline 3 {url}"));
    holds_together(&said);
    assert_eq!((&said["answered"], &said["failures"]["cut"]), (&10.into(), &20.into()), "{said:#}");
    let unsaid = numbers(&format!("--rate 1000 --duration 30ms --connections 1 --pipeline 3 {}", ends_after_one(ANSWER)));
    holds_together(&unsaid);
    let (answered, cut) = (unsaid["answered"].as_u64().unwrap(), unsaid["failures"]["cut"].as_u64().unwrap());
    assert!(answered > 0 && answered + cut == 30 && cut >= 2 * answered, "{unsaid:#}");
    // Only the first waited for so long as it may.
    let silent = numbers(&format!(
        "--rate 1000 --duration 30ms --timeout 200ms --connections 1 --pipeline 30 {}",
        endpoint(|mut stream| { while take_request(&mut stream) {} })
    ));
    holds_together(&silent);
    assert!(silent["failures"]["timeout"].as_u64() >= Some(1), "{silent:#}");
    assert_eq!(silent["answered"], 0);
}
