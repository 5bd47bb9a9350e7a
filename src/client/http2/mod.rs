//! HTTP/2 as a client: connections to endpoints that carry many requests at once, each through a lane of its own.
//!
//! ```text
//! attempt <-> pipe <-> lane: translated both ways <-> h2 <-> socket, shared by all lanes of the connection
//! ```
//!
//! To whoever makes an attempt a lane's pipe is a connection like any other: kept in the pool, used again, dropped when it is closed.

mod connection;
mod lane;
mod reply;
mod request;
mod switch;

pub use connection::{Connections, Settings};
