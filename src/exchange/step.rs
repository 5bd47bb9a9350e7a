//! The steps an exchange asks for, and the results it is told: all that deciding and moving bytes say to each other.

use std::rc::Rc;
use std::time::Duration;

use super::Page;
use crate::address::Address;
use crate::cache::{Fetch, Fill, Hit};
use crate::clock::Instant;
use crate::error::Reason;
use crate::middleware::{Answer, Question};
use crate::retry::Ending;
use crate::upstream::EndpointId;

/// What is to be done next for a request.
#[derive(Debug)]
pub enum Step {
    /// Answer with a page the gateway makes itself.
    Page(Page),
    /// Answer with this: a link of the chain made it. The request is over.
    Answer(Box<Answer>),
    /// Answer with a refusal. The request is over.
    Refuse(Refusal),
    /// Gather the request's body in its notes, of so many bytes at most, tell by [`super::Exchange::collected`] and step again; else tell by
    /// [`super::Exchange::uncollected`].
    Collect(u64),
    /// Wait until such a place may have become free, at most until the next tick, then step again.
    Wait(Place),
    /// Wait until then, then step again: a retry's backoff, or a link of the chain that delays.
    Pause(Instant),
    /// A link of the chain asks this: put the answer into [`super::Scratch::reply`], then step again.
    Ask(Box<Question>),
    /// Answer from this core's shard of the cache. What is stale may be fetched anew on the side: see [`super::Exchange::aside`].
    Serve(Box<Hit>, Option<Box<Fetch>>),
    /// Another request of this core fetches the same: wait until that has moved on, at most until the next tick, then step again.
    AwaitFill(Rc<Fill>),
    /// Send the request to this endpoint, then report with [`super::Exchange::attempted`].
    Attempt(Attempt),
    /// Relay the answer of the last attempt, then report with [`super::Exchange::ended`].
    Relay,
}

/// A refusal and what it tells besides its reason.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Seconds after which it's worth trying again.
    pub retry_after: Option<u32>,
    /// The methods that the path's routes have.
    pub allow: Option<String>,
    /// The upstream that was asked.
    pub upstream: Option<String>,
    /// Further header lines, each with its line end.
    pub lines: Vec<u8>,
}

/// One endpoint to be asked.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The route's index in the plan.
    pub route: usize,
    /// The upstream's index in the plan.
    pub upstream: usize,
    /// The number under which this core keeps the upstream's connections; reloads don't change it.
    pub pool: u32,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Where it is; `None` if its name has no address.
    pub address: Option<Address>,
    /// A kept connection must be looked at before it's used: the request can't be sent twice.
    pub careful: bool,
    /// After so long without an answer, a second attempt may be made beside it: [`super::Exchange::hedge`].
    pub hedge_after: Option<Duration>,
}

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// An answer's head came, or not.
    pub ending: Ending,
    /// What happened on the way.
    pub trace: Trace,
}

/// What happened in an attempt until its head came or didn't.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The connection had served a request before.
    pub reused: bool,
    /// Bytes of the request were handed to the connection.
    pub sent: bool,
    /// Bytes of an answer came.
    pub started: bool,
    /// Bytes of an answer, interim ones included, have gone to the client.
    pub relayed: bool,
    /// Bytes of the request's body are gone and can't be sent again.
    pub body_lost: bool,
}

/// What a request waits for, while there is no place for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A place below the gateway's concurrency limit.
    Gateway,
    /// Below that of this route.
    Route(usize),
    /// Below that of any endpoint of the upstream with this number.
    Upstream(u32),
    /// The next bytes of the fill with this number.
    Fill(u64),
    /// Room for more bytes of that fill, as its readers go on.
    Room(u64),
    /// The answer to the question with this number.
    Reply(u64),
}

/// What a request's attempts cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Retries made.
    pub retries: u32,
    /// Attempts made again because a kept connection had gone stale.
    pub stale_retries: u32,
    /// A retry was not made because the budget was used up.
    pub budget_exhausted: bool,
}
