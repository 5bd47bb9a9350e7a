//! Both sides of the wire: what ringload tells of a gateway is what the endpoint behind it did.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::{endpoint, numbers, ringload, take_request};

/// A gateway in front of an endpoint, ended with its test.
struct Gateway {
    process: Child,
    url: String,
    admin: String,
    config: std::path::PathBuf,
}

impl Gateway {
    fn start(endpoint: &str) -> Gateway {
        let config = json!({
            "listener": { "address": "127.0.0.1", "port": 0 },
            "admin": { "port": 0 },
            "runtime": { "workers": 1, "pin": false },
            "timeouts": { "drain_delay": "0s" },
            "upstreams": [{ "id": "up", "endpoints": [{ "url": endpoint }] }],
            "routes": [{ "path": "/", "upstream": "up" }],
        });
        let path = std::env::temp_dir().join(format!("ringload-gateway-{}.json", std::process::id()));
        std::fs::write(&path, config.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        let mut process = command.args(["run", "-c"]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut after = |start: &str| lines.next().unwrap().unwrap().strip_prefix(start).unwrap().to_owned();
        let (url, admin) = (after("listening on "), after("admin on http://"));
        Gateway { process, url, admin, config: path }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

#[test]
fn the_time_went_where_the_endpoint_spent_it() {
    let endpoint = endpoint(|mut stream| {
        while take_request(&mut stream) {
            std::thread::sleep(Duration::from_millis(20));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = Gateway::start(endpoint.trim_end_matches('/'));
    let (admin, url) = (&gateway.admin, &gateway.url);
    let found = numbers(&format!("--rate 100 --duration 2s --gateway {admin} {url}/"));
    let side = &found["gateway"];
    assert_eq!((&side["requests"], &found["answered"]), (&json!(200), &json!(200)));
    let mean = side["mean_ns"].as_object().unwrap();
    let whole: f64 = mean.values().map(|nanos| nanos.as_f64().unwrap()).sum();
    let endpoint = mean["endpoint: first byte"].as_f64().unwrap();
    assert!(endpoint >= 19_800_000.0 && endpoint / whole > 0.5, "{side:#}");
    let own = found["response_ns"]["mean"].as_f64().unwrap();
    assert!((whole / own - 1.0).abs() < 0.02, "the parts are the whole: {whole} of {own}");
    // Only what came in this run counts, and the summary tells it.
    let text = String::from_utf8(ringload(&format!("--rate 100 --duration 1s --gateway {admin} {url}/")).stdout).unwrap();
    assert!(text.contains("both sides of the wire") && text.contains("endpoint: first byte") && !text.contains("served others"), "{text}");
    let wrong = ringload(&format!("--duration 1s --gateway 127.0.0.1:1 {url}/"));
    assert!(wrong.status.code() == Some(1) && String::from_utf8_lossy(&wrong.stderr).contains("127.0.0.1:1"), "{wrong:?}");
}
