//! Heads as offsets over the bytes they were received in: parsed once, never copied, edited while written.

use super::{Known, Method, is_within};

/// A range of bytes in the buffer a head was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes it covers.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    /// Whether it covers nothing.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// HTTP/1 minor versions that are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

/// One header field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Its name as received.
    pub name: Span,
    /// Its value without surrounding white space.
    pub value: Span,
    /// The name, recognised.
    pub known: Known,
    /// Never forwarded: hop-by-hop by its name or because `Connection` names it (RFC 9110 section 7.6.1), or a
    /// `Content-Length` that repeats an earlier one or must not stand in its message.
    pub hop: bool,
}

/// How a message's body ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunked coding.
    Chunked,
    /// Until the connection closes; responses only.
    UntilClose,
}

/// What the `Connection` header's options and the version say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The connection may carry another message after this one.
    pub keep_alive: bool,
    /// `Connection: upgrade` together with an `Upgrade` header; in a response only with status 101, in a request only
    /// from HTTP/1.1.
    pub upgrade: bool,
}

/// What is remembered of a head: on one connection the next is often the same, as a whole or but for its first line, and what is the
/// same byte for byte needn't be read again. It says nothing about the head, so any two are equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// All its bytes, those of empty lines before it too, so that the head's spans are of these as well. Only an accepted head is
    /// remembered; empty if the last wasn't one.
    pub(crate) bytes: Vec<u8>,
    /// Whether the lines behind the first one mean the same behind any other of this version: the first names no host.
    pub(crate) settled: bool,
    /// Counts heads that weren't the one before as a whole.
    pub(crate) heads: u64,
    /// Counts heads whose lines behind the first weren't those of the one before.
    pub(crate) lines: u64,
}

impl PartialEq for Seen {
    fn eq(&self, _: &Seen) -> bool {
        true
    }
}

impl Eq for Seen {}

impl Seen {
    /// Whether these bytes begin with the same head.
    #[inline]
    pub(crate) fn is_front_of(&self, bytes: &[u8]) -> bool {
        !self.bytes.is_empty() && bytes.starts_with(&self.bytes)
    }

    /// Forgets it: what comes is another.
    #[inline]
    pub(crate) fn forget(&mut self) {
        self.bytes.clear();
        self.heads += 1;
    }

    /// Remembers an accepted head.
    #[inline]
    pub(crate) fn remember(&mut self, head: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(head);
    }

    /// Gives memory back that an unusually long head took.
    #[inline]
    pub(crate) fn trim(&mut self) {
        if self.bytes.capacity() > SEEN_KEPT {
            self.bytes = Vec::new();
        }
    }
}

/// So much memory for a head is kept for the next connection, in bytes.
pub(crate) const SEEN_KEPT: usize = 4096;

/// A parsed request head. Reused from request to request, so that parsing allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// Bytes of the head, with its blank line (and any empty lines before it).
    pub length: usize,
    /// The method.
    pub method: Method,
    /// The method's bytes.
    pub method_name: Span,
    /// The request target as received.
    pub target: Span,
    /// The target's path, still percent-encoded: begins with `/`, or is the `*` of `OPTIONS *`. Lies outside of `target`
    /// never, though of `http://host` it is a slash of `://`.
    pub path: Span,
    /// The target's query without its `?`.
    pub query: Span,
    /// Whether the target has a `?`.
    pub has_query: bool,
    /// Host and optional port: of an absolute-form target, else of the Host header; empty if neither.
    pub host: Span,
    /// The version.
    pub version: Version,
    /// All header fields in order.
    pub fields: Vec<Field>,
    /// What is remembered of it for the next.
    pub(crate) seen: Seen,
    /// How the body ends.
    pub framing: Framing,
    /// What the connection does afterwards.
    pub connection: Connection,
    /// `Expect: 100-continue` was sent, in HTTP/1.1.
    pub expect_continue: bool,
    /// The `TE` header accepts trailers.
    pub te_trailers: bool,
}

/// A parsed response head. Reused from response to response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// Bytes of the head, with its blank line.
    pub length: usize,
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase.
    pub phrase: Span,
    /// The version.
    pub version: Version,
    /// All header fields in order.
    pub fields: Vec<Field>,
    /// What is remembered of it for the next.
    pub(crate) seen: Seen,
    /// The method of the request it was read as an answer to.
    pub(crate) asked: Method,
    /// How the body ends, given the request's method.
    pub framing: Framing,
    /// What the connection does afterwards.
    pub connection: Connection,
}

/// The first field of this known name.
fn first(fields: &[Field], known: Known) -> Option<&Field> {
    fields.iter().find(|field| field.known == known)
}

impl RequestHead {
    /// The bytes it was parsed from, up to its end, for as long as no other is parsed; none if the last bytes made no head.
    #[inline]
    pub fn received(&self) -> &[u8] {
        &self.seen.bytes
    }

    /// Takes the `X-Request-Id` of what comes for that of the head before, if one of the same length is at the same place behind the first
    /// line, so that heads that differ in nothing else are the same.
    pub(crate) fn take_id(&mut self, bytes: &[u8]) {
        let id = self.fields.iter().find(|field| field.known == Known::XRequestId);
        if let Some(Field { value, .. }) = id
            && let Some(line) = memchr::memchr(b'\n', bytes)
            && let Some(was) = self.seen.bytes.get_mut(value.start as usize..value.end as usize)
            && let start = line + 1 + (value.start - self.fields[0].name.start) as usize
            && let Some(id) = bytes.get(start..start + was.len())
            && is_within(id, b'!')
        {
            was.copy_from_slice(id);
        }
    }

    /// Makes it one that says nothing, and is none of those before.
    pub fn forget(&mut self) {
        let (mut fields, mut seen) = (std::mem::take(&mut self.fields), std::mem::take(&mut self.seen));
        fields.clear();
        seen.forget();
        seen.lines += 1;
        *self = RequestHead { fields, seen, ..RequestHead::default() };
    }

    /// Whether the request line and the Host field are as an endpoint is to see them: HTTP/1.1 with a target in origin form.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.version == Version::Http11 && self.path.start == self.target.start
    }

    /// The value of the first field of this known name.
    pub fn known<'a>(&self, bytes: &'a [u8], known: Known) -> Option<&'a [u8]> {
        first(&self.fields, known).map(|field| field.value.of(bytes))
    }

    /// The values of the cookies of this name, in order (RFC 6265 section 4.2.1).
    pub fn cookies<'a>(&'a self, bytes: &'a [u8], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.fields.iter().filter(|field| field.known == Known::Cookie);
        let pairs = lines.flat_map(|field| {
            let mut rest = Some(field.value.of(bytes));
            std::iter::from_fn(move || {
                let text = rest.take()?;
                let end = memchr::memchr(b';', text);
                rest = end.map(|end| &text[end + 1..]);
                Some(&text[..end.unwrap_or(text.len())])
            })
        });
        pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
    }

    /// The value of the first field of this name, compared without regard to case.
    pub fn header<'a>(&self, bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
        named(&self.fields, bytes, name)
    }
}

impl ResponseHead {
    /// Gives it another status, from 200 on and neither 206 nor 304. Where the new one has no body (RFC 9110 sections 15.3.5 and 15.3.6),
    /// the answer loses its; where the old one had none, it has an empty one. What the head said of the length goes.
    pub fn replace_status(&mut self, status: u16) {
        let asked_for_head = self.asked == Method::Head;
        self.framing = match (status, self.framing) {
            (204, _) => Framing::None,
            (205, _) if !asked_for_head => Framing::Length(0),
            (_, Framing::None) if !asked_for_head => Framing::Length(0),
            (_, framing) => framing,
        };
        if matches!(status, 204 | 205) {
            self.fields.iter_mut().filter(|field| field.known == Known::ContentLength).for_each(|field| field.hop = true);
        }
        self.status = status;
        // The received phrase says what the old one meant.
        self.phrase = Span::default();
        // It isn't what was received any more.
        self.seen.forget();
    }

    /// The value of the first field of this known name.
    pub fn known<'a>(&self, bytes: &'a [u8], known: Known) -> Option<&'a [u8]> {
        first(&self.fields, known).map(|field| field.value.of(bytes))
    }

    /// The value of the first field of this name, compared without regard to case.
    pub fn header<'a>(&self, bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
        named(&self.fields, bytes, name)
    }
}

fn named<'a>(fields: &[Field], bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes())).map(|field| field.value.of(bytes))
}
