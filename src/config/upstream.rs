//! Settings of an upstream: its endpoints, how they are balanced, kept connected and retried.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::proxy_protocol::Version;

use super::{AdaptiveConcurrency, CircuitBreaker, HealthCheck, Hedge, Outlier, Size, Time, UpstreamTls};

/// A group of endpoints that serve the same thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Name that routes and metrics use; must be unique.
    pub id: String,
    /// The servers.
    pub endpoints: Vec<Endpoint>,
    /// What endpoints speak.
    pub protocol: Protocol,
    /// Requests at once on one HTTP/2 connection of a core; then a further one is opened.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_streams: u32,
    /// How requests are spread over the endpoints.
    pub strategy: Strategy,
    /// What the hashing strategies `ring_hash` and `maglev` hash.
    pub hash_key: HashKey,
    /// Hashing strategies: no endpoint gets more than so many times its fair share of requests in flight.
    pub load_bound: LoadBound,
    /// Probing by the gateway.
    pub health_check: HealthCheck,
    /// Ejecting by what requests show.
    pub outlier_detection: Outlier,
    /// Sending nothing to what fails; else the gateway's `circuit_breaker`, if it has one.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// A limit of requests in flight that finds itself; by default, there is none.
    pub adaptive_concurrency: Option<AdaptiveConcurrency>,
    /// Asking a second endpoint as well, where the first takes longer than most; by default, none is.
    pub hedge: Option<Hedge>,
    /// Below this percentage of healthy endpoints, health is ignored and all are used; 0 never does that.
    #[schemars(range(max = 100))]
    pub panic_threshold: u8,
    /// An endpoint that became healthy takes this long to get its whole share; `0s` is at once.
    pub slow_start: Option<Time>,
    /// Connections kept open for the next request.
    pub keep_alive: KeepAlive,
    /// Waiting for an endpoint below its `max_concurrent_requests`.
    pub queue: Queue,
    /// Retrying on another endpoint.
    pub retry: Retry,
    /// The Host header that endpoints see.
    pub host_header: HostHeader,
    /// Tell endpoints the client's address by a PROXY protocol header. Such a connection carries one request and isn't kept.
    pub proxy_protocol: ProxyProtocol,
    /// For an endpoint to accept a connection; else `timeouts.connect`.
    pub connect_timeout: Option<Time>,
    /// How often host names of endpoints are looked up again.
    pub resolve_interval: Option<Time>,
    /// TLS towards endpoints whose `url` begins with `https://`.
    pub tls: UpstreamTls,
}

impl Upstream {
    /// Whether any of its endpoints is asked by TLS.
    pub fn is_secure(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.url.starts_with("https://"))
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Upstream {
            id: String::new(),
            endpoints: Vec::new(),
            protocol: Protocol::Http1,
            max_streams: 100,
            strategy: Strategy::default(),
            hash_key: HashKey::default(),
            load_bound: LoadBound::default(),
            health_check: HealthCheck::default(),
            outlier_detection: Outlier::default(),
            circuit_breaker: None,
            adaptive_concurrency: None,
            hedge: None,
            panic_threshold: 0,
            slow_start: None,
            keep_alive: KeepAlive::default(),
            queue: Queue::default(),
            retry: Retry::default(),
            host_header: HostHeader::default(),
            proxy_protocol: ProxyProtocol::default(),
            tls: UpstreamTls::default(),
            connect_timeout: None,
            resolve_interval: None,
        }
    }
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1, one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2 without being asked first ("prior knowledge", RFC 9113 section 3.3), many requests at once on a connection. gRPC needs it.
    H2,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoint {
    /// Name in logs and metrics, unique within the upstream; else its `url`.
    pub id: Option<String>,
    /// `http://host:port`, `https://host:port` or `unix:/path`.
    pub url: String,
    /// Its share of the requests, relative to the other endpoints'; at most 65535, 0 gets none.
    #[schemars(range(max = 65535))]
    pub weight: u32,
    /// Requests it serves at once, over all cores; 0 is no limit.
    pub max_concurrent_requests: u32,
}

impl Default for Endpoint {
    fn default() -> Self {
        Endpoint { id: None, url: String::new(), weight: 1, max_concurrent_requests: 0 }
    }
}

impl Endpoint {
    /// The name it goes by.
    pub fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.url)
    }

    /// The host and port of its `url`, unless it is a Unix socket.
    pub fn authority(&self) -> Option<&str> {
        authority(&self.url)
    }
}

/// The host and port of an endpoint's `url`, unless it is a Unix socket.
pub fn authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    Some(rest.trim_end_matches('/'))
}

/// How requests are spread over an upstream's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One after the other, whatever their weights.
    #[default]
    RoundRobin,
    /// One after the other, as often as their weights say, evenly mixed.
    WeightedRoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastConnections,
    /// By the client's address: the same client gets the same endpoint.
    IpHash,
    /// By chance, as often as their weights say.
    Random,
    /// The less busy one of two taken by chance.
    TwoChoices,
    /// By `hash_key` on a ring: few keys move when endpoints come and go.
    RingHash,
    /// By `hash_key` in a Maglev table: the evenest spread.
    Maglev,
    /// The one with the lowest latency and load: peak-sensitive moving average.
    PeakEwma,
}

/// What the hashing strategies hash: `path`, `ip`, `header:X-User` or `cookie:session`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    /// The request's path.
    #[default]
    Path,
    /// The client's address.
    Ip,
    /// The value of this header; the client's address if there is none.
    Header(String),
    /// The value of this cookie; the client's address if there is none.
    Cookie(String),
}

/// What a connection to an endpoint begins with, before its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// Nothing.
    #[default]
    Off,
    /// A header of the PROXY protocol, version 1: a line of text.
    V1,
    /// Of version 2: binary.
    V2,
}

impl ProxyProtocol {
    /// The version of the header, if there is one.
    pub fn version(self) -> Option<Version> {
        match self {
            ProxyProtocol::Off => None,
            ProxyProtocol::V1 => Some(Version::V1),
            ProxyProtocol::V2 => Some(Version::V2),
        }
    }
}

/// Times the fair share, 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadBound(#[schemars(range(min = 1.0, max = 100.0))] pub f64);

impl Default for LoadBound {
    fn default() -> Self {
        LoadBound(1.25)
    }
}

/// Inclusive range of status codes: `200` (a number) or `"200-299"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The lowest status.
    pub low: u16,
    /// The highest status.
    pub high: u16,
}

/// Connections to endpoints kept open for the next request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeepAlive {
    /// Idle connections kept, per endpoint and worker; 0 opens one for each request.
    #[schemars(range(max = 65536))]
    pub connections: u32,
    /// How long an idle one is kept.
    pub idle: Time,
    /// Requests on one connection before it is closed; 0 is no limit.
    pub requests: u32,
    /// Age at which a connection is closed; `0s` is no limit.
    pub max_age: Time,
    /// Bytes of an endpoint's response head that are taken (502 beyond).
    pub head: Size,
    /// HTTP/2: an endpoint that is silent for so long while requests wait for it is asked by a PING whether it is there; `0s` asks none. Many
    /// servers of gRPC take more than one in five minutes for abuse.
    pub ping_interval: Time,
    /// For an answer, which anything is that comes; then the connection is closed, and its requests have failed.
    pub ping_timeout: Time,
}

impl Default for KeepAlive {
    fn default() -> Self {
        KeepAlive {
            connections: 256,
            idle: Time::from_secs(50),
            requests: 0,
            max_age: Time::from_secs(0),
            head: Size::from_bytes(32 << 10),
            ping_interval: Time::from_secs(0),
            ping_timeout: Time::from_secs(20),
        }
    }
}

/// Waiting for an endpoint below its `max_concurrent_requests`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Requests that may wait, over all cores.
    #[schemars(range(max = 1000000))]
    pub length: u32,
    /// How long a request may wait.
    pub timeout: Time,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { length: 100, timeout: Time::from_secs(1) }
    }
}

/// Retrying on another endpoint. A route's `retry_count` says how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Retries in flight, as a percentage of all requests in flight.
    #[schemars(range(max = 100))]
    pub budget_percent: u8,
    /// Retries in flight that are always allowed.
    pub budget_min: u32,
    /// Wait before the first retry, doubled for each further one; the real wait is random between half of it and all of it.
    pub backoff: Time,
    /// The longest wait.
    pub backoff_max: Time,
    /// Answers with these statuses are retried too, where safe.
    pub on_status: Vec<StatusRange>,
    /// Calls of gRPC that end with one of these before anything else was said are retried too, whatever they do: the endpoint may have begun
    /// with them.
    pub on_grpc_status: Vec<GrpcStatus>,
}

/// Statuses of gRPC after which it may help to ask somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrpcStatus {
    /// CANCELLED: the endpoint took it back.
    Cancelled = 1,
    /// DEADLINE_EXCEEDED: it took too long.
    DeadlineExceeded = 4,
    /// RESOURCE_EXHAUSTED: a quota or a limit of size.
    ResourceExhausted = 8,
    /// INTERNAL: something is broken.
    Internal = 13,
    /// UNAVAILABLE: the service can't be reached at present.
    Unavailable = 14,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            budget_percent: 20,
            budget_min: 3,
            backoff: Time::from_millis(25),
            backoff_max: Time::from_millis(250),
            on_status: Vec::new(),
            on_grpc_status: Vec::new(),
        }
    }
}

/// The Host header that endpoints see: `keep`, `endpoint`, or any other as `set:example.com`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// What the client sent.
    #[default]
    Keep,
    /// The host and port of the endpoint's `url`.
    Endpoint,
    /// This.
    Set(String),
}
