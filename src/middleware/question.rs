//! What a link of a chain may ask of the outside, and the answers.

use std::fmt;
use std::sync::Arc;

use crate::auth::Hash;

/// Something that only the outside can tell, or that takes too long for a core that serves.
#[derive(Debug)]
pub enum Question {
    /// Whether this is the hash of that password.
    Password(Arc<Hash>, Password),
}

/// What there was to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is, or isn't.
    Password(bool),
    /// Too many such questions wait.
    Busy,
}

/// A password, which is never shown.
#[derive(PartialEq, Eq)]
pub struct Password(pub Vec<u8>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}
