//! HTTP/2 (the `h2` crate's): each stream does what its request asks for, as a connection of HTTP/1.1 does.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue};
use http::{HeaderMap, Response, StatusCode, Uri};
use monoio_http::common::request::RequestHead;
use ringway::net::{self, Link, Polled};

use super::answer::{Answer, Content};
use super::script::{Page, Reset, Script};
use super::upload::Received;
use super::{Origin, grpc};

/// What a client begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes that tell it from a request of HTTP/1.1.
const TELLS: usize = 4;
/// Streams of a connection.
const STREAMS: u32 = 1000;
/// Bytes of a request's body that may be on their way, and of all of a connection.
const WINDOWS: [u32; 2] = [1 << 20, 16 << 20];
/// Bytes of an answer that wait to be sent.
const SEND_BUFFER: usize = 256 << 10;
/// Time in which what is sent has left.
const AWAY: Duration = Duration::from_millis(5);

/// Whether a client that begins like this speaks HTTP/2.
pub fn begins(bytes: &[u8]) -> bool {
    bytes.len() >= TELLS && (bytes.starts_with(PREFACE) || PREFACE.starts_with(bytes))
}

/// All streams of a connection from which `first` was received already.
pub async fn serve(origin: Arc<Origin>, link: Link, first: Vec<u8>) {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(WINDOWS[0])
        .initial_connection_window_size(WINDOWS[1])
        .max_send_buffer_size(SEND_BUFFER);
    let io = Polled::new(link, first, Box::new(|_| ()));
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (mut head, body) = request.into_parts();
        as_http1(&mut head);
        net::spawn(stream(origin.clone(), head, Body { stream: body, received: Received::default() }, respond));
    }
}

/// Has a request's target and its `Host` where HTTP/1.1 has them.
fn as_http1(head: &mut RequestHead) {
    if let Some(authority) = head.uri.authority()
        && let Ok(value) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.entry(HOST).or_insert(value);
    }
    if let Some(target) = head.uri.path_and_query() {
        head.uri = Uri::from(target.clone());
    }
}

/// A request's body.
pub struct Body {
    stream: RecvStream,
    /// What came of it so far.
    pub received: Received,
}

impl Body {
    /// The next piece; `None` behind the last.
    ///
    /// # Errors
    /// When the stream or the connection ends within the body.
    pub async fn next(&mut self) -> Result<Option<Bytes>, h2::Error> {
        if let Some(piece) = self.stream.data().await.transpose()? {
            self.received.add(&piece);
            let _ = self.stream.flow_control().release_capacity(piece.len());
            return Ok(Some(piece));
        }
        if let Some(trailers) = self.stream.trailers().await? {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            self.received.trailers = trailers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        }
        Ok(None)
    }

    /// Receives the rest.
    ///
    /// # Errors
    /// As [`Body::next`].
    pub async fn finish(&mut self) -> Result<(), h2::Error> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

/// One stream. What ends it early concerns nobody else.
async fn stream(origin: Arc<Origin>, head: RequestHead, body: Body, respond: SendResponse<Bytes>) {
    let _ =
        if grpc::is_call(&head) { grpc::call(&origin, &head, body, respond).await } else { exchange(&origin, &head, body, respond).await };
}

/// What comes before an answer: its script's wait, or an end without one. Whether there is to be an answer.
pub async fn wait(script: &Script, respond: &mut SendResponse<Bytes>) -> Result<bool, h2::Error> {
    if script.hang {
        poll_fn(|cx| respond.poll_reset(cx)).await?;
        return Ok(false);
    }
    if !script.delay.is_zero() {
        monoio::time::sleep(script.delay).await;
    }
    if script.reset == Some(Reset::Head) {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return Ok(false);
    }
    Ok(true)
}

async fn exchange(origin: &Origin, head: &RequestHead, mut body: Body, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (script, problem) = origin.begin(head);
    if !script.early && script.page != Page::Mirror {
        body.finish().await?;
    }
    if !wait(&script, &mut respond).await? {
        return Ok(());
    }
    let (answer, fields) = origin.finished(&script, problem, head, &body.received);
    send(answer, fields, head, &mut body, &script, &mut respond).await?;
    body.finish().await
}

async fn send(
    answer: Answer,
    mut fields: HeaderMap,
    request: &RequestHead,
    body: &mut Body,
    script: &Script,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let size = match &answer.content {
        Content::Text(text) => Some(text.len() as u64),
        Content::Letters(size) => Some(*size),
        Content::Mirror => None,
    };
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(answer.media));
    if let Some(size) = size.filter(|_| !script.chunked && answer.status != StatusCode::NO_CONTENT) {
        fields.insert(CONTENT_LENGTH, size.into());
    }
    let ends = answer.is_bodiless(&request.method);
    let mut stream = respond.send_response(response(answer.status, fields), ends)?;
    if ends {
        return Ok(());
    }
    let mut content = answer.content;
    let mut until_reset = match script.reset {
        Some(Reset::Body(bytes)) => bytes,
        _ => u64::MAX,
    };
    let mut first = true;
    loop {
        let limit = script.trickle.map_or(u64::MAX, |trickle| trickle.bytes).min(until_reset);
        let piece = match content {
            Content::Mirror => body.next().await?.unwrap_or_default(),
            _ => content.take(limit),
        };
        if until_reset == 0 || piece.is_empty() && script.reset.is_some() {
            // A reset takes back what waits to be sent.
            net::pause(AWAY).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
        if piece.is_empty() {
            return stream.send_data(piece, true);
        }
        if let Some(trickle) = script.trickle.filter(|_| !first) {
            monoio::time::sleep(trickle.interval).await;
        }
        first = false;
        until_reset = until_reset.saturating_sub(piece.len() as u64);
        let last = script.trickle.is_none() && matches!(&content, Content::Text(rest) if rest.is_empty());
        send_data(&mut stream, piece, last).await?;
        if last {
            return Ok(());
        }
    }
}

/// An answer's head.
pub fn response(status: StatusCode, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

/// Sends a piece as the client lets it; an empty one isn't sent.
///
/// # Errors
/// When it takes no more.
pub async fn send_data(stream: &mut SendStream<Bytes>, mut piece: Bytes, ends: bool) -> Result<(), h2::Error> {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len());
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap_or(Err(Reason::CANCEL.into()))?;
        let front = piece.split_to(room.min(piece.len()));
        stream.send_data(front, ends && piece.is_empty())?;
    }
    Ok(())
}
