//! Writing a received head for the other side: hop-by-hop headers stay behind, framing is written anew, the route's edits and the
//! gateway's own headers come after what is passed on (RFC 9110 section 7.6).

use std::io::Write;
use std::net::IpAddr;

use super::alike::is_disguised;
use super::sender::{Sender, scheme};
use super::{Changes, Edits, Field, Framing, Known, RequestHead, ResponseHead, Span, Version};

/// What the gateway adds to requests, whatever their route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// Send `X-Forwarded-*` and `X-Real-IP`.
    pub x_forwarded: bool,
    /// Send `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// Send `X-Request-ID`.
    pub request_id: bool,
    /// Send it to the client too.
    pub id_to_client: bool,
    /// Ids have the form of a UUID.
    pub uuid: bool,
}

/// A request head on its way to an endpoint.
pub struct RequestOut<'a> {
    /// The parsed head.
    pub head: &'a RequestHead,
    /// The bytes it was parsed from.
    pub bytes: &'a [u8],
    /// The path, if it isn't the received one.
    pub path: Option<&'a [u8]>,
    /// The query, if it isn't the received one; empty is none.
    pub query: Option<&'a [u8]>,
    /// The Host, if it isn't the received one.
    pub host: Option<&'a [u8]>,
    /// The route's changes.
    pub edits: &'a Edits,
    /// This request's own changes.
    pub changes: &'a Changes,
    /// What the gateway adds.
    pub additions: &'a Additions,
    /// Who sent it.
    pub sender: &'a Sender,
    /// The client's address, as far as trusted proxies tell; the peer's if it isn't one.
    pub client: IpAddr,
    /// The request's id.
    pub request_id: &'a [u8],
    /// The changes say how long the body is: it goes in one piece, however it was received.
    pub sized: bool,
}

impl RequestOut<'_> {
    /// Whether the request line and the Host go as they were received. A target in absolute form names a host that goes before the one
    /// in the Host field (RFC 9112 section 3.2.2).
    #[inline]
    pub(super) fn as_received(&self) -> bool {
        self.path.is_none() && self.query.is_none() && self.host.is_none() && self.head.is_plain()
    }

    /// The request line as it was received.
    #[inline]
    pub(super) fn received_line(&self) -> &[u8] {
        let end = self.head.fields.first().map_or(self.head.length - 2, |field| field.name.start as usize);
        &self.bytes[self.head.method_name.start as usize..end]
    }
}

/// What of a written request head is this request's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenRequest {
    /// Length of the request line, and of the Host with it unless that is where it was received.
    pub line: usize,
    /// Where the request id begins that the gateway made, if it is sent.
    pub id: Option<usize>,
    /// Where the lines begin that were decided for this message alone; the route's are behind them.
    pub changes: usize,
}

/// Appends a request head as HTTP/1.1.
///
/// What stays as it was received goes in one piece, from the request line to the first line that stays behind.
pub fn write_request(out: &mut Vec<u8>, request: &RequestOut<'_>) -> WrittenRequest {
    let RequestOut { head, bytes, .. } = *request;
    let begin = out.len();
    let as_received = request.as_received();
    let line = if as_received {
        request.received_line().len()
    } else {
        write_request_line(out, request);
        out.len() - begin
    };
    let trusted = request.sender.trusted;
    let id_kept = kept_request_id(head, bytes, trusted).is_some();
    let start = as_received.then_some(head.method_name.start);
    let edited = request.edits.drop_any() || request.changes.drop_any();
    let underscores = memchr::memchr(b'_', &bytes[..head.length]).is_some();
    copy_fields(out, bytes, start, &head.fields, head.length, |field| {
        let dropped = match field.known {
            Known::Host => !as_received,
            Known::TransferEncoding => true,
            Known::XForwardedFor => !trusted || request.additions.x_forwarded,
            Known::XForwardedProto | Known::XForwardedHost | Known::XForwardedPort => !trusted,
            // A balancer that tells the client by X-Forwarded-For may pass on what the client made of this one.
            Known::XRealIp => !trusted || (request.additions.x_forwarded && head.known(bytes, Known::XForwardedFor).is_some()),
            Known::Forwarded => !trusted || request.additions.forwarded,
            Known::XRequestId => request.additions.request_id && !id_kept,
            _ => field.hop,
        };
        let name = field.name.of(bytes);
        dropped || (edited && (request.edits.drops_alike(name) || request.changes.drops_alike(name))) || (underscores && is_disguised(name))
    });
    if head.framing == Framing::Chunked && !request.sized {
        out.extend_from_slice(CHUNKED);
    }
    if head.connection.upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: ");
        out.extend_from_slice(head.known(bytes, Known::Upgrade).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    } else if head.te_trailers {
        out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
    }
    write_sender(out, request);
    let mut id = None;
    if request.additions.request_id && !id_kept {
        write_line(out, b"X-Request-ID", request.request_id);
        id = Some(out.len() - 2 - request.request_id.len() - begin);
    }
    let changes = out.len() - begin;
    out.extend_from_slice(request.changes.lines());
    out.extend_from_slice(request.edits.tail());
    tell_version(out, head.version, request.sender.http2, request.edits);
    WrittenRequest { line, id, changes }
}

/// The request line, and the Host with it.
pub(super) fn write_request_line(out: &mut Vec<u8>, request: &RequestOut<'_>) {
    let RequestOut { head, bytes, .. } = *request;
    out.extend_from_slice(head.method_name.of(bytes));
    out.push(b' ');
    out.extend_from_slice(request.path.unwrap_or_else(|| head.path.of(bytes)));
    let received = head.has_query.then(|| head.query.of(bytes));
    if let Some(query) = request.query.map_or(received, |query| (!query.is_empty()).then_some(query)) {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(request.host.unwrap_or_else(|| head.host.of(bytes)));
    out.extend_from_slice(b"\r\n");
}

/// The headers that tell an endpoint who the client is.
fn write_sender(out: &mut Vec<u8>, request: &RequestOut<'_>) {
    let RequestOut { head, bytes, additions, sender, .. } = *request;
    out.extend_from_slice(&sender.certificate);
    if additions.x_forwarded && sender.trusted {
        write_trusted_sender(out, request);
    } else if additions.x_forwarded {
        out.extend_from_slice(&sender.lines);
        out.extend_from_slice(head.host.of(bytes));
        out.extend_from_slice(b"\r\n");
    }
    if additions.forwarded {
        write_forwarded(out, request);
    }
}

/// The same of a trusted proxy's client: what the proxy says stays, and the proxy itself is added.
fn write_trusted_sender(out: &mut Vec<u8>, request: &RequestOut<'_>) {
    let RequestOut { head, bytes, sender, .. } = *request;
    let peer = sender.peer.as_bytes();
    let told = |known| head.known(bytes, known).is_some();
    out.extend_from_slice(b"X-Forwarded-For: ");
    for field in head.fields.iter().filter(|field| field.known == Known::XForwardedFor) {
        out.extend_from_slice(field.value.of(bytes));
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(peer);
    out.extend_from_slice(b"\r\n");
    if told(Known::XForwardedFor) || !told(Known::XRealIp) {
        // Writing to a vector can't fail.
        let _ = write!(out, "X-Real-IP: {}\r\n", request.client);
    }
    if !told(Known::XForwardedProto) {
        write_line(out, b"X-Forwarded-Proto", scheme(sender.tls).as_bytes());
    }
    if !told(Known::XForwardedPort) {
        write_line(out, b"X-Forwarded-Port", sender.port.as_bytes());
    }
    if !told(Known::XForwardedHost) {
        write_line(out, b"X-Forwarded-Host", head.host.of(bytes));
    }
}

/// `Forwarded` (RFC 7239).
fn write_forwarded(out: &mut Vec<u8>, request: &RequestOut<'_>) {
    let RequestOut { head, bytes, sender, .. } = *request;
    out.extend_from_slice(b"Forwarded: ");
    if sender.trusted {
        for field in head.fields.iter().filter(|field| field.known == Known::Forwarded) {
            out.extend_from_slice(field.value.of(bytes));
            out.extend_from_slice(b", ");
        }
    }
    let quoted = sender.peer.contains(':');
    out.extend_from_slice(if quoted { b"for=\"[" } else { b"for=" });
    out.extend_from_slice(sender.peer.as_bytes());
    out.extend_from_slice(if quoted { b"]\"" } else { b"" });
    out.extend_from_slice(b";host=\"");
    out.extend_from_slice(head.host.of(bytes));
    out.extend_from_slice(b"\";proto=");
    out.extend_from_slice(scheme(sender.tls).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A response head on its way to the client.
pub struct ResponseOut<'a> {
    /// The parsed head.
    pub head: &'a ResponseHead,
    /// The bytes it was parsed from.
    pub bytes: &'a [u8],
    /// How the body is framed towards the client.
    pub framing: Framing,
    /// Write a Content-Length that describes no body, as answers to HEAD have.
    pub keep_length: bool,
    /// The route's changes.
    pub edits: &'a Edits,
    /// This answer's own changes.
    pub changes: &'a Changes,
    /// The client's version.
    pub version: Version,
    /// The connection to the client stays open.
    pub keep_alive: bool,
    /// The `Date` line of the present moment with its line end, used if the response has none.
    pub date: &'a [u8],
}

/// What of a written response head is this response's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenResponse {
    /// Where the date line begins that was added, if one was.
    pub date: Option<usize>,
    /// Where the lines begin that were decided for this message alone; the route's are behind them.
    pub changes: usize,
}

/// Appends a response head as HTTP/1.1. What stays as it was received goes in one piece, from the status line on.
pub fn write_response(out: &mut Vec<u8>, response: &ResponseOut<'_>) -> WrittenResponse {
    let ResponseOut { head, bytes, .. } = *response;
    let begin = out.len();
    // Without a phrase some servers leave out the space before it too.
    let as_received = head.version == Version::Http11 && !head.phrase.is_empty();
    if !as_received {
        write_status(out, head.status, head.phrase.of(bytes));
    }
    let length_kept = response.keep_length || response.framing == head.framing;
    let (mut dated, mut length_written) = (false, false);
    let edited = response.edits.drop_any() || response.changes.drop_any();
    copy_fields(out, bytes, as_received.then_some(0), &head.fields, head.length, |field| {
        let dropped = match field.known {
            Known::ContentLength => {
                let value = field.value.of(bytes);
                // Some read leading zeros as octal.
                let keep = length_kept && !field.hop && (value.len() == 1 || value.first() != Some(&b'0'));
                length_written |= keep;
                !keep
            }
            Known::TransferEncoding => true,
            Known::Date => {
                dated = true;
                false
            }
            _ => field.hop,
        };
        let name = field.name.of(bytes);
        dropped || (edited && (response.edits.drops(name) || response.changes.drops(name)))
    });
    match response.framing {
        Framing::Chunked => out.extend_from_slice(CHUNKED),
        Framing::Length(length) if !length_written => {
            write_line(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        _ => {}
    }
    let mut date = None;
    if head.status >= 200 {
        if !dated {
            date = Some(out.len() - begin);
            out.extend_from_slice(response.date);
        }
        out.extend_from_slice(connection_line(response.version, response.keep_alive));
    } else if head.status == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
        if let Some(protocol) = head.known(bytes, Known::Upgrade) {
            write_line(out, b"Upgrade", protocol);
        }
    }
    let changes = out.len() - begin;
    out.extend_from_slice(response.changes.lines());
    out.extend_from_slice(response.edits.tail());
    tell_version(out, head.version, false, response.edits);
    WrittenResponse { date, changes }
}

/// `Via` has the version that a message came in (RFC 9110 section 7.6.3). It stands first in the edits, which end the head, and is written
/// for HTTP/1.1.
#[inline]
pub(super) fn tell_version(out: &mut [u8], version: Version, http2: bool, edits: &Edits) {
    if (version == Version::Http10 || http2) && edits.tail().starts_with(VIA_11) {
        let at = out.len() - edits.tail().len() + VIA_11.len() - 4;
        out[at..at + 3].copy_from_slice(if http2 { b"2.0" } else { b"1.0" });
    }
}

/// The `Connection` line that a client of this version needs to hear, with its line end.
pub const fn connection_line(version: Version, keep_alive: bool) -> &'static [u8] {
    match (version, keep_alive) {
        (Version::Http11, true) | (Version::Http10, false) => b"",
        (Version::Http10, true) => b"Connection: keep-alive\r\n",
        (Version::Http11, false) => b"Connection: close\r\n",
    }
}

/// Appends a status line.
pub fn write_status(out: &mut Vec<u8>, status: u16, phrase: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(phrase);
    out.extend_from_slice(b"\r\n");
}

/// Appends one header line.
pub fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Copies the lines of all fields that aren't dropped, neighbours together; the first line with them, if it starts at `start`.
#[inline]
fn copy_fields(
    out: &mut Vec<u8>,
    bytes: &[u8],
    start: Option<u32>,
    fields: &[Field],
    head_length: usize,
    mut drops: impl FnMut(&Field) -> bool,
) {
    let mut run = start;
    for field in fields {
        if drops(field) {
            if let Some(start) = run.take() {
                out.extend_from_slice(Span { start, end: field.name.start }.of(bytes));
            }
        } else if run.is_none() {
            run = Some(field.name.start);
        }
    }
    if let Some(start) = run {
        out.extend_from_slice(&bytes[start as usize..head_length - 2]);
    }
}

/// The id that a trusted sender gave its request, if it may be passed on: 1 to 128 visible ASCII characters.
pub fn kept_request_id<'a>(head: &RequestHead, bytes: &'a [u8], trusted: bool) -> Option<&'a [u8]> {
    let given = if trusted { head.known(bytes, Known::XRequestId) } else { None };
    given.filter(|id| (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic))
}

/// How the gateway's `Via` begins among a route's edits.
const VIA_11: &[u8] = b"Via: 1.1 ";
const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";
