//! The access log: what a line says, what it never says, which requests get one, and that nobody waits for it.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::http2::{END_HEADERS, END_STREAM, GET, HEADERS, block, request};
use crate::harness::{Frames, Gateway, Http2, Origin, directory, get, until};

/// A file in a directory of its own, which goes with it.
struct Kept(PathBuf);

impl Deref for Kept {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// A gateway whose access log has these settings and goes to a file of its own.
fn logged(endpoint: &str, settings: Value, changes: Value) -> (Gateway, Kept) {
    let file = Kept(directory().join("access.log"));
    let mut entry = json!({ "path": &*file });
    settings.as_object().unwrap().iter().for_each(|(key, value)| entry[key] = value.clone());
    let mut all = json!({ "middlewares": [{ "access_log": entry }], "runtime": { "workers": 1 } });
    changes.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
    (Gateway::with(endpoint, all), file)
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The file's lines, once there are so many.
#[track_caller]
fn lines(file: &Path, count: usize) -> Vec<Value> {
    let text = until(&format!("{count} lines"), || Some(text(file)).filter(|text| text.lines().count() >= count));
    assert_eq!(text.lines().count(), count, "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn a_line_tells_who_asked_for_what_and_how_it_ended() {
    let origin = Origin::start();
    let (gateway, file) = logged(&origin.address, json!({}), json!({}));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut client = gateway.connect();
    let request = format!(
        "POST /bytes/100?q=s3cret HTTP/1.1\r\nHost: a.example:80\r\nUser-Agent: me/1 \"x\"\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\
         Authorization: Bearer s3cret\r\nCookie: id=s3cret\r\nContent-Length: 5\r\n\r\nhello"
    );
    let answers = [client.ask(&request), client.ask(get("/status/503"))];
    let sent: usize = answers[0].head.len() + answers[0].body.len();
    let all = lines(&file, 2);
    let line = &all[0];
    let host = gateway.address.split(':').next().unwrap();
    for (name, value) in [
        ("client_ip", json!(host)),
        ("peer_ip", json!(host)),
        ("route", json!("/")),
        ("method", json!("POST")),
        ("host", json!("a.example:80")),
        ("path", json!("/bytes/100")),
        ("protocol", json!("HTTP/1.1")),
        ("status", json!(answers[0].status())),
        ("status_origin", json!("upstream")),
        ("bytes_in", json!(request.len())),
        ("bytes_out", json!(sent)),
        ("upstream", json!("up")),
        ("endpoint", json!(format!("http://{}", origin.address))),
        ("attempts", json!(1)),
        ("core", json!(0)),
        ("config_gen", json!(1)),
        ("user_agent", json!("me/1 \"x\"")),
        ("trace_id", json!(trace)),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert_eq!(line["request_id"].as_str().map(str::len), Some(32));
    let micros = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("{name} in {line}"));
    assert!(micros("dur_us") >= micros("ttfb_us") && micros("ttfb_us") >= micros("connect_us") && micros("connect_us") > 0);
    let ts = line["ts"].as_str().unwrap();
    assert!(ts.len() == 24 && ts.ends_with('Z') && ts > "2026-01-01", "{ts}");
    for absent in ["reason", "query", "cache", "rate_limit", "identity"] {
        assert!(line.get(absent).is_none(), "{absent} in {line}");
    }
    assert_eq!((&all[1]["status"], &all[1]["status_origin"]), (&json!(503), &json!("upstream")), "a kept connection");
    assert!(all[1].get("connect_us").is_none());
    assert!(!text(&file).contains("s3cret"), "no secret reaches it");
    assert_eq!(gateway.metric("gateway_access_log_lines_total"), 2.0);
}

#[test]
fn refusals_say_why_and_pages_are_left_out() {
    // Nobody listens on this port.
    let dead = "127.0.0.1:9";
    let (gateway, file) = logged(dead, json!({}), json!({ "routes": [{ "path": "/up", "upstream": "up", "retry_count": 0 }] }));
    let mut client = gateway.connect();
    for target in ["/livez", "/up", "/nowhere"] {
        client.ask(get(target));
    }
    client.ask("GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let all = lines(&file, 3);
    let told: Vec<_> = all.iter().map(|line| (line["status"].as_u64().unwrap(), line["reason"].as_str().unwrap())).collect();
    assert_eq!(told, [(502, "connect_failed"), (404, "no_route"), (400, "repeated_host")]);
    assert!(all.iter().all(|line| line["status_origin"] == "gateway"));
    let told: Vec<_> = all.iter().map(|line| (line["route"].as_str(), line["attempts"].as_u64().unwrap(), line["path"].as_str())).collect();
    assert_eq!(told, [(Some("/up"), 1, Some("/up")), (None, 0, Some("/nowhere")), (None, 0, None)]);
}

#[test]
fn a_line_tells_how_a_call_ended() {
    let origin = crate::grpc::ending();
    let upstream = |id: &str, address: &str| json!({ "id": id, "protocol": "h2", "endpoints": [{ "url": format!("http://{address}") }] });
    let route = |path: &str, upstream: &str, chain: Value| json!({ "path": path, "upstream": upstream, "middlewares": chain });
    let nobody = json!([{ "ip_filter": { "deny": ["127.0.0.0/8"] } }, { "grpc_web": {} }]);
    let changes = json!({
        "upstreams": [upstream("up", &origin.address), upstream("dead", "127.0.0.1:9")],
        "routes": [
            route("/*", "up", json!([{ "grpc_web": {} }])),
            route("/dead/*", "dead", json!([{ "grpc_web": {} }])),
            route("/denied/*", "up", nobody),
        ],
    });
    let calls = [
        ("/head/0", "application/grpc", "OK", "upstream"),
        ("/tail/5", "application/grpc+proto", "NOT_FOUND", "upstream"),
        ("/tail/14", "application/grpc-web", "UNAVAILABLE", "upstream"),
        ("/head/7", "application/grpc-web-text", "PERMISSION_DENIED", "upstream"),
        ("/dead/a", "application/grpc", "UNAVAILABLE", "gateway"),
        ("/denied/a", "application/grpc", "PERMISSION_DENIED", "gateway"),
        ("/denied/a", "application/grpc-web", "PERMISSION_DENIED", "gateway"),
        ("/head/0", "text/plain", "", "upstream"),
        ("/denied/a", "text/plain", "", "gateway"),
    ];
    let fields = json!(["grpc_status", "status_origin", "path"]);
    let (gateway, file) = logged("", json!({ "fields": fields }), changes.clone());
    let (texts, text_file) = logged("", json!({ "fields": fields, "format": "text" }), changes.clone());
    // Of those that nobody has failed no line is wanted.
    let (few, few_file) = logged("", json!({ "fields": fields, "sample": 0 }), changes);
    for (number, (path, kind, status, from)) in calls.into_iter().enumerate() {
        for gateway in [&gateway, &texts, &few] {
            let fields = [("content-type", kind), ("te", "trailers")];
            Http2::connect(&gateway.address).ask(request("POST", path, &fields), b"", None).unwrap();
        }
        let line = &lines(&file, number + 1)[number];
        assert_eq!(line.get("grpc_status").and_then(Value::as_str).unwrap_or_default(), status, "{kind} {line}");
        assert_eq!((line["status_origin"].as_str(), line["path"].as_str()), (Some(from), Some(path)));
    }
    let all = until("the last line", || Some(text(&text_file)).filter(|text| text.lines().count() == calls.len()));
    for ((path, _, status, from), line) in calls.iter().zip(all.lines()) {
        let status = if status.is_empty() { String::new() } else { format!("grpc_status={status} ") };
        assert_eq!(line, format!("{status}status_origin={from} path={path}"));
    }
    let failed: Vec<Value> = lines(&few_file, 2).iter().map(|line| line["path"].clone()).collect();
    assert_eq!(failed, ["/tail/14", "/dead/a"]);
    gateway.wait("gateway_grpc_calls_total{route=\"/denied/*\",grpc_status=\"PERMISSION_DENIED\"}", 2.0);
}

#[test]
fn what_cannot_be_said_in_http1_is_refused_and_logged_like_the_rest() {
    let origin = Origin::start();
    let (gateway, file) = logged(&origin.address, json!({ "fields": ["status", "reason", "request_id", "protocol"] }), json!({}));
    let client = Http2::connect(&gateway.address);
    let refused = [
        (request("GET", "/", &[("host", "b.example")]), "authority_differs_from_host"),
        (request("GET", "/", &[("host", "a.example"), ("host", "a.example")]), "repeated_host"),
        (request("POST", "/", &[("http2-settings", "AAMAAABk")]), "connection_specific_field"),
    ];
    let count = refused.len();
    for (number, (request, reason)) in refused.into_iter().enumerate() {
        let answer = client.ask(request, if number == 2 { b"a body" } else { b"" }, None).unwrap();
        assert_eq!((answer.status(), answer.reason(), gateway.refusals(reason)), (400, reason, 1.0));
        let line = &lines(&file, number + 1)[number];
        let told = ["status", "reason", "protocol", "request_id"].map(|name| line[name].clone());
        assert_eq!(told, [json!(400), json!(reason), json!("HTTP/2.0"), json!(answer.field("x-request-id"))]);
    }
    assert_eq!(gateway.metric("gateway_http_requests_total{status_class=\"4xx\"}"), count as f64);
    assert_eq!(client.get("/").status(), 200, "the connection goes on");
    gateway.wait_idle();
    let broken = |ended: &str| format!("gateway_http2_protocol_errors_total{{ended=\"{ended}\"}}");
    assert_eq!(gateway.metric(&broken("stream")), 0.0);
    // What is no request is counted, and has no line.
    let mut frames = Frames::connect(&gateway.address);
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&GET[..3])).unwrap();
    frames.send(HEADERS, END_HEADERS | END_STREAM, 3, &block(GET)).unwrap();
    assert_eq!(frames.reset(), 1, "PROTOCOL_ERROR");
    gateway.wait(&broken("stream"), 1.0);
    assert_eq!(lines(&file, count + 2)[count + 1]["status"], 200);
    frames.send(0, 0, 0, b"of no stream").unwrap();
    assert_eq!(frames.goaway(), Some(1));
    gateway.wait(&broken("connection"), 1.0);
}

#[test]
fn fields_format_query_and_routes_are_chosen() {
    let origin = Origin::start();
    let settings = json!({ "format": "text", "fields": ["method", "path", "query", "status"], "query": true, "secret_query": ["pin"] });
    let quiet = json!({ "path": "/quiet/*", "upstream": "up", "middlewares": [{ "id": "access_log", "enabled": false }] });
    let routes = json!({ "routes": [quiet, { "path": "/*", "upstream": "up" }] });
    let (gateway, file) = logged(&origin.address, settings, routes);
    let mut client = gateway.connect();
    for target in ["/quiet/a", "/b?token=x&pin=1&c=d"] {
        client.ask(get(target));
    }
    let said = until("a line", || Some(text(&file)).filter(|text| text.ends_with('\n')));
    assert_eq!(said.split(" status=").next(), Some("method=GET path=/b query=\"token=***&pin=***&c=d\""), "{said}");
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn a_share_of_requests_and_all_failures() {
    let origin = Origin::start();
    let (gateway, file) = logged(&origin.address, json!({ "sample": 0.25, "fields": ["status"] }), json!({}));
    let mut client = gateway.connect();
    for _ in 0..400 {
        client.ask(get("/status/204"));
    }
    for _ in 0..5 {
        client.ask(get("/status/500"));
    }
    until("the failures", || (text(&file).matches("500").count() == 5).then_some(()));
    let part = text(&file).matches("204").count();
    // Further off than by ten standard deviations is no chance.
    assert!((13..=187).contains(&part), "{part}");
}

#[test]
fn files_are_opened_anew_on_a_signal() {
    let origin = Origin::start();
    let (gateway, file) = logged(&origin.address, json!({ "fields": ["path"] }), json!({}));
    gateway.get("/one");
    lines(&file, 1);
    let old = file.with_extension("1");
    std::fs::rename(&*file, &old).unwrap();
    gateway.get("/two");
    lines(&old, 2);
    gateway.signal("USR1");
    until("the file to be there again", || file.exists().then_some(()));
    gateway.get("/three");
    assert_eq!(lines(&file, 1)[0]["path"], "/three");
    lines(&old, 2);
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_nobody_waits() {
    let origin = Origin::start();
    // A full disk, a directory that isn't there, and a reader that is gone: nobody reads this gateway's standard output.
    for path in ["/dev/full", "/nowhere/access.log", "stdout"] {
        let (gateway, _) = logged(&origin.address, json!({ "path": path }), json!({}));
        for _ in 0..3 {
            assert_eq!(gateway.get("/status/204").status(), 204, "{path}");
        }
        gateway.wait("gateway_access_log_failed_total", 3.0);
        gateway.wait_log("can't be written");
        assert_eq!(gateway.metric("gateway_access_log_lines_total"), 0.0);
    }
}

#[test]
fn where_the_writer_stands_still_lines_are_dropped_and_nobody_waits() {
    let origin = Origin::start();
    let fifo = Kept(directory().join("fifo"));
    assert!(std::process::Command::new("mkfifo").arg(&*fifo).status().unwrap().success());
    // Opened for reading and writing, so that the gateway's open doesn't wait; nobody reads.
    let held = std::fs::OpenOptions::new().read(true).write(true).open(&*fifo).unwrap();
    let (gateway, _) = logged(&origin.address, json!({ "path": &*fifo, "query": true }), json!({}));
    let mut client = gateway.connect();
    let long = format!("/status/204?{}", "a".repeat(4000));
    until("lines to be dropped", || {
        for _ in 0..50 {
            assert_eq!(client.ask(get(&long)).status(), 204);
        }
        (gateway.metric("gateway_access_log_dropped_total") > 0.0).then_some(())
    });
    drop(held);
}

#[test]
fn a_reload_changes_it_and_the_last_line_is_written_before_the_end() {
    let origin = Origin::start();
    let (gateway, file) = logged(&origin.address, json!({ "fields": ["path"] }), json!({}));
    gateway.get("/one");
    lines(&file, 1);
    let other = file.with_extension("other");
    let entry = json!({ "access_log": { "path": other, "fields": ["config_gen", "path"] } });
    let config = crate::harness::config(&origin.address, json!({ "middlewares": [entry], "runtime": { "workers": 1 } }));
    assert_eq!(gateway.reload(&config).status(), 200);
    let mut client = gateway.connect();
    until("a line by the new settings", || {
        client.ask(get("/two"));
        other.exists().then_some(())
    });
    client.ask(get("/last"));
    drop(client);
    assert_eq!(gateway.stop("TERM"), 0);
    let last = text(&other).lines().last().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&last).unwrap(), json!({ "config_gen": 2, "path": "/last" }));
    assert!(text(&file).lines().all(|line| !line.contains("/last")));
}
