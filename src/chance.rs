//! Numbers by chance (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>): for spreading, not for secrets.

use std::cell::Cell;

/// A source of numbers.
#[derive(Debug)]
pub struct Chance(Cell<u64>);

impl Chance {
    /// A source that begins here.
    pub const fn new(seed: u64) -> Self {
        Chance(Cell::new(seed))
    }

    /// The next number, evenly spread over all 64 bits.
    #[inline]
    pub fn draw(&self) -> u64 {
        let state = self.0.get();
        self.0.set(state.wrapping_add(STEP));
        mix(state)
    }
}

/// Scrambles a number so that close ones end up far apart. A bijection.
#[inline]
pub const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(STEP);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
