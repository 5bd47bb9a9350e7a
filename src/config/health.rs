//! Settings of what endpoints are judged by: probes, and what requests show.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{StatusRange, Time};

/// Probing by the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    /// Whether endpoints are probed.
    pub enabled: bool,
    /// What is asked.
    #[serde(rename = "type")]
    pub kind: ProbeKind,
    /// `grpc`: the service whose health is asked for; empty for the server as a whole.
    #[schemars(length(max = 1024))]
    pub service: String,
    /// `http`: the path that is asked for.
    pub path: String,
    /// Time between two probes, give or take a tenth; else `health_check_interval`, else 5 s.
    pub interval: Option<Time>,
    /// For the whole answer.
    pub timeout: Time,
    /// `http`: the method of the probe.
    pub method: String,
    /// `http`: status codes that mean healthy.
    pub expected_status: Vec<StatusRange>,
    /// Good probes in a row until an endpoint counts as healthy.
    #[schemars(range(min = 1, max = 1000))]
    pub rise: u32,
    /// Bad probes in a row until an endpoint counts as unhealthy.
    #[schemars(range(min = 1, max = 1000))]
    pub fall: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        HealthCheck {
            enabled: false,
            kind: ProbeKind::default(),
            service: String::new(),
            path: "/health".into(),
            interval: None,
            timeout: Time::from_secs(2),
            method: "GET".into(),
            expected_status: vec![StatusRange { low: 200, high: 299 }],
            rise: 2,
            fall: 3,
        }
    }
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// A request, in what the upstream's `protocol` says. Its status decides.
    #[default]
    Http,
    /// `grpc.health.v1.Health/Check`: well if it says SERVING. Needs `"protocol": "h2"`.
    Grpc,
    /// Nothing: well if a connection can be opened, TLS included.
    Tcp,
}

/// Ejecting an endpoint for a while, by what requests show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outlier {
    /// Whether endpoints are ejected.
    pub enabled: bool,
    /// Failures in a row, on one core, that eject; 0 doesn't.
    pub consecutive_failures: u32,
    /// Percentage of failures within `window`, over all cores, that ejects; 0 doesn't.
    #[schemars(range(max = 100))]
    pub error_rate: u8,
    /// Requests within `window` below which `error_rate` isn't judged.
    pub min_requests: u32,
    /// The time that `error_rate` looks back.
    pub window: Time,
    /// How long an endpoint is ejected the first time; the n-th time in a row n times as long, at most ten times.
    pub ejection_time: Time,
    /// At most so many percent of the endpoints are ejected at once, but one always may be if there are others.
    #[schemars(range(max = 100))]
    pub max_ejection_percent: u8,
}

impl Default for Outlier {
    fn default() -> Self {
        Outlier {
            enabled: true,
            consecutive_failures: 5,
            error_rate: 50,
            min_requests: 20,
            window: Time::from_secs(10),
            ejection_time: Time::from_secs(30),
            max_ejection_percent: 50,
        }
    }
}
