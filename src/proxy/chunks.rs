//! Framing a decoded chunked body anew, within the buffer it was received in: the frame goes before and after the data.

use crate::error::Reason;
use crate::http1::{Chunked, write};

/// Bytes to leave free at a buffer's front: for a chunk's size line.
pub(super) const FRONT: usize = write::CHUNK_PREFIX_MAX;

/// What to send of a buffer.
pub(super) struct Piece {
    /// The first byte to send; the buffer's end is the last.
    pub from: usize,
    /// Decoded bytes in it.
    pub data: usize,
    /// The body is complete.
    pub done: bool,
}

/// Decodes what stands after [`FRONT`] and frames it as one chunk, or leaves it bare; trailers of names that `drops` has are left out. What
/// follows the body goes to `rest`.
pub(super) fn reframe(
    decoder: &mut Chunked,
    buf: &mut Vec<u8>,
    chunked: bool,
    rest: &mut Vec<u8>,
    drops: impl Fn(&[u8]) -> bool,
) -> Result<Piece, Reason> {
    let decoded = decoder.decode(&mut buf[FRONT..])?;
    if decoded.done {
        rest.extend_from_slice(&buf[FRONT + decoded.consumed..]);
    }
    buf.truncate(FRONT + decoded.data);
    let from = if chunked { frame(buf, decoded.data) } else { FRONT };
    if chunked && decoded.done {
        decoder.drop_trailers(drops);
        write::write_last_chunk(buf, decoder.trailers());
    }
    Ok(Piece { from, data: decoded.data, done: decoded.done })
}

/// Makes the bytes after [`FRONT`] one chunk; returns where it begins.
pub(super) fn frame(buf: &mut Vec<u8>, data: usize) -> usize {
    if data == 0 {
        return FRONT;
    }
    let mut prefix = [0; FRONT];
    let prefix = write::chunk_prefix(data, &mut prefix);
    let at = FRONT - prefix.len();
    buf[at..FRONT].copy_from_slice(prefix);
    buf.extend_from_slice(write::LINE_END);
    at
}
