//! The chunked coding (RFC 9112 section 7.1), decoded in place, split anywhere.
//!
//! ```text
//!          +--------------- DataEnd <-- Data <-------+
//!          v                                         | size > 0
//! --> Size --> Extension --> SizeEnd ----------------+
//!          |                    ^                    | size = 0
//!          +--------------------+                    v
//!                                    Done <-- End <-- Trailer
//! ```

use memchr::memchr;

use super::grammar::is_control;
use super::{Limits, trailers};
use crate::error::Reason;

/// Decoder of one chunked body at a time.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    /// Digits of this chunk's size so far.
    digits: u8,
    /// Of the chunk's data, what is to come; while its size is read, the size so far.
    left: u64,
    /// Bytes of this chunk's extensions, or of the trailers so far.
    extra: usize,
    extension_max: usize,
    trailers_max: usize,
    /// Whole trailer lines that are kept, then the one being received.
    trailers: Vec<u8>,
    /// Where the line being received starts.
    line: usize,
}

/// What one call decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the body, which are the buffer's first.
    pub data: usize,
    /// Bytes of the buffer that are used up: all of them, unless the body is done.
    pub consumed: usize,
    /// The body has ended.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the size's digits, or before them.
    Size,
    /// After a `;`.
    Extension,
    /// After the carriage return of a size line.
    SizeEnd,
    Data,
    /// After a chunk's data.
    DataEnd,
    /// After the carriage return after a chunk's data.
    DataEndLf,
    /// In a trailer line, or before it.
    Trailer,
    /// After the carriage return of the last, empty line.
    End,
    Done,
}

impl Chunked {
    /// A decoder at the start of a body.
    pub fn new(limits: &Limits) -> Chunked {
        Chunked {
            state: State::Size,
            digits: 0,
            left: 0,
            extra: 0,
            extension_max: limits.chunk_extension,
            trailers_max: limits.trailers,
            trailers: Vec::new(),
            line: 0,
        }
    }

    /// Back to the start of a body. Keeps its memory.
    pub fn reset(&mut self) {
        self.state = State::Size;
        (self.digits, self.left, self.extra, self.line) = (0, 0, 0, 0);
        self.trailers.clear();
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer fields that may be forwarded, once the body is done: each `Name: value` and a line end.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers[..self.line]
    }

    /// Leaves out the trailer fields of these names, once the body is done.
    pub fn drop_trailers(&mut self, drops: impl Fn(&[u8]) -> bool) {
        let (mut at, mut kept) = (0, 0);
        while let Some(length) = memchr(b'\n', &self.trailers[at..self.line]) {
            let end = at + length + 1;
            let colon = memchr(b':', &self.trailers[at..end]).expect("kept lines are fields");
            if !drops(&self.trailers[at..at + colon]) {
                self.trailers.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
        }
        self.trailers.truncate(kept);
        self.line = kept;
    }

    /// Decodes the next bytes of the body. The data is moved to the start of `buf`.
    ///
    /// After an error the body can't be continued. Errors are named as a request's; `as_response` names them as a
    /// response's.
    pub fn decode(&mut self, buf: &mut [u8]) -> Result<Decoded, Reason> {
        let (mut at, mut data) = (0, 0);
        while at < buf.len() {
            match self.state {
                State::Size => at = self.on_size(buf, at)?,
                State::Extension => at = self.on_extension(buf, at)?,
                State::SizeEnd => {
                    if buf[at] != b'\n' {
                        return Err(Reason::BareCr);
                    }
                    at += 1;
                    self.extra = 0;
                    self.digits = 0;
                    self.state = if self.left == 0 { State::Trailer } else { State::Data };
                }
                State::Data => {
                    let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len() - at);
                    if data != at {
                        buf.copy_within(at..at + length, data);
                    }
                    data += length;
                    at += length;
                    self.left -= length as u64;
                    if self.left == 0 {
                        self.state = State::DataEnd;
                    }
                }
                State::DataEnd => at = self.on_end(buf, at, b'\r', State::DataEndLf)?,
                State::DataEndLf => at = self.on_end(buf, at, b'\n', State::Size)?,
                State::Trailer => at = self.on_trailer(buf, at)?,
                State::End => {
                    if buf[at] != b'\n' {
                        return Err(Reason::BadTrailer);
                    }
                    at += 1;
                    self.state = State::Done;
                }
                State::Done => break,
            }
        }
        Ok(Decoded { data, consumed: at, done: self.state == State::Done })
    }

    #[inline]
    fn on_size(&mut self, buf: &[u8], mut at: usize) -> Result<usize, Reason> {
        while let Some(&byte) = buf.get(at) {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                b'A'..=b'F' => byte - b'A' + 10,
                _ if self.digits == 0 => return Err(Reason::BadChunkSize),
                b'\r' => {
                    self.state = State::SizeEnd;
                    return Ok(at + 1);
                }
                b';' => {
                    self.state = State::Extension;
                    return Ok(at);
                }
                b'\n' => return Err(Reason::BareLf),
                _ => return Err(Reason::BadChunkSize),
            };
            if self.digits == SIZE_DIGITS_MAX {
                return Err(Reason::BadChunkSize);
            }
            self.digits += 1;
            self.left = self.left << 4 | u64::from(digit);
            at += 1;
        }
        Ok(at)
    }

    /// Skips extensions: the gateway knows none, and a recipient must ignore those it doesn't know.
    #[cold]
    fn on_extension(&mut self, buf: &[u8], mut at: usize) -> Result<usize, Reason> {
        while let Some(&byte) = buf.get(at) {
            match byte {
                b'\r' => {
                    self.state = State::SizeEnd;
                    return Ok(at + 1);
                }
                _ if self.extra == self.extension_max => return Err(Reason::ChunkExtensionTooLong),
                b'\n' => return Err(Reason::BareLf),
                _ if is_control(byte) => return Err(Reason::ControlByte),
                _ => {}
            }
            self.extra += 1;
            at += 1;
        }
        Ok(at)
    }

    #[inline]
    fn on_end(&mut self, buf: &[u8], at: usize, expected: u8, next: State) -> Result<usize, Reason> {
        if buf[at] != expected {
            return Err(Reason::BadChunkEnd);
        }
        self.state = next;
        Ok(at + 1)
    }

    fn on_trailer(&mut self, buf: &[u8], at: usize) -> Result<usize, Reason> {
        if self.trailers.len() == self.line && buf[at] == b'\r' {
            self.state = State::End;
            return Ok(at + 1);
        }
        let rest = &buf[at..];
        let end = memchr(b'\n', rest);
        let part = end.map_or(rest, |end| &rest[..=end]);
        self.extra += part.len();
        if self.extra > self.trailers_max {
            return Err(Reason::TrailersTooLarge);
        }
        self.trailers.extend_from_slice(part);
        if end.is_some() {
            self.on_trailer_line()?;
        }
        Ok(at + part.len())
    }

    #[cold]
    fn on_trailer_line(&mut self) -> Result<(), Reason> {
        if trailers::keep(&self.trailers[self.line..])? {
            self.line = self.trailers.len();
        } else {
            self.trailers.truncate(self.line);
        }
        Ok(())
    }
}

/// Digits of a chunk's size. So many never overflow a signed 64-bit number, which other parsers may use.
const SIZE_DIGITS_MAX: u8 = 15;
