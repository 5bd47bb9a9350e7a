//! One after the other, whatever their weights.

use super::{Balance, Choice, Entry, Member, Ramp, Seat};
use crate::config::Strategy;

pub(super) const ENTRY: Entry = Entry {
    strategy: Strategy::RoundRobin,
    make: |seat, _| Box::new(RoundRobin { seat, next: None, slots: 0 }),
    ramp: Ramp::Chance,
    tracks_load: false,
    tracks_latency: false,
    weighted: false,
};

#[derive(Debug)]
struct RoundRobin {
    seat: Seat,
    /// The slot whose turn it is; none before the first arrangement.
    next: Option<u32>,
    slots: u32,
}

impl Balance for RoundRobin {
    #[inline]
    fn pick(&mut self, choice: &Choice<'_>) -> Option<u32> {
        let slot = choice.next_from(self.next.unwrap_or(0))?;
        self.next = Some(if slot + 1 >= self.slots { 0 } else { slot + 1 });
        Some(slot)
    }

    fn arrange(&mut self, members: &[Member]) {
        self.slots = members.len() as u32;
        // The turn goes on where it was: those behind the cursor have just been served.
        if self.next.is_none() {
            self.next = Some(self.seat.offset(members.len()) as u32);
        }
    }
}
