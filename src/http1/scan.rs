//! The quick pass over a head's bytes: sixteen at a time to the first byte that isn't like those before it.
//!
//! Each function answers where that byte is, or the number of bytes if there is none. What SSE2, which every x86-64 has, does
//! to sixteen bytes, other machines do one by one.

use crate::http::is_token_byte;

/// The end of the token that begins at `at`.
#[inline]
pub(super) fn token(bytes: &[u8], at: usize) -> usize {
    // Most names are letters, digits and hyphens, shorter than a block, and end with a colon.
    let at = block(bytes, at).map_or(at, |block| at + block.plain());
    if bytes.get(at) == Some(&b':') { at } else { rest_of_token(bytes, at) }
}

#[inline(never)]
fn rest_of_token(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().position(|&byte| !TOKENS[byte as usize]).unwrap_or(bytes.len() - at)
}

/// The end of the visible ASCII characters that begin at `at`.
#[inline]
pub(super) fn visible(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = block(bytes, at) {
        let visible = block.visible();
        at += visible;
        if visible < BLOCK {
            return at;
        }
    }
    at + bytes[at..].iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(bytes.len() - at)
}

/// The end of a field value, or of what can be one, that begins at `at`: a line end or another control byte.
#[inline]
pub(super) fn value(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = block(bytes, at) {
        let printable = block.printable();
        at += printable;
        if printable < BLOCK {
            if bytes[at] != b'\t' {
                return at;
            }
            at += 1;
        }
    }
    at + bytes[at..].iter().position(|&byte| byte.is_ascii_control() && byte != b'\t').unwrap_or(bytes.len() - at)
}

#[inline]
fn block(bytes: &[u8], at: usize) -> Option<Block> {
    bytes.get(at..at + BLOCK).and_then(<[u8]>::first_chunk).map(Block::new)
}

const BLOCK: usize = 16;

/// What a core's instructions for sixteen bytes at once save: about 1,500 of a request's 15,000 instructions.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod wide {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_max_epu8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };

    /// Sixteen bytes. Each function counts those at the front that are of its kind.
    #[derive(Clone, Copy)]
    pub(super) struct Block(__m128i);

    impl Block {
        #[inline]
        pub(super) fn new(bytes: &[u8; 16]) -> Self {
            let bits = u128::from_le_bytes(*bytes);
            // SAFETY: every x86-64 has SSE2. So do the other calls in this module.
            Block(unsafe { _mm_set_epi64x((bits >> 64) as i64, bits as i64) })
        }

        /// Letters, digits and hyphens.
        #[inline]
        pub(super) fn plain(self) -> usize {
            // SAFETY: see `new`.
            (!unsafe { plain(self.0) }).trailing_zeros() as usize
        }

        /// Visible ASCII.
        #[inline]
        pub(super) fn visible(self) -> usize {
            // SAFETY: see `new`.
            (!unsafe { visible(self.0) }).trailing_zeros() as usize
        }

        /// All but control bytes.
        #[inline]
        pub(super) fn printable(self) -> usize {
            // SAFETY: see `new`.
            (!unsafe { printable(self.0) }).trailing_zeros() as usize
        }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn plain(block: __m128i) -> u32 {
        let letters = within(_mm_or_si128(block, _mm_set1_epi8(0x20)), b'a', b'z');
        let others = _mm_or_si128(within(block, b'0', b'9'), within(block, b'-', b'-'));
        _mm_movemask_epi8(_mm_or_si128(letters, others)) as u32
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn visible(block: __m128i) -> u32 {
        _mm_movemask_epi8(within(block, b'!', b'~')) as u32
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn printable(block: __m128i) -> u32 {
        _mm_movemask_epi8(_mm_or_si128(within(block, b' ', b'~'), within(block, 0x80, 0xff))) as u32
    }

    /// Ones where a byte is in this range.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn within(block: __m128i, low: u8, high: u8) -> __m128i {
        let clamped = _mm_min_epu8(_mm_max_epu8(block, _mm_set1_epi8(low as i8)), _mm_set1_epi8(high as i8));
        _mm_cmpeq_epi8(clamped, block)
    }
}

#[cfg(any(not(target_arch = "x86_64"), test))]
mod narrow {
    /// Sixteen bytes. Each function counts those at the front that are of its kind.
    #[derive(Clone, Copy)]
    pub(super) struct Block([u8; 16]);

    impl Block {
        pub(super) fn new(bytes: &[u8; 16]) -> Self {
            Block(*bytes)
        }

        /// Letters, digits and hyphens.
        pub(super) fn plain(self) -> usize {
            self.count(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }

        /// Visible ASCII.
        pub(super) fn visible(self) -> usize {
            self.count(|byte| byte.is_ascii_graphic())
        }

        /// All but control bytes.
        pub(super) fn printable(self) -> usize {
            self.count(|byte| !byte.is_ascii_control())
        }

        fn count(self, kind: impl Fn(u8) -> bool) -> usize {
            self.0.iter().position(|&byte| !kind(byte)).unwrap_or(16)
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
use narrow::Block;
#[cfg(target_arch = "x86_64")]
use wide::Block;

static TOKENS: [bool; 256] = {
    let mut tokens = [false; 256];
    let mut byte = 0;
    while byte < tokens.len() {
        tokens[byte] = is_token_byte(byte as u8);
        byte += 1;
    }
    tokens
};

#[cfg(test)]
mod tests {
    use proptest::array::uniform16;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_and_bytes_agree(bytes in vec(prop_oneof![8 => 0x1f..0x81u8, 1 => any::<u8>()], 0..60), start in 0..60usize) {
            let start = start.min(bytes.len());
            let end = |is_end: &dyn Fn(u8) -> bool| bytes[start..].iter().position(|&b| is_end(b)).map_or(bytes.len(), |at| start + at);
            prop_assert_eq!(visible(&bytes, start), end(&|b| !(0x21..0x7f).contains(&b)));
            prop_assert_eq!(value(&bytes, start), end(&|b| (b < 0x20 && b != b'\t') || b == 0x7f));
            prop_assert_eq!(token(&bytes, start), end(&|b| !is_token_byte(b)));
        }

        #[test]
        fn wide_and_narrow_agree(bytes in uniform16(prop_oneof![40 => b'a'..=b'z', 20 => b'!'..=b'~', 1 => any::<u8>()])) {
            let (here, narrow) = (Block::new(&bytes), narrow::Block::new(&bytes));
            prop_assert_eq!(here.plain(), narrow.plain());
            prop_assert_eq!(here.visible(), narrow.visible());
            prop_assert_eq!(here.printable(), narrow.printable());
        }
    }

    #[test]
    fn every_byte_is_of_one_kind_in_both() {
        for byte in 0..=255 {
            let (here, narrow) = (Block::new(&[byte; 16]), narrow::Block::new(&[byte; 16]));
            assert_eq!((here.plain(), here.visible(), here.printable()), (narrow.plain(), narrow.visible(), narrow.printable()), "{byte}");
        }
    }
}
