//! The gateway's side of the wire: what its own histograms say of the time in which ringload asked, as one waterfall with ringload's.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use ringway::clock::read_utc;
use ringway::latency::Phase;
use serde_json::{Value, json};

use crate::tally::Tally;
use crate::words::{show_count, show_time};

/// For the gateway to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Its histograms are a second behind.
pub const BEHIND: Duration = Duration::from_millis(1_300);
/// Characters of the longest bar.
const BAR: f64 = 30.0;

/// What the gateway has recorded of each phase since it began, in microseconds.
pub struct Seen(Vec<Histogram<u64>>);

/// Where a request's time went, on average, and of the slowest.
#[derive(Clone, Debug, PartialEq)]
pub struct Waterfall {
    /// Requests that the gateway has counted in that time.
    pub requests: u64,
    /// What it was, and nanoseconds of the mean request.
    pub parts: Vec<(&'static str, f64)>,
    /// The same of requests that the gateway called slow, and how many they are.
    pub slow: (usize, Vec<(&'static str, f64)>),
}

/// The phases that make up a request in the gateway, in order, and what they are called here.
const PHASES: [(Phase, &str); 5] = [
    (Phase::Queue, "gateway: waiting for a place"),
    (Phase::Policies, "gateway: route and policies"),
    (Phase::Connect, "gateway: connecting"),
    (Phase::FirstByte, "endpoint: first byte"),
    (Phase::Body, "gateway: body to the client"),
];

impl Seen {
    /// Asks a gateway's private listener.
    ///
    /// # Errors
    /// When it doesn't answer like one.
    pub fn ask(admin: &str) -> io::Result<Seen> {
        let one = |phase: &Phase| {
            let text = get(admin, &format!("/latency?window=all&format=v2&phase={}", phase.name()))?;
            let bytes = STANDARD.decode(text.trim()).map_err(io::Error::other)?;
            Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| io::Error::other(format!("{error:?}")))
        };
        Phase::ALL.iter().map(one).collect::<io::Result<_>>().map(Seen)
    }

    /// Count and sum in microseconds of what came of a phase since `before`.
    fn since(&self, before: &Seen, phase: Phase) -> (u64, f64) {
        let sum = |seen: &Seen| {
            let histogram = &seen.0[phase as usize];
            (histogram.len(), histogram.mean() * histogram.len() as f64)
        };
        let (now, then) = (sum(self), sum(before));
        (now.0.saturating_sub(then.0), (now.1 - then.1).max(0.0))
    }
}

/// The timelines of slow requests from this second since 1970 on.
///
/// # Errors
/// When the gateway doesn't answer like one.
pub fn slow(admin: &str, from: Duration) -> io::Result<Vec<Value>> {
    let page: Value = serde_json::from_str(&get(admin, "/slow")?).map_err(io::Error::other)?;
    let since = |slow: &&Value| {
        let second = slow["at"].as_str().and_then(|at| read_utc(&format!("{}Z", at.get(..19)?)));
        second.is_some_and(|second| second >= from.as_secs())
    };
    Ok(page["slow"].as_array().map(|all| all.iter().filter(since).cloned().collect()).unwrap_or_default())
}

/// Puts both sides together.
pub fn waterfall(before: &Seen, after: &Seen, slow: &[Value], tally: &Tally) -> Waterfall {
    let (requests, total) = after.since(before, Phase::Total);
    let each = 1000.0 / requests.max(1) as f64;
    let mut parts = vec![
        ("ringload: from due to sent", (tally.response.mean() - tally.service.mean()).max(0.0)),
        ("network and kernel", (tally.service.mean() - total * each).max(0.0)),
    ];
    let mut left = total * each;
    for (phase, name) in PHASES {
        let mean = after.since(before, phase).1 * each;
        left -= mean;
        parts.push((name, mean));
    }
    parts.push(("gateway: attempts that failed, answers of its own", left.max(0.0)));
    let mean = |read: &dyn Fn(&Value) -> f64| slow.iter().map(read).sum::<f64>() * 1000.0 / slow.len().max(1) as f64;
    let of = |value: &Value| value.as_f64().unwrap_or(0.0);
    let mut timeline: Vec<(&'static str, f64)> =
        PHASES.iter().map(|(phase, name)| (*name, mean(&|slow| of(&slow["microseconds"][phase.name()])))).collect();
    timeline.push(("gateway: attempts that failed", mean(&|slow| of(&slow["lost_in_failed_attempts"]))));
    Waterfall { requests, parts, slow: (slow.len(), timeline) }
}

impl Waterfall {
    /// For a person. `answered` are the requests that ringload has counted.
    pub fn text(&self, answered: u64) -> String {
        let mut out = String::from("both sides of the wire: where the mean request's time went\n");
        let whole = self.parts.iter().map(|(_, nanos)| nanos).sum::<f64>().max(1.0);
        // Writing to a string can't fail.
        for (name, nanos) in self.parts.iter().filter(|(_, nanos)| nanos / whole >= 0.0005) {
            let bar = "#".repeat((nanos / whole * BAR).ceil() as usize);
            let _ = writeln!(out, "  {name:<50} {:>9} {:>6.1} %  {bar}", show_time(*nanos as u64), nanos / whole * 100.0);
        }
        let (count, timeline) = &self.slow;
        let whole = timeline.iter().map(|(_, nanos)| nanos).sum::<f64>();
        if *count > 0 && whole > 0.0 {
            let mut shares: Vec<_> =
                timeline.iter().map(|(name, nanos)| (nanos / whole * 100.0, name)).filter(|(share, _)| *share >= 1.0).collect();
            shares.sort_by(|a, b| b.0.total_cmp(&a.0));
            let shares: Vec<String> = shares.iter().map(|(share, name)| format!("{share:.0} % {name}")).collect();
            let _ = writeln!(out, "  of the {count} slowest that the gateway tells of (above its p99.9): {}", shares.join(", "));
        }
        if self.requests.abs_diff(answered) * 100 > answered {
            let (seen, own) = (show_count(self.requests), show_count(answered));
            let _ = writeln!(
                out,
                "  The gateway counted {seen} requests, ringload {own} answers: it served others too, or refused connections."
            );
        }
        out.push('\n');
        out
    }

    /// For programs; nanoseconds.
    pub fn json(&self) -> Value {
        let object =
            |parts: &[(&'static str, f64)]| parts.iter().map(|(name, nanos)| ((*name).to_owned(), json!(nanos.round()))).collect::<Value>();
        json!({
            "requests": self.requests, "mean_ns": object(&self.parts), "slow": self.slow.0, "slow_mean_ns": object(&self.slow.1),
        })
    }
}

/// The whole answer to a request without a body, such as `GET /count`. `patience` is for connecting, and for each wait.
///
/// # Errors
/// When there is none.
pub fn ask(host: &str, request: &str, patience: Duration) -> io::Result<String> {
    let address = host.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "{request} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The body of a page.
fn get(admin: &str, path: &str) -> io::Result<String> {
    let text = ask(admin, &format!("GET {path}"), PATIENCE)?;
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("it answers {}", text.lines().next().unwrap_or("nothing")))),
    }
}

/// A moment, in time since 1970 began.
pub fn since_1970(at: std::time::SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(times: &[(Phase, &[u64])]) -> Seen {
        let mut seen: Vec<_> = Phase::ALL.iter().map(|_| Histogram::new_with_bounds(1, 60_000_000, 2).unwrap()).collect();
        for (phase, values) in times {
            values.iter().for_each(|micros| seen[*phase as usize].record(*micros).unwrap());
        }
        Seen(seen)
    }

    #[test]
    fn the_parts_are_the_whole() {
        let before = seen(&[(Phase::Total, &[100]), (Phase::FirstByte, &[100])]);
        let after = seen(&[
            (Phase::Total, &[100, 100, 200]),
            (Phase::FirstByte, &[100, 60, 120]),
            (Phase::Body, &[20, 20]),
            (Phase::Connect, &[20]),
        ]);
        let mut tally = Tally::default();
        (0..2).for_each(|_| tally.settle(crate::tally::Outcome::Answer(200), 300_000, Some(250_000)));
        let slow = [json!({ "microseconds": { "first_byte": 75, "connect": 25 }, "lost_in_failed_attempts": 0 })];
        let waterfall = waterfall(&before, &after, &slow, &tally);
        assert_eq!(waterfall.requests, 2);
        let sum: f64 = waterfall.parts.iter().map(|(_, nanos)| nanos).sum();
        assert!((sum - 300_000.0).abs() < 2_000.0, "{waterfall:?}");
        let of = |name: &str| waterfall.parts.iter().find(|(known, _)| known.starts_with(name)).unwrap().1;
        assert!((of("endpoint") - 90_000.0).abs() < 1_000.0 && (of("gateway: connecting") - 10_000.0).abs() < 200.0, "{waterfall:?}");
        let text = waterfall.text(2);
        assert!(text.contains("75 % endpoint: first byte, 25 % gateway: connecting") && !text.contains("served others"), "{text}");
        assert!(waterfall.text(20).contains("served others"));
        assert_eq!(waterfall.json()["slow"], 1);
    }
}
