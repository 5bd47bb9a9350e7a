//! A request's body, piece by piece, so that an upload of any size takes the memory of one piece.
//!
//! monoio-http decodes heads and chunks. Two things it lacks are added here: it would hold a whole body of known length before
//! giving any of it away, so such a body is read past it in pieces; and it takes trailers for a broken chunk.

use std::io;

use bytes::{Bytes, BytesMut};
use crc32fast::Hasher;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use monoio::buf::IoBufMut;
use monoio::io::AsyncReadRent;
use monoio_codec::{Decoded, Decoder};
use monoio_http::common::error::HttpError;
use monoio_http::common::request::{Request, RequestHead};
use monoio_http::h1::FramedRead;
use monoio_http::h1::codec::decoder::{
    ChunkedBodyDecoder, DecodeError, DirectWrapper, FixedBodyDecoder, GenericHeadDecoder, PayloadDecoder,
};

/// Decodes a request's head and tells how its body is framed.
pub type HeadDecoder = GenericHeadDecoder<Request, monoio_http::h1::codec::decoder::RequestHeadDecoder, DirectWrapper>;
/// What it tells.
pub type Framing = PayloadDecoder<FixedBodyDecoder, ChunkedBodyDecoder>;

/// Bytes of a piece.
const PIECE: u64 = 64 << 10;

/// A body being received.
pub struct Upload {
    left: Left,
    /// What came of it so far.
    pub received: Received,
}

/// What came of a body.
#[derive(Default)]
pub struct Received {
    sum: Hasher,
    bytes: u64,
    /// The field lines behind it.
    pub trailers: Vec<(String, String)>,
}

impl Received {
    /// Counts a piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.sum.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// CRC-32 (as zip and zlib have it) of them.
    pub fn sum(&self) -> u32 {
        self.sum.clone().finalize()
    }
}

enum Left {
    Nothing,
    Bytes(u64),
    Chunks(Chunks),
}

impl Upload {
    /// The body that follows this head.
    pub fn new(head: &RequestHead, framing: Framing) -> Self {
        let left = match framing {
            PayloadDecoder::None => Left::Nothing,
            // The decoder has checked this number but keeps it to itself.
            PayloadDecoder::Fixed(_) => Left::Bytes(content_length(head).unwrap_or(0)),
            PayloadDecoder::Streamed(decoder) => Left::Chunks(Chunks { decoder, within: false }),
        };
        Upload { left, received: Received::default() }
    }

    /// Bytes still to come, if known.
    pub fn left(&self) -> Option<u64> {
        match self.left {
            Left::Nothing => Some(0),
            Left::Bytes(left) => Some(left),
            Left::Chunks(_) => None,
        }
    }

    /// The next piece; `None` behind the last.
    ///
    /// # Errors
    /// When the connection fails or ends within the body, or a chunk is malformed.
    pub async fn next<S: AsyncReadRent>(&mut self, connection: &mut FramedRead<S, HeadDecoder>) -> io::Result<Option<Bytes>> {
        let piece = match &mut self.left {
            Left::Nothing | Left::Bytes(0) => None,
            Left::Bytes(left) => {
                let size = usize::try_from(PIECE.min(*left)).expect("a piece fits");
                let (read, room) = connection.read(Vec::with_capacity(size).slice_mut(..size)).await;
                let read = read?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *left -= read as u64;
                Some(Bytes::from(room.into_inner()))
            }
            Left::Chunks(chunks) => match connection.next_with(chunks).await {
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Err(error)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
                Some(Ok(Chunk::Piece(piece))) => Some(piece),
                Some(Ok(Chunk::Last(trailers))) => {
                    self.received.trailers = fields(&trailers).collect();
                    None
                }
            },
        };
        match &piece {
            Some(piece) => self.received.add(piece),
            None => self.left = Left::Nothing,
        }
        Ok(piece)
    }

    /// Receives the rest.
    ///
    /// # Errors
    /// As [`Upload::next`].
    pub async fn finish<S: AsyncReadRent>(&mut self, connection: &mut FramedRead<S, HeadDecoder>) -> io::Result<()> {
        while self.next(connection).await?.is_some() {}
        Ok(())
    }
}

/// The field lines behind the last chunk.
fn fields(trailers: &[u8]) -> impl Iterator<Item = (String, String)> {
    trailers.split(|byte| *byte == b'\n').filter_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    })
}

/// The length a head gives, if any.
fn content_length(head: &RequestHead) -> Option<u64> {
    let fields: &HeaderMap = &head.headers;
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

enum Chunk {
    Piece(Bytes),
    Last(Vec<u8>),
}

/// monoio-http's chunks, and trailers behind the last one.
struct Chunks {
    decoder: ChunkedBodyDecoder,
    /// A chunk's size line may have been taken already.
    within: bool,
}

impl Decoder for Chunks {
    type Item = Chunk;
    type Error = HttpError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Decoded<Chunk>, HttpError> {
        if !self.within {
            let Some(line) = memchr::memmem::find(src, b"\r\n") else { return Ok(Decoded::Insufficient) };
            if line > 0 && src[..line].iter().all(|byte| *byte == b'0') {
                let Some(end) = memchr::memmem::find(&src[line..], b"\r\n\r\n") else { return Ok(Decoded::Insufficient) };
                let last = src.split_to(line + end + 4);
                return Ok(Decoded::Some(Chunk::Last(last[line..].to_vec())));
            }
            self.within = true;
        }
        Ok(match self.decoder.decode(src)? {
            Decoded::Some(Some(piece)) => {
                self.within = false;
                Decoded::Some(Chunk::Piece(piece))
            }
            // The decoder never sees a last chunk.
            Decoded::Some(None) => return Err(DecodeError::Chunked.into()),
            Decoded::Insufficient => Decoded::Insufficient,
            Decoded::InsufficientAtLeast(size) => Decoded::InsufficientAtLeast(size),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds bytes one by one: the pieces, the trailers and what is left over.
    fn decode(bytes: &[u8]) -> Result<[Vec<u8>; 3], HttpError> {
        let mut chunks = Chunks { decoder: ChunkedBodyDecoder::default(), within: false };
        let (mut body, mut held) = (Vec::new(), BytesMut::new());
        for (at, byte) in bytes.iter().enumerate() {
            held.extend_from_slice(&[*byte]);
            match chunks.decode(&mut held)? {
                Decoded::Some(Chunk::Piece(piece)) => body.extend_from_slice(&piece),
                Decoded::Some(Chunk::Last(trailers)) => return Ok([body, trailers, bytes[at + 1..].to_vec()]),
                _ => {}
            }
        }
        panic!("no last chunk");
    }

    #[test]
    fn chunks_and_trailers_byte_by_byte() {
        let [body, trailers, rest] = decode(b"3\r\nabc\r\n0a\r\n0123456789\r\n00\r\nX-Sum: 7\r\n\r\nGET").unwrap();
        assert_eq!((body.as_slice(), rest.as_slice()), (&b"abc0123456789"[..], &b"GET"[..]));
        assert_eq!(fields(&trailers).collect::<Vec<_>>(), [("x-sum".to_owned(), "7".to_owned())]);
        let [body, trailers, _] = decode(b"0\r\n\r\n").unwrap();
        assert_eq!((body.len(), trailers.as_slice()), (0, &b"\r\n\r\n"[..]));
        assert!(decode(b"3\r\nabcd\r\n0\r\n\r\n").is_err());
        assert!(decode(b"\r\n0\r\n\r\n").is_err());
    }
}
