//! `ringway top`: the dashboard in a terminal, drawn anew each second; once, if the output is no terminal.

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

/// Shows it until it is interrupted, or once.
///
/// # Errors
/// Why the gateway could not be asked, the first time.
pub fn run(admin: &str) -> Result<(), String> {
    let mut out = io::stdout();
    let first = ask(admin).map_err(|error| {
        format!("no gateway answers on http://{admin}: {error}\nhint: `--admin ADDRESS:PORT` says where its private listener is (`admin` in the configuration)")
    })?;
    if !out.is_terminal() {
        print(&mut out, &draw(&first, Room::now()));
        return Ok(());
    }
    let mut screen = draw(&first, Room::now());
    // Home, the text unwrapped and with each line's rest cleared, and what is below cleared.
    while print(&mut out, &format!("\x1b[H\x1b[?7l{}\x1b[J\x1b[?7h", screen.replace('\n', "\x1b[K\n"))) {
        sleep(Duration::from_secs(1));
        screen = match ask(admin) {
            Ok(status) => draw(&status, Room::now()),
            Err(error) => format!("no gateway answers on http://{admin}: {error}\nIt is tried again each second; Ctrl-C ends this.\n"),
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

/// How much room there is, in characters.
#[derive(Clone, Copy)]
struct Room {
    columns: usize,
    lines: usize,
}

impl Room {
    /// That of the terminal; without one, of a page that is wide enough for everything.
    fn now() -> Room {
        match rustix::termios::tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Room { columns: size.ws_col.into(), lines: size.ws_row.into() },
            _ => Room { columns: 110, lines: usize::MAX },
        }
    }
}

/// A screen: parts with an empty line between, each of what is always shown and of rows that there is room for or not.
#[derive(Default)]
struct Screen(Vec<(Vec<String>, Vec<String>)>);

impl Screen {
    fn part(&mut self, heads: Vec<String>, rows: Vec<String>) {
        self.0.push((heads, rows));
    }

    /// As text that fits: the longest tables lose rows first.
    fn fit(mut self, room: Room) -> String {
        let lines = |parts: &[(Vec<String>, Vec<String>)]| parts.iter().map(|(heads, rows)| heads.len() + rows.len() + 1).sum::<usize>();
        // The last line of a terminal stays empty, as does the one behind the last part.
        while lines(&self.0) > room.lines {
            let Some((_, rows)) = self.0.iter_mut().max_by_key(|(_, rows)| rows.len()).filter(|(_, rows)| rows.len() > 1) else { break };
            rows.pop();
        }
        let parts: Vec<String> = self.0.into_iter().map(|(heads, rows)| [heads, rows].concat().join("\n")).collect();
        let mut text = String::new();
        for line in parts.join("\n\n").lines().take(room.lines.saturating_sub(1)) {
            text.extend(line.chars().map(|c| if c.is_control() { '?' } else { c }).take(room.columns));
            text.push('\n');
        }
        text
    }
}

/// One screen.
fn draw(status: &Value, room: Room) -> String {
    let mut screen = Screen::default();
    screen.part(state(status), Vec::new());
    screen.part(times(status), Vec::new());
    screen.part(
        vec![format!("{:<6}{:>8}  {:<20}{:>12}{:>14}{:>10}", "CORE", "busy", "", "requests/s", "connections", "late")],
        cores(status),
    );
    let names = room.columns.saturating_sub(52);
    let (route, upstream) = ((names * 6 / 11).clamp(12, 24), (names * 5 / 11).clamp(10, 20));
    let head = format!(
        "{:<route$}{:<upstream$}{:>12}{:>10}{:>10}{:>10}{:>10}",
        "ROUTE", "upstream", "requests/s", "p50", "p99", "p99.9", "own p99"
    );
    let routes = each(&status["series"]).iter().take(ROWS).map(|row| {
        let of = |name: &str| time(number(&row[name]));
        let (id, to) = (short(&text(&row["route"]), route - 1), short(&text(&row["upstream"]), upstream - 1));
        let rate = number(&row["requests_per_second"]);
        format!("{id:<route$}{to:<upstream$}{rate:>12.1}{:>10}{:>10}{:>10}{:>10}", of("p50"), of("p99"), of("p99.9"), of("own_p99"))
    });
    screen.part(vec![head], routes.collect());
    let (head, bad) = endpoints(status);
    screen.part(vec![head], bad);
    let spoken = &status["protocols"];
    let calls: Vec<String> = spoken["grpc"].as_object().into_iter().flatten().map(|(status, count)| format!("{status} {count}")).collect();
    let calls = (!calls.is_empty()).then(|| format!("  gRPC calls: {}", calls.join(", ")));
    let heads = certificates(spoken).into_iter().chain([format!("PROTOCOLS   {}", protocols(spoken))]).chain(calls).collect();
    screen.part(heads, Vec::new());
    let why = room.columns.saturating_sub(50).clamp(20, 48);
    let head = format!("{:<14}{:>10}  {:<why$}{:<24}{}", "SLOW", "took", "what took so long", "request", "id");
    let slow = each(&status["slow"]).iter().take(ROWS).map(|slow| {
        let (at, took) = (text(&slow["at"]), time(number(&slow["microseconds"]["total"])));
        let (cause, request) = (short(&text(&slow["cause"]), why - 1), short(&text(&slow["request"]), 23));
        format!("{:<14}{took:>10}  {cause:<why$}{request:<24}{}", at.get(11..23).unwrap_or(""), text(&slow["request_id"]))
    });
    let mut slow: Vec<_> = slow.collect();
    if slow.is_empty() {
        slow.push("none yet: it takes a thousand requests of a route in a minute to tell".to_owned());
    }
    screen.part(vec![head], slow);
    screen.fit(room)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

fn each(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn state(status: &Value) -> Vec<String> {
    let state = match (status["draining"] == true, status["config"]["last_reload_failed"] == true) {
        (true, _) => "draining",
        (_, true) => "serving; the last reload failed, see its log or /config",
        _ => "serving",
    };
    let file = text(&status["config"]["file"]);
    let of = if file.is_empty() { "" } else { " of " };
    let name = format!("ringway {}  {state}  configuration {}{of}{file}", text(&status["version"]), status["config"]["generation"]);
    let (rate, failed) = (number(&status["requests_per_second"]), number(&status["failed_per_second"]));
    let (in_flight, connections, all) = (&status["in_flight"], &status["connections"], &status["requests"]);
    vec![name, format!("{rate:.0} requests/s  {failed:.1} failed/s  {in_flight} in flight  {connections} connections  {all} in all")]
}

fn times(status: &Value) -> Vec<String> {
    let row = |name: &str, [p50, p90, p99, p999, max, own, count]: [String; 7]| {
        format!("{name:<8}{p50:>10}{p90:>10}{p99:>10}{p999:>10}{max:>10}{own:>10}{count:>12}")
    };
    let heads = ["p50", "p90", "p99", "p99.9", "max", "own p99", "requests"].map(str::to_owned);
    let windows = ["1s", "10s", "1m", "all"].map(|window| {
        let times = &status["latency"][window];
        let [p50, p90, p99, p999, max] = ["p50", "p90", "p99", "p99.9", "max"].map(|name| time(number(&times["total"][name])));
        let own = times["phases"]["overhead"][1].as_f64().map_or("-".to_owned(), time);
        row(window, [p50, p90, p99, p999, max, own, count(&times["total"]["count"]).to_string()])
    });
    [row("TIMES", heads)].into_iter().chain(windows).collect()
}

fn cores(status: &Value) -> Vec<String> {
    let row = |(index, core): (usize, &Value)| {
        let busy = number(&core["busy"]);
        let bar = "#".repeat((busy * 20.0).round() as usize);
        let (rate, late) = (number(&core["requests_per_second"]), time(number(&core["stalled"]) * 1e6));
        format!("{index:<6}{:>6.0} %  {bar:<20}{rate:>12.0}{:>14}{late:>10}", busy * 100.0, count(&core["connections"]))
    };
    each(&status["cores"]).iter().enumerate().take(2 * ROWS).map(row).collect()
}

/// How many are well, and what is wrong with the others.
fn endpoints(status: &Value) -> (String, Vec<String>) {
    let all: Vec<(String, &Value)> =
        each(&status["upstreams"]).iter().flat_map(|up| each(&up["endpoints"]).iter().map(|e| (text(&up["id"]), e))).collect();
    let well = |endpoint: &Value| endpoint["healthy"] == true && endpoint["ejected"] == false && endpoint["resolved"] == true;
    let open = |endpoint: &Value| !matches!(endpoint["circuit_breaker"].as_str(), None | Some("closed"));
    let bad: Vec<_> = all.iter().filter(|(_, endpoint)| !well(endpoint) || open(endpoint)).collect();
    let row = |(upstream, endpoint): &&(String, &Value)| {
        let why = match () {
            () if endpoint["resolved"] == false => "its name isn't found",
            () if endpoint["healthy"] == false => "down, its probes say",
            () if endpoint["ejected"] == true => "ejected for what requests showed",
            () => "its circuit breaker is open",
        };
        let (id, url) = (text(&endpoint["id"]), text(&endpoint["url"]));
        // One that has no name is called by its URL.
        let named = if id == url { url } else { format!("{id} {url}") };
        format!("  {upstream} / {named}: {why}")
    };
    (format!("ENDPOINTS   {} of {} well", all.len() - bad.len(), all.len()), bad.iter().take(ROWS).map(row).collect())
}

/// Those whose time is nearly over.
fn certificates(spoken: &Value) -> Vec<String> {
    let row = |certificate: &Value| {
        let left = certificate["seconds_left"].as_i64().filter(|&left| left < 14 * DAY)?;
        let hours = left.max(0) / 3600;
        let how = if left < 0 { "has expired".to_owned() } else { format!("expires in {} days, {} hours", hours / 24, hours % 24) };
        Some(format!("  the certificate of {} {how}", text(&certificate["name"])))
    };
    each(&spoken["tls"]["certificates"]).iter().filter_map(row).collect()
}

/// What is spoken beside HTTP/1.1; gRPC has a line of its own.
fn protocols(spoken: &Value) -> String {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_screen_fits_its_terminal() {
        let many = |one: Value, count: usize| Value::Array(vec![one; count]);
        let endpoint =
            json!({ "id": "http://127.0.0.1:9001", "url": "http://127.0.0.1:9001", "healthy": false, "ejected": false, "resolved": true });
        let status = json!({
            "version": "1.2.3", "config": { "generation": 1, "file": "x".repeat(200) },
            "cores": many(json!({ "busy": 0.5, "requests_per_second": 123456.0 }), 64),
            "series": many(json!({ "route": "r\u{1b}[2J".repeat(20), "upstream": "upstream".repeat(9), "requests_per_second": 1e6, "p50": 1 }), 20),
            "upstreams": many(json!({ "id": "app", "endpoints": [endpoint] }), 30),
            "slow": many(json!({ "at": "2026-11-27T12:00:00.000Z", "cause": "c".repeat(90), "request": "GET /", "request_id": "i".repeat(32) }), 20),
            "protocols": { "grpc": { "OK": 1 }, "tls": { "certificates": [{ "name": "a.example", "seconds_left": -1 }] } },
        });
        for (columns, lines) in [(80, 24), (160, 50), (40, 10), (1, 1)] {
            let screen = draw(&status, Room { columns, lines });
            assert!(
                screen.lines().count() < lines && screen.lines().all(|line| line.chars().count() <= columns),
                "{columns}x{lines}\n{screen}"
            );
            assert!(!screen.contains('\u{1b}'), "what others named can't steer the terminal");
            if lines >= 24 {
                assert!(screen.starts_with("ringway 1.2.3"), "{screen}");
                for part in ["TIMES", "CORE", "ROUTE", "ENDPOINTS   0 of 30 well", "a.example has expired", "gRPC calls: OK 1", "SLOW"] {
                    assert!(screen.contains(part), "{part} is missing at {columns}x{lines}\n{screen}");
                }
                assert!(screen.contains("  app / http://127.0.0.1:9001: down"), "{screen}");
                let ends: Vec<_> = screen.lines().filter(|line| line.ends_with("own p99") || line.ends_with("requests")).collect();
                assert_eq!(ends.len(), 2, "no column is cut off\n{screen}");
            }
        }
        let wide = draw(&status, Room { columns: 110, lines: usize::MAX });
        assert_eq!(wide.matches("  app / ").count(), ROWS, "a page has as many rows as there may be");
        assert!(draw(&json!({}), Room { columns: 80, lines: 24 }).contains("none yet"));
    }
}
