//! `ringway top`: the dashboard in a terminal, drawn anew each second; once, if the output is no terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::net::ToSocketAddrs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::ask::get;

/// Where the private listener is, unless it is told.
pub const ADMIN: &str = "127.0.0.1:9901";
/// For the gateway to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Rows of each table.
const ROWS: usize = 8;
/// Seconds of a day.
const DAY: i64 = 86_400;
/// Columns of a line at most.
const WIDTH: usize = 110;

/// Shows it until it is interrupted, or once.
///
/// # Errors
/// Why the gateway could not be asked, the first time.
pub fn run(admin: &str) -> Result<(), String> {
    let mut out = io::stdout();
    let first = ask(admin).map_err(|error| {
        format!("no gateway answers on http://{admin}: {error}\nhint: `--admin ADDRESS` says where its private listener is (`admin` in the configuration)")
    })?;
    if !out.is_terminal() {
        print(&mut out, &draw(&first));
        return Ok(());
    }
    let mut screen = draw(&first);
    // Home, the text unwrapped and with each line's rest cleared, and what is below cleared.
    while print(&mut out, &format!("\x1b[H\x1b[?7l{}\x1b[J\x1b[?7h", screen.replace('\n', "\x1b[K\n"))) {
        sleep(Duration::from_secs(1));
        screen = match ask(admin) {
            Ok(status) => draw(&status),
            Err(error) => format!("no gateway answers on http://{admin}: {error}; trying on. Ctrl-C ends this.\n"),
        };
    }
    Ok(())
}

/// Whether somebody reads it.
fn print(out: &mut impl Write, text: &str) -> bool {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Asks for `/status`.
fn ask(admin: &str) -> io::Result<Value> {
    let address = admin.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let (_, body) = get(address, "/status", PATIENCE, u64::MAX)?;
    serde_json::from_str(&body).map_err(|_| io::Error::other("what answers there is not Ringway's private listener"))
}

/// One screen.
fn draw(status: &Value) -> String {
    let mut screen = String::new();
    let mut line = |text: String| {
        // Writing to a string can't fail.
        let _ = writeln!(screen, "{}", text.chars().map(|c| if c.is_control() { '?' } else { c }).take(WIDTH).collect::<String>());
    };
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let each = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let state = match (status["draining"] == true, status["config"]["last_reload_failed"] == true) {
        (true, _) => "draining",
        (_, true) => "serving; the last reload failed, see its log or /config",
        _ => "serving",
    };
    let file = text(&status["config"]["file"]);
    let of = if file.is_empty() { "" } else { " of " };
    line(format!("ringway {}  {state}  configuration {}{of}{file}", text(&status["version"]), status["config"]["generation"]));
    line(format!(
        "{:.0} requests/s  {:.1} failed/s  {} in flight  {} connections  {} since the start",
        number(&status["requests_per_second"]),
        number(&status["failed_per_second"]),
        status["in_flight"],
        status["connections"],
        status["requests"]
    ));
    line(String::new());
    line(format!("{:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}{:>12}", "TIMES", "p50", "p90", "p99", "p99.9", "max", "own p99", "requests"));
    for window in ["1s", "10s", "1m", "all"] {
        let times = &status["latency"][window];
        let of = |name: &str| time(number(&times["total"][name]));
        let own = times["phases"]["overhead"][1].as_f64().map_or("-".to_owned(), time);
        let (p50, p90, p99, p999, max) = (of("p50"), of("p90"), of("p99"), of("p99.9"), of("max"));
        line(format!("{window:<12}{p50:>10}{p90:>10}{p99:>10}{p999:>10}{max:>10}{own:>12}{:>12}", count(&times["total"]["count"])));
    }
    line(String::new());
    line(format!("{:<6}{:>8}  {:<20}{:>12}{:>14}{:>10}", "CORE", "busy", "", "requests/s", "connections", "late"));
    for (index, core) in each(&status["cores"]).iter().enumerate().take(2 * ROWS) {
        let busy = number(&core["busy"]);
        let bar = "#".repeat((busy * 20.0).round() as usize);
        let (rate, late) = (number(&core["requests_per_second"]), time(number(&core["stalled"]) * 1e6));
        line(format!("{index:<6}{:>6.0} %  {bar:<20}{rate:>12.0}{:>14}{late:>10}", busy * 100.0, count(&core["connections"])));
    }
    line(String::new());
    line(format!("{:<24}{:<20}{:>12}{:>10}{:>10}{:>10}{:>10}", "ROUTE", "upstream", "requests/s", "p50", "p99", "p99.9", "own p99"));
    for row in each(&status["series"]).iter().take(ROWS) {
        let of = |name: &str| time(number(&row[name]));
        let (route, upstream) = (short(&text(&row["route"]), 23), short(&text(&row["upstream"]), 19));
        let rate = number(&row["requests_per_second"]);
        line(format!("{route:<24}{upstream:<20}{rate:>12.1}{:>10}{:>10}{:>10}{:>10}", of("p50"), of("p99"), of("p99.9"), of("own_p99")));
    }
    line(String::new());
    let endpoints: Vec<(String, Value)> =
        each(&status["upstreams"]).iter().flat_map(|up| each(&up["endpoints"]).into_iter().map(|e| (text(&up["id"]), e))).collect();
    let well = |endpoint: &Value| endpoint["healthy"] == true && endpoint["ejected"] == false && endpoint["resolved"] == true;
    let open = |endpoint: &Value| !matches!(endpoint["circuit_breaker"].as_str(), None | Some("closed"));
    let bad: Vec<_> = endpoints.iter().filter(|(_, endpoint)| !well(endpoint) || open(endpoint)).collect();
    line(format!("ENDPOINTS   {} of {} well", endpoints.len() - bad.len(), endpoints.len()));
    for (upstream, endpoint) in bad.iter().take(ROWS) {
        let why = match () {
            () if endpoint["resolved"] == false => "its name isn't found",
            () if endpoint["healthy"] == false => "down, its probes say",
            () if endpoint["ejected"] == true => "ejected for what requests showed",
            () => "its circuit breaker is open",
        };
        line(format!("  {upstream} / {} {}: {why}", text(&endpoint["id"]), text(&endpoint["url"])));
    }
    for certificate in each(&status["protocols"]["tls"]["certificates"]) {
        let left = certificate["seconds_left"].as_i64().unwrap_or(0);
        if left < 14 * DAY {
            let hours = left.max(0) / 3600;
            let how = if left < 0 { "has expired".to_owned() } else { format!("expires in {} days, {} hours", hours / 24, hours % 24) };
            line(format!("  the certificate of {} {how}", text(&certificate["name"])));
        }
    }
    line(format!("PROTOCOLS   {}", protocols(&status["protocols"])));
    let calls: Vec<String> =
        status["protocols"]["grpc"].as_object().into_iter().flatten().map(|(status, count)| format!("{status} {count}")).collect();
    if !calls.is_empty() {
        line(format!("  gRPC calls: {}", calls.join(", ")));
    }
    line(String::new());
    line(format!("{:<14}{:>10}  {:<48}{:<24}{}", "SLOW", "took", "what took so long", "request", "id"));
    for slow in each(&status["slow"]).iter().take(ROWS) {
        let (at, took) = (text(&slow["at"]), time(number(&slow["microseconds"]["total"])));
        let (cause, request) = (short(&text(&slow["cause"]), 47), short(&text(&slow["request"]), 23));
        line(format!("{:<14}{took:>10}  {cause:<48}{request:<24}{}", at.get(11..23).unwrap_or(""), text(&slow["request_id"])));
    }
    screen
}

/// What is spoken beside HTTP/1.1; gRPC has a line of its own.
fn protocols(spoken: &Value) -> String {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let (tls, http2, upgraded) = (&spoken["tls"], &spoken["http2"], &spoken["upgraded"]);
    let handshakes = count(&tls["full"]) + count(&tls["resumed"]);
    let mut parts = Vec::new();
    if handshakes + count(&tls["failed"]) > 0 {
        parts.push(format!("TLS {handshakes} handshakes, {} failed", count(&tls["failed"])));
    }
    if count(&http2["connections"]) > 0 {
        parts.push(format!("HTTP/2 {} requests, {} connections", count(&http2["streams"]), count(&http2["connections"])));
    }
    if count(&upgraded["all"]) > 0 {
        parts.push(format!("{} WebSockets", count(&upgraded["open"])));
    }
    if parts.is_empty() { "HTTP/1.1 only".to_owned() } else { parts.join("   ") }
}

/// The text, cut to so many characters.
fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['~']).collect() }
}

/// Microseconds for a person.
fn time(micros: f64) -> String {
    match micros {
        0.0 => "-".to_owned(),
        _ if micros >= 1e6 => format!("{:.2} s", micros / 1e6),
        _ if micros >= 1e4 => format!("{:.0} ms", micros / 1e3),
        _ if micros >= 1e3 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{micros:.0} us"),
    }
}
