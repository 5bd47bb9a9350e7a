//! The command line, by running the program: what it prints and how it ends.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn ringway(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringway")).args(args).output().expect("the program runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A file of this name and content in a directory of its own.
fn file(name: &str, content: &str) -> PathBuf {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A configuration that works, with these ports.
fn good(name: &str, port: u16) -> PathBuf {
    let content = format!(
        r#"{{
            "listener": {{ "address": "127.0.0.1", "port": {port} }},
            "admin": {{ "port": 0 }},
            "runtime": {{ "workers": 1 }},
            "upstreams": [{{ "id": "users", "endpoints": [{{ "url": "http://127.0.0.1:9" }}, {{ "url": "http://127.0.0.1:10" }}] }}],
            "routes": [{{ "path": "/", "upstream": "users" }}]
        }}"#
    );
    file(name, &content)
}

#[test]
fn help_says_what_there_is() {
    for args in [&["--help"][..], &["help"], &["run", "--help"], &["help", "demo"]] {
        let output = ringway(args);
        assert_eq!(code(&output), 0);
        assert!(text(&output.stdout).starts_with("ringway") && text(&output.stdout).contains("USAGE"), "{args:?}");
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn version_is_the_package_s() {
    assert_eq!(text(&ringway(&["--version"]).stdout), concat!("ringway ", env!("CARGO_PKG_VERSION"), "\n"));
    let json: serde_json::Value = serde_json::from_slice(&ringway(&["version", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_wrong_command_line_ends_with_2_and_a_hint() {
    for args in [&["rnu"][..], &[], &["run"], &["run", "-c"], &["validate", "--confg", "x"]] {
        let output = ringway(args);
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(output.stdout.is_empty());
        assert!(text(&output.stderr).contains("hint: "), "{args:?}");
    }
    assert!(text(&ringway(&["rnu"]).stderr).contains("did you mean `ringway run`?"));
}

#[test]
fn a_good_file_is_said_to_be_good() {
    let path = good("good.json", 0);
    let path = path.to_str().unwrap();
    for args in [&["validate", "-c", path][..], &["-t", "-c", path]] {
        let output = ringway(args);
        assert_eq!(text(&output.stdout), format!("{path}: ok, 1 upstream, 2 endpoints, 1 route\n"));
        assert_eq!(code(&output), 0);
    }
    let json: serde_json::Value = serde_json::from_slice(&ringway(&["-t", "-c", path, "--format", "json"]).stdout).unwrap();
    assert_eq!((json["ok"].as_bool(), json["endpoints"].as_u64()), (Some(true), Some(2)));
}

#[test]
fn a_certificate_whose_time_is_over_is_told_of_and_no_problem() {
    let pair = ["cert", "key"].map(|part| {
        let ending = if part == "cert" { "pem" } else { part };
        format!("\"{part}\": \"${{file:{}/tests/gateway/auth/tls/ended.{ending}}}\"", env!("CARGO_MANIFEST_DIR"))
    });
    let content = format!(
        "{{ \"tls\": {{ \"certificates\": [{{ {} }}] }}, \"upstreams\": [{{ \"id\": \"a\", \"endpoints\": [{{ \"url\": \"http://a\" }}] }}], \
         \"routes\": [{{ \"path\": \"/\", \"upstream\": \"a\" }}] }}",
        pair.join(", ")
    );
    let path = file("ended.json", &content);
    let path = path.to_str().unwrap();
    let output = ringway(&["validate", "-c", path]);
    let told = "the certificate of \"old.example\" has ended on 2025-01-01: clients refuse it";
    assert_eq!(text(&output.stdout), format!("{path}: warning: {told}\n{path}: ok, 1 upstream, 1 endpoint, 1 route\n"));
    assert_eq!(code(&output), 0);
    let json: serde_json::Value = serde_json::from_slice(&ringway(&["-t", "-c", path, "--format", "json"]).stdout).unwrap();
    assert_eq!(json["warnings"], serde_json::json!([told]));
}

#[test]
fn a_bad_file_ends_with_1_whatever_is_done_with_it() {
    let path = file("bad.json", "{\n  \"listner\": {}\n}\n");
    let path = path.to_str().unwrap();
    for args in [&["validate", "-c", path][..], &["run", "-c", path]] {
        let output = ringway(args);
        assert_eq!(code(&output), 1, "{args:?}");
        assert!(output.stdout.is_empty());
        assert!(text(&output.stderr).contains("listner"), "{args:?}");
    }
    let missing = ringway(&["validate", "-c", "/there/is/no/such/file.json"]);
    assert_eq!(code(&missing), 1);
    assert!(text(&missing.stderr).contains("/there/is/no/such/file.json"));
}

#[test]
fn every_problem_is_told_with_its_place() {
    let content = "{\n  \"listner\": {},\n  \"routes\": [{ \"path\": \"/{\", \"upstream\": \"users\" }],\n  \"upstreams\": \
                   [{ \"id\": \"user\", \"endpoints\": [{ \"url\": \"http://127.0.0.1:9\" }] }]\n}\n";
    let path = file("problems.json", content);
    let path = path.to_str().unwrap();
    let output = ringway(&["validate", "-c", path]);
    let lines = [
        "2:3: listner: there is no such setting; did you mean \"listener\"?",
        "3:24: routes[0].path: \"{\" in \"{\" is never closed",
        "3:42: routes[0].upstream: no upstream is named \"users\"; did you mean \"user\"? there are: \"user\"",
    ];
    let expected: String = lines.iter().map(|line| format!("{path}:{line}\n")).collect();
    assert_eq!(text(&output.stderr), format!("{expected}{path}: 3 problems\n"));
    assert!(text(&ringway(&["run", "-c", path]).stderr).starts_with(&expected));

    let output = ringway(&["validate", "-c", path, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), json["ok"].as_bool()), (1, Some(false)));
    let problem = serde_json::json!({
        "file": path, "line": 3, "column": 42, "path": "routes[0].upstream",
        "message": "no upstream is named \"users\"", "hint": "did you mean \"user\"? there are: \"user\"",
    });
    assert_eq!(json["problems"][2], problem);
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(3));
}

#[test]
fn what_only_compiling_finds_has_a_place_too() {
    let content = "upstreams: [{ id: a, endpoints: [{ url: http://a }] }]\nroutes:\n  - path: ~^/(\n    upstream: a\n";
    let path = file("pattern.yaml", content);
    let path = path.to_str().unwrap();
    for args in [&["validate", "-c", path][..], &["run", "-c", path]] {
        let output = ringway(args);
        let expected = format!("{path}:3:11: routes[0].path: \"^/(\" is not a regular expression: unclosed group\n");
        assert!(text(&output.stderr).starts_with(&expected), "{args:?}: {}", text(&output.stderr));
        assert_eq!(code(&output), 1, "{args:?}");
    }
}

#[test]
fn a_port_that_is_taken_is_named_and_ends_with_3() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let path = good("taken.json", address.port());
    let output = ringway(&["run", "-c", path.to_str().unwrap()]);
    assert_eq!(code(&output), 3);
    let error = text(&output.stderr);
    assert!(error.contains(&address.to_string()) && error.contains("listener.port"), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn it_says_where_it_listens_and_stops_when_asked() {
    let path = good("run.json", 0);
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["run", "-c", path.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let mut next = || lines.next().expect("another line").unwrap();
    assert!(next().starts_with("listening on http://127.0.0.1:"));
    assert!(next().starts_with("admin on http://127.0.0.1:"));
    let killed = Command::new("kill").args(["-INT", &gateway.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(gateway.wait().unwrap().code(), Some(0));
}
