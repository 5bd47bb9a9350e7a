//! Settings of distributed tracing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Distributed tracing: spans of requests, sent to a collector by OTLP over HTTP, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tracing {
    /// The collector: `http://HOST:PORT`, to which `/v1/traces` is added unless there is a path. Empty is none: then a `traceparent` is only
    /// passed on. A change needs a restart.
    pub endpoint: String,
    /// Percentage of requests of which spans are sent, 0 to 100. One that a trusted proxy sends with a sampled `traceparent` always has them.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub sample_percent: f64,
    /// Whether requests that were slow, as `/slow` shows them, have spans in any case.
    pub slow: bool,
    /// What the gateway is called in traces.
    pub service_name: String,
}

impl Default for Tracing {
    fn default() -> Self {
        Tracing { endpoint: String::new(), sample_percent: 1.0, slow: true, service_name: "ringway".into() }
    }
}

impl Tracing {
    /// Host with port, and path; `None` if there is no collector, or the address is none.
    pub fn collector(&self) -> Option<(&str, &str)> {
        let rest = self.endpoint.strip_prefix("http://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port = host.rsplit_once(':')?.1;
        let valid = port.parse::<u16>().is_ok() && host.bytes().chain(path.bytes()).all(|byte| byte.is_ascii_graphic());
        valid.then_some((host, if path.len() > 1 { path } else { "/v1/traces" }))
    }

    /// A number by chance up to this one means that a request is sampled; `None` if there are no spans.
    pub fn threshold(&self) -> Option<u64> {
        self.collector()?;
        Some((self.sample_percent / 100.0 * u64::MAX as f64) as u64)
    }
}
