//! The life of a client's connection, from its first byte to its close: HTTP/1, and HTTP/2 where it begins so.

mod connection;
pub mod http2;
mod inbound;

pub use connection::{Client, Next, Secured, Service, Timing, serve};
pub use inbound::Inbound;
