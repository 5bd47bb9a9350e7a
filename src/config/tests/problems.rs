//! Each kind of problem, with the exact words and place.

use super::{load, said};

/// A configuration that is good but for this, which begins on its second line.
pub(super) fn with(settings: &str) -> String {
    let rest =
        r#""upstreams": [{ "id": "app", "endpoints": [{ "url": "http://127.0.0.1:1" }] }], "routes": [{ "path": "/", "upstream": "app" }]"#;
    format!("{{\n{settings},\n{rest}\n}}")
}

/// The same, with an upstream that has these settings beside, on the second line.
pub(super) fn upstream(settings: &str) -> String {
    format!(
        "{{ \"upstreams\": [{{ \"id\": \"app\", \"endpoints\": [{{ \"url\": \"http://127.0.0.1:1\" }}],\n{settings} }}], \
         \"routes\": [{{ \"path\": \"/\", \"upstream\": \"app\" }}] }}"
    )
}

/// The same, with these endpoints on the second line.
fn endpoints(list: &str) -> String {
    format!(
        "{{ \"upstreams\": [{{ \"id\": \"app\", \"endpoints\":\n[{list}] }}], \"routes\": [{{ \"path\": \"/\", \"upstream\": \"app\" }}] }}"
    )
}

/// The same, with these routes on the second line.
pub(super) fn routes(list: &str) -> String {
    format!("{{ \"upstreams\": [{{ \"id\": \"app\", \"endpoints\": [{{ \"url\": \"http://127.0.0.1:1\" }}] }}], \"routes\": [\n{list}] }}")
}

pub(super) fn each(make: impl Fn(&str) -> String, cases: &[(&str, &[&str])]) {
    for (settings, expected) in cases {
        assert_eq!(said("x.json", &make(settings)), *expected, "{settings}");
    }
}

#[test]
fn what_the_schema_says() {
    each(
        with,
        &[
            (r#""listner": {}"#, &[r#"2:1: listner: there is no such setting; did you mean "listener"?"#]),
            (r#""admin": { "x": 1 }"#, &[r#"2:12: admin.x: there is no such setting; there are: "address", "enabled", "port""#]),
            (r#""server": {}"#, &[r#"2:1: server: there is no such setting; did you mean "listener"?"#]),
            (r#""admin": {}, "admin": {}"#, &["2:14: admin: is set twice in the same object; remove one of them"]),
            (r#""admin": []"#, &["2:10: admin: must be an object, is a list"]),
            (r#""admin": { "port": 65536 }"#, &["2:20: admin.port: must be a whole number from 0 to 65535, is 65536"]),
            (r#""admin": { "port": 1.5 }"#, &["2:20: admin.port: must be a whole number from 0 to 65535, is 1.5"]),
            (
                r#""admin": { "port": "80" }"#,
                &[r#"2:20: admin.port: must be a whole number from 0 to 65535, is "80"; write it without quotes"#],
            ),
            (r#""admin": { "port": null }"#, &["2:20: admin.port: must be a whole number from 0 to 65535, is null"]),
            (r#""admin": { "enabled": "yes" }"#, &[r#"2:23: admin.enabled: must be true or false, is "yes""#]),
            (r#""admin": { "address": 1 }"#, &[r#"2:23: admin.address: must be text, is 1; put it in quotes: "1""#]),
            (
                r#""logging": { "level": "inof" }"#,
                &[r#"2:23: logging.level: there is no "inof"; did you mean "info"? there are: "error", "warn", "info", "debug""#],
            ),
            (r#""logging": { "level": 1 }"#, &[r#"2:23: logging.level: must be one of "error", "warn", "info", "debug", is 1"#]),
            (
                r#""timeouts": { "read": "10 s" }"#,
                &[r#"2:23: timeouts.read: must be a duration such as "500ms", "30s", "5m" or "2h", is "10 s""#],
            ),
            (r#""timeouts": { "read": 10 }"#, &[r#"2:23: timeouts.read: must be a duration such as "500ms", "30s", "5m" or "2h", is 10"#]),
            (
                r#""timeouts": { "read": "721h" }"#,
                &[r#"2:23: timeouts.read: "721h" is longer than "720h", which is the most there can be"#],
            ),
            (r#""limits": { "uri": "8kb" }"#, &[r#"2:20: limits.uri: must be a size such as "512B", "64KiB" or "10MB", is "8kb""#]),
            (r#""limits": { "queue": -1 }"#, &["2:22: limits.queue: must be a whole number from 0 to 1000000, is -1"]),
            (
                r#""listener": { "trusted_proxies": "::1" }"#,
                &[r#"2:34: listener.trusted_proxies: must be a list, is "::1"; write ["::1"]"#],
            ),
        ],
    );
}

#[test]
fn what_concerns_the_whole_gateway() {
    each(
        with,
        &[
            (
                r#""listener": { "address": "localhost" }"#,
                &[
                    r#"2:26: listener.address: must be an IP address, is "localhost"; "0.0.0.0" is every IPv4 address, "127.0.0.1" this host only"#,
                ],
            ),
            (r#""admin": { "port": 8080 }"#, &["2:20: admin.port: is the port of the listener too; give one of them another port"]),
            (
                r#""listener": { "trusted_proxies": ["::1", "10.0.0.1/8"] }"#,
                &[r#"2:42: listener.trusted_proxies[1]: "10.0.0.1/8" sets bits of the host part; the network is "10.0.0.0/8""#],
            ),
            (
                r#""listener": { "trusted_proxies": ["x"] }"#,
                &[r#"2:35: listener.trusted_proxies[0]: must be a network such as "10.0.0.0/8" or "fd00::/8", or an IP address, is "x""#],
            ),
            (
                r#""runtime": { "ring_entries": 5000 }"#,
                &["2:30: runtime.ring_entries: must be a power of two; the next greater one will do"],
            ),
            (r#""runtime": { "buffer": "1KiB" }"#, &[r#"2:24: runtime.buffer: must be from "4KiB" to "1MiB""#]),
            (r#""limits": { "head": "9MB" }"#, &[r#"2:21: limits.head: must be from "1KiB" to "1MiB""#]),
            (r#""limits": { "head": "4KiB" }"#, &["2:11: limits.uri: must not be larger than limits.head, of which it is a part"]),
            (
                r#""middlewares": [{ "id": "x", "enabled": false }, { "headers": {} }, { "headers": {}, "id": "headers" }]"#,
                &[
                    r#"2:17: middlewares[0]: switches off what isn't there; only an entry of the gateway's "middlewares" can be switched off without its kind"#,
                    r#"2:92: middlewares[2].id: "headers" is taken by middlewares[1].id; give one of them another "id""#,
                ],
            ),
            (
                r#""middlewares": [{ "headers": { "request": { "remove_headers": ["a b", "Host"] }, "response": { "set_headers": { "Te": "x" } } } }]"#,
                &[
                    r#"2:64: middlewares[0].headers.request.remove_headers[0]: "a b" is not a header name"#,
                    r#"2:71: middlewares[0].headers.request.remove_headers[1]: can't be removed: it belongs to the gateway; use the upstream's "host_header""#,
                    "2:119: middlewares[0].headers.response.set_headers.Te: can't be set or added: it belongs to the gateway; it is about one connection only, and never passed on",
                ],
            ),
            (
                r#""forwarding": { "via": "a b" }"#,
                &[r#"2:24: forwarding.via: must be a word of ASCII letters, digits, ".", "-", "_" and ":"; it goes into the Via header"#],
            ),
            (
                r#""built_in": { "livez": "livez", "health": "/a?b", "readyz": "" }"#,
                &[
                    r#"2:24: built_in.livez: "livez" must begin with "/"; an empty text switches the page off"#,
                    r#"2:43: built_in.health: "/a?b" must not hold a "?"; an empty text switches the page off"#,
                ],
            ),
            (
                r#""built_in": { "livez": "/health" }"#,
                &[r#"2:24: built_in.livez: is the path of built_in.health too; move one of them, or switch it off with """#],
            ),
            (r#""health_check_interval": "1ms""#, &[r#"2:26: health_check_interval: must be at least "10ms""#]),
        ],
    );
}

#[test]
fn what_concerns_upstreams() {
    each(
        upstream,
        &[
            (r#""load_bound": 0.5"#, &["2:15: upstreams[0].load_bound: must be a number from 1 to 100, is 0.5"]),
            (r#""hash_key": "user""#, &[r#"2:13: upstreams[0].hash_key: must be "path", "ip", "header:NAME" or "cookie:NAME", is "user""#]),
            (r#""hash_key": "header:""#, &[r#"2:13: upstreams[0].hash_key: "header:" needs the name of a header after ":""#]),
            (r#""host_header": "a.b""#, &[r#"2:16: upstreams[0].host_header: must be "keep", "endpoint" or "set:HOST", is "a.b""#]),
            (
                r#""host_header": "set:a/b""#,
                &[r#"2:16: upstreams[0].host_header: "set:a/b" needs a host name, with or without a port, after "set:""#],
            ),
            (r#""panic_threshold": 101"#, &["2:20: upstreams[0].panic_threshold: must be a whole number from 0 to 100, is 101"]),
            (
                r#""health_check": { "expected_status": [200, "299-200", 600] }"#,
                &[
                    r#"2:44: upstreams[0].health_check.expected_status[1]: "299-200" begins with the higher status"#,
                    r#"2:55: upstreams[0].health_check.expected_status[2]: must be a status such as 200, or a range such as "200-299", from 100 to 599, is 600"#,
                ],
            ),
            (
                r#""health_check": { "expected_status": [] }"#,
                &[r#"2:38: upstreams[0].health_check.expected_status: is empty, so no answer would be good; write ["200-299"]"#],
            ),
            (
                r#""health_check": { "method": "get", "path": "up", "interval": "1us", "timeout": "0s", "rise": 0 }"#,
                &[
                    r#"2:29: upstreams[0].health_check.method: "get" is no method for a probe; names are in capitals: "GET", "HEAD""#,
                    r#"2:44: upstreams[0].health_check.path: "up" must begin with "/""#,
                    r#"2:62: upstreams[0].health_check.interval: must be at least "10ms""#,
                    r#"2:80: upstreams[0].health_check.timeout: must be at least "1ms""#,
                    "2:94: upstreams[0].health_check.rise: must be a whole number from 1 to 1000, is 0",
                ],
            ),
            (
                r#""health_check": { "path": "/a b\r\n" }"#,
                &[
                    r#"2:27: upstreams[0].health_check.path: "/a b\r\n" must not hold spaces, control characters or characters outside of ASCII"#,
                ],
            ),
            (
                r#""outlier_detection": { "window": "0s", "ejection_time": "0s" }"#,
                &[
                    r#"2:34: upstreams[0].outlier_detection.window: must be at least "100ms""#,
                    r#"2:57: upstreams[0].outlier_detection.ejection_time: must be at least "10ms""#,
                ],
            ),
            (
                r#""retry": { "backoff": "1s" }"#,
                &[r#"2:23: upstreams[0].retry.backoff: must not be longer than retry.backoff_max; shorten it, or raise the other"#],
            ),
            (r#""keep_alive": { "head": "1B" }"#, &[r#"2:25: upstreams[0].keep_alive.head: must be from "1KiB" to "1MiB""#]),
            (r#""resolve_interval": "0s""#, &[r#"2:21: upstreams[0].resolve_interval: must be at least "100ms""#]),
        ],
    );
    each(
        endpoints,
        &[
            (
                "",
                &[
                    r#"2:1: upstreams[0].endpoints: is missing, or empty; an upstream needs one at least: [{ "url": "http://127.0.0.1:9001" }]"#,
                ],
            ),
            (r#"{}"#, &[r#"2:2: upstreams[0].endpoints[0].url: is missing; write "http://host:port" or "unix:/path""#]),
            (
                r#"{ "url": "https://a/b" }"#,
                &[
                    r#"2:11: upstreams[0].endpoints[0].url: "https://a/b" can't be reached: must have no path, query or user name: use a route's "rewrite_path" for paths"#,
                ],
            ),
            (
                r#"{ "url": "http://a" }, { "url": "http://a" }"#,
                &[
                    r#"2:34: upstreams[0].endpoints[1].url: "http://a" is taken by upstreams[0].endpoints[0].url; give each an "id" of its own; for a larger share use "weight""#,
                ],
            ),
            (
                r#"{ "url": "http://a", "weight": 0 }"#,
                &["2:1: upstreams[0].endpoints: all have weight 0, so none gets a request; give one a weight, or leave \"weight\" out"],
            ),
            (
                r#"{ "id": "\n", "url": "http://a" }"#,
                &[r#"2:10: upstreams[0].endpoints[0].id: must be at most 200 bytes without control characters, is "\n""#],
            ),
        ],
    );
}

#[test]
fn what_concerns_routes() {
    each(
        routes,
        &[
            (
                "",
                &[
                    r#"1:93: routes: is missing, or empty: every request would be answered with 404; say where requests go: "routes": [{ "path": "/", "upstream": "app" }]"#,
                ],
            ),
            (
                r#"{ "path": "/", "upstream": "ap" }"#,
                &[r#"2:28: routes[0].upstream: no upstream is named "ap"; did you mean "app"? there are: "app""#],
            ),
            (r#"{ "path": "/" }"#, &[r#"2:1: routes[0].upstream: is missing; there are: "app""#]),
            (
                r#"{ "id": "a", "path": "/a", "upstream": "app" }, { "id": "a", "path": "/b", "upstream": "app" }"#,
                &[r#"2:57: routes[1].id: "a" is taken by routes[0].id; rename one of them"#],
            ),
            (
                r#"{ "path": "/livez", "upstream": "app" }"#,
                &[
                    r#"2:11: routes[0].path: is never reached: the gateway answers it itself (built_in.livez); move that page, or switch it off with "built_in": { "livez": "" }"#,
                ],
            ),
            (r#"{ "path": "/a/{b", "upstream": "app" }"#, &[r#"2:11: routes[0].path: "{" in "{b" is never closed"#]),
            (
                r#"{ "path": "/", "upstream": "app", "headers": [{ "name": "a", "regex": "(" }] }"#,
                &[r#"2:46: routes[0].headers: the regex "(" of "a" is not a regular expression: unclosed group"#],
            ),
            (
                r#"{ "path": "/", "upstream": "app", "retry_count": 11, "timeout": "x" }"#,
                &[
                    "2:50: routes[0].retry_count: must be a whole number from 0 to 10, is 11",
                    r#"2:65: routes[0].timeout: must be a duration such as "500ms", "30s", "5m" or "2h", is "x""#,
                ],
            ),
        ],
    );
}

#[test]
fn what_concerns_header_edits() {
    let edit = |edit: &str| routes(&format!("{{ \"path\": \"/\", \"upstream\": \"app\",\n{edit} }}"));
    each(
        edit,
        &[
            (
                r#""add_headers": { "Host": "a" }"#,
                &[
                    r#"3:26: routes[0].add_headers.Host: can't be set or added: it belongs to the gateway; use the upstream's "host_header""#,
                ],
            ),
            (
                r#""request": { "set_headers": { "content-length": "1" } }"#,
                &["3:49: routes[0].request.set_headers.content-length: can't be set or added: it belongs to the gateway; \
                     it tells where a message ends, which the gateway works out"],
            ),
            (
                r#""response": { "add_headers": { "Connection": "close" } }"#,
                &["3:46: routes[0].response.add_headers.Connection: can't be set or added: it belongs to the gateway; \
                     it is about one connection only, and never passed on"],
            ),
            (
                r#""response": { "remove_headers": ["Transfer-Encoding", "a b"] }"#,
                &[
                    "3:34: routes[0].response.remove_headers[0]: can't be removed: it belongs to the gateway; \
                     it tells where a message ends, which the gateway works out",
                    r#"3:55: routes[0].response.remove_headers[1]: "a b" is not a header name"#,
                ],
            ),
            (
                r#""add_headers": { "A": "b\r\nC: d", "B": " x", "C:": "", "D": "1", "d": "2", "E": 5 }"#,
                &[
                    "3:23: routes[0].add_headers.A: the value holds a control character, such as a line end; a header is one line",
                    "3:41: routes[0].add_headers.B: the value begins or ends with white space; receivers drop it: leave it out",
                    r#"3:53: routes[0].add_headers.C:: "C:" is not a header name; letters, digits and "-", without spaces or ":""#,
                    "3:72: routes[0].add_headers.d: is there twice: header names are the same in capitals and small letters; remove one of them",
                    r#"3:82: routes[0].add_headers.E: must be text, is 5; put it in quotes: "5""#,
                ],
            ),
        ],
    );
}

#[test]
fn what_is_missing_altogether() {
    assert_eq!(
        said("x.json", "{}"),
        [
            r#"1:1: upstreams: is missing, or empty; name a group of servers: "upstreams": [{ "id": "app", "endpoints": [{ "url": "http://127.0.0.1:9001" }] }]"#,
            r#"1:1: routes: is missing, or empty: every request would be answered with 404; say where requests go: "routes": [{ "path": "/", "upstream": "app" }]"#,
        ]
    );
    assert_eq!(said("x.json", "[]"), ["1:1: must be an object, is a list"]);
    let nameless = r#"{ "upstreams": [{ "endpoints": [{ "url": "http://a" }] }], "routes": [{ "path": "/", "upstream": "x" }] }"#;
    assert_eq!(said("x.json", nameless), ["1:17: upstreams[0].id: is missing; routes name their upstream by it"]);
}

#[test]
fn one_mistake_is_one_problem() {
    assert_eq!(
        said("x.json", &routes(r#"{ "pattern": "/", "backend": "app" }"#)),
        [
            r#"2:3: routes[0].pattern: there is no such setting; did you mean "path"?"#,
            r#"2:19: routes[0].backend: there is no such setting; did you mean "upstream"?"#
        ]
    );
    let text = r#"{ "upstreams": 5, "routes": [{ "path": "/", "upstream": "x" }] }"#;
    assert_eq!(said("x.json", text), ["1:16: upstreams: must be a list, is 5"]);
}

#[test]
fn all_are_told_at_once_in_the_order_of_the_file() {
    let text = "{\n\"routes\": [{ \"path\": \"/{\", \"upstream\": \"x\" }],\n\"upstreams\": [{ \"id\": \"\", \"endpoints\": [{ \"url\": 1 }] }],\n\"a\": \"${NONE}\"\n}";
    assert_eq!(
        said("x.json", text),
        [
            r#"2:22: routes[0].path: "{" in "{" is never closed"#,
            "3:23: upstreams[0].id: is missing; routes name their upstream by it",
            r#"3:50: upstreams[0].endpoints[0].url: must be text, is 1; put it in quotes: "1""#,
            "4:1: a: there is no such setting; there are: \"admin\", \"built_in\", \"cache\", \"circuit_breaker\", \"features\", \"forwarding\", \"health_check_interval\", \
             \"http2\", \"latency\", \"limits\", \"listener\", \"logging\", \"middlewares\", \"routes\", \"runtime\", \"timeouts\", \"tls\", \"tracing\", \"upstreams\"",
            r#"4:6: a: the variable NONE is not set; set it, or write a default: "${NAME:-default}""#,
        ]
    );
}

#[test]
fn columns_count_characters() {
    assert_eq!(said("x.json", &with("\"forwarding\": {/* äöü */ \"x\": 1 }"))[0].split_once(" f").unwrap().0, "2:26:");
}

#[test]
fn what_came_from_outside_is_never_shown() {
    let text = r#"{
        "listener": { "port": "${WORD}", "address": "${WORD}", "trusted_proxies": ["${WORD}"] },
        "logging": { "level": "${WORD}" },
        "timeouts": { "read": "${WORD}" },
        "features": { "cache": "${WORD}" },
        "built_in": { "livez": "${WORD}" },
        "upstreams": [
            { "id": "${WORD}", "endpoints": [{ "url": "${WORD}" }], "health_check": { "path": "${WORD}" }, "host_header": "set:/${WORD}" },
            { "id": "${WORD}", "endpoints": [{ "url": "http://a", "id": "${WORD}" }, { "url": "http://b", "id": "${WORD}" }] }
        ],
        "routes": [
            { "path": "${PATTERN}", "upstream": "x${WORD}" },
            { "path": "/${WORD}", "upstream": "s3crey" },
            { "path": "/${WORD}", "upstream": "s3cret", "strip_prefix": "/${WORD}", "rewrite_path": "/", "add_headers": { "A": "${WORD}\n" } }
        ]
    }"#;
    let said = said("x.json", text);
    assert!(said.len() >= 15, "{said:#?}");
    for line in &said {
        assert!(!line.contains("s3cret"), "{line}");
    }
    let withheld = r#"12:23: routes[0].path: is not valid with what its "${...}" stands for, which is not shown"#;
    assert!(said.iter().any(|line| line == withheld), "{said:#?}");
}

#[test]
fn the_nearest_place_is_told_of_what_is_not_there() {
    let problems = load("x.json", "{ \"routes\": [\n{ \"path\": \"/\" }] }").unwrap_err();
    let problem = problems.list().iter().find(|problem| problem.path == "routes[0].upstream").unwrap();
    assert_eq!((problem.line, problem.column, problem.message.as_str()), (2, 1, "is missing"));
    assert_eq!(problem.hint.as_deref(), Some("there are none"));
}
