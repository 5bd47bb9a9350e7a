//! What the demo shows: what to try, then the traffic: a table that is redrawn on a terminal, a line a second elsewhere.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringway::admin::EndpointState;
use ringway::run::Running;

use super::PORT;
use super::traffic::{Tally, ask};

/// Between two requests.
const PACE: Duration = Duration::from_millis(125);
/// Between two lines.
const LINE: Duration = Duration::from_secs(1);
/// What the demo's client asks for.
const PATH: &str = "/hello";
/// Characters of a whole bar.
const BAR: usize = 20;

/// Sends requests and shows what comes of them until the gateway drains. `made` is the demo's own certificate, or why there is none.
pub fn run(running: &Running, endpoints: &[(&'static str, SocketAddr)], moved: bool, made: Option<&Result<String, String>>) {
    let gateway = running.listener;
    let terminal = io::stdout().is_terminal();
    put(&intro(running, endpoints, moved, made));
    let (began, mut tally) = (Instant::now(), Tally::new(endpoints.iter().map(|(name, _)| *name)));
    let (mut next_line, mut drawn) = (began + LINE, 0);
    while !running.shared.draining() {
        let (result, took) = ask(gateway, PATH);
        // A gateway that has begun to stop meanwhile takes no new connection, which is no failure.
        if running.shared.draining() {
            break;
        }
        tally.count(result, took);
        let retried = running.shared.registry.cores.iter().map(|core| core.retries.count()).sum();
        if terminal {
            let table = table(&tally, &running.shared.endpoints(), retried, began.elapsed());
            put(&redraw(&table, drawn));
            drawn = table.lines().count();
        } else if Instant::now() >= next_line {
            next_line += LINE;
            put(&line(&mut tally, &running.shared.endpoints(), retried, began.elapsed()));
        }
        std::thread::sleep(PACE);
    }
    put(&format!("\nStopping: what is under way is finished. {} requests, {} failed.\n", tally.requests, tally.failed));
}

/// Where everything is, and what to try.
fn intro(running: &Running, endpoints: &[(&'static str, SocketAddr)], moved: bool, made: Option<&Result<String, String>>) -> String {
    let gateway = running.listener;
    let mut text = String::from("\n");
    if moved {
        let _ = writeln!(text, "  Port {PORT} is taken, so the gateway has port {}; `--port` chooses another.\n", gateway.port());
    }
    let list: Vec<String> = endpoints.iter().map(|(name, address)| format!("{name} {address}")).collect();
    let _ = writeln!(text, "  gateway    http://{gateway}");
    let _ = match (running.tls, made) {
        (Some(tls), Some(_)) => writeln!(text, "             https://{tls}, with a certificate that nobody trusts: curl -k"),
        (Some(tls), None) => writeln!(text, "             https://{tls}"),
        (None, Some(Err(why))) => writeln!(text, "             no https: {why}"),
        (None, _) => Ok(()),
    };
    let _ = writeln!(text, "  endpoints  {}", list.join(", "));
    let _ = writeln!(text, "  pages      http://{gateway}/gateway/health and /gateway/metrics");
    if let Some(admin) = running.admin {
        let _ = writeln!(text, "  operators  http://{admin}/dashboard, and / for all");
    }
    let unwell = endpoints[1];
    let _ = write!(
        text,
        "\n  Try in another terminal (README.md has a tour of all features):\n\n    \
         curl -i http://{gateway}/users/7\n        \
         again and again: X-Endpoint says who answered\n    \
         curl -i 'http://{gateway}/users/7?fail=0.2'\n        \
         each endpoint fails 2 of 10; the gateway asks another, you get 200\n    \
         curl -i http://{gateway}/cached/a\n        \
         kept for ten seconds: Cache-Status says what the cache did\n    \
         curl -i http://{gateway}/limited/\n        \
         three at once, then 429 but for one each ten seconds\n    \
         curl -X POST http://{}/health/down\n        \
         endpoint {} says it is unwell: the others take over; undo: /health/up\n\n  \
         Meanwhile a built-in client asks for {PATH}. Ctrl-C ends the demo.\n\n",
        unwell.1, unwell.0
    );
    text
}

/// All there is to see, for a terminal.
fn table(tally: &Tally, states: &[EndpointState], retried: u64, elapsed: Duration) -> String {
    let mut text = format!("  {:<9} {:>9}  {:<26} {:>9} {:>9}  {}\n", "endpoint", "requests", "share lately", "p50", "p99", "state");
    for (index, endpoint) in tally.endpoints.iter().enumerate() {
        let share = tally.share(index);
        let (p50, p99) = (quantile(&endpoint.times, 0.5), quantile(&endpoint.times, 0.99));
        let (name, requests, bar) = (endpoint.name, endpoint.requests, "█".repeat((share * BAR).div_ceil(100)));
        let _ = writeln!(text, "  {name:<9} {requests:>9}  {share:>3} % {bar:<BAR$} {p50:>9} {p99:>9}  {}", state(states, name));
    }
    let _ = write!(text, "\n  {} s   {}\n", elapsed.as_secs(), totals(tally, retried));
    text
}

/// A second's traffic in a line.
fn line(tally: &mut Tally, states: &[EndpointState], retried: u64, elapsed: Duration) -> String {
    let fresh = tally.take_fresh();
    let mut text = format!("{:>4} s ", elapsed.as_secs());
    for (endpoint, fresh) in tally.endpoints.iter().zip(fresh) {
        let state = state(states, endpoint.name);
        let _ = write!(text, "  {} {fresh}{}", endpoint.name, if state == "up" { String::new() } else { format!(" ({state})") });
    }
    let times = tally.times();
    let _ = writeln!(text, "   p50 {}  p99 {}   {}", quantile(&times, 0.5), quantile(&times, 0.99), totals(tally, retried));
    text
}

fn totals(tally: &Tally, retried: u64) -> String {
    let failure = tally.failure.as_ref().map(|failure| format!(" (last: {failure})")).unwrap_or_default();
    format!("{} requests, {} failed{failure}, {retried} retried", tally.requests, tally.failed)
}

/// What the gateway thinks of an endpoint.
fn state(states: &[EndpointState], name: &str) -> &'static str {
    match states.iter().find(|state| state.endpoint == name) {
        Some(state) if !state.healthy => "unwell",
        Some(state) if state.ejected => "ejected",
        _ => "up",
    }
}

/// A time in milliseconds; a dash as long as there is none.
fn quantile(times: &Histogram<u64>, quantile: f64) -> String {
    if times.is_empty() {
        return "-".into();
    }
    // At most a minute in microseconds: exact.
    format!("{:.2} ms", times.value_at_quantile(quantile) as f64 / 1000.0)
}

/// Puts the table in the place of the one before, which had so many lines.
fn redraw(table: &str, drawn: usize) -> String {
    let up = if drawn > 0 { format!("\x1b[{drawn}A") } else { String::new() };
    let lines: String = table.lines().map(|line| format!("\r{line}\x1b[K\n")).collect();
    up + &lines
}

/// Writes at once. A reader that has gone is no reason to stop serving.
fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::traffic::read;

    fn tally() -> Tally {
        let mut tally = Tally::new(["one", "two", "three"].into_iter());
        for name in ["one", "one", "one", "two"] {
            let answer = read(format!("HTTP/1.1 200 OK\r\nX-Endpoint: {name}\r\n\r\n").as_bytes());
            tally.count(answer, Duration::from_micros(1500));
        }
        tally.count(read(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), Duration::from_micros(1500));
        tally
    }

    fn states() -> Vec<EndpointState> {
        let state = |endpoint: &str, healthy, ejected| EndpointState { endpoint: endpoint.into(), healthy, ejected, ..Default::default() };
        vec![state("one", true, false), state("two", true, true), state("three", false, true)]
    }

    #[test]
    fn the_table_tells_all_within_80_columns() {
        let table = table(&tally(), &states(), 7, Duration::from_secs(1_000_000));
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{table}");
        assert!(lines[1].contains("3   60 % ████████████ ") && lines[1].contains("1.50 ms") && lines[1].ends_with("  up"), "{table}");
        assert!(lines[2].ends_with("  ejected") && lines[3].contains("  -  ") && lines[3].ends_with("  unwell"), "{table}");
        assert!(lines[5].ends_with("5 requests, 1 failed (last: 503), 7 retried"), "{table}");
    }

    #[test]
    fn a_line_tells_what_is_new() {
        let mut tally = tally();
        let times = "p50 1.50 ms  p99 1.50 ms   5 requests, 1 failed (last: 503), 0 retried\n";
        let told = line(&mut tally, &states(), 0, Duration::from_secs(1));
        assert_eq!(told, format!("   1 s   one 3  two 1 (ejected)  three 0 (unwell)   {times}"));
        let told = line(&mut tally, &[], 0, Duration::from_secs(2));
        assert_eq!(told, format!("   2 s   one 0  two 0  three 0   {times}"));
    }

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        assert_eq!(redraw("a\nb\n", 0), "\ra\x1b[K\n\rb\x1b[K\n");
        assert_eq!(redraw("a\n", 2), "\x1b[2A\ra\x1b[K\n");
    }
}
