//! An upstream's endpoints as one core sees them: who is eligible and why not, and each attempt as a permit.
//!
//! Eligibility comes first (resolved, weight, health, ejection, circuit breaker, concurrency), then the strategy picks among those left; asked
//! the other way round, one bad endpoint would fail requests that others can take.
//!
//! ```text
//!   admit -> Permit -> record(Outcome) at the answer's head, or the failure -> release at the body's last byte
//! ```
//!
//! An attempt counts as in flight until it is released, or else the strategies that go by load would be misled by long bodies.

mod attempt;
mod circuit;
mod eligible;
mod endpoint;
mod measure;
mod sync;

use std::sync::Arc;

use crate::address::Address;
use crate::balancer::{self, Balance, Entry, Member, Ramp};
use crate::breaker::Breaker;
use crate::clock::Instant;
use crate::config;
use crate::error::{Fault, Reason};
use crate::hedge::Hedger;
use crate::limiter::{Gradient, Share};
use crate::reconcile::UpstreamTally;
use crate::retry::Budget;

use circuit::Circuit;

pub use crate::balancer::{Seat, Tried};
pub use attempt::{Ask, Outcome, Permit, Unavailable};
pub use endpoint::Endpoint;

/// Which endpoint. The generation changes when the slot is taken over by another endpoint and when the endpoint's address
/// changes, so that connections to what was there before are known to be stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointId {
    /// Index among the upstream's endpoints on this core.
    pub slot: u32,
    /// Grows with each change of what the slot stands for.
    pub generation: u32,
}

/// The parts that `features` switches on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Heed what probes say.
    pub health_checks: bool,
    /// Eject endpoints by what requests show.
    pub outlier_detection: bool,
    /// Retry; without it the budget gives nothing.
    pub retries: bool,
}

impl From<&config::Features> for Switches {
    fn from(features: &config::Features) -> Self {
        Switches { health_checks: features.health_checks, outlier_detection: features.outlier_detection, retries: features.retries }
    }
}

/// An upstream on one core.
#[derive(Debug)]
pub struct Upstream {
    name: Arc<str>,
    settings: Arc<config::Upstream>,
    switches: Switches,
    seat: Seat,
    entry: &'static Entry,
    balance: Box<dyn Balance>,
    /// By slot; an empty slot waits for the next endpoint.
    slots: Vec<Option<Endpoint>>,
    /// By slot: the generation it has, or will have when it is filled.
    generations: Vec<u32>,
    /// By slot: requests in flight.
    in_flight: Vec<u32>,
    /// By slot: effective weights; 0 if not eligible.
    weights: Vec<u32>,
    /// Slots that may be used, were it not for their concurrency limit.
    eligible: Vec<u64>,
    /// Slots that may be picked: eligible and below their concurrency limit.
    open: Vec<u64>,
    /// For choices in which endpoints in slow start are left out.
    thinned: Vec<u64>,
    /// Endpoints in slow start, and how much of their share they get, of 65,536.
    ramping: Vec<(u32, u32)>,
    total_in_flight: u64,
    total_weight: u64,
    /// When eligibility or a ramp changes by itself.
    recheck_at: Instant,
    panicking: bool,
    /// Its own breaker, if its settings have one for the upstream as a whole.
    breaker: Option<Box<Breaker>>,
    circuit: Circuit,
    /// Requests that breakers kept away from all endpoints.
    kept_away: u64,
    tally: UpstreamTally,
    /// Attempts and requests kept away, when last reported.
    seen: u64,
    /// The queue before the endpoints' concurrency limits.
    queue: Share,
    /// The limit before all of them that finds itself.
    adaptive: Option<Box<Gradient>>,
    /// Attempts in flight whose connections were upgraded; they don't count for that limit.
    switched: u32,
    hedger: Option<Box<Hedger>>,
    /// Either is there.
    measured: bool,
    budget: Budget,
    /// The newest update applied.
    version: u64,
}

impl Upstream {
    /// An upstream by its settings. Endpoints begin as healthy; host names aren't eligible before their first address.
    pub fn new(settings: Arc<config::Upstream>, switches: Switches, seat: Seat, now: Instant) -> Self {
        let entry = balancer::entry(settings.strategy);
        let mut upstream = Upstream {
            name: settings.id.as_str().into(),
            switches,
            seat,
            entry,
            balance: (entry.make)(seat, settings.load_bound.0),
            slots: Vec::new(),
            generations: Vec::new(),
            in_flight: Vec::new(),
            weights: Vec::new(),
            eligible: Vec::new(),
            open: Vec::new(),
            thinned: Vec::new(),
            ramping: Vec::new(),
            total_in_flight: 0,
            total_weight: 0,
            recheck_at: Instant::MAX,
            panicking: false,
            breaker: None,
            circuit: Circuit::Closed,
            kept_away: 0,
            tally: UpstreamTally::default(),
            seen: 0,
            queue: Share::new(0, settings.queue.length, seat.core, seat.cores),
            adaptive: None,
            switched: 0,
            hedger: None,
            measured: false,
            budget: Budget::new(&retry_settings(&settings, switches)),
            version: 0,
            settings,
        };
        upstream.place_endpoints(true, now);
        upstream.place_breakers(now);
        upstream.place_measures(now);
        upstream.arrange();
        upstream.refresh(now);
        upstream
    }

    /// Takes over changed settings. Endpoints of the same name keep their state; those that are gone keep their slot until
    /// their last attempt is released.
    pub fn reconfigure(&mut self, settings: Arc<config::Upstream>, switches: Switches, now: Instant) {
        let rebuilt = settings.strategy != self.settings.strategy || settings.load_bound != self.settings.load_bound;
        self.settings = settings;
        self.switches = switches;
        self.queue.reconfigure(0, self.settings.queue.length, self.seat.core, self.seat.cores);
        self.budget.reconfigure(&retry_settings(&self.settings, switches));
        let before = self.members();
        self.place_endpoints(false, now);
        self.place_breakers(now);
        self.place_measures(now);
        if rebuilt {
            self.entry = balancer::entry(self.settings.strategy);
            self.balance = (self.entry.make)(self.seat, self.settings.load_bound.0);
        }
        if rebuilt || before != self.members() {
            self.arrange();
        }
        self.refresh(now);
        if rebuilt && self.entry.tracks_load {
            for (slot, &in_flight) in (0..).zip(&self.in_flight) {
                self.balance.load_changed(slot, in_flight);
            }
        }
    }

    /// The upstream's `id`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its settings.
    pub fn settings(&self) -> &Arc<config::Upstream> {
        &self.settings
    }

    /// What the strategy wants to have hashed in `Ask::key`.
    #[inline]
    pub fn hash_key(&self) -> Option<&config::HashKey> {
        (self.entry.ramp == Ramp::Key).then_some(&self.settings.hash_key)
    }

    /// Whether the strategy goes by `Ask::client`.
    #[inline]
    pub fn hashes_client(&self) -> bool {
        self.entry.ramp == Ramp::Client
    }

    /// The endpoint in this slot, be it of this generation or not.
    ///
    /// # Panics
    ///
    /// If the slot is empty: never for an endpoint that a permit is held for.
    pub fn endpoint(&self, id: EndpointId) -> &Endpoint {
        self.slots[id.slot as usize].as_ref().expect("a permit keeps its endpoint")
    }

    /// The name of an endpoint that may have gone since it was asked.
    pub fn endpoint_name(&self, id: EndpointId) -> Option<&Arc<str>> {
        let same = self.generations.get(id.slot as usize) == Some(&id.generation);
        self.slots.get(id.slot as usize)?.as_ref().filter(|_| same).map(Endpoint::name)
    }

    /// All endpoints with their identity, those that are about to go included.
    pub fn endpoints(&self) -> impl Iterator<Item = (EndpointId, &Endpoint)> {
        self.slots.iter().zip(&self.generations).enumerate().filter_map(|(slot, (endpoint, &generation))| {
            endpoint.as_ref().map(|endpoint| (EndpointId { slot: slot as u32, generation }, endpoint))
        })
    }

    /// Whether connections to this endpoint still lead to where it is.
    #[inline]
    pub fn is_current(&self, id: EndpointId) -> bool {
        self.generations.get(id.slot as usize) == Some(&id.generation)
            && self.slots[id.slot as usize].as_ref().is_some_and(|endpoint| !endpoint.leaving)
    }

    /// Where to connect for this endpoint: one of its addresses, by chance. `None` if it has none or another took its place.
    pub fn target(&self, id: EndpointId, draw: u64) -> Option<Address> {
        if self.generations.get(id.slot as usize) != Some(&id.generation) {
            return None;
        }
        self.slots[id.slot as usize].as_ref()?.address(draw)
    }

    /// Counts a request that failed for this reason, unless that was its client's doing.
    pub fn count_failure(&mut self, reason: Reason) {
        if reason.fault() != Fault::Client {
            self.tally.failed(reason);
        }
    }

    /// The retry budget.
    pub fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// Whether an endpoint may be asked that isn't one of these.
    pub fn has_other(&self, tried: &Tried) -> bool {
        self.eligible.iter().enumerate().any(|(index, &word)| word & !tried.word(index) != 0)
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.iter().map(|&count| u64::from(count)).sum()
    }

    /// Takes a place in the queue for an endpoint; false if it is full.
    pub fn try_queue(&mut self) -> bool {
        self.queue.try_queue()
    }

    /// Leaves the queue, be it with a permit (`Ask::queued`) or without.
    pub fn leave_queue(&mut self) {
        self.queue.leave_queue();
    }

    /// This core's share of the queue.
    pub fn queue(&self) -> &Share {
        &self.queue
    }

    /// Requests in the queue.
    pub fn waiting(&self) -> u32 {
        self.queue.waiting()
    }

    /// Whether health is ignored because too few endpoints are healthy.
    pub fn is_panicking(&self) -> bool {
        self.panicking
    }

    fn members(&self) -> Vec<Member> {
        let member = |slot: &Option<Endpoint>| {
            slot.as_ref().filter(|endpoint| !endpoint.leaving).map_or(Member::default(), |endpoint| endpoint.member())
        };
        self.slots.iter().map(member).collect()
    }

    fn arrange(&mut self) {
        let members = self.members();
        self.balance.arrange(&members);
        // A weight that none has: the refresh that follows tells the strategy all of them.
        self.weights.fill(u32::MAX);
    }
}

fn retry_settings(settings: &config::Upstream, switches: Switches) -> config::Retry {
    if switches.retries { settings.retry.clone() } else { config::Retry { budget_percent: 0, budget_min: 0, ..settings.retry.clone() } }
}

#[cfg(test)]
mod tests;
