//! Problems of what is there to see the gateway by.

use super::problems::{each, with};

#[test]
fn collectors_and_logs_of_response_times() {
    each(
        with,
        &[
            (r#""tracing": {"endpoint": "https://a:1"}"#, &[r#"2:25: tracing.endpoint: must be http://HOST:PORT, is "https://a:1""#]),
            (r#""tracing": {"endpoint": "http://a"}"#, &[r#"2:25: tracing.endpoint: must be http://HOST:PORT, is "http://a""#]),
            (
                r#""tracing": {"endpoint": "http://a:4318/v1 "}"#,
                &[r#"2:25: tracing.endpoint: must be http://HOST:PORT, is "http://a:4318/v1 ""#],
            ),
            (r#""latency": {"size": "1KiB"}"#, &[r#"2:21: latency.size: must be from "1MiB" to "1024GiB""#]),
            (r#""latency": {"series": 0}"#, &["2:23: latency.series: must be a whole number from 1 to 4096, is 0"]),
        ],
    );
}

#[test]
fn buffers_for_bodies() {
    each(with, &[(r#""runtime": {"body_buffer": "2MiB"}"#, &[r#"2:28: runtime.body_buffer: must be from "4KiB" to "1MiB""#])]);
}
