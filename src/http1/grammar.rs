//! The character classes of RFC 9110 section 5.6 and RFC 9112 that more than one place needs.

/// Whether a byte is a control byte that may stand nowhere in a head: all but the horizontal tab.
#[inline]
pub(super) const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Whether a byte is white space within a line.
#[inline]
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The value without white space at its ends.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|&b| !is_space(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|&b| !is_space(b)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// The elements of a comma-separated list, trimmed; empty ones too.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim)
}
