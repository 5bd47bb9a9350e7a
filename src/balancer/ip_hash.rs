//! By the client's address on a ring: the same client gets the same endpoint, however busy it is, as long as it may be used.
//! When an endpoint goes, only its clients move.

use super::ring_hash::Ring;
use super::{Balance, Choice, Entry, Member, Ramp};
use crate::config::Strategy;

pub(super) const ENTRY: Entry = Entry {
    strategy: Strategy::IpHash,
    make: |_, _| Box::new(IpHash::default()),
    ramp: Ramp::Client,
    tracks_load: false,
    tracks_latency: false,
    weighted: false,
};

#[derive(Debug, Default)]
struct IpHash {
    ring: Ring,
}

impl Balance for IpHash {
    #[inline]
    fn pick(&mut self, choice: &Choice<'_>) -> Option<u32> {
        // No bound on the load: who goes by clients keeps sessions there.
        self.ring.pick(choice, choice.client, f64::INFINITY)
    }

    fn arrange(&mut self, members: &[Member]) {
        self.ring.arrange(members);
    }
}
