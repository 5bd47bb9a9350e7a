//! Ready scenarios: a gateway with endpoints of its own on the loopback, a steady load on it, something that happens halfway, and what
//! must hold all the same.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway;
use crate::run::Problem;
use crate::words::{SECOND, show_count, show_part, show_time};

/// One of the scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// The configuration moves all requests to another endpoint, and is reloaded.
    Reload,
    /// One of two endpoints is killed.
    Kill,
    /// One of two endpoints stands still: it takes connections and requests, and answers none.
    Slow,
    /// More is asked than a rate limit lets through.
    Limit,
    /// A split goes from 90:10 to 50:50.
    Split,
    /// All ask for the same, which may be kept.
    Cache,
    /// The gateway is told to end by SIGTERM.
    Drain,
}

/// A program that was started, ended with the scenario.
struct Process(Child);

/// What a scenario has: the endpoints' and the gateway's addresses, and a folder of its own.
struct Stage {
    folder: PathBuf,
    endpoints: Vec<(Process, String)>,
    gateway: Process,
    url: String,
    admin: String,
}

/// Requests a second of the load.
const RATE: u64 = 300;
/// Seconds of the load; it happens after half of them.
const SECONDS: u64 = 4;
/// Requests a second that the limit lets through, and at once.
const LIMIT: u64 = 100;
/// By how much of all requests a share may be off: four times what chance does to half of some 600.
const SHARE_TOLERANCE: f64 = 0.08;
/// The part of all requests that may be lost to an endpoint that stands still: what it gets in twice the time that it may take.
const SLOW_LOST: f64 = 0.05;
/// By how much of itself what a limit lets through may be off.
const LIMIT_TOLERANCE: f64 = 0.05;

impl Scenario {
    /// All of them, by name.
    const ALL: [(&str, Scenario); 7] = [
        ("reload", Scenario::Reload),
        ("kill", Scenario::Kill),
        ("slow", Scenario::Slow),
        ("limit", Scenario::Limit),
        ("split", Scenario::Split),
        ("cache", Scenario::Cache),
        ("drain", Scenario::Drain),
    ];

    /// The scenario of this name.
    ///
    /// # Errors
    /// A sentence that names those there are.
    pub fn read(name: &str) -> Result<Scenario, String> {
        let names = Scenario::ALL.map(|(name, _)| name).join(", ");
        let found = Scenario::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, scenario)| scenario).ok_or_else(|| format!("`{name}` is no scenario; there are: {names}"))
    }

    /// Plays it, prints what was measured, and says whether it has passed.
    ///
    /// # Errors
    /// When it can't be played.
    pub fn play(self) -> Result<bool, Problem> {
        let failed = |error: io::Error| Problem::Cannot(format!("the scenario cannot be played: {error}"));
        let stage = Stage::set(|endpoints| self.config(endpoints, false)).map_err(failed)?;
        let load = [("--rate", RATE.to_string()), ("--duration", format!("{SECONDS}s")), ("--timeout", "3s".to_owned())];
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(load.iter().flat_map(|(name, value)| [name, value.as_str()]));
        let child = command.args(["--json", "-", "--quiet", &stage.url]).stdout(Stdio::piped()).spawn().map_err(failed)?;
        thread::sleep(Duration::from_millis(SECONDS * 500));
        let before = stage.counts();
        self.happen(&stage).map_err(failed)?;
        let at = stage.counts();
        let output = child.wait_with_output().map_err(failed)?;
        let load: Value = serde_json::from_slice(&output.stdout).map_err(|_| Problem::Cannot("the load has no result".to_owned()))?;
        let after = stage.counts();
        let since = [after[0].saturating_sub(at[0]), after[1].saturating_sub(at[1])];
        let judged = self.judge(&load, before, since);
        let passes = judged.iter().all(|(holds, _)| *holds);
        let mut out = io::stdout();
        for (holds, line) in &judged {
            writeln!(out, "{}  {line}", if *holds { "ok  " } else { "FAIL" }).map_err(failed)?;
        }
        writeln!(out, "{}", if passes { "passed" } else { "NOT passed" }).map_err(failed)?;
        Ok(passes)
    }

    /// The gateway's configuration, before or after.
    fn config(self, endpoints: &[&str], after: bool) -> Value {
        let endpoint = |number: usize| json!({ "url": endpoints[number] });
        let route = match (self, after) {
            (Scenario::Reload, false) => json!({ "path": "/*", "upstream": "first" }),
            (Scenario::Reload, true) => json!({ "path": "/*", "upstream": "second" }),
            (Scenario::Split, _) => {
                let (first, second) = if after { (50, 50) } else { (90, 10) };
                json!({ "path": "/*", "split": [{ "upstream": "first", "weight": first }, { "upstream": "second", "weight": second }] })
            }
            (Scenario::Limit, _) => json!({ "path": "/*", "upstream": "both", "middlewares": [
                { "rate_limit": { "rate": format!("{LIMIT}/s"), "burst": LIMIT } },
            ] }),
            (Scenario::Cache, _) => json!({ "path": "/*", "upstream": "both", "cache_enabled": true, "cache_ttl": "1m" }),
            (Scenario::Kill | Scenario::Slow | Scenario::Drain, _) => json!({ "path": "/*", "upstream": "both" }),
        };
        json!({
            "listener": { "address": "127.0.0.1", "port": 0 },
            "admin": { "address": "127.0.0.1", "port": 0 },
            "logging": { "level": "error" },
            "timeouts": { "first_byte": "200ms", "drain_delay": "0s", "drain": "5s" },
            "upstreams": [
                { "id": "first", "endpoints": [endpoint(0)] },
                { "id": "second", "endpoints": [endpoint(1)] },
                { "id": "both", "endpoints": [endpoint(0), endpoint(1)] },
            ],
            "routes": [route],
        })
    }

    /// What happens halfway.
    fn happen(self, stage: &Stage) -> io::Result<()> {
        match self {
            Scenario::Reload | Scenario::Split => {
                let urls: Vec<&str> = stage.endpoints.iter().map(|(_, url)| url.as_str()).collect();
                fs::write(stage.folder.join("gateway.json"), self.config(&urls, true).to_string())?;
                let answer = ask(&stage.admin, "POST /reload")?;
                if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other(format!("reload: {answer}"))) }
            }
            Scenario::Kill => signal(&stage.endpoints[1].0, "-KILL"),
            Scenario::Drain => signal(&stage.gateway, "-TERM"),
            Scenario::Slow => signal(&stage.endpoints[1].0, "-STOP"),
            Scenario::Limit | Scenario::Cache => Ok(()),
        }
    }

    /// What must hold of the load and of the endpoints' requests before and since, each with its numbers.
    fn judge(self, load: &Value, before: [u64; 2], since: [u64; 2]) -> Vec<(bool, String)> {
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        let (due, failed, good) = (count(&load["due"]), count(&load["failed"]), count(&load["statuses"]["2xx"]));
        let none_lost =
            (failed == 0 && good == due, format!("of {} requests {} have no good answer", show_count(due), show_count(due - good)));
        let share = |name: &str, counts: [u64; 2], wanted: f64| {
            let all = counts[0] + counts[1];
            let found = counts[1] as f64 / all.max(1) as f64;
            let holds = (found - wanted).abs() <= SHARE_TOLERANCE && all > 0;
            (
                holds,
                format!(
                    "{name} the second endpoint has {} of {} requests, {} for {:.0} %",
                    counts[1],
                    all,
                    show_part(counts[1], all),
                    wanted * 100.0
                ),
            )
        };
        match self {
            Scenario::Reload => vec![none_lost, share("before,", before, 0.0), share("after the reload,", since, 1.0)],
            Scenario::Split => vec![none_lost, share("before,", before, 0.1), share("after the reload,", since, 0.5)],
            Scenario::Kill => vec![none_lost, share("before it was killed,", before, 0.5)],
            Scenario::Slow => {
                let (p99, worst) = (count(&load["response_ns"]["p99"]), count(&load["response_ns"]["max"]));
                let waited = format!("p99 of the response time is {}, its maximum {}", show_time(p99), show_time(worst));
                // Who waits for its first byte when it is found out may not be asked again: it may have been at work.
                let few = ((due - good) as f64 <= SLOW_LOST * due as f64, none_lost.1);
                vec![few, (worst < SECOND, waited), share("before it stood still,", before, 0.5)]
            }
            Scenario::Cache => {
                let asked: u64 = before.iter().chain(&since).sum();
                let kept = format!("{} of {} requests reached an endpoint", show_count(asked), show_count(due));
                vec![none_lost, (asked > 0 && asked * 10 < due, kept)]
            }
            Scenario::Limit => {
                let (refused, allowed) = (count(&load["statuses"]["4xx"]), LIMIT * SECONDS + LIMIT);
                let off = good.abs_diff(allowed) as f64 / allowed as f64;
                let exact = format!("{} let through for {}", show_count(good), show_count(allowed));
                vec![(off <= LIMIT_TOLERANCE, exact), (good + refused == due, format!("all {} others are refused", show_count(refused)))]
            }
            Scenario::Drain => {
                let refused = count(&load["failures"]["connect"]);
                let cut = format!(
                    "{} requests were answered, {} refused after the end, {} lost",
                    show_count(good),
                    show_count(refused),
                    due - good - refused
                );
                vec![(good + refused == due, cut), (good * 3 > due && refused > 0, "the end came halfway".to_owned())]
            }
        }
    }
}

impl Stage {
    /// Starts two endpoints and a gateway with this configuration.
    fn set(config: impl Fn(&[&str]) -> Value) -> io::Result<Stage> {
        let folder = std::env::temp_dir().join(format!("ringload-scenario-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let endpoint =
            || start("ringorigin", &["--listen", "127.0.0.1:0", "--quiet"], 1).map(|(process, mut urls)| (process, urls.remove(0)));
        let endpoints = vec![endpoint()?, endpoint()?];
        let urls: Vec<&str> = endpoints.iter().map(|(_, url)| url.as_str()).collect();
        let file = folder.join("gateway.json");
        fs::write(&file, config(&urls).to_string())?;
        let (gateway, mut urls) = start("ringway", &["run", "-c", &file.display().to_string()], 2)?;
        let admin = urls.pop().unwrap_or_default();
        Ok(Stage { folder, endpoints, gateway, url: format!("{}/", urls.remove(0)), admin })
    }

    /// How many requests each endpoint has had; of one that is dead, none.
    fn counts(&self) -> [u64; 2] {
        let count = |url: &str| {
            let Ok(answer) = ask(url, "GET /count") else { return 0 };
            let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
            serde_json::from_str::<Value>(body).ok().and_then(|value| value["requests"].as_u64()).unwrap_or(0)
        };
        [count(&self.endpoints[0].1), count(&self.endpoints[1].1)]
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program that stands beside this one, and waits until it has told so many URLs that it listens on.
fn start(name: &str, words: &[&str], listeners: usize) -> io::Result<(Process, Vec<String>)> {
    let path = std::env::current_exe()?.with_file_name(name);
    let missing = |error| {
        io::Error::other(format!(
            "cannot start {} ({error}); it has to stand beside ringload: cargo build --release --bins",
            path.display()
        ))
    };
    let mut child = Command::new(&path).args(words).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().map_err(missing)?;
    let out = child.stdout.take();
    let process = Process(child);
    let mut urls = Vec::new();
    for line in BufReader::new(out.ok_or(io::ErrorKind::BrokenPipe)?).lines() {
        let line = line?;
        urls.extend(
            line.find("http://").map(|at| line[at..].split_whitespace().next().unwrap_or_default().trim_end_matches('/').to_owned()),
        );
        if urls.len() == listeners {
            return Ok((process, urls));
        }
    }
    Err(io::Error::other(format!("{} ended at once", Path::new(name).display())))
}

/// The answer to a request such as `GET /count`.
fn ask(url: &str, request: &str) -> io::Result<String> {
    gateway::ask(url.trim_start_matches("http://"), request, Duration::from_secs(2))
}

fn signal(process: &Process, signal: &str) -> io::Result<()> {
    Command::new("kill").args([signal, &process.0.id().to_string()]).status().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it passes where so many of 1200 requests are answered well, refused with a 4xx, or find no connection.
    fn passes(scenario: Scenario, [good, refused, unconnected]: [u64; 3], before: [u64; 2], since: [u64; 2]) -> bool {
        let load = json!({
            "due": 1200,
            "failed": 1200 - good - refused,
            "statuses": { "2xx": good, "4xx": refused },
            "failures": { "connect": unconnected },
        });
        scenario.judge(&load, before, since).iter().all(|(holds, _)| *holds)
    }

    #[test]
    fn what_goes_wrong_is_seen() {
        let all = [1200, 0, 0];
        assert!(passes(Scenario::Reload, all, [600, 0], [0, 600]));
        assert!(!passes(Scenario::Reload, [1199, 0, 0], [600, 0], [0, 600]), "one is lost");
        assert!(!passes(Scenario::Reload, all, [600, 0], [600, 0]), "nothing was reloaded");
        assert!(passes(Scenario::Split, all, [540, 60], [290, 310]) && !passes(Scenario::Split, all, [540, 60], [540, 60]));
        assert!(passes(Scenario::Kill, all, [300, 300], [600, 0]) && !passes(Scenario::Kill, [1100, 0, 0], [300, 300], [600, 0]));
        assert!(passes(Scenario::Limit, [500, 700, 0], [0, 0], [0, 0]));
        assert!(!passes(Scenario::Limit, [1200, 0, 0], [0, 0], [0, 0]) && !passes(Scenario::Limit, [500, 600, 0], [0, 0], [0, 0]));
        assert!(passes(Scenario::Slow, [1190, 0, 0], [300, 300], [600, 0]) && !passes(Scenario::Slow, [1100, 0, 0], [300, 300], [600, 0]));
        assert!(
            passes(Scenario::Cache, all, [2, 0], [0, 0]) && !passes(Scenario::Cache, all, [600, 0], [600, 0]),
            "each reached an endpoint"
        );
        assert!(passes(Scenario::Drain, [600, 0, 600], [0, 0], [0, 0]));
        assert!(!passes(Scenario::Drain, [600, 0, 599], [0, 0], [0, 0]), "one is lost");
        assert!(!passes(Scenario::Drain, [1200, 0, 0], [0, 0], [0, 0]), "it went on");
    }

    #[test]
    fn scenarios_are_known_by_name() {
        assert_eq!(Scenario::read("drain"), Ok(Scenario::Drain));
        assert!(Scenario::read("flood").unwrap_err().contains("reload, kill, slow"));
    }
}
