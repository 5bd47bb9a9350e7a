//! The quick pass over a head's bytes: eight at a time to the first byte that isn't like those before it.
//!
//! Each function answers where that byte is, or the number of bytes if there is none. Of a word's flagged bytes only the
//! lowest is exact, as a subtraction may borrow from the ones above; the lowest is the one that is asked for.

use super::grammar::is_token;

/// The end of the token that begins at `at`.
#[inline]
pub(super) fn token(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().position(|&byte| !TOKENS[byte as usize]).unwrap_or(bytes.len() - at)
}

/// The end of the visible ASCII characters that begin at `at`.
#[inline]
pub(super) fn visible(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, |word| below(word, b'!') | equal(word, DELETE) | (word & HIGH), |byte| !byte.is_ascii_graphic())
}

/// The end of a field value, or of what can be one, that begins at `at`: a line end or another control byte.
#[inline]
pub(super) fn value(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at = find(bytes, at, |word| below(word, b' ') | equal(word, DELETE), |byte| byte.is_ascii_control());
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

#[inline(always)]
fn find(bytes: &[u8], mut at: usize, flag: impl Fn(u64) -> u64, is_end: impl Fn(u8) -> bool) -> usize {
    while let Some(word) = bytes[at..].first_chunk() {
        let flags = flag(u64::from_le_bytes(*word));
        if flags != 0 {
            return at + (flags.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + bytes[at..].iter().position(|&byte| is_end(byte)).unwrap_or(bytes.len() - at)
}

/// Flags the bytes below `limit`, which is at most 128.
#[inline(always)]
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(EACH * limit as u64) & !word & HIGH
}

/// Flags the bytes that are `byte`.
#[inline(always)]
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (EACH * byte as u64), 1)
}

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const DELETE: u8 = 0x7f;

static TOKENS: [bool; 256] = {
    let mut tokens = [false; 256];
    let mut byte = 0;
    while byte < tokens.len() {
        tokens[byte] = is_token(byte as u8);
        byte += 1;
    }
    tokens
};

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_and_bytes_agree(bytes in vec(prop_oneof![8 => 0x1f..0x81u8, 1 => any::<u8>()], 0..40), start in 0..40usize) {
            let start = start.min(bytes.len());
            let end = |is_end: &dyn Fn(u8) -> bool| bytes[start..].iter().position(|&b| is_end(b)).map_or(bytes.len(), |at| start + at);
            prop_assert_eq!(visible(&bytes, start), end(&|b| !(0x21..0x7f).contains(&b)));
            prop_assert_eq!(value(&bytes, start), end(&|b| (b < 0x20 && b != b'\t') || b == 0x7f));
            prop_assert_eq!(token(&bytes, start), end(&|b| !is_token(b)));
        }
    }
}
