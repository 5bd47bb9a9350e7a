//! What cores and the coordinator tell each other: snapshots, never deltas, so that a lost one costs freshness only.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::breaker;
use crate::cache::Purge;
use crate::clock::Instant;
use crate::error::Reason;
use crate::limiter::{Claim, Grant};
use crate::metrics::Count;

/// From a core to the coordinator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Which core.
    pub core: u32,
    /// Grows with each report of a core; late ones are ignored.
    pub sequence: u64,
    /// The generation of the plan that the core runs.
    pub generation: u64,
    /// One for each upstream.
    pub upstreams: Vec<UpstreamReport>,
    /// The limits of the gateway and its routes.
    pub shares: Vec<ShareReport>,
    /// What it has counted by labels.
    pub counts: Vec<Count>,
    /// URLs of key sets that a key was missing from. A lost one is wanted again by the next request.
    pub keys_wanted: Vec<Arc<str>>,
    /// What requests on this core made invalid in the cache, for all others. The one part that isn't a snapshot: a report that can't be
    /// sent leaves it to the next.
    pub purges: Vec<Purge>,
}

/// What a core has seen of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamReport {
    /// The upstream's `id`.
    pub upstream: Arc<str>,
    /// One for each endpoint.
    pub endpoints: Vec<EndpointReport>,
    /// The limits of its endpoints and its queue.
    pub shares: Vec<ShareReport>,
    /// The breaker of the upstream as a whole, if it has one.
    pub breaker: Option<breaker::Report>,
    /// What it has counted of the upstream.
    pub tally: UpstreamTally,
}

/// What a core has counted of an upstream since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTally {
    /// Requests that ended otherwise than by an endpoint's whole answer, by the endpoints' or the gateway's doing.
    pub failures: Vec<(Reason, u64)>,
    /// Second attempts.
    pub hedges: Hedges,
    /// The adaptive concurrency limit, at present.
    pub concurrency_limit: Option<u64>,
}

/// Attempts made beside others that took longer than most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hedges {
    /// Those made.
    pub made: u64,
    /// Those answered before the first.
    pub won: u64,
    /// Those not made because the budget was used up.
    pub exhausted: u64,
}

impl UpstreamTally {
    /// Counts a request that failed for this reason.
    pub fn failed(&mut self, reason: Reason) {
        self.add_failures(reason, 1);
    }

    /// Adds what another core has counted.
    pub fn add(&mut self, more: &UpstreamTally) {
        if let Some(limit) = more.concurrency_limit {
            *self.concurrency_limit.get_or_insert(0) += limit;
        }
        self.hedges.made += more.hedges.made;
        self.hedges.won += more.hedges.won;
        self.hedges.exhausted += more.hedges.exhausted;
        more.failures.iter().for_each(|&(reason, count)| self.add_failures(reason, count));
    }

    fn add_failures(&mut self, reason: Reason, more: u64) {
        match self.failures.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, count)) => *count += more,
            None => self.failures.push((reason, more)),
        }
    }
}

/// What a core has seen of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointReport {
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// Attempts that ended in an answer or a failure, since this core began.
    pub attempts: u64,
    /// Those of them that count as failures.
    pub failures: u64,
    /// Requests in flight on this core.
    pub in_flight: u32,
    /// Until when this core has ejected it by itself; in the past, it has not.
    pub ejected_until: Instant,
    /// Its breaker, if it has one.
    pub breaker: Option<breaker::Report>,
}

/// From the coordinator to a core.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// Grows with each update; late ones are ignored.
    pub version: u64,
    /// The generation of the plan it was made for. A core that runs another plan ignores it.
    pub generation: u64,
    /// One for each upstream.
    pub upstreams: Vec<UpstreamUpdate>,
    /// The limits of the gateway and its routes.
    pub shares: Vec<ShareGrant>,
}

/// The truth about an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamUpdate {
    /// The upstream's `id`.
    pub upstream: Arc<str>,
    /// The version of the update it is part of.
    pub version: u64,
    /// One for each endpoint.
    pub endpoints: Vec<EndpointUpdate>,
    /// The limits of its endpoints and its queue.
    pub shares: Vec<ShareGrant>,
    /// The breaker of the upstream as a whole, if it has one.
    pub breaker: Option<breaker::Update>,
}

/// The truth about an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointUpdate {
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// What the probes say.
    pub healthy: bool,
    /// Until when it is ejected on all cores; in the past, it is not.
    pub ejected_until: Instant,
    /// Ejections in a row so far: the next one takes longer for each.
    pub ejections: u32,
    /// Where a host name leads, sorted; empty for an endpoint that isn't a host name, or before the first answer.
    pub addresses: Arc<[SocketAddr]>,
    /// Its breaker, if it has one.
    pub breaker: Option<breaker::Update>,
}

/// Which limit a share is part of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ShareKey {
    /// `limits.max_concurrent_requests` and `limits.queue`.
    Gateway,
    /// A route's `max_concurrent_requests`; its queue is bounded by `limits.queue` too.
    Route(Arc<str>),
    /// An upstream's `queue`: it has no limit of its own.
    Upstream(Arc<str>),
    /// An endpoint's `max_concurrent_requests`; who waits for it waits in the upstream's queue.
    Endpoint(Arc<str>, Arc<str>),
}

/// What a core holds and needs of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareReport {
    /// Which limit.
    pub key: ShareKey,
    /// What it holds and needs.
    pub claim: Claim,
}

/// What a core may use of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareGrant {
    /// Which limit.
    pub key: ShareKey,
    /// What it may use.
    pub grant: Grant,
}
