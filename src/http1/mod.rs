//! HTTP/1 on the wire (RFC 9112), pure: heads, framing, chunked coding. Strict: what two parsers could read differently is refused.
//!
//! A head is scanned once, sixteen bytes at a time. Only when something is wrong are its bytes walked again, one by one, to
//! name the first fault in them: so the name of a refusal depends neither on how the bytes arrived nor on what follows them.

mod chunked;
mod connection;
mod fields;
pub mod framing;
mod grammar;
mod refusal;
mod request;
mod response;
mod scan;
mod target;
#[cfg(test)]
mod tests;
mod trailers;
pub mod write;

pub use chunked::{Chunked, Decoded};
pub use refusal::as_response;
pub use request::parse_request;
pub use response::parse_response;

/// Limits on what a peer may send. All but `headers` are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, with its blank line and any empty lines before it.
    pub head: usize,
    /// Header fields of a head.
    pub headers: usize,
    /// Bytes of a request target.
    pub uri: usize,
    /// Bytes of one chunk's extensions, from the first `;`.
    pub chunk_extension: usize,
    /// Bytes of all trailer lines of a chunked body, with their line ends.
    pub trailers: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { head: 32 << 10, headers: 100, uri: 8 << 10, chunk_extension: 1 << 10, trailers: 8 << 10 }
    }
}
