//! Problems with settings of gRPC.

use super::load;
use super::problems::{each, upstream};

#[test]
fn statuses_to_retry_have_names() {
    let said = r#"2:31: upstreams[0].retry.on_grpc_status[0]: there is no "not_found"; there are: "cancelled", "deadline_exceeded", "resource_exhausted", "internal", "unavailable""#;
    each(upstream, &[(r#""retry": { "on_grpc_status": ["not_found"] }"#, &[said])]);
}

#[test]
fn probes_of_grpc_need_http2() {
    let needs = r#"2:27: upstreams[0].health_check.type: "grpc" needs HTTP/2; give the upstream "protocol": "h2""#;
    let alone = r#"2:30: upstreams[0].health_check.service: is asked for by probes of gRPC alone; write "type": "grpc", or leave it out"#;
    let long = format!(r#""protocol": "h2", "health_check": {{ "type": "grpc", "service": "{}" }}"#, "x".repeat(1025));
    each(
        upstream,
        &[
            (r#""health_check": { "type": "grpc" }"#, &[needs]),
            (r#""health_check": { "service": "a.B" }"#, &[alone]),
            (&long, &["2:64: upstreams[0].health_check.service: is longer than 1024 bytes"]),
        ],
    );
    for kind in ["http", "tcp", "grpc"] {
        load("x.json", &upstream(&format!(r#""protocol": "h2", "health_check": {{ "enabled": true, "type": "{kind}" }}"#))).unwrap();
    }
}
