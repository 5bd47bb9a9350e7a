//! Concurrency limits: this core's share of one, and of the queue before it; a limit that finds itself.
//!
//! A limit holds over all cores, yet no core looks at another's counter: each owns a share, and the coordinator moves idle
//! shares to where requests wait (`reconcile`). What a core may have in flight is decided by its own share alone.

mod gradient;
mod share;

pub use gradient::Gradient;
pub use share::{Claim, Grant, Share};

/// What core `core` of `cores` may use of `limit` until the coordinator has said anything: an even part, and the remainder
/// goes to the first cores. Over all cores it sums up to `limit`.
pub const fn initial_share(limit: u32, core: u32, cores: u32) -> u32 {
    limit / cores + if core < limit % cores { 1 } else { 0 }
}

#[cfg(test)]
mod laws;
