//! The layout of an HDR histogram (Tene, <https://hdrhistogram.org>) as plain cells: a law holds it to the hdrhistogram crate's.
//!
//! Times up to 255 µs have a cell each; each octave above that has 128, so that a cell is never wider than 1/128 of its times.

use hdrhistogram::Histogram;

/// The longest time told apart, in microseconds: a minute. Longer ones count as this.
pub const MAX_MICROS: u32 = 60_000_000;
/// Cells of a histogram.
pub const BINS: usize = 20 << 7;

/// The cell of so many microseconds.
#[inline]
pub const fn bin(micros: u32) -> usize {
    let micros = if micros < MAX_MICROS { micros } else { MAX_MICROS };
    let shift = 24 - (micros | 0xff).leading_zeros();
    ((shift << 7) + (micros >> shift)) as usize
}

/// The least time that falls into a cell, in microseconds.
pub const fn lowest(bin: usize) -> u64 {
    let shift = (bin >> 7).saturating_sub(1);
    ((bin - (shift << 7)) as u64) << shift
}

/// The greatest time that falls into a cell, in microseconds.
pub const fn highest(bin: usize) -> u64 {
    lowest(bin) + (1 << (bin >> 7).saturating_sub(1)) - 1
}

/// An empty histogram of the same layout: 1 µs to a minute, two digits.
pub fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_MICROS.into(), 2).expect("the bounds are valid")
}

/// These cells as a histogram.
pub fn histogram(cells: impl IntoIterator<Item = (usize, u64)>) -> Histogram<u64> {
    let mut histogram = empty();
    for (bin, count) in cells {
        if count > 0 {
            histogram.record_n(lowest(bin), count).expect("all cells are within its bounds");
        }
    }
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_those_of_the_crate() {
        let mut reference = empty();
        let edges = (0..26).flat_map(|bit| [(1u32 << bit) - 1, 1 << bit, (1 << bit) + (1 << bit) / 3]);
        for micros in (0..70_000).chain(edges).chain([MAX_MICROS - 1, MAX_MICROS]).chain((0..9_000).map(|step| step * 6_661)) {
            assert_eq!(lowest(bin(micros)), reference.lowest_equivalent(micros.into()), "{micros} µs");
            assert_eq!(highest(bin(micros)), reference.highest_equivalent(micros.into()), "{micros} µs");
            assert!(bin(micros) < BINS);
            reference.record(micros.into()).unwrap();
        }
        assert_eq!(reference.distinct_values(), BINS);
        assert_eq!((bin(u32::MAX), bin(MAX_MICROS)), (bin(MAX_MICROS), bin(MAX_MICROS)));
    }

    #[test]
    fn a_histogram_has_what_its_cells_have() {
        let (cells, mut straight) = ([(bin(0), 3), (bin(300), 2), (bin(41_000_000), 1)], empty());
        straight.record_n(0, 3).unwrap();
        straight.record_n(300, 2).unwrap();
        straight.record(41_000_000).unwrap();
        assert_eq!(histogram(cells), straight);
    }
}
