//! One HTTP/1.1 answer taken from bytes (RFC 9112), strictly: what two parsers could read differently is a fault.

use std::fmt;
use std::mem::MaybeUninit;

use httparse::{ParserConfig, Response, Status};

/// Bytes of an answer's head, at most.
const HEAD_MAX: usize = 64 << 10;
/// Header fields, at most.
const FIELDS_MAX: usize = 128;
/// Bytes of a line between chunks, or of a trailer, at most.
const LINE_MAX: usize = 8 << 10;

/// Takes one answer, however its bytes are cut.
#[derive(Debug)]
pub struct Reader {
    state: State,
    to_head: bool,
    status: u16,
    keeps: bool,
}

/// What there is behind some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes are used; more have to come.
    More(usize),
    /// So many bytes are used, and the answer is whole.
    Whole(usize, End),
}

/// A whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its status, 200 to 599 for what the RFC defines.
    pub status: u16,
    /// Whether the connection can be used again.
    pub keeps: bool,
}

/// Why the bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The head is longer than 64 KiB or has more than 128 fields.
    HeadTooLarge,
    /// The head isn't made as the RFC says.
    Head,
    /// The head contradicts itself about where the body ends (section 6.3).
    Framing,
    /// The body's chunks aren't made as the RFC says (section 7.1).
    Chunk,
    /// A status 101, which wasn't asked for.
    Upgrade,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of the body are missing.
    Sized(u64),
    /// The body goes on to the end of the connection.
    UntilClose,
    /// In a chunk's first line: its size so far, its digits.
    Size(u64, u8),
    /// In what follows the size: bytes of the line so far, whether the last was a CR.
    Extension(u64, usize, bool),
    /// So many bytes of the chunk are missing.
    Chunk(u64),
    /// Behind a chunk: whether the CR was there.
    ChunkEnd(bool),
    /// In the trailers: bytes of the line so far, whether the last was a CR, bytes of all.
    Trailer(usize, bool, usize),
}

impl Reader {
    /// For the answer to one request. The answer to a HEAD has no body.
    pub fn new(to_head: bool) -> Reader {
        Reader { state: State::Head, to_head, status: 0, keeps: true }
    }

    /// Takes what has been received. Bytes that aren't used have to be there again the next time.
    ///
    /// # Errors
    /// When this is no answer; nothing that follows on the connection can be trusted.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Progress, Fault> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            if let State::Head = self.state {
                let Some(length) = head_length(rest)? else { return Ok(Progress::More(used)) };
                used += length;
                if self.head(&rest[..length])? {
                    return Ok(self.whole(used));
                }
                continue;
            }
            if rest.is_empty() {
                return Ok(Progress::More(used));
            }
            used += self.body(rest)?;
            if matches!(self.state, State::Sized(0)) {
                return Ok(self.whole(used));
            }
        }
    }

    /// The peer has closed: the end of a body without a length, else a cut.
    pub fn close(&self) -> Option<End> {
        (self.state == State::UntilClose).then_some(End { status: self.status, keeps: false })
    }

    fn whole(&self, used: usize) -> Progress {
        Progress::Whole(used, End { status: self.status, keeps: self.keeps })
    }

    /// Reads a head, and says whether the answer ends with it.
    fn head(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = Response::new(&mut []);
        match ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
            Ok(Status::Complete(length)) if length == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadTooLarge),
            _ => return Err(Fault::Head),
        }
        let (version, status) = (response.version.ok_or(Fault::Head)?, response.code.ok_or(Fault::Head)?);
        self.status = status;
        self.keeps = version == 1;
        let (mut length, mut chunked) = (None, false);
        for field in &*response.headers {
            if field.name.eq_ignore_ascii_case("content-length") {
                let digits = field.value;
                let value = std::str::from_utf8(digits).ok().filter(|_| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
                let value = value.and_then(|value| value.parse::<u64>().ok()).ok_or(Fault::Framing)?;
                if length.replace(value).is_some_and(|before| before != value) {
                    return Err(Fault::Framing);
                }
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                // Any other coding than one `chunked` wasn't asked for.
                if chunked || version == 0 || !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::Framing);
                }
                chunked = true;
            } else if field.name.eq_ignore_ascii_case("connection") {
                for option in field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        self.keeps = false;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") && version == 0 {
                        self.keeps = true;
                    }
                }
            }
        }
        if chunked && length.is_some() {
            return Err(Fault::Framing);
        }
        self.state = match (status, length) {
            (101, _) => return Err(Fault::Upgrade),
            (..100, _) => return Err(Fault::Head),
            // An interim answer: the one that was asked for follows.
            (100..200, _) if chunked || length.is_some() => return Err(Fault::Framing),
            (100..200, _) => State::Head,
            _ if self.to_head || matches!(status, 204 | 304) => State::Sized(0),
            _ if chunked => State::Size(0, 0),
            (_, Some(length)) => State::Sized(length),
            (_, None) => {
                self.keeps = false;
                State::UntilClose
            }
        };
        Ok(self.state == State::Sized(0))
    }

    /// Takes some of a body's bytes, at least one.
    fn body(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let byte = bytes[0];
        let (next, used) = match self.state {
            State::Sized(left) => {
                let used = left.min(bytes.len() as u64);
                (State::Sized(left - used), used as usize)
            }
            State::Chunk(left) => {
                let used = left.min(bytes.len() as u64);
                (if used == left { State::ChunkEnd(false) } else { State::Chunk(left - used) }, used as usize)
            }
            State::Head | State::UntilClose => (self.state, bytes.len()),
            State::Size(size, digits) => match (char::from(byte).to_digit(16), byte) {
                (Some(_), _) if digits == 16 => return Err(Fault::Chunk),
                (Some(digit), _) => (State::Size(size << 4 | u64::from(digit), digits + 1), 1),
                (None, b'\r' | b';' | b' ' | b'\t') if digits > 0 => (State::Extension(size, 1, byte == b'\r'), 1),
                _ => return Err(Fault::Chunk),
            },
            State::Extension(0, _, true) if byte == b'\n' => (State::Trailer(0, false, 0), 1),
            State::Extension(size, _, true) if byte == b'\n' => (State::Chunk(size), 1),
            State::Extension(_, _, true) => return Err(Fault::Chunk),
            State::Extension(_, length, _) if byte == b'\n' || length > LINE_MAX => return Err(Fault::Chunk),
            State::Extension(size, length, false) => (State::Extension(size, length + 1, byte == b'\r'), 1),
            State::ChunkEnd(false) if byte == b'\r' => (State::ChunkEnd(true), 1),
            State::ChunkEnd(true) if byte == b'\n' => (State::Size(0, 0), 1),
            State::ChunkEnd(_) => return Err(Fault::Chunk),
            State::Trailer(0, true, _) if byte == b'\n' => (State::Sized(0), 1),
            State::Trailer(_, true, all) if byte == b'\n' => (State::Trailer(0, false, all + 1), 1),
            State::Trailer(_, true, _) => return Err(Fault::Chunk),
            State::Trailer(_, _, all) if byte == b'\n' || all > LINE_MAX => return Err(Fault::Chunk),
            State::Trailer(length, false, all) => match byte {
                b'\r' => (State::Trailer(length, true, all + 1), 1),
                _ => (State::Trailer(length + 1, false, all + 1), 1),
            },
        };
        self.state = next;
        Ok(used)
    }
}

/// The bytes of a head with its blank line, once all are there.
///
/// # Errors
/// When it is too long, or has a line feed alone.
pub fn head_length(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    for at in memchr::memchr_iter(b'\n', &bytes[..bytes.len().min(HEAD_MAX)]) {
        // httparse takes a line feed alone for a line's end.
        if !bytes[..at].ends_with(b"\r") {
            return Err(Fault::Head);
        }
        if bytes[..at].ends_with(b"\r\n\r") {
            return Ok(Some(at + 1));
        }
    }
    if bytes.len() >= HEAD_MAX { Err(Fault::HeadTooLarge) } else { Ok(None) }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::HeadTooLarge => "its head is longer than 64 KiB or has more than 128 fields",
            Fault::Head => "its head is not HTTP/1.1",
            Fault::Framing => "its head contradicts itself about the body's length",
            Fault::Chunk => "its chunks are malformed",
            Fault::Upgrade => "it switches protocols, which was not asked for",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an answer that arrives whole, and again byte by byte; both have to come to the same.
    fn read(bytes: &[u8], to_head: bool) -> Result<(usize, Option<End>), Fault> {
        let (mut reader, mut kept, mut used, mut result) = (Reader::new(to_head), Vec::new(), 0, Ok(None));
        for byte in bytes {
            kept.push(*byte);
            match reader.take(&kept) {
                Ok(Progress::More(count)) => {
                    kept.drain(..count);
                    used += count;
                }
                Ok(Progress::Whole(count, end)) => {
                    used += count;
                    result = Ok(Some(end));
                    break;
                }
                Err(fault) => {
                    result = Err(fault);
                    break;
                }
            }
        }
        let by_byte = result.map(|end| (used, end.or(reader.close())));
        let mut reader = Reader::new(to_head);
        let whole = reader.take(bytes).map(|progress| match progress {
            Progress::More(used) => (used, reader.close()),
            Progress::Whole(used, end) => (used, Some(end)),
        });
        assert_eq!(whole, by_byte, "{}", String::from_utf8_lossy(bytes));
        whole
    }

    fn whole(bytes: &str) -> End {
        let (used, end) = read(bytes.as_bytes(), false).unwrap();
        assert_eq!(used, bytes.len(), "{bytes:?}");
        let mut longer = bytes.as_bytes().to_vec();
        longer.extend(b"HTTP");
        let end = end.unwrap_or_else(|| panic!("{bytes:?} is not whole"));
        if end.keeps {
            assert_eq!(read(&longer, false), Ok((bytes.len(), Some(end))), "what follows is not touched");
        }
        end
    }

    #[test]
    fn answers_end_where_the_rfc_says() {
        let kept = |status| End { status, keeps: true };
        let closed = |status| End { status, keeps: false };
        for (bytes, end) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", kept(200)),
            ("HTTP/1.1 200 \r\ncontent-length:3\r\ncontent-length: 3\r\n\r\nabc", kept(200)),
            ("HTTP/1.1 204 No Content\r\n\r\n", kept(204)),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", kept(304)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", closed(200)),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", closed(200)),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", kept(200)),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", closed(200)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\na", kept(404)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\n\r\n", kept(200)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0 ;a\r\nA: b\r\nC: d\r\n\r\n", kept(200)),
        ] {
            assert_eq!(whole(bytes), end, "{bytes:?}");
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(read(head.as_bytes(), true), Ok((head.len(), Some(kept(200)))));
        assert_eq!(read(head.as_bytes(), false), Ok((head.len(), None)));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Le", false), Ok((0, None)));
    }

    #[test]
    fn what_could_be_read_differently_is_a_fault() {
        let framed = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        let chunks = |body: &str| format!("{}{body}", framed("Transfer-Encoding: chunked"));
        let long = "a".repeat(LINE_MAX + 2);
        for (bytes, fault) in [
            ("HTTP/2 200 OK\r\n\r\n".to_owned(), Fault::Head),
            ("hello\r\n\r\n".to_owned(), Fault::Head),
            ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n".to_owned(), Fault::Head),
            ("HTTP/1.1 099 OK\r\n\r\n".to_owned(), Fault::Head),
            ("HTTP/1.1 101 OK\r\n\r\n".to_owned(), Fault::Upgrade),
            ("HTTP/1.1 100 OK\r\nContent-Length: 1\r\n\r\n".to_owned(), Fault::Framing),
            (framed("A : b"), Fault::Head),
            (framed("A: b\r\n c"), Fault::Head),
            (framed(&"A: b\r\n".repeat(FIELDS_MAX + 1)), Fault::HeadTooLarge),
            (framed("Content-Length: 1\r\nContent-Length: 2"), Fault::Framing),
            (framed("Content-Length: 1, 1"), Fault::Framing),
            (framed("Content-Length: +1"), Fault::Framing),
            (framed("Content-Length:"), Fault::Framing),
            (framed("Content-Length: 99999999999999999999"), Fault::Framing),
            (framed("Content-Length: 1\r\nTransfer-Encoding: chunked"), Fault::Framing),
            (framed("Transfer-Encoding: gzip, chunked"), Fault::Framing),
            (framed("Transfer-Encoding: identity"), Fault::Framing),
            (framed("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Fault::Framing),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), Fault::Framing),
            (chunks("\r\n"), Fault::Chunk),
            (chunks("g\r\n"), Fault::Chunk),
            (chunks("-1\r\n"), Fault::Chunk),
            (chunks("00000000000000001\r\n"), Fault::Chunk),
            (chunks("1\na"), Fault::Chunk),
            (chunks("1\rx"), Fault::Chunk),
            (chunks("1\r\nab"), Fault::Chunk),
            (chunks("1\r\na\n"), Fault::Chunk),
            (chunks("0\r\na: b\n\r\n"), Fault::Chunk),
            (chunks("0\r\na\rb"), Fault::Chunk),
            (chunks(&format!("1;{long}")), Fault::Chunk),
            (chunks(&format!("0\r\n{long}")), Fault::Chunk),
        ] {
            assert_eq!(read(bytes.as_bytes(), false), Err(fault), "{bytes:?}");
        }
        let mut endless = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        endless.resize(HEAD_MAX, b'a');
        assert_eq!(Reader::new(false).take(&endless), Err(Fault::HeadTooLarge));
    }
}
