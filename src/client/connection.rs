//! One connection to an endpoint, and reading the head of its answer.

use std::cell::Cell;

use crate::clock::Instant;
use crate::error::Reason;
use crate::http::{Method, ResponseHead};
use crate::http1;
use crate::net::{Link, Stream, Timer};

/// An open connection to an endpoint. The timer goes before the descriptor it may shut down.
pub struct Connection {
    /// Its deadline.
    pub timer: Timer,
    /// Its bytes.
    pub link: Link,
    /// When it was opened.
    pub born: Instant,
    /// Requests sent on it.
    pub requests: Cell<u32>,
}

/// Why no head came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The connection ended; `clean` if before the first byte of the answer.
    Closed {
        /// Not a single byte of the answer had come.
        clean: bool,
    },
    /// The connection's deadline expired.
    Expired,
    /// The head can't be understood.
    Refused(Reason),
}

/// Reads until `head` is complete in `buf`, the bytes of which are kept; what follows the head in `buf` is body.
///
/// # Errors
/// When no head came; `buf` comes back in any case.
pub async fn read_head(
    connection: &Connection,
    mut buf: Vec<u8>,
    method: Method,
    limits: &http1::Limits,
    head: &mut ResponseHead,
) -> (Result<(), HeadError>, Vec<u8>) {
    loop {
        if !buf.is_empty() {
            match http1::parse_response(&buf, method, limits, head) {
                Ok(true) => return (Ok(()), buf),
                Ok(false) => {}
                Err(reason) => return (Err(HeadError::Refused(reason)), buf),
            }
        }
        let before = buf.len();
        let (result, back) = connection.link.recv(buf).await;
        buf = back;
        match result {
            Ok(received) if received > 0 => {}
            _ if connection.timer.expired() => return (Err(HeadError::Expired), buf),
            _ => return (Err(HeadError::Closed { clean: before == 0 }), buf),
        }
    }
}
