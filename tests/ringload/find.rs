//! The highest rate that holds: found where the endpoint has it, and never for the load generator's own fault.

use std::io::Write;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Origin, endpoint, ringload, says, take_request};

/// An endpoint that takes a time for each answer, one after the other whatever the connection: so it can answer as many a second.
fn one_at_a_time(time: Duration) -> String {
    let free = Mutex::new(Instant::now());
    endpoint(move |mut stream| {
        while take_request(&mut stream) {
            let at = {
                let mut free = free.lock().unwrap();
                *free = (*free).max(Instant::now()) + time;
                *free
            };
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    })
}

fn find(line: &str) -> (Option<i32>, Value) {
    let output = ringload(&format!("find --json - --max-lag 1h --quiet {line}"));
    let value = serde_json::from_slice(&output.stdout);
    (output.status.code(), value.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr))))
}

/// 100 a second is what it can; a queue that grows by a tenth of that for a second makes who comes last wait for 100 ms.
#[test]
fn the_knee_is_found_where_it_is() {
    let url = one_at_a_time(Duration::from_millis(10));
    let (code, found) = find(&format!("--slo p90<70ms,errors<1% --from 30 --step-time 1s --precision 20% {url}"));
    let (holds, broken) = (found["holds_per_second"].as_f64().unwrap(), found["ends_at_per_second"].as_f64().unwrap());
    assert!((60.0..=115.0).contains(&holds) && broken > holds && broken <= holds * 1.2, "{found:#}");
    assert_eq!((code, &found["ended_by"], &found["steps"][0]["shown"]), (Some(0), &"target".into(), &"held".into()));
    let steps = found["steps"].as_array().unwrap();
    let broken = steps.iter().find(|step| step["shown"] == "broken").unwrap();
    assert!(broken["why"][0].as_str().unwrap().contains("p90<70ms: does NOT hold"), "{broken:#}");
}

#[test]
fn it_says_when_nothing_holds_and_when_all_does() {
    let (code, none) =
        find(&format!("--slo errors<1% --from 20 --step-time 200ms {}", says(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", false)));
    assert_eq!((code, &none["holds_per_second"], none["steps"].as_array().unwrap().len()), (Some(1), &Value::Null, 1), "{none:#}");
    let origin = Origin::start();
    let output = ringload(&format!("find --slo p50<1m --from 20 --to 50 --step-time 200ms --max-lag 1h -q {}", origin.url("/")));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("no knee     50.0/s holds, the highest") && text.matches("  yes\n").count() == 3, "{text}");
    let output = ringload("find --slo p50<1m http://127.0.0.1:1/");
    assert!(output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("nobody answers"));
    assert_eq!(ringload("find http://127.0.0.1:1/").status.code(), Some(2));
}

/// No machine notices fifty million a second one by one: that is never held against the target.
#[test]
fn its_own_fault_is_no_evidence() {
    let origin = Origin::start();
    let output = ringload(&format!("find --slo p50<1ms --from 50000k --step-time 40ms --grace 0 --json - {}", origin.url("/")));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown: Vec<&str> = found["steps"].as_array().unwrap().iter().map(|step| step["shown"].as_str().unwrap()).collect();
    assert_eq!(shown, ["ringload_was_the_bottleneck"; 2], "{found:#}");
    assert_eq!((output.status.code(), &found["holds_per_second"], &found["ended_by"]), (Some(1), &Value::Null, &"ringload".into()));
}
