//! Ranges of bytes, looked at many at a time.

/// Whether all bytes are from `low`, which is ASCII, to `~`; eight at a time.
pub fn is_within(bytes: &[u8], low: u8) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The highest bit of a byte that is above, has it by one more, or by being less than nothing.
    let outside = |word: u64| (word | word.wrapping_add(ONES) | word.wrapping_sub(ONES * u64::from(low))) & (ONES << 7);
    let (words, rest) = bytes.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | outside(u64::from_le_bytes(*word)));
    match bytes.last_chunk::<8>() {
        Some(last) => found | outside(u64::from_le_bytes(*last)) == 0,
        None => rest.iter().all(|byte| (low..=b'~').contains(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_within_as_each_of_them_is() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = byte;
                    assert_eq!(is_within(&bytes, b'!'), byte.is_ascii_graphic(), "{byte:#x} at {at} of {length}");
                    assert_eq!(is_within(&bytes, b' '), matches!(byte, b' '..=b'~'), "{byte:#x} at {at} of {length}");
                }
            }
        }
    }
}
