//! HTTP/1 as a server: the life of a client's connection, from its first byte to its close.

mod connection;
mod inbound;

pub use connection::{Client, Next, Secured, Service, Timing, serve};
pub use inbound::Inbound;
