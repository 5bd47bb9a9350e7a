//! What a link of a chain may ask of the outside, and the answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::auth;

/// Something that only the outside can tell, or that takes too long for a core that serves.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// Whether this is the hash of that password.
    Password(Arc<auth::Hash>, Password),
    /// What a service says.
    Fetch(Fetch),
}

/// What there was to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is, or isn't.
    Password(bool),
    /// What the service said.
    Fetched(Fetched),
    /// It didn't say anything in time that could be understood.
    Failed,
    /// Too many such questions wait.
    Busy,
}

/// A password, which is never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Password(pub Vec<u8>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// A request to a service.
#[derive(PartialEq, Eq, Hash)]
pub struct Fetch {
    /// The upstream's id.
    pub upstream: String,
    /// The method.
    pub method: &'static str,
    /// The path, with its query.
    pub path: String,
    /// Header lines beside those of host and framing, each with its line end.
    pub lines: Vec<u8>,
    /// The body; empty is none.
    pub body: Vec<u8>,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Whether requests that ask the same at the same time on one core share one answer.
    pub shared: bool,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetch({} {} {})", self.upstream, self.method, self.path)
    }
}

/// A service's answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its status.
    pub status: u16,
    /// Its headers, without those of one connection.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body; `None` if that was too large.
    pub body: Option<Vec<u8>>,
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetched({})", self.status)
    }
}
