//! The three formats: what they share, and what is wrong in each.

use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;

use super::super::StatusRange;
use super::super::load::load_bytes;
use super::{environment, load, said};

const JSON: &str = r#"
// A comment.
{ "listener": { "port": "${PORT}", "trusted_proxies": ["10.0.0.0/8",], }, /* another */
  "timeouts": { "read": "60s" }, "limits": { "head": "32KiB" },
  "upstreams": [{ "id": "\u00e4\ud83d\ude00", "load_bound": 2, "endpoints": [{ "url": "http://127.0.0.1:${PORT}", "weight": 3 }],
                  "retry": { "on_status": [503, "502-504"] } }],
  "routes": [{ "path": "~^/v[0-9]+$", "upstream": "ä😀", "add_headers": { "X-B": "2", "X-A": "1" }, "timeout": null }] }
"#;

const YAML: &str = r#"
# A comment.
listener: { port: "${PORT}", trusted_proxies: &proxies [10.0.0.0/8] }
limits: { head: 32KiB }
timeouts:
  read: 1m
upstreams:
  - id: ä😀
    load_bound: 2.0
    endpoints:
      - { url: "http://127.0.0.1:${PORT}", weight: 3 }
    retry: { on_status: [503, 502-504] }
routes:
  - add_headers: { X-A: "1", X-B: '2' }
    path: ~^/v[0-9]+$
    upstream: ä😀
    timeout: ~
"#;

const TOML: &str = r#"
# A comment.
timeouts.read = "60s"
limits = { head = "32768B" }
[listener]
port = "${PORT}"
trusted_proxies = ["10.0.0.0/8"]
[[upstreams]]
id = "ä😀"
load_bound = 2.0
endpoints = [{ url = "http://127.0.0.1:${PORT}", weight = 3 }]
retry.on_status = [503, "502-504"]
[[routes]]
path = '~^/v[0-9]+$'
upstream = "ä😀"
[routes.add_headers]
X-B = "2"
X-A = "1"
"#;

#[test]
fn the_same_settings_are_the_same_in_each() {
    let json = load("a.json", JSON).unwrap();
    assert_eq!(json.config.listener.port, 8081);
    assert_eq!(json.config.upstreams[0].endpoints[0].url, "http://127.0.0.1:8081");
    assert_eq!(json.config.upstreams[0].retry.on_status, [StatusRange { low: 503, high: 503 }, StatusRange { low: 502, high: 504 }]);
    assert_eq!(json.config.routes[0].upstream, "ä😀");
    for (name, text) in [("a.yaml", YAML), ("a.yml", YAML), ("a.toml", TOML), ("a", JSON)] {
        let other = load(name, text).unwrap();
        assert_eq!((&other.config, other.hash), (&json.config, json.hash), "{name}");
    }
}

#[test]
fn the_hash_is_of_the_meaning() {
    let hash = |text: &str| load("a.json", text).unwrap().hash;
    let text = |more: &str| {
        format!(
            r#"{{ {more} "routes": [{{ "path": "/", "upstream": "a" }}], "upstreams": [{{ "id": "a", "endpoints": [{{ "url": "http://a" }}] }}] }}"#
        )
    };
    let plain = hash(&text(""));
    for same in [
        r#""$schema": "x","#,
        r#""admin": { "port": 9901 },"#,
        r#""timeouts": { "idle": "1m" },"#,
        "\n// x\n",
        r#""listener": { "port": "${NONE:-8080}" },"#,
    ] {
        assert_eq!(hash(&text(same)), plain, "{same}");
    }
    for other in [r#""admin": { "port": 9902 },"#, r#""timeouts": { "idle": "61s" },"#, r#""features": { "retries": false },"#] {
        assert_ne!(hash(&text(other)), plain, "{other}");
    }
}

#[test]
fn numbers_and_switches_may_come_from_outside() {
    let text = r#"{ "listener": { "port": "${PORT}" }, "admin": { "enabled": "${NONE:-false}" },
        "upstreams": [{ "id": "a", "load_bound": "${NONE:-1.5}", "strategy": "${NONE:-random}", "endpoints": [{ "url": "unix:/a" }] }],
        "routes": [{ "path": "/", "upstream": "a", "retry_count": "${NONE:-3}" }] }"#;
    let config = load("a.json", text).unwrap().config;
    assert_eq!((config.listener.port, config.admin.enabled), (8081, false));
    assert_eq!((config.upstreams[0].load_bound.0, config.routes[0].retry_count), (1.5, Some(3)));
}

#[test]
fn bad_json_is_told_where_it_breaks() {
    for (text, expected) in [
        ("{\n  \"a\": 1\n  \"b\": 2\n}", "2:9: a \",\" or \"}\" is missing here"),
        ("{\"a\": [1 2]}", "1:9: a \",\" or \"]\" is missing here"),
        ("{\"a\" 1}", "1:5: a \":\" is missing here"),
        ("{\"a\": }", "1:7: a value is missing here"),
        ("{,}", "1:2: there is a \",\" too many"),
        ("{\"a\":1,,}", "1:8: there is a \",\" too many"),
        ("{a: 1}", "1:2: the name of a setting must be in double quotes"),
        ("{'a': 1}", "1:2: the name of a setting must be in double quotes"),
        ("{\"a\": 'b'}", "1:7: text must be in double quotes"),
        ("{\"a\": yes}", "1:7: yes is not a value; text must be in double quotes"),
        ("{\"a\": 10s}", "1:7: 10s is not a number; durations and sizes are text: \"30s\", \"64KiB\""),
        ("{\"a\": 010}", "1:7: 010 is not a number; durations and sizes are text: \"30s\", \"64KiB\""),
        ("{\"a\": 1.}", "1:7: 1. is not a number; durations and sizes are text: \"30s\", \"64KiB\""),
        ("{\"a\": \"b", "1:7: this text is never closed"),
        ("{\"a\": \"b\n\"}", "1:7: this text is not closed on its line; a line end within text is \"\\n\""),
        ("{\"a\": \"\t\"}", "1:8: a control character must be written as an escape, such as \"\\t\""),
        ("{\"a\": \"\\x\"}", "1:8: there is no such escape; a backslash itself is \"\\\\\""),
        ("{\"a\": \"\\ud83d\"}", "1:8: this escape names no character"),
        ("{\"a\": \"\\u00g0\"}", "1:8: this escape names no character"),
        ("{\n\"a\": [", "2:6: this \"[\" is never closed"),
        ("{} {}", "1:4: nothing may follow the end of the configuration"),
        ("{ /* x", "1:3: this comment is never closed"),
        ("{ # x\n}", "1:3: the name of a setting must be in double quotes"),
        ("{ / }", "1:3: a comment begins with \"//\" or \"/*\""),
    ] {
        assert_eq!(said("x.json", text), [expected], "{text}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(said("x.json", &deep), ["1:65: more than 64 levels of nesting"]);
}

#[test]
fn bad_yaml_is_told_where_it_breaks() {
    for (text, expected) in [
        ("a: 1\n---\nb: 1", "2:1: there must be only one document"),
        ("a: !x 1", "1:7: tags are not supported"),
        ("[a]: 1", "1:1: the name of a setting must be text"),
        ("a: &a [*a]", "1:8: an alias can't stand inside of what it names"),
        ("ä: \"", "1:4: while scanning a quoted scalar, found unexpected end of stream"),
    ] {
        assert_eq!(said("x.yaml", text), [expected], "{text}");
    }
    let mut bomb = String::from("a0: &a0 [x]\n");
    for level in 1..20 {
        bomb += &format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}, *a{0}]\n", level - 1);
    }
    assert!(said("x.yaml", &bomb)[0].ends_with("aliases make more than 100000 values"));
    assert!(said("x.yaml", &"- ".repeat(1000))[0].ends_with("more than 64 levels of nesting"));
    let aliased = "upstreams: [{ id: a, endpoints: &e [{ url: http://a }] }, { id: b, endpoints: *e }]\nroutes: [{ path: /, upstream: b }]";
    assert_eq!(load("x.yaml", aliased).unwrap().config.upstreams[1].endpoints[0].url, "http://a");
}

#[test]
fn bad_toml_is_told_where_it_breaks() {
    assert_eq!(said("x.toml", "[listener]\nport = 1\nport = 2\n[a\n"), ["3:1: duplicate key", "4:3: unclosed table, expected `]`"]);
    assert_eq!(said("x.toml", "a = inf"), ["1:5: this number can't be taken"]);
}

#[test]
fn what_cannot_be_read_is_told() {
    assert_eq!(
        load("x.ini", "").unwrap_err().to_string(),
        "x.ini: the ending \".ini\" is unknown; it tells the format: \".json\", \".yaml\", \".yml\" or \".toml\""
    );
    let path = std::env::temp_dir().join(format!("ringway-latin-{}.json", std::process::id()));
    std::fs::write(&path, b"{\n\"\xe4\"}").unwrap();
    let problems = crate::config::load(&path).unwrap_err();
    assert_eq!(problems.to_string(), format!("{}:2:2: this is not UTF-8", path.display()));
    std::fs::remove_file(path).unwrap();
    let missing = crate::config::load(Path::new("/there/is/none.json")).unwrap_err().to_string();
    assert!(missing.starts_with("/there/is/none.json: cannot be read: No such file or directory"), "{missing}");
    let directory = crate::config::load(Path::new("/")).unwrap_err().to_string();
    assert_eq!(directory, "/: cannot be read: Is a directory (os error 21)");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let text = format!("\u{feff}{JSON}");
    assert_eq!(load("a.json", &text).unwrap().hash, load("a.json", JSON).unwrap().hash);
}

/// Pieces that make texts look like one of the formats, or nearly.
fn pieces() -> impl Strategy<Value = String> {
    let words = vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "'",
        "\n",
        "  ",
        "- ",
        "# ",
        "//",
        "/*",
        "*/",
        "=",
        "&a ",
        "*a",
        "|\n",
        ">-\n",
        "!!str ",
        "---\n",
        "null",
        "true",
        "1",
        "-0.5e3",
        "${",
        "${PORT}",
        "$$",
        "\\u00e4",
        "\\",
        "ä",
        "\u{0}",
        "listener",
        "\"listener\"",
        "routes",
        "upstreams",
        "\"path\"",
        "path",
        "[[routes]]\n",
        "[listener]\n",
        "port",
        "? ",
        "%TAG ",
        "\t",
        "<<",
        "~",
    ];
    proptest::collection::vec(proptest::sample::select(words), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![pieces(), ".{0,80}", any::<String>()]) {
        for name in ["a.json", "a.yaml", "a.toml"] {
            if let Err(problems) = load(name, &text) {
                prop_assert!(!problems.list().is_empty());
                for problem in problems.list() {
                    prop_assert!(problem.line >= 1 && problem.column >= 1 && !problem.message.is_empty(), "{problem:?}");
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
        for name in ["a.json", "a.yaml", "a.toml"] {
            // Nothing in so few bytes is a whole configuration.
            prop_assert!(load_bytes(bytes.clone(), Path::new(name), &environment).is_err());
        }
    }

    #[test]
    fn what_json_writes_is_read(text in any::<String>(), number in any::<i64>(), float in any::<f32>()) {
        let written = serde_json::json!({ "a": text, "b": [number, null, true], text.as_str(): f64::from(float) });
        let read = crate::config::json::parse(&written.to_string()).unwrap();
        let again = serde_json::Value::deserialize(&read).unwrap();
        // Whole floats read as integers.
        prop_assert_eq!(again["a"].as_str().map(str::to_owned), written["a"].as_str().map(str::to_owned));
        prop_assert_eq!(&again["b"], &written["b"]);
    }
}
