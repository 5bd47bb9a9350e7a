//! The configuration file: its settings with their defaults, how it is read, and every problem it can have.

mod gateway;
mod route;
mod standin;
mod target;
mod units;
mod upstream;

pub use gateway::{Admin, BuiltIn, Config, Driver, Features, Forwarding, Limits, Listener, LogLevel, Logging, Runtime, Timeouts};
pub use route::{HeaderEdits, Match, Route};
pub use standin::{Cidr, Loaded, Problems, load, schema};
pub use target::Target;
pub use units::{Size, Time};
pub use upstream::{
    Endpoint, HashKey, HealthCheck, HostHeader, KeepAlive, LoadBound, Outlier, Queue, Retry, StatusRange, Strategy, Upstream,
};
