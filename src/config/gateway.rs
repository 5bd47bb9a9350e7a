//! Settings of the gateway as a whole.

use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{BreakerMode, CircuitBreaker, Http2, Latency, Route, Runtime, Size, Time, Tls, Tracing, Upstream};
use crate::middleware::Entry;

/// The whole configuration file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where this file's JSON Schema is; for editors only.
    #[serde(rename = "$schema")]
    pub schema: Option<String>,
    /// Where clients connect.
    pub listener: Listener,
    /// Where they connect by HTTPS.
    pub tls: Tls,
    /// The private listener for operators.
    pub admin: Admin,
    /// Threads and io_uring.
    pub runtime: Runtime,
    /// How long the gateway waits, for what.
    pub timeouts: Timeouts,
    /// How much the gateway takes, of what.
    pub limits: Limits,
    /// HTTP/2 towards clients.
    pub http2: Http2,
    /// Response times: how many are told apart, and whether they are kept on disk.
    pub latency: Latency,
    /// Spans of requests, for a collector of traces.
    pub tracing: Tracing,
    /// On/off switches, one a feature.
    pub features: Features,
    /// What is logged.
    pub logging: Logging,
    /// Headers added on the way to endpoints and back.
    pub forwarding: Forwarding,
    /// Pages the gateway answers itself on the listener's port.
    pub built_in: BuiltIn,
    /// How often endpoints are probed, where an upstream doesn't say.
    pub health_check_interval: Option<Time>,
    /// The circuit breaker of upstreams that have none of their own; by default, there is none.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// What every request passes between its route and its endpoint, in this order; a route's `middlewares` come after, or in place of
    /// those of the same `id`.
    pub middlewares: Vec<Entry>,
    /// The response cache; routes say whether they use it.
    pub cache: crate::cache::Settings,
    /// Groups of endpoints that serve the same thing.
    pub upstreams: Vec<Upstream>,
    /// Which request goes to which upstream. The most specific match wins; see `priority`.
    #[serde(deserialize_with = "all_at_once")]
    pub routes: Vec<Route>,
}

/// Reads a list into one piece of memory: there may be many thousands of routes, and lists that grow as they are read are copied, and twice
/// as large for a while.
fn all_at_once<'de, D: Deserializer<'de>, T: Deserialize<'de>>(list: D) -> Result<Vec<T>, D::Error> {
    struct List<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::with_capacity(items.size_hint().unwrap_or_default());
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }
    }

    list.deserialize_seq(List(PhantomData))
}

impl Config {
    /// The circuit breaker of an upstream, as all settings together say; `None` if it has none.
    pub fn breaker_of<'a>(&'a self, upstream: &'a Upstream) -> Option<&'a CircuitBreaker> {
        let breaker = upstream.circuit_breaker.as_ref().or(self.circuit_breaker.as_ref());
        breaker.filter(|breaker| self.features.circuit_breaker && breaker.mode != BreakerMode::Off)
    }
}

/// Where clients connect. Changes need a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    /// IP address to listen on; `0.0.0.0` is every IPv4 address, `::` every address.
    pub address: String,
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// Connections the kernel holds until they are accepted, per worker.
    #[schemars(range(min = 1, max = 65535))]
    pub backlog: u32,
    /// Networks in CIDR form whose `X-Forwarded-*` and `X-Request-ID` headers are believed.
    pub trusted_proxies: Vec<String>,
    /// Whether each connection from one of `trusted_proxies` begins with a PROXY protocol header, of version 1 or 2, which says who its client is.
    /// One that doesn't is closed. Connections from elsewhere have none. Needs no restart.
    pub proxy_protocol: bool,
}

impl Default for Listener {
    fn default() -> Self {
        Listener { address: "0.0.0.0".into(), port: 8080, backlog: 4096, trusted_proxies: Vec::new(), proxy_protocol: false }
    }
}

/// The private listener for operators. Changes need a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Whether it listens at all.
    pub enabled: bool,
    /// IP address to listen on. Keep it private: nothing here asks for a password.
    pub address: String,
    /// TCP port; 0 takes a free one.
    pub port: u16,
}

impl Default for Admin {
    fn default() -> Self {
        Admin { enabled: true, address: "127.0.0.1".into(), port: 9901 }
    }
}

/// How long the gateway waits, for what. `0s` waits for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// For a request's head, from its first byte (408).
    pub read: Time,
    /// Between two pieces of a body, either way (408 or 504).
    pub body_idle: Time,
    /// For a client to take the next piece of its answer (the connection is closed).
    pub write: Time,
    /// For the next request on a connection that a client keeps alive.
    pub idle: Time,
    /// For an endpoint to accept a connection (504).
    pub connect: Time,
    /// For the first byte of an endpoint's answer once the request is sent (504). A route's own `timeout` goes before it, if that is longer.
    pub first_byte: Time,
    /// From the whole request to the head of its answer, retries included (504). A body that is still coming has `body_idle` between its
    /// pieces and no limit in all, so that a long upload isn't cut; answers' bodies and upgraded connections have limits of their own as
    /// well. A route's `timeout` goes before it.
    pub request: Time,
    /// On upgraded connections, without a byte in either direction.
    pub upgrade_idle: Time,
    /// Once told to stop: readiness fails, but connections are still accepted for so long.
    pub drain_delay: Time,
    /// After `drain_delay`: how long requests in flight may take to finish.
    pub drain: Time,
    /// After `drain_delay`: how long upgraded connections, such as WebSockets, may go on; those still open are closed then. Shorter than `drain`, so
    /// that a stop that finds some isn't one that had to cut requests.
    pub drain_upgraded: Time,
    /// After SIGUSR2: how long the process that is to take over may need until it serves; one that isn't ready then is ended.
    pub upgrade: Time,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            read: Time::from_secs(10),
            body_idle: Time::from_secs(60),
            write: Time::from_secs(60),
            idle: Time::from_secs(60),
            connect: Time::from_secs(2),
            first_byte: Time::from_secs(15),
            request: Time::from_secs(30),
            upgrade_idle: Time::from_secs(300),
            drain_delay: Time::from_secs(5),
            drain: Time::from_secs(30),
            drain_upgraded: Time::from_secs(20),
            upgrade: Time::from_secs(30),
        }
    }
}

/// How much the gateway takes, of what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests being served at once by the whole gateway; 0 is no limit. More wait in `queue`, then get 503.
    pub max_concurrent_requests: u32,
    /// Requests that may wait for their turn, in the whole gateway.
    #[schemars(range(max = 1000000))]
    pub queue: u32,
    /// How long a request may wait for its turn.
    pub queue_timeout: Time,
    /// Connections open at once, per worker; more are closed with 503.
    #[schemars(range(min = 1, max = 10000000))]
    pub connections: u32,
    /// Bytes of a request's head, first line included (431); from `1KiB` to `1MiB`.
    pub head: Size,
    /// Header fields of a head (431).
    #[schemars(range(min = 1, max = 10000))]
    pub headers: u32,
    /// Bytes of a request target (414).
    pub uri: Size,
    /// Bytes of a request body (413); `0B` is no limit.
    pub body: Size,
    /// Bytes of one chunk's extensions (400).
    pub chunk_extension: Size,
    /// Bytes of a chunked body's trailers (431).
    pub trailers: Size,
    /// Passwords that may wait to be checked, in the whole gateway; more get 503. Changes need a restart.
    #[schemars(range(min = 1, max = 10000))]
    pub password_queue: u32,
    /// Requests on one client connection before it is closed; 0 is no limit.
    pub requests_per_connection: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_concurrent_requests: 10_000,
            queue: 1_000,
            queue_timeout: Time::from_secs(1),
            connections: 100_000,
            head: Size::from_bytes(32 << 10),
            headers: 100,
            uri: Size::from_bytes(8 << 10),
            body: Size::from_bytes(0),
            chunk_extension: Size::from_bytes(1 << 10),
            trailers: Size::from_bytes(8 << 10),
            password_queue: 64,
            requests_per_connection: 0,
        }
    }
}

/// On/off switches, one a feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    /// Counters and the metrics page.
    pub metrics: bool,
    /// Histograms of response times, by route, upstream and phase.
    pub histograms: bool,
    /// Log lines on standard error.
    pub logging: bool,
    /// Probing endpoints (upstreams' `health_check`).
    pub health_checks: bool,
    /// Ejecting endpoints by what requests show (upstreams' `outlier_detection`).
    pub outlier_detection: bool,
    /// Retrying on another endpoint.
    pub retries: bool,
    /// Circuit breakers (`circuit_breaker`, the gateway's and upstreams').
    pub circuit_breaker: bool,
    /// Rate limits (`rate_limit` in `middlewares`).
    pub rate_limit: bool,
    /// Authentication (`auth` in `middlewares`). Switched off, every request is let in.
    pub authentication: bool,
    /// The response cache (`cache`, and routes' `cache_enabled`).
    pub cache: bool,
}

impl Default for Features {
    fn default() -> Self {
        Features {
            metrics: true,
            histograms: true,
            logging: true,
            health_checks: true,
            outlier_detection: true,
            retries: true,
            circuit_breaker: true,
            rate_limit: true,
            authentication: true,
            cache: true,
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What stops the gateway or one of its parts.
    Error,
    /// And what an operator should look at.
    Warn,
    /// And what changed: reloads, endpoints going up and down.
    #[default]
    Info,
    /// And each connection's end, where it wasn't an ordinary one.
    Debug,
}

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// The least important lines that are written.
    pub level: LogLevel,
}

/// Headers added on the way to endpoints and back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Forwarding {
    /// Send `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `X-Real-IP` to endpoints.
    pub x_forwarded: bool,
    /// Send `Forwarded` (RFC 7239) to endpoints.
    pub forwarded: bool,
    /// The name in the `Via` header, both ways; empty sends none.
    pub via: String,
    /// Give each request an `X-Request-ID`, sent to the endpoint and in the gateway's own answers.
    pub request_id: bool,
    /// Send it in every answer too, endpoints' and cached ones included; one that an endpoint sends is replaced.
    pub request_id_to_client: bool,
    /// What ids look like that the gateway makes.
    pub request_id_format: RequestIdFormat,
}

/// What a request id looks like: 128 bits by chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestIdFormat {
    /// 32 hexadecimal digits.
    #[default]
    Hex,
    /// A UUID of version 4 (RFC 9562).
    Uuid,
}

impl Default for Forwarding {
    fn default() -> Self {
        Forwarding {
            x_forwarded: true,
            forwarded: false,
            via: "ringway".into(),
            request_id: true,
            request_id_to_client: false,
            request_id_format: RequestIdFormat::Hex,
        }
    }
}

/// Pages the gateway answers itself on the listener's port. An empty path switches a page off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BuiltIn {
    /// Whether any of them is served on the listener's port. The admin listener has them always.
    pub enabled: bool,
    /// Health by success rate, as JSON: healthy, degraded below 90 %, unhealthy below 50 %.
    pub gateway_health: String,
    /// Counters in Prometheus' text format.
    pub gateway_metrics: String,
    /// 200 while the process serves.
    pub health: String,
    /// 200 while the process lives.
    pub livez: String,
    /// 200 while traffic should come here; 503 once draining.
    pub readyz: String,
}

impl Default for BuiltIn {
    fn default() -> Self {
        BuiltIn {
            enabled: true,
            gateway_health: "/gateway/health".into(),
            gateway_metrics: "/gateway/metrics".into(),
            health: "/health".into(),
            livez: "/livez".into(),
            readyz: "/readyz".into(),
        }
    }
}

impl BuiltIn {
    /// The pages' settings with their paths.
    pub(super) fn pages(&self) -> [(&'static str, &str); 5] {
        [
            ("gateway_health", &self.gateway_health),
            ("gateway_metrics", &self.gateway_metrics),
            ("health", &self.health),
            ("livez", &self.livez),
            ("readyz", &self.readyz),
        ]
    }
}
