//! The load generator and the scripted endpoint on either side of the gateway, in everything that all three speak.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Authority, Gateway, Origin};

/// What ringload counts of 40 requests.
fn load(line: &str) -> Value {
    let arguments = format!("--json - --quiet --max-lag 1h --rate 100 --duration 400ms --connections 2 {line}");
    let output = Command::new(env!("CARGO_BIN_EXE_ringload")).args(arguments.split_whitespace()).output().unwrap();
    let numbers: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{line}: {output:?}"));
    assert_eq!((&numbers["answered"], &numbers["failed"]), (&40.into(), &0.into()), "{line}: {numbers:#}");
    numbers
}

#[test]
fn requests_calls_and_messages_pass_through() {
    let origin = Origin::start();
    let pair = Authority::ours().issue(&["127.0.0.1"]);
    let tls = json!({ "address": "127.0.0.1", "port": 0, "certificates": [pair.setting()] });
    let trust = format!("--ca {}", Authority::ours().file);
    for protocol in ["http1", "h2"] {
        let upstream = json!({ "id": "up", "protocol": protocol, "endpoints": [{ "url": format!("http://{}", origin.address) }] });
        let gateway = Gateway::with(&origin.address, json!({ "upstreams": [upstream], "tls": tls }));
        let (plain, secure) = (&gateway.address, &gateway.secure);
        for path in ["/users/7", "/bytes/200k", "/chunked/size/1m"] {
            for line in [
                format!("http://{plain}{path}"),
                format!("--http2 http://{plain}{path}"),
                format!("--http2 {trust} https://{secure}{path}"),
            ] {
                assert_eq!(load(&line)["statuses"]["2xx"], 40, "{line}");
            }
        }
        if protocol == "h2" {
            for line in [format!("http://{plain}"), format!("{trust} https://{secure}")] {
                assert_eq!(load(&format!("--grpc --body hello {line}/some.Service/Method"))["grpc_statuses"]["OK"], 40);
                assert_eq!(load(&format!("--grpc {line}/grpc_status/5"))["grpc_statuses"]["NOT_FOUND"], 40);
            }
        } else {
            for line in [format!("ws://{plain}"), format!("{trust} wss://{secure}")] {
                assert_eq!(load(&format!("--message-size 70k {line}/chat"))["statuses"]["echo"], 40);
            }
        }
    }
}
