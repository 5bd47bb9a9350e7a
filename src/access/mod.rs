//! The access log's lines, from what a core notes when a request has ended to the text that is written elsewhere: a compact record in a
//! buffer of the core's own, handed over whole, so that a request pays for a copy of a few hundred bytes and nothing else.

mod journal;
mod line;
mod record;
#[cfg(test)]
mod tests;

pub use journal::{Batch, Journal};
pub use line::write_line;
pub use record::{Record, Times};
