//! Framing a decoded chunked body anew, within the buffer it was received in: the frame goes before and after the data.

use crate::error::Reason;
use crate::http1::Chunked;

/// Bytes to leave free at a buffer's front: 16 hexadecimal digits and a line end.
pub(super) const FRONT: usize = 18;

/// What to send of a buffer.
pub(super) struct Piece {
    /// The first byte to send; the buffer's end is the last.
    pub from: usize,
    /// Decoded bytes in it.
    pub data: usize,
    /// The body is complete.
    pub done: bool,
}

/// Decodes what stands after [`FRONT`] and frames it as one chunk, or leaves it bare. What follows the body goes to `rest`.
pub(super) fn reframe(decoder: &mut Chunked, buf: &mut Vec<u8>, chunked: bool, rest: &mut Vec<u8>) -> Result<Piece, Reason> {
    let decoded = decoder.decode(&mut buf[FRONT..])?;
    if decoded.done {
        rest.extend_from_slice(&buf[FRONT + decoded.consumed..]);
    }
    buf.truncate(FRONT + decoded.data);
    let from = if chunked { frame(buf, decoded.data) } else { FRONT };
    if chunked && decoded.done {
        finish(buf, decoder.trailers());
    }
    Ok(Piece { from, data: decoded.data, done: decoded.done })
}

/// Makes the bytes after [`FRONT`] one chunk; returns where it begins.
pub(super) fn frame(buf: &mut Vec<u8>, data: usize) -> usize {
    if data == 0 {
        return FRONT;
    }
    let mut at = FRONT - 2;
    buf[at..FRONT].copy_from_slice(b"\r\n");
    let mut left = data;
    while left > 0 {
        at -= 1;
        buf[at] = b"0123456789abcdef"[left & 15];
        left >>= 4;
    }
    buf.extend_from_slice(b"\r\n");
    at
}

/// Ends a chunked body.
pub(super) fn finish(buf: &mut Vec<u8>, trailers: &[u8]) {
    buf.extend_from_slice(b"0\r\n");
    buf.extend_from_slice(trailers);
    buf.extend_from_slice(b"\r\n");
}
