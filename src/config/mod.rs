//! The configuration file: its settings with their defaults, how it is read, and every problem it can have.
//!
//! A file of any format becomes a tree whose values know where they stand (`json`, `yaml`, `toml` to `tree`); what comes from
//! outside is put in (`expand`); the tree is checked against the schema that the settings below make (`schema`, `shape`,
//! `check`), read into them, and checked against what a schema can't say (`rules`). All problems are told at once.

mod check;
mod cidr;
mod expand;
mod forms;
mod gateway;
mod health;
mod http2;
mod json;
mod latency;
mod load;
mod meaning;
mod mirror;
mod problem;
mod protection;
mod route;
mod rules;
mod runtime;
mod schema;
mod shape;
mod split;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod toml;
mod tracing;
mod tree;
mod units;
mod upstream;
mod written;
mod yaml;

pub use cidr::Cidr;
pub use gateway::{Admin, BuiltIn, Config, Features, Forwarding, Limits, Listener, LogLevel, Logging, RequestIdFormat, Timeouts};
pub use health::{HealthCheck, Outlier, ProbeKind};
pub use http2::Http2;
pub use latency::Latency;
pub use load::{Loaded, Source, load, load_text};
pub use mirror::Mirror;
pub(crate) use problem::meant;
pub use problem::{Problem, Problems, Wrong};
pub use protection::{AdaptiveConcurrency, BreakerFailures, BreakerLatency, BreakerMode, BreakerScope, CircuitBreaker, Hedge};
pub use route::{HeaderEdits, Match, Route};
pub use runtime::{Driver, Runtime};
pub use schema::schema;
pub use split::{Arm, SameSite, Sticky, StickyCookie};
pub use target::Target;
pub use tls::{Certificate, ClientAuth, Tls, TlsVersion, UpstreamTls};
pub use tracing::Tracing;
pub use units::{Rate, Size, Time};
pub use upstream::{
    Endpoint, GrpcStatus, HashKey, HostHeader, KeepAlive, LoadBound, Protocol, ProxyProtocol, Queue, Retry, StatusRange, Strategy,
    Upstream, authority,
};
