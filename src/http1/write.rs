//! Small pieces of messages, written without allocating.

/// The last chunk's size line; trailers and an empty line follow.
pub const LAST_CHUNK_SIZE: &[u8] = b"0\r\n";

/// What ends a line, and a chunk's data.
pub const LINE_END: &[u8] = b"\r\n";

/// The longest size line: 16 hexadecimal digits and a line end.
pub const CHUNK_PREFIX_MAX: usize = 18;

/// A chunk's size line. The length must not be 0: that would be the last chunk.
#[inline]
pub fn chunk_prefix(length: usize, buf: &mut [u8; CHUNK_PREFIX_MAX]) -> &[u8] {
    debug_assert!(length > 0);
    let mut at = 16;
    let mut rest = length as u64;
    buf[16..].copy_from_slice(LINE_END);
    loop {
        at -= 1;
        buf[at] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
        if rest == 0 {
            return &buf[at..];
        }
    }
}

/// Appends data as a chunk; none is no chunk.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        out.extend_from_slice(chunk_prefix(data.len(), &mut [0; CHUNK_PREFIX_MAX]));
        out.extend_from_slice(data);
        out.extend_from_slice(LINE_END);
    }
}

/// Ends a chunked body, with these trailer lines.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(LAST_CHUNK_SIZE);
    out.extend_from_slice(trailers);
    out.extend_from_slice(LINE_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_data_is_no_chunk() {
        let mut out = Vec::new();
        write_chunk(&mut out, b"");
        write_chunk(&mut out, b"0123456789abcdef");
        assert_eq!(out, b"10\r\n0123456789abcdef\r\n");
    }

    #[test]
    fn numbers_are_those_the_standard_library_writes() {
        let edges = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]).chain([u64::MAX, 9, 10, 99, 100]);
        for number in edges {
            if number > 0 {
                assert_eq!(chunk_prefix(number as usize, &mut [0; 18]), format!("{number:x}\r\n").as_bytes());
            }
        }
    }
}
