//! Limits that hold over all cores although no core looks at another's counters: this core's share of a concurrency limit and of
//! the queue before it, a limit that finds itself, and its parts of rate limits.
//!
//! Each core decides by what it holds alone; the coordinator moves idle shares and parts to where requests wait (`reconcile`).
//!
//! # The bound of a rate limit
//!
//! However a client's requests are spread over the cores, in any time `t` all cores together admit at most `burst + rate * t`
//! and what the rate earns in one [`PERIOD`] (50 ms), also before the coordinator has heard of the client, and whatever
//! messages are lost: the parts that cores hold never sum up to more than the whole, and parts move with the tokens in
//! them. In any second after the first reconciling a client that asks for more gets at least 95 % of what it would get if
//! all its requests came to one core, give or take a request at either end; for that, a request that finds too little
//! waits for parts from other cores, 18 ms at most.
//!
//! It is so for the clients that the coordinator looks after: those whose first parts were too small, so many at once that
//! `reconcile` has room for. Others keep their first parts, an even share for each core: never more than the bound, but
//! perhaps less than they are entitled to. A key put out of a full table may gain one request a core by coming back.

mod buckets;
mod decision;
mod gradient;
mod limiters;
mod message;
mod share;
mod table;
mod terms;

pub use buckets::{Buckets, WAIT};
pub use decision::{Decision, Verdict};
pub use gradient::Gradient;
pub use limiters::{Limiters, Named};
pub use message::{Allot, Lapsed, LimitReport, LimitUpdate, LimiterReport, LimiterUpdate, Tally, Usage};
pub use share::{Claim, Grant, Share};
pub use terms::{Limit, PERIOD, Tat, Terms};

/// What core `core` of `cores` may use of `limit` until the coordinator has said anything: an even part, and the remainder
/// goes to the first cores. Over all cores it sums up to `limit`.
pub const fn initial_share(limit: u32, core: u32, cores: u32) -> u32 {
    limit / cores + if core < limit % cores { 1 } else { 0 }
}

#[cfg(test)]
mod laws;
