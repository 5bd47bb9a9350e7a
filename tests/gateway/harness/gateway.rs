//! A running gateway: started with a configuration file of its own on free ports, ended with its test.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Message, Wire, get, until};

/// A running gateway.
pub struct Gateway {
    process: Child,
    directory: PathBuf,
    log: Arc<Mutex<String>>,
    /// Where clients connect.
    pub address: String,
    /// Where they connect by HTTPS; empty if they can't.
    pub secure: String,
    /// Where operators connect.
    pub admin: String,
}

/// An upstream `up` of these endpoints.
pub fn up(endpoints: &[&str]) -> Value {
    let url = |address: &&str| if address.starts_with("unix:") { (*address).to_owned() } else { format!("http://{address}") };
    let endpoints: Vec<Value> = endpoints.iter().map(|address| json!({ "url": url(address) })).collect();
    json!({ "id": "up", "endpoints": endpoints })
}

/// A configuration that sends everything to one endpoint, on free ports, changed by `changes`.
pub fn config(endpoint: &str, changes: Value) -> Value {
    let mut config = json!({
        "listener": { "address": "127.0.0.1", "port": 0 },
        "admin": { "port": 0 },
        "runtime": { "workers": 2, "pin": false, "ring_entries": 256 },
        "timeouts": { "drain_delay": "0s", "drain": "10s" },
        "upstreams": [up(&[endpoint])],
        "routes": [{ "path": "/", "upstream": "up" }],
    });
    overlay(&mut config, changes);
    config
}

fn overlay(base: &mut Value, changes: Value) {
    match (base, changes) {
        (Value::Object(base), Value::Object(changes)) => {
            changes.into_iter().for_each(|(key, value)| overlay(base.entry(key).or_insert(Value::Null), value));
        }
        (base, changes) => *base = changes,
    }
}

impl Gateway {
    /// In front of one endpoint.
    pub fn to(endpoint: &str) -> Gateway {
        Gateway::with(endpoint, json!({}))
    }

    /// In front of one endpoint, with changes to the configuration.
    pub fn with(endpoint: &str, changes: Value) -> Gateway {
        Gateway::start(&config(endpoint, changes))
    }

    /// With this configuration.
    pub fn start(config: &Value) -> Gateway {
        Gateway::launch(Command::new(env!("CARGO_BIN_EXE_ringway")), config)
    }

    /// With this configuration and at most so many descriptors.
    pub fn with_descriptors(count: usize, config: &Value) -> Gateway {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {count}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_ringway")]);
        let gateway = Gateway::launch(command, config);
        // Answered by the thread that starts last: all descriptors that it needs for itself, it has.
        assert_eq!(gateway.page("GET", "/livez").status(), 200);
        gateway
    }

    /// By this command, which takes the program's arguments.
    pub fn launch(mut command: Command, config: &Value) -> Gateway {
        let directory = directory();
        let file = directory.join("gateway.json");
        std::fs::write(&file, config.to_string()).unwrap();
        command.args(["run", "-c"]).arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let log = lines_of(process.stderr.take().unwrap());
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut places = ["listening on http://", "listening on https://", "admin on http://"].map(|prefix| (prefix, String::new()));
        while places[2].1.is_empty() {
            let line = lines.next().unwrap_or_else(|| panic!("lines that say where it listens: {}", log.lock().unwrap())).unwrap();
            let place = places.iter_mut().find_map(|(prefix, place)| Some((line.strip_prefix(*prefix)?, place)));
            let (address, place) = place.unwrap_or_else(|| panic!("a line that says where it listens: {line}"));
            *place = address.to_owned();
        }
        let [address, secure, admin] = places.map(|(_, place)| place);
        Gateway { process, directory, log, address, secure, admin }
    }

    /// A client's connection.
    pub fn connect(&self) -> Wire {
        Wire::connect(&self.address)
    }

    /// The answer to a GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Message {
        self.connect().ask(get(target))
    }

    /// A page of the private listener.
    #[track_caller]
    pub fn page(&self, method: &str, path: &str) -> Message {
        Wire::connect(&self.admin).ask(format!("{method} {path} HTTP/1.1\r\nHost: admin\r\n\r\n"))
    }

    /// A number of the metrics page.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        self.metric_if_there(series).unwrap_or_else(|| panic!("{series} is missing"))
    }

    /// The same, if it is there: what the coordinator tells comes a moment after the start.
    pub fn metric_if_there(&self, series: &str) -> Option<f64> {
        let page = self.page("GET", "/metrics");
        let number = page.text().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(number.parse().unwrap())
    }

    /// How often requests were refused or broke off for this reason.
    #[track_caller]
    pub fn refusals(&self, reason: &str) -> f64 {
        self.metric(&format!("gateway_refusals_total{{reason=\"{reason}\"}}"))
    }

    /// Waits until a number of the metrics page is `value`.
    #[track_caller]
    pub fn wait(&self, series: &str, value: f64) {
        until(&format!("{series} to be {value}"), || (self.metric_if_there(series)? == value).then_some(()));
    }

    /// Waits until nothing is in flight.
    #[track_caller]
    pub fn wait_idle(&self) {
        self.wait("gateway_http_requests_in_flight", 0.0);
    }

    /// Waits until the log holds this.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        until(&format!("the log to say {text:?}"), || self.log().contains(text).then_some(()));
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Writes another configuration over the one it was started with.
    pub fn rewrite(&self, config: &Value) {
        std::fs::write(self.directory.join("gateway.json"), config.to_string()).unwrap();
    }

    /// Puts another configuration in force.
    #[track_caller]
    pub fn reload(&self, config: &Value) -> Message {
        self.rewrite(config);
        self.page("POST", "/reload")
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status().unwrap().success());
    }

    /// Waits until it has ended; its exit code.
    #[track_caller]
    pub fn ended(&mut self) -> i32 {
        until("the gateway to end", || self.process.try_wait().unwrap()).code().expect("an exit code")
    }

    /// Stops it by a signal; its exit code.
    #[track_caller]
    pub fn stop(mut self, signal: &str) -> i32 {
        self.signal(signal);
        self.ended()
    }

    /// The most memory it has had resident so far, in bytes.
    pub fn memory_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{}", self.log());
        } else {
            assert!(!self.log().contains("panic"), "no test may make the gateway panic:\n{}", self.log());
        }
    }
}

/// A new directory of this test's own.
pub fn directory() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("ringway-{}-{}", std::process::id(), COUNT.fetch_add(1, SeqCst));
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Gathers a program's lines while it runs.
pub fn lines_of(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let gathered = Arc::new(Mutex::new(String::new()));
    let lines = gathered.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut lines = lines.lock().unwrap();
            lines.push_str(&line);
            lines.push('\n');
        }
    });
    gathered
}
