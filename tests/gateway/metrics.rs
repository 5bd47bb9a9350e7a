//! The metrics page, read by Prometheus' own parsers (the `prometheus_client` package; `tools/check` installs it).

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Gateway, Hostile, Wire, until};

/// What Prometheus makes of a page: the names of families with their types, and each sample with labels and value.
fn parsed(page: &str, module: &str) -> Value {
    let script = format!(
        "import sys, json\n\
         sys.path.insert(0, 'target/python')\n\
         from prometheus_client.{module}parser import text_string_to_metric_families as read\n\
         families = list(read(sys.stdin.read()))\n\
         json.dump({{f.name: [f.type, [[s.name, s.labels, s.value] for s in f.samples]] for f in families}}, sys.stdout)\n"
    );
    let mut python = Command::new("python3")
        .args(["-c", &script])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "Prometheus' parser refuses the page (or is missing: run tools/check tools):\n{page}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn value(families: &Value, family: &str, sample: &str, labels: Value) -> f64 {
    let samples = families[family][1].as_array().unwrap_or_else(|| panic!("no family {family}"));
    let found = samples.iter().find(|found| found[0] == sample && found[1] == labels);
    found.unwrap_or_else(|| panic!("no {sample} {labels} among {samples:#?}"))[2].as_f64().unwrap()
}

#[test]
fn both_formats_are_read_by_prometheus_and_say_the_same() {
    let endpoint = Hostile::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let changes = json!({
        "routes": [{ "id": "a \"b\" \\ c", "path": "/", "upstream": "up" }],
        "middlewares": [{ "rate_limit": { "rate": "1000/s" } }],
    });
    let gateway = Gateway::with(&endpoint.address, changes);
    for _ in 0..7 {
        assert_eq!(gateway.get("/").status(), 200);
    }
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(gateway.connect().ask(post).status(), 200);
    assert_eq!(gateway.connect().ask("GET / HTTP/1.2\r\n\r\n").status(), 505);
    until("the second to be over", || {
        let page = gateway.page("GET", "/latency?window=all").json();
        (page["series"][0]["phases"]["total"]["count"] == 8).then_some(())
    });
    let plain = gateway.page("GET", "/metrics");
    assert_eq!(plain.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let asked = "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n";
    let open = Wire::connect(&gateway.admin).ask(asked);
    assert_eq!(open.field("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let route = "a \"b\" \\ c";
    for families in [parsed(plain.text(), ""), parsed(open.text(), "openmetrics.")] {
        let of = |labels: Value| value(&families, "gateway_route_requests", "gateway_route_requests_total", labels);
        assert_eq!(of(json!({ "route": route, "method": "GET", "status_class": "2xx" })), 7.0);
        assert_eq!(of(json!({ "route": route, "method": "POST", "status_class": "2xx" })), 1.0);
        assert_eq!(value(&families, "gateway_requests", "gateway_requests_total", json!({})), 9.0);
        let duration = "gateway_http_request_duration_seconds";
        assert_eq!(families[duration][0], "histogram");
        assert_eq!(value(&families, duration, &format!("{duration}_count"), json!({ "route": route })), 8.0);
        assert_eq!(value(&families, duration, &format!("{duration}_bucket"), json!({ "route": route, "le": "+Inf" })), 8.0);
        let busy = value(&families, "gateway_core_busy_ratio", "gateway_core_busy_ratio", json!({ "core": "1" }));
        assert!((0.0..=1.0).contains(&busy), "{busy}");
        assert!(families.get("gateway_core_loop_stall_seconds").is_some() && families.get("gateway_build_info").is_some());
    }
    // The five names of old, with help and type.
    for name in [
        "gateway_requests",
        "gateway_requests_successful",
        "gateway_requests_failed",
        "gateway_active_connections",
        "gateway_response_time_seconds",
    ] {
        assert!(plain.text().contains(&format!("# TYPE {name}")), "{name}");
    }
}
