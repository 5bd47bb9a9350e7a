//! HTTP/1 as a client: this core's connections to endpoints, kept open and used again, the latest first.

mod connection;
mod pool;

pub use connection::{Connection, HeadError, read_head};
pub use pool::{KeepAlive, Key, Pool};
