//! What HTTP/2 says (RFC 9113) in the words of HTTP/1.1 and back, pure: heads, trailers, and what is refused on the way. The frames are the
//! `h2` crate's.
//!
//! Each stream's request becomes an HTTP/1.1 message that `http1` parses like any other, so that nothing behind it learns of another wire.
//! What could change that message's structure is refused here already: it takes two faults to smuggle a request.

mod asking;
pub mod grpc;
pub mod health;
mod keepalive;
mod meter;
mod request;
mod response;
pub mod web;

#[cfg(test)]
mod tests;

pub use asking::{Requests, connect_of};
pub use keepalive::{Alarm, Keepalive, Pace, Silent};
pub use meter::{Abuse, Greeting, Meter, Rates, Resets};
pub use request::{Body, Switch, write_request};
pub use response::{Heads, fields, switched, write_fields, write_response, write_switched};

/// What every HTTP/2 connection begins with (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether so many first bytes are, or begin, the preface of an HTTP/2 connection: enough of them to be no other request.
pub fn is_preface(bytes: &[u8]) -> bool {
    let there = bytes.len().min(PREFACE.len());
    there > "PRI * HTTP/".len() && bytes[..there] == PREFACE[..there]
}
