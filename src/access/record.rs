//! A request that has ended, as bytes: numbers at fixed places, then texts, each with its length.

use std::net::{IpAddr, Ipv6Addr};

use crate::error::Reason;
use crate::http::{RequestHead, Version};

/// What is told of one request that has ended. Texts that are too long are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Which access log its line goes to, by number in the [`Names`](super::Names).
    pub log: u8,
    /// The worker's number.
    pub core: u16,
    /// When its head was complete, in microseconds since 1970 began.
    pub at_us: u64,
    /// The answer's status; 0 if there was none.
    pub status: u16,
    /// The status of a call of gRPC, if it was one.
    pub grpc_status: Option<u8>,
    /// An endpoint chose the status.
    pub upstream_status: bool,
    /// Why it ended otherwise than by an endpoint's whole answer.
    pub reason: Option<Reason>,
    /// Its version, of HTTP/1 unless it is a stream's.
    pub version: Version,
    /// It came as a stream of HTTP/2.
    pub http2: bool,
    /// Its route's number.
    pub route: Option<u32>,
    /// The number of the upstream that was asked.
    pub upstream: Option<u32>,
    /// How many times an endpoint was asked.
    pub attempts: u32,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// How long it took.
    pub times: Times,
    /// The client's address, as far as trusted proxies tell.
    pub client: IpAddr,
    /// The address at the connection's other end.
    pub peer: IpAddr,
    /// What it asked for.
    pub line: Line<'a>,
    /// Its id.
    pub request_id: &'a [u8],
    /// Its `traceparent`.
    pub traceparent: &'a [u8],
    /// Its host.
    pub host: &'a [u8],
    /// The endpoint that was asked last.
    pub endpoint: &'a [u8],
    /// What the cache did.
    pub cache: &'a [u8],
    /// What the rate limits said.
    pub rate_limit: &'a [u8],
    /// Who the client proved to be.
    pub identity: &'a [u8],
    /// Its `User-Agent`.
    pub user_agent: &'a [u8],
}

/// How long a request took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// In all.
    pub all: u32,
    /// To open a connection to the endpoint.
    pub connect: Option<u32>,
    /// From the last attempt's start to the head of its answer.
    pub first_byte: Option<u32>,
}

/// A request line up to the end of its path or query, in one piece as it was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    bytes: &'a [u8],
    method: u16,
    /// Where the path begins and ends.
    path: (u16, u16),
}

impl<'a> Line<'a> {
    /// That of a head parsed from `bytes`, or nothing if there is none; without the query unless that is wanted.
    #[inline]
    pub fn of(head: &RequestHead, bytes: &'a [u8], query: bool) -> Self {
        let start = head.method_name.start;
        let end = if query && head.has_query { head.query.end } else { head.path.end };
        let at = |place: u32| (place.wrapping_sub(start)).min(TEXT_MAX as u32) as u16;
        let bytes = bytes.get(start as usize..end as usize).unwrap_or_default();
        Line {
            bytes: &bytes[..bytes.len().min(TEXT_MAX)],
            method: at(head.method_name.end),
            path: (at(head.path.start), at(head.path.end)),
        }
    }

    /// The method.
    pub fn method(&self) -> &'a [u8] {
        self.bytes.get(..self.method.into()).unwrap_or_default()
    }

    /// The path.
    pub fn path(&self) -> &'a [u8] {
        self.bytes.get(self.path.0.into()..self.path.1.into()).unwrap_or_default()
    }

    /// The query without its `?`, if it is wanted.
    pub fn query(&self) -> &'a [u8] {
        self.bytes.get(usize::from(self.path.1) + 1..).unwrap_or_default()
    }
}

impl<'a> Record<'a> {
    /// Appends it, unless `out` would become longer than `limit`: `false`.
    pub fn encode(&self, out: &mut Vec<u8>, limit: usize) -> bool {
        let texts = self.texts();
        let mut length = HEAD;
        let mut lengths = [0u8; 2 * TEXTS];
        for (text, place) in texts.iter().zip(lengths.chunks_exact_mut(2)) {
            let cut = text.len().min(TEXT_MAX);
            length += cut;
            place.copy_from_slice(&(cut as u16).to_le_bytes());
        }
        if out.len() + length > limit {
            return false;
        }
        let flags = u8::from(self.upstream_status) | u8::from(self.version == Version::Http10) << 1 | u8::from(self.http2) << 2;
        let mut head = [0; HEAD];
        put(&mut head, 0, (length as u32).to_le_bytes());
        put(&mut head, 4, [self.log, flags, self.reason.map_or(NONE, |reason| reason as u8), self.grpc_status.unwrap_or(NONE)]);
        put(&mut head, 8, self.core.to_le_bytes());
        put(&mut head, 10, self.status.to_le_bytes());
        put(&mut head, 12, self.attempts.to_le_bytes());
        put(&mut head, 16, self.times.all.to_le_bytes());
        put(&mut head, 20, self.times.connect.unwrap_or(u32::MAX).to_le_bytes());
        put(&mut head, 24, self.times.first_byte.unwrap_or(u32::MAX).to_le_bytes());
        put(&mut head, 28, self.route.unwrap_or(u32::MAX).to_le_bytes());
        put(&mut head, 32, self.upstream.unwrap_or(u32::MAX).to_le_bytes());
        put(&mut head, 36, self.at_us.to_le_bytes());
        put(&mut head, 44, self.bytes_in.to_le_bytes());
        put(&mut head, 52, self.bytes_out.to_le_bytes());
        put(&mut head, 60, bits(self.client).to_le_bytes());
        put(&mut head, 76, bits(self.peer).to_le_bytes());
        put(&mut head, 92, self.line.method.to_le_bytes());
        put(&mut head, 94, self.line.path.0.to_le_bytes());
        put(&mut head, 96, self.line.path.1.to_le_bytes());
        put(&mut head, 98, lengths);
        out.extend_from_slice(&head);
        for text in texts {
            if !text.is_empty() {
                out.extend_from_slice(&text[..text.len().min(TEXT_MAX)]);
            }
        }
        true
    }

    /// Takes the first record off `bytes`; `None` if there is no whole one.
    pub fn decode(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let (record, rest) = bytes.split_at_checked(u32::from_le_bytes(of(head, 0)) as usize)?;
        let mut behind = record.get(HEAD..)?;
        let mut texts = [&[][..]; TEXTS];
        for (index, text) in texts.iter_mut().enumerate() {
            let length = u16::from_le_bytes(of(head, 98 + 2 * index));
            (*text, behind) = behind.split_at_checked(length.into())?;
        }
        let [log, flags, reason, call] = of(head, 4);
        let half = |at| u16::from_le_bytes(of(head, at));
        let word = |at| u32::from_le_bytes(of(head, at));
        let double = |at| u64::from_le_bytes(of(head, at));
        let some = |at| Some(word(at)).filter(|&word| word != u32::MAX);
        let address = |at| IpAddr::V6(Ipv6Addr::from_bits(u128::from_le_bytes(of(head, at)))).to_canonical();
        let [line, request_id, traceparent, host, endpoint, cache, rate_limit, identity, user_agent] = texts;
        *bytes = rest;
        Some(Record {
            log,
            core: half(8),
            at_us: double(36),
            status: half(10),
            grpc_status: Some(call).filter(|&call| call != NONE),
            upstream_status: flags & 1 != 0,
            reason: Reason::ALL.get(usize::from(reason)).copied(),
            version: if flags & 2 != 0 { Version::Http10 } else { Version::Http11 },
            http2: flags & 4 != 0,
            route: some(28),
            upstream: some(32),
            attempts: word(12),
            bytes_in: double(44),
            bytes_out: double(52),
            times: Times { all: word(16), connect: some(20), first_byte: some(24) },
            client: address(60),
            peer: address(76),
            line: Line { bytes: line, method: half(92), path: (half(94), half(96)) },
            request_id,
            traceparent,
            host,
            endpoint,
            cache,
            rate_limit,
            identity,
            user_agent,
        })
    }

    #[inline]
    fn texts(&self) -> [&'a [u8]; TEXTS] {
        [
            self.line.bytes,
            self.request_id,
            self.traceparent,
            self.host,
            self.endpoint,
            self.cache,
            self.rate_limit,
            self.identity,
            self.user_agent,
        ]
    }
}

#[inline(always)]
fn put<const N: usize>(head: &mut [u8; HEAD], at: usize, bytes: [u8; N]) {
    head[at..at + N].copy_from_slice(&bytes);
}

#[inline(always)]
fn of<const N: usize>(head: &[u8; HEAD], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&head[at..at + N]);
    bytes
}

/// An address as 128 bits, those of IPv4 mapped.
#[inline]
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// In place of a reason, or the status of a call.
const NONE: u8 = u8::MAX;
/// How many texts a record has.
const TEXTS: usize = 9;
/// Bytes of a record before its texts, the last of which are the texts' lengths.
const HEAD: usize = 98 + 2 * TEXTS;
/// The longest text, in bytes; a request line is seldom longer.
pub(super) const TEXT_MAX: usize = 8192;
