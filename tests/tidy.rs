//! The architecture as a test: who may use whom, what deciding modules must not touch, how files look.

#[path = "tidy/reading.rs"]
mod reading;

use std::collections::BTreeSet;
use std::fs;

use reading::{lines, module, root, sources, uses, without_comments, without_tests};

/// Each module of the library and those it may use. A line up the list may not be used by one further down its own group.
const MAY_USE: &[(&str, &[&str])] = &[
    // Shared words.
    ("address", &[]),
    ("chance", &[]),
    ("clock", &[]),
    ("error", &[]),
    ("http", &[]),
    ("latency", &[]),
    ("metrics", &["error", "http", "latency"]),
    ("trace", &[]),
    // Deciding: pure.
    ("auth", &["clock"]),
    ("proxy_protocol", &[]),
    ("config", &["cache", "http", "latency", "middleware", "proxy_protocol", "tls"]),
    ("tls", &["config"]),
    ("cache", &["clock", "config", "http"]),
    ("http1", &["error", "http"]),
    ("http2", &["clock", "error", "http"]),
    ("router", &["config", "error", "http"]),
    ("retry", &["config", "error"]),
    ("health", &["clock", "config", "error"]),
    ("limiter", &["clock", "config"]),
    ("hedge", &["clock", "config"]),
    ("breaker", &["clock", "config", "error", "health", "limiter"]),
    // Each kind owns its settings, which the configuration lists; in return it uses the configuration's words.
    ("middleware", &["auth", "clock", "config", "error", "http", "http2", "limiter", "router"]),
    ("access", &["clock", "error", "http", "http2", "middleware"]),
    ("balancer", &["chance", "clock", "config"]),
    ("reconcile", &["address", "balancer", "breaker", "cache", "clock", "config", "error", "health", "limiter", "metrics"]),
    (
        "upstream",
        &["address", "balancer", "breaker", "clock", "config", "error", "health", "hedge", "http", "limiter", "reconcile", "retry"],
    ),
    (
        "exchange",
        &[
            "access",
            "address",
            "balancer",
            "cache",
            "clock",
            "config",
            "error",
            "health",
            "http",
            "http1",
            "http2",
            "limiter",
            "metrics",
            "middleware",
            "reconcile",
            "retry",
            "router",
            "tls",
            "upstream",
        ],
    ),
    // Moving bytes: these three serve the tools too, so they know no configuration and no exchange.
    ("net", &["address", "clock"]),
    ("client", &["clock", "error", "http", "http1", "http2", "net"]),
    ("server", &["clock", "error", "http", "http1", "http2", "net"]),
    (
        "proxy",
        &[
            "access",
            "auth",
            "cache",
            "chance",
            "client",
            "clock",
            "config",
            "error",
            "exchange",
            "http",
            "http1",
            "http2",
            "latency",
            "metrics",
            "middleware",
            "net",
            "proxy_protocol",
            "server",
            "trace",
        ],
    ),
    // Running: threads.
    ("log", &["clock", "config"]),
    ("service", &["clock", "net"]),
    ("admin", &["cache", "clock", "config", "error", "exchange", "http", "http1", "latency", "log", "metrics", "net"]),
    ("otlp", &["config", "latency", "log", "metrics", "proxy"]),
    ("flight", &["admin", "clock", "config", "http", "latency", "log"]),
    (
        "worker",
        &[
            "admin",
            "auth",
            "balancer",
            "cache",
            "checks",
            "clock",
            "config",
            "error",
            "exchange",
            "latency",
            "limiter",
            "log",
            "metrics",
            "net",
            "proxy",
            "proxy_protocol",
            "reconcile",
            "server",
            "tls",
        ],
    ),
    (
        "coordinator",
        &[
            "address",
            "admin",
            "auth",
            "breaker",
            "cache",
            "chance",
            "clock",
            "config",
            "error",
            "exchange",
            "http",
            "http1",
            "http2",
            "limiter",
            "log",
            "metrics",
            "middleware",
            "net",
            "proxy_protocol",
            "reconcile",
            "service",
            "tls",
            "worker",
        ],
    ),
    ("checks", &["auth", "middleware", "net", "proxy"]),
    ("scribe", &["access", "log", "metrics", "proxy"]),
    (
        "run",
        &[
            "admin",
            "checks",
            "clock",
            "config",
            "coordinator",
            "exchange",
            "flight",
            "latency",
            "log",
            "metrics",
            "middleware",
            "net",
            "otlp",
            "proxy",
            "router",
            "scribe",
            "service",
            "tls",
            "worker",
        ],
    ),
];

/// The modules that decide: what they need of the outside is an argument, what they want done is a return value.
const DECIDING: &[&str] = &[
    "auth",
    "proxy_protocol",
    "config",
    "cache",
    "http1",
    "http2",
    "router",
    "retry",
    "health",
    "limiter",
    "hedge",
    "breaker",
    "middleware",
    "access",
    "balancer",
    "reconcile",
    "tls",
    "upstream",
    "exchange",
];

/// What must not stand in a deciding module, with the files that may have it all the same, and why.
const IMPURE: &[(&str, &[&str])] = &[
    ("std::time::Instant", &[]),
    ("SystemTime", &[]),
    ("Clock::start", &[]),
    ("TcpStream", &[]),
    ("TcpListener", &[]),
    ("UdpSocket", &[]),
    ("std::thread", &[]),
    ("RandomState", &[]),
    (".await", &[]),
    ("async fn", &[]),
    ("monoio", &[]),
    // The configuration is read from files and the environment, at the start and on reload.
    ("std::fs", &["config/load.rs", "config/expand.rs"]),
    ("std::env", &["config/load.rs", "config/expand.rs"]),
];

/// Where `unsafe` is allowed by name; each place says why it is sound.
const UNSAFE: &[&str] = &["src/cli/environment.rs", "src/cli/memory.rs", "src/clock.rs", "src/http1/scan.rs", "src/net/sys.rs"];

/// Lines of a file, at most.
const LINES_MAX: usize = 400;

#[test]
fn modules_use_only_what_they_may() {
    let mut found = BTreeSet::new();
    for (path, text) in sources("src") {
        let Some(module) = module(&path) else { continue };
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            panic!("{} is part of no module that this test knows: give `{module}` a line in MAY_USE", path.display());
        };
        for used in uses(without_tests(&text)) {
            if used != module && !allowed.contains(&used.as_str()) && MAY_USE.iter().any(|(name, _)| *name == used) {
                found.insert(format!("{}: `{module}` uses `{used}`", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "borders crossed (see MAY_USE):\n{}", lines(found));
}

#[test]
fn deciding_modules_touch_nothing_outside() {
    let mut found = BTreeSet::new();
    for (path, text) in sources("src") {
        if !module(&path).is_some_and(|module| DECIDING.contains(&module.as_str())) {
            continue;
        }
        for (number, line) in without_tests(&text).lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for (word, files) in IMPURE {
                if line.contains(word) && !files.iter().any(|file| path.ends_with(file)) {
                    found.insert(format!("{}:{}: {word}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "what decides must be given what it needs:\n{}", lines(found));
}

#[test]
fn only_net_knows_the_runtime() {
    let found: BTreeSet<_> = sources("src")
        .into_iter()
        .filter(|(path, text)| !path.starts_with("src/net") && without_comments(text).contains("monoio::"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(found.is_empty(), "another driver shall be able to come under `net`:\n{}", lines(found));
}

/// What is told of one request is its line of the access log: diagnostics are for what is rare, and cost nothing where requests pass.
#[test]
fn what_serves_requests_writes_no_diagnostics() {
    let serving = [DECIDING, &["http", "net", "client", "server", "proxy"]].concat();
    let found: BTreeSet<_> = sources("src")
        .into_iter()
        .filter(|(path, _)| module(path).is_some_and(|module| serving.contains(&module.as_str())))
        .filter(|(_, text)| {
            ["error!", "warn!", "info!", "debug!", "trace!", "event!", "span!"]
                .iter()
                .any(|name| text.contains(&format!("tracing::{name}")))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(found.is_empty(), "these write diagnostics:\n{}", lines(found));
}

#[test]
fn unsafe_stands_where_it_is_allowed() {
    let found: BTreeSet<_> = sources("src")
        .into_iter()
        .filter(|(path, text)| {
            let has = without_comments(text).split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
            has && !UNSAFE.iter().any(|allowed| path.ends_with(allowed))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(found.is_empty(), "{}", lines(found));
}

#[test]
fn files_open_with_a_sentence_and_stay_short() {
    let mut found = BTreeSet::new();
    for (path, text) in ["src", "tests", "tools", "bench"].into_iter().flat_map(sources) {
        if !text.starts_with("//! ") {
            found.insert(format!("{} doesn't open with a `//!` line", path.display()));
        }
        let count = text.lines().count();
        if count > LINES_MAX {
            found.insert(format!("{} has {count} lines, {LINES_MAX} are allowed", path.display()));
        }
    }
    assert!(found.is_empty(), "{}", lines(found));
}

#[test]
fn nothing_is_left_for_later() {
    let mut found = BTreeSet::new();
    for (path, text) in ["src", "tests", "tools", "bench"].into_iter().flat_map(sources) {
        for word in ["todo!", "unimplemented!", concat!("FIX", "ME"), concat!("TO", "DO"), concat!("#[", "ignore")] {
            if text.contains(word) && !path.ends_with("tests/tidy.rs") {
                found.insert(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", lines(found));
}

#[test]
fn the_map_names_every_module() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let missing: BTreeSet<_> = MAY_USE.iter().filter(|(name, _)| !map.contains(&format!("`{name}"))).map(|(name, _)| *name).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md doesn't say what these are for: {missing:?}");
}
