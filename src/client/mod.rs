//! The client's side: this core's connections to endpoints, kept open and used again, the latest first.

mod connection;
pub mod http2;
mod pool;

pub use connection::{Connection, HeadError, INTERIM_MAX, read_head};
pub use pool::{KeepAlive, Key, Pool};
