//! A request that has ended, as bytes: numbers at fixed places, then texts, each with its length.

use std::net::{IpAddr, Ipv6Addr};

use crate::error::Reason;
use crate::http::Version;

/// What is told of one request that has ended. Texts that are too long are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Which of the plan's access logs its line goes to.
    pub log: u8,
    /// The worker's number.
    pub core: u16,
    /// The generation of the configuration.
    pub generation: u64,
    /// When its head was complete, in microseconds since 1970 began.
    pub at_us: u64,
    /// The answer's status; 0 if there was none.
    pub status: u16,
    /// An endpoint chose the status.
    pub upstream_status: bool,
    /// Why it ended otherwise than by an endpoint's whole answer.
    pub reason: Option<Reason>,
    /// Its version.
    pub version: Version,
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
    /// Its id.
    pub request_id: &'a [u8],
    /// Its `traceparent`.
    pub traceparent: &'a [u8],
    /// Its method.
    pub method: &'a [u8],
    /// Its host.
    pub host: &'a [u8],
    /// Its path.
    pub path: &'a [u8],
    /// Its query; empty unless the log has it.
    pub query: &'a [u8],
    /// Its route.
    pub route: &'a [u8],
    /// The upstream that was asked.
    pub upstream: &'a [u8],
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

impl<'a> Record<'a> {
    /// Appends it, unless `out` would become longer than `limit`: `false`.
    pub fn encode(&self, out: &mut Vec<u8>, limit: usize) -> bool {
        let texts = self.texts();
        let mut head = [0; HEAD];
        let mut at = 4;
        let mut put = |bytes: &[u8]| {
            head[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        let flags = u8::from(self.upstream_status) | u8::from(self.version == Version::Http10) << 1;
        put(&[self.log, flags, self.reason.map_or(NONE, |reason| reason as u8), 0]);
        put(&self.core.to_le_bytes());
        put(&self.status.to_le_bytes());
        put(&self.attempts.to_le_bytes());
        for time in [self.times.all, self.times.connect.unwrap_or(u32::MAX), self.times.first_byte.unwrap_or(u32::MAX)] {
            put(&time.to_le_bytes());
        }
        for number in [self.generation, self.at_us, self.bytes_in, self.bytes_out] {
            put(&number.to_le_bytes());
        }
        for address in [self.client, self.peer] {
            put(&bits(address).to_le_bytes());
        }
        let mut length = HEAD;
        for text in &texts {
            let cut = text.len().min(TEXT_MAX);
            length += cut;
            put(&(cut as u16).to_le_bytes());
        }
        head[..4].copy_from_slice(&(length as u32).to_le_bytes());
        if out.len() + length > limit {
            return false;
        }
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
        let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        let (record, rest) = bytes.split_at_checked(length)?;
        let mut reader = Reader(record.get(4..)?);
        let [log, flags, reason, _] = reader.take()?;
        let core = u16::from_le_bytes(reader.take()?);
        let status = u16::from_le_bytes(reader.take()?);
        let attempts = u32::from_le_bytes(reader.take()?);
        let times = [reader.u32()?, reader.u32()?, reader.u32()?];
        let numbers = [reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?];
        let addresses = [reader.address()?, reader.address()?];
        let mut lengths = [0; TEXTS];
        for length in &mut lengths {
            *length = u16::from_le_bytes(reader.take()?);
        }
        let mut texts = [&[][..]; TEXTS];
        for (text, length) in texts.iter_mut().zip(lengths) {
            *text = reader.bytes(usize::from(length))?;
        }
        let [request_id, traceparent, method, host, path, query, route, upstream, endpoint, cache, rate_limit, identity, user_agent] =
            texts;
        *bytes = rest;
        Some(Record {
            log,
            core,
            generation: numbers[0],
            at_us: numbers[1],
            status,
            upstream_status: flags & 1 != 0,
            reason: Reason::ALL.get(usize::from(reason)).copied(),
            version: if flags & 2 != 0 { Version::Http10 } else { Version::Http11 },
            attempts,
            bytes_in: numbers[2],
            bytes_out: numbers[3],
            times: Times { all: times[0], connect: known(times[1]), first_byte: known(times[2]) },
            client: addresses[0],
            peer: addresses[1],
            request_id,
            traceparent,
            method,
            host,
            path,
            query,
            route,
            upstream,
            endpoint,
            cache,
            rate_limit,
            identity,
            user_agent,
        })
    }

    fn texts(&self) -> [&'a [u8]; TEXTS] {
        [
            self.request_id,
            self.traceparent,
            self.method,
            self.host,
            self.path,
            self.query,
            self.route,
            self.upstream,
            self.endpoint,
            self.cache,
            self.rate_limit,
            self.identity,
            self.user_agent,
        ]
    }
}

fn known(time: u32) -> Option<u32> {
    (time != u32::MAX).then_some(time)
}

/// An address as 128 bits, those of IPv4 mapped.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn address(&mut self) -> Option<IpAddr> {
        self.take().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(u128::from_le_bytes(bits))).to_canonical())
    }
}

/// In place of a reason.
const NONE: u8 = u8::MAX;
/// How many texts a record has.
const TEXTS: usize = 13;
/// Bytes of a record before its texts: its length, numbers, addresses, the texts' lengths.
const HEAD: usize = 4 + 4 + 2 + 2 + 4 + 3 * 4 + 4 * 8 + 2 * 16 + TEXTS * 2;
/// The longest text, in bytes; a path may be as long as a URI.
pub(super) const TEXT_MAX: usize = 8192;
