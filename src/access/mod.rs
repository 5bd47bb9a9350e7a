//! The access log's lines, from what a core notes when a request has ended to the text that is written elsewhere: a compact record in a
//! buffer of the core's own, handed over whole, so that a request pays for a copy of a few hundred bytes and nothing else.

mod journal;
mod line;
mod query;
mod record;
#[cfg(test)]
mod tests;

pub use journal::{Batch, Journal};
pub use line::Lines;
pub use record::{Line, Record, Times};

use std::sync::Arc;

use crate::middleware::AccessLog;

/// What records name by number: a plan's access logs, routes and upstreams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// The plan's generation.
    pub generation: u64,
    /// The access logs.
    pub logs: Vec<AccessLog>,
    /// The routes' names.
    pub routes: Vec<Arc<str>>,
    /// The upstreams' ids.
    pub upstreams: Vec<Arc<str>>,
}
