//! Answers: ordinary ones encoded by monoio-http, those whose bytes or moments matter written by hand.
//!
//! monoio-http gathers 8 KB of a streamed body before it sends any, holds bodies of known length whole, and gives HEAD and
//! 204 a body. So trickles, resets, large bodies and bodiless answers take the other way.

use std::convert::Infallible;
use std::io;
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use monoio::io::sink::SinkExt;
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio_http::common::body::{Body, StreamHint};
use monoio_http::common::request::RequestHead;
use monoio_http::h1::FramedRead;
use monoio_http::h1::codec::encoder::GenericEncoder;

use super::script::{Reset, Script};
use super::upload::{HeadDecoder, Upload};

/// The largest piece of a body, in bytes.
const PIECE: usize = 64 << 10;

/// What bodies of a certain size are made of, over and over.
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 012345678\n";

/// Enough of them for a piece that begins at any letter.
static BLOCK: LazyLock<Bytes> = LazyLock::new(|| LETTERS.repeat(PIECE / LETTERS.len() + 1).into());

/// The first `size` bytes, at most a piece, of a body of which `left` bytes are to come. Counted from its end, so that it
/// says the same however it is cut.
fn letters(left: u64, size: usize) -> Bytes {
    let period = LETTERS.len() as u64;
    let at = usize::try_from((period - left % period) % period).expect("below the period");
    BLOCK.slice(at..at + size)
}

/// What an answer says.
pub enum Content {
    /// This.
    Text(Bytes),
    /// So many bytes of letters.
    Letters(u64),
    /// What the request's body says.
    Mirror,
}

/// An answer to be sent.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// The media type of its content.
    pub media: &'static str,
    /// Its content.
    pub content: Content,
}

/// How the end of an answer's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// What happens to the connection behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It waits for the next request.
    Keep,
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
}

impl Answer {
    /// Sends it as the script says, with `fields` in its head.
    ///
    /// # Errors
    /// When the connection fails; with [`Content::Mirror`] also when the request's body does.
    pub async fn send<S: AsyncReadRent + AsyncWriteRent>(
        self,
        connection: &mut FramedRead<S, HeadDecoder>,
        (request, upload): (&RequestHead, &mut Upload),
        script: &Script,
        mut fields: HeaderMap,
    ) -> io::Result<Then> {
        let size = match &self.content {
            Content::Text(text) => Some(text.len() as u64),
            Content::Letters(size) => Some(*size),
            Content::Mirror => upload.left(),
        };
        let framing = match size {
            Some(size) if !script.chunked => Framing::Length(size),
            _ if request.version == Version::HTTP_11 => Framing::Chunked,
            _ => Framing::UntilClose,
        };
        let close = script.close || framing == Framing::UntilClose || !kept(request);
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(self.media));
        if close {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let bodiless = self.is_bodiless(&request.method);
        let then = if close { Then::Close } else { Then::Keep };
        let plain = !bodiless && script.trickle.is_none() && script.reset.is_none();
        match (framing, self.content.whole()) {
            (Framing::Length(_), Some(bytes)) if plain => {
                encode(connection.get_mut(), self.status, fields, Pieces { content: Content::Text(bytes), hint: StreamHint::Fixed })
                    .await?;
                return Ok(then);
            }
            (Framing::Chunked, _) if plain && !matches!(self.content, Content::Mirror) => {
                encode(connection.get_mut(), self.status, fields, Pieces { content: self.content, hint: StreamHint::Stream }).await?;
                return Ok(then);
            }
            _ => {}
        }
        write(connection.get_mut(), head(self.status, framing, &fields)).await?;
        if bodiless {
            return Ok(then);
        }
        write_body(self.content, connection, upload, script, framing).await.map(|reset| if reset { Then::Reset } else { then })
    }
}

impl Answer {
    /// Whether nothing follows its head.
    pub fn is_bodiless(&self, method: &Method) -> bool {
        method == Method::HEAD || matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }
}

impl Content {
    /// All of it in one piece, if it is small.
    fn whole(&self) -> Option<Bytes> {
        match self {
            Content::Text(text) => Some(text.clone()),
            Content::Letters(size) => usize::try_from(*size).ok().filter(|size| *size <= PIECE).map(|part| letters(*size, part)),
            Content::Mirror => None,
        }
    }

    /// Takes at most `limit` bytes off its front; nothing once it is used up, and always nothing of a mirror.
    pub fn take(&mut self, limit: u64) -> Bytes {
        let limit = usize::try_from(limit).unwrap_or(PIECE).min(PIECE);
        match self {
            Content::Text(text) => text.split_to(limit.min(text.len())),
            Content::Letters(left) => {
                let piece = letters(*left, limit.min(usize::try_from(*left).unwrap_or(PIECE)));
                *left -= piece.len() as u64;
                piece
            }
            Content::Mirror => Bytes::new(),
        }
    }
}

/// Whether the client wants the connection kept.
fn kept(request: &RequestHead) -> bool {
    let fields: &HeaderMap = &request.headers;
    let said = |option: &str| {
        let lines = fields.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|said| said.trim().eq_ignore_ascii_case(option))
    };
    !said("close") && (request.version == Version::HTTP_11 || said("keep-alive"))
}

/// A body as monoio-http's encoder asks for it.
struct Pieces {
    content: Content,
    hint: StreamHint,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    async fn next_data(&mut self) -> Option<Result<Bytes, Infallible>> {
        let piece = self.content.take(u64::MAX);
        (self.hint == StreamHint::Fixed || !piece.is_empty()).then_some(Ok(piece))
    }

    fn stream_hint(&self) -> StreamHint {
        self.hint
    }
}

async fn encode<S: AsyncWriteRent>(stream: &mut S, status: StatusCode, fields: HeaderMap, body: Pieces) -> io::Result<()> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    GenericEncoder::new(stream).send_and_flush(response).await.map_err(|error| io::Error::other(error.to_string()))
}

/// Sends a body that is not encoded by monoio-http; tells whether the connection is to be reset.
async fn write_body<S: AsyncReadRent + AsyncWriteRent>(
    mut content: Content,
    connection: &mut FramedRead<S, HeadDecoder>,
    upload: &mut Upload,
    script: &Script,
    framing: Framing,
) -> io::Result<bool> {
    let mut until_reset = match script.reset {
        Some(Reset::Body(bytes)) => bytes,
        _ => u64::MAX,
    };
    let mut first = true;
    loop {
        if until_reset == 0 {
            return Ok(true);
        }
        let limit = script.trickle.map_or(u64::MAX, |trickle| trickle.bytes).min(until_reset);
        let piece = match content {
            Content::Mirror => upload.next(connection).await?.unwrap_or_default(),
            _ => content.take(limit),
        };
        if piece.is_empty() {
            break;
        }
        if let Some(trickle) = script.trickle.filter(|_| !first) {
            monoio::time::sleep(trickle.interval).await;
        }
        first = false;
        until_reset = until_reset.saturating_sub(piece.len() as u64);
        if framing == Framing::Chunked {
            write(connection.get_mut(), chunk(&piece)).await?;
        } else {
            write(connection.get_mut(), piece).await?;
        }
    }
    if framing == Framing::Chunked {
        write(connection.get_mut(), Bytes::from_static(b"0\r\n\r\n")).await?;
    }
    Ok(script.reset.is_some())
}

/// A head as bytes. A 204 has no length (RFC 9110 section 8.6).
fn head(status: StatusCode, framing: Framing, fields: &HeaderMap) -> Bytes {
    let mut bytes = BytesMut::with_capacity(256);
    let reason = status.canonical_reason().unwrap_or("-");
    bytes.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).as_bytes());
    for (name, value) in fields {
        field(&mut bytes, name, value.as_bytes());
    }
    match framing {
        _ if status == StatusCode::NO_CONTENT => {}
        Framing::Length(size) => field(&mut bytes, &http::header::CONTENT_LENGTH, size.to_string().as_bytes()),
        Framing::Chunked => field(&mut bytes, &http::header::TRANSFER_ENCODING, b"chunked"),
        Framing::UntilClose => {}
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.freeze()
}

fn field(bytes: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        bytes.extend_from_slice(part);
    }
}

fn chunk(piece: &[u8]) -> Bytes {
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat().into()
}

/// Sends all of it at once.
pub async fn write<S: AsyncWriteRent>(stream: &mut S, bytes: Bytes) -> io::Result<()> {
    stream.write_all(bytes).await.0.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_the_same_however_it_is_cut() {
        let size = PIECE as u64 + 777;
        let cut = |limit| {
            let (mut content, mut body) = (Content::Letters(size), Vec::new());
            loop {
                let piece = content.take(limit);
                if piece.is_empty() {
                    return body;
                }
                assert!(piece.len() as u64 <= limit);
                body.extend_from_slice(&piece);
            }
        };
        let body = cut(u64::MAX);
        assert_eq!((body.len() as u64, &body[body.len() - 64..]), (size, &LETTERS[..]));
        assert!(cut(10) == body && cut(63) == body);
        assert_eq!(Content::Letters(100).whole().unwrap(), body[body.len() - 100..]);
    }
}
