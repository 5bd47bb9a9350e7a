//! Turns by weight on a line of virtual time: stride scheduling (Waldspurger and Weihl, "Stride Scheduling", 1995).
//!
//! A slot's turns are one stride apart, and a stride is the longer the less a slot weighs. The turns of all slots, in the
//! order of their times, are as smooth a mix as the one that nginx makes, without visiting each slot for each pick. A weight
//! that changes stretches what is left of the stride, so that nobody gains or loses a turn by it (section 3.2 there).

use super::Seat;

/// When it is whose turn.
#[derive(Debug)]
pub(super) struct Turns {
    seat: Seat,
    /// The time of the last turn taken.
    now: u64,
    /// By slot: time between two turns; 0 for one that has none.
    strides: Vec<u64>,
    /// By slot: the time of its next turn.
    dues: Vec<u64>,
}

impl Turns {
    pub fn new(seat: Seat) -> Self {
        Turns { seat, now: 0, strides: Vec::new(), dues: Vec::new() }
    }

    /// The time of a slot's next turn.
    #[inline]
    pub fn due(&self, slot: u32) -> u64 {
        self.dues[slot as usize]
    }

    /// Takes a slot's turn, be it due or not. One that was passed over for a while doesn't make up for what it missed.
    #[inline]
    pub fn take(&mut self, slot: u32) {
        let slot = slot as usize;
        if self.strides[slot] > 0 {
            self.now = self.now.max(self.dues[slot]);
            self.dues[slot] = self.now + self.strides[slot];
        }
    }

    /// Takes over changed weights; time begins at 0 again.
    pub fn reweigh(&mut self, weights: &[u32]) {
        self.strides.resize(weights.len(), 0);
        self.dues.resize(weights.len(), NEVER);
        let heaviest = u64::from(weights.iter().copied().max().unwrap_or(0));
        let stride_of = |weight: u32| if weight == 0 { 0 } else { SHORTEST * heaviest / u64::from(weight) };
        let longest = weights.iter().map(|&weight| stride_of(weight)).max().unwrap_or(0);
        // Cores enter the same schedule at different places.
        let start = longest * u64::from(self.seat.core) / u64::from(self.seat.cores.max(1));
        let (slots, step) = (weights.len() as u64, coprime_near_golden(weights.len() as u64));
        for (slot, &weight) in weights.iter().enumerate() {
            let (before, stride) = (self.strides[slot], stride_of(weight));
            self.dues[slot] = if stride == 0 {
                NEVER
            } else if before == 0 {
                // First turns are spread over the stride, so that many light slots don't all come at once.
                let place = slot as u64 * step % slots;
                let first = (u128::from(stride) * u128::from(2 * place + 1) / u128::from(2 * slots)) as u64;
                (first + stride - start % stride) % stride
            } else {
                let left = self.dues[slot].saturating_sub(self.now);
                (u128::from(left) * u128::from(stride) / u128::from(before)) as u64
            };
            self.strides[slot] = stride;
        }
        self.now = 0;
    }
}

/// Steps of this size visit all of `slots` places in a circle, each far from the one before.
fn coprime_near_golden(slots: u64) -> u64 {
    let golden = slots * 618 / 1000;
    (golden.max(1)..).find(|&step| gcd(step, slots) <= 1).unwrap_or(1)
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The time at which nobody has a turn.
pub(super) const NEVER: u64 = u64::MAX;

/// The stride of the heaviest slot. Time advances by at most so much a turn: it lasts for 2^48 of them.
const SHORTEST: u64 = 1 << 16;
