//! One core's share of a concurrency limit: so many in flight, so many waiting.

use super::initial_share;

/// One core's share of a concurrency limit and of its queue.
///
/// `take` and `give` come in pairs, as do `queue` and `leave_queue` or `take_queued`. A share that shrinks below what is in
/// flight cuts nothing: nothing more is taken until enough was given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    version: u64,
    limit: u32,
    queue: u32,
    /// Whether the settings have a queue at all: a share of it may be 0 all the same.
    has_queue: bool,
    in_flight: u32,
    waiting: u32,
    /// The most in flight and waiting since the last claim.
    peak: u32,
    /// The most waiting since the last claim.
    peak_waiting: u32,
    /// Turned away since the last claim.
    refused: u32,
}

/// What a core holds and needs, as it tells the coordinator: a snapshot, the newest one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The newest grant that this share has taken over; 0 if it still is the initial share.
    pub version: u64,
    /// What it may have in flight.
    pub limit: u32,
    /// What it may have waiting.
    pub queue: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests waiting.
    pub waiting: u32,
    /// The most it could have used at once since the last claim, at least what is in flight.
    pub demand: u32,
    /// The most that could have waited at once since the last claim, at least what is waiting.
    pub queue_demand: u32,
}

/// What the coordinator lets a core use: a snapshot, older versions than the newest seen are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Grows with each grant.
    pub version: u64,
    /// Requests in flight; [`Share::UNLIMITED`] is no limit, 0 is none at all.
    pub limit: u32,
    /// Requests waiting.
    pub queue: u32,
}

impl Share {
    /// The limit of a share that has none.
    pub const UNLIMITED: u32 = u32::MAX;

    /// This core's first share of a setting in which 0 means no limit; `queue` is the setting of the queue before it.
    pub fn new(limit: u32, queue: u32, core: u32, cores: u32) -> Self {
        let mut share = Share::of(0, first_queue(queue, core, cores));
        share.has_queue = queue > 0;
        share.limit = first_limit(limit, core, cores);
        share
    }

    /// A share of exactly so much; here a limit of 0 lets nothing through.
    pub const fn of(limit: u32, queue: u32) -> Self {
        Share { version: 0, limit, queue, has_queue: queue > 0, in_flight: 0, waiting: 0, peak: 0, peak_waiting: 0, refused: 0 }
    }

    /// Takes over changed settings. A share that was limited and stays so keeps its size: the coordinator moves it to the new
    /// total. One that becomes limited begins with its initial share. The same goes for the queue.
    pub fn reconfigure(&mut self, limit: u32, queue: u32, core: u32, cores: u32) {
        if limit == 0 {
            self.limit = Share::UNLIMITED;
        } else if self.limit == Share::UNLIMITED {
            self.limit = first_limit(limit, core, cores);
            self.version = 0;
        }
        if !self.has_queue || queue == 0 {
            self.queue = first_queue(queue, core, cores);
        }
        self.has_queue = queue > 0;
    }

    /// Becomes a first share again, as of a limit that was gone and has come back; what is in flight stays counted.
    pub fn begin_again(&mut self, limit: u32, queue: u32, core: u32, cores: u32) {
        self.version = 0;
        self.limit = first_limit(limit, core, cores);
        self.queue = first_queue(queue, core, cores);
        self.has_queue = queue > 0;
    }

    /// Takes one slot, unless the share is used up or others have waited for longer.
    #[inline]
    pub fn try_take(&mut self) -> bool {
        if self.in_flight >= self.limit || self.waiting > 0 {
            return false;
        }
        self.take();
        true
    }

    /// Takes one slot for a request that waits: it leaves the queue with it. The caller asks for the one that waited longest.
    pub fn take_queued(&mut self) -> bool {
        assert!(self.waiting > 0, "nobody waits");
        if self.in_flight >= self.limit {
            return false;
        }
        self.waiting -= 1;
        self.take();
        true
    }

    #[inline]
    fn take(&mut self) {
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight + self.waiting);
    }

    /// Gives a taken slot back.
    ///
    /// # Panics
    ///
    /// If none was taken.
    #[inline]
    pub fn give(&mut self) {
        self.in_flight = self.in_flight.checked_sub(1).expect("gave back a slot that was not taken");
    }

    /// Takes a place in the queue; false if it is full, which counts as demand.
    pub fn try_queue(&mut self) -> bool {
        if self.waiting >= self.queue {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        self.waiting += 1;
        self.peak_waiting = self.peak_waiting.max(self.waiting);
        self.peak = self.peak.max(self.in_flight + self.waiting);
        true
    }

    /// Leaves the queue without a slot: the deadline has passed or the client has left.
    ///
    /// # Panics
    ///
    /// If nobody waits.
    pub fn leave_queue(&mut self) {
        self.waiting = self.waiting.checked_sub(1).expect("left a queue that was empty");
    }

    /// Slots that can be taken at once.
    #[inline]
    pub const fn free(&self) -> u32 {
        self.limit.saturating_sub(self.in_flight)
    }

    /// Requests in flight.
    #[inline]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Requests waiting.
    #[inline]
    pub const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// What may be in flight; [`Share::UNLIMITED`] is no limit.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Whether it is part of a limit.
    pub const fn is_limited(&self) -> bool {
        self.limit != Share::UNLIMITED
    }

    /// Takes over what the coordinator grants, unless a newer grant was seen.
    pub fn apply(&mut self, grant: Grant) {
        if grant.version <= self.version {
            return;
        }
        self.version = grant.version;
        self.queue = grant.queue;
        // A share without a limit is one by its settings: a grant from before that must not bring it back.
        if self.is_limited() {
            self.limit = grant.limit;
        }
    }

    /// What to tell the coordinator; begins a new span of demand.
    pub fn claim(&mut self) -> Claim {
        let claim = Claim {
            version: self.version,
            limit: self.limit,
            queue: self.queue,
            in_flight: self.in_flight,
            waiting: self.waiting,
            demand: self.peak.saturating_add(self.refused),
            queue_demand: self.peak_waiting.saturating_add(self.refused),
        };
        self.peak = self.in_flight + self.waiting;
        self.peak_waiting = self.waiting;
        self.refused = 0;
        claim
    }
}

const fn first_limit(limit: u32, core: u32, cores: u32) -> u32 {
    if limit == 0 { Share::UNLIMITED } else { initial_share(limit, core, cores) }
}

/// The remainder goes to the last cores, as that of the limit goes to the first: a core without a slot is likelier to have a
/// place to wait for one.
const fn first_queue(queue: u32, core: u32, cores: u32) -> u32 {
    initial_share(queue, cores - 1 - core, cores)
}
