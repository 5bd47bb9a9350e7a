//! One connection to an endpoint, and reading the head of its answer.

use std::cell::Cell;
use std::io;

use crate::clock::Instant;
use crate::error::Reason;
use crate::http::{Method, ResponseHead};
use crate::http1;
use crate::net::{Link, Timer};

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

/// Whether `head` is complete in the bytes received so far; what follows it in `bytes` is body.
///
/// # Errors
/// When they can't be an answer's head.
#[inline]
pub fn read_head(bytes: &[u8], method: Method, limits: &http1::Limits, head: &mut ResponseHead) -> Result<bool, HeadError> {
    if bytes.is_empty() {
        return Ok(false);
    }
    http1::parse_response(bytes, method, limits, head).map_err(HeadError::Refused)
}

impl Connection {
    /// What it means that a receive brought this while a head was waited for; `before` bytes of it had come.
    ///
    /// # Errors
    /// When nothing more comes.
    #[inline]
    pub fn received(&self, result: io::Result<usize>, before: usize) -> Result<(), HeadError> {
        match result {
            Ok(received) if received > 0 => Ok(()),
            _ if self.timer.expired() => Err(HeadError::Expired),
            _ => Err(HeadError::Closed { clean: before == 0 }),
        }
    }
}

/// Interim responses an endpoint may send before its answer.
pub const INTERIM_MAX: u32 = 16;
