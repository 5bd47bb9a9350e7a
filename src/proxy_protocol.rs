//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`, 2020/03/05): a proxy's word, before a connection's first byte, on
//! who its client is. Strict: what the specification doesn't allow is refused, as whoever may say this is believed in everything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[cfg(test)]
mod laws;

/// Which form is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text (section 2.1).
    V1,
    /// Binary (section 2.2).
    V2,
}

/// Both ends of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub from: SocketAddr,
    /// Where it connected to.
    pub to: SocketAddr,
}

/// A header that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client's connection; `None` if there is none, or none over TCP (`LOCAL`, `UNKNOWN`, Unix sockets): then the addresses of the
    /// connection itself count.
    pub ends: Option<Ends>,
    /// Bytes of the header, what stands behind its addresses included.
    pub length: usize,
}

/// Not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads the header at the front of these bytes; `None` if more of it has yet to come.
///
/// # Errors
/// When no bytes behind these could make them a header, or it is longer than [`V1_MAX`] or [`V2_MAX`].
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let begins = |start: &[u8]| bytes.iter().zip(start).all(|(a, b)| a == b);
    if begins(PREFIX) {
        if bytes.len() < PREFIX.len() { Ok(None) } else { parse_v1(bytes) }
    } else if begins(SIGNATURE) {
        parse_v2(bytes)
    } else {
        Err(Malformed)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let line = &bytes[..bytes.len().min(V1_MAX)];
    let Some(end) = memchr::memchr(b'\n', line) else {
        return if line.len() == V1_MAX { Err(Malformed) } else { Ok(None) };
    };
    let text = line[PREFIX.len()..end].strip_suffix(b"\r").ok_or(Malformed)?;
    let length = end + 1;
    if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") {
        return Ok(Some(Header { ends: None, length }));
    }
    let mut words = std::str::from_utf8(text).map_err(|_| Malformed)?.split(' ');
    let mut word = || words.next().ok_or(Malformed);
    let family = word()?;
    let ip = |text: &str| {
        match family {
            "TCP4" => text.parse().map(IpAddr::V4),
            "TCP6" => text.parse().map(IpAddr::V6),
            _ => return Err(Malformed),
        }
        .map_err(|_| Malformed)
    };
    let (from, to) = (ip(word()?)?, ip(word()?)?);
    let (from_port, to_port) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(Malformed);
    }
    let ends = Ends { from: SocketAddr::new(from, from_port), to: SocketAddr::new(to, to_port) };
    Ok(Some(Header { ends: Some(ends), length }))
}

/// A decimal number without a sign or leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Malformed)
}

fn parse_v2(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let local = match bytes.get(12) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Malformed),
    };
    let Some(&family) = bytes.get(13) else { return Ok(None) };
    // The family is ignored where there is no client.
    let needed = match family {
        _ if local => 0,
        UNSPEC => 0,
        TCP4 | UDP4 => 12,
        TCP6 | UDP6 => 36,
        UNIX_STREAM | UNIX_DATAGRAM => 216,
        _ => return Err(Malformed),
    };
    let Some(size) = bytes.get(14..FIXED) else { return Ok(None) };
    let length = FIXED + usize::from(u16::from_be_bytes([size[0], size[1]]));
    if length < FIXED + needed || length > V2_MAX {
        return Err(Malformed);
    }
    let Some(block) = bytes.get(FIXED..length) else { return Ok(None) };
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    let v4 = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&block[at..at + 4]).expect("four bytes"));
    let v6 = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&block[at..at + 16]).expect("sixteen bytes"));
    let ends = match family {
        TCP4 if !local => Some(Ends { from: (v4(0), port(8)).into(), to: (v4(4), port(10)).into() }),
        TCP6 if !local => Some(Ends { from: (v6(0), port(32)).into(), to: (v6(16), port(34)).into() }),
        _ => None,
    };
    Ok(Some(Header { ends, length }))
}

/// Writes a header. Without a client it says that the connection is the proxy's own (`LOCAL`, in version 1 `UNKNOWN`). Where one end has an
/// IPv4 address and the other an IPv6 address, both are written as IPv6.
pub fn write(out: &mut Vec<u8>, version: Version, ends: Option<&Ends>) {
    let pair = ends.map(|Ends { from, to }| match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => ((IpAddr::V4(a), from.port()), (IpAddr::V4(b), to.port())),
        (a, b) => ((v6(a), from.port()), (v6(b), to.port())),
    });
    match (version, pair) {
        (Version::V1, None) => out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        (Version::V1, Some(((from, from_port), (to, to_port)))) => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            out.extend_from_slice(format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").as_bytes());
        }
        (Version::V2, None) => {
            out.extend_from_slice(SIGNATURE);
            out.extend_from_slice(&[0x20, UNSPEC, 0, 0]);
        }
        (Version::V2, Some(((from, from_port), (to, to_port)))) => {
            out.extend_from_slice(SIGNATURE);
            out.extend_from_slice(if from.is_ipv4() { &[0x21, TCP4, 0, 12] } else { &[0x21, TCP6, 0, 36] });
            for ip in [from, to] {
                match ip {
                    IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
                }
            }
            out.extend_from_slice(&from_port.to_be_bytes());
            out.extend_from_slice(&to_port.to_be_bytes());
        }
    }
}

fn v6(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        IpAddr::V6(_) => ip,
    }
}

/// Bytes of a header of version 1 at most, its line end included (section 2.1).
pub const V1_MAX: usize = 107;
/// Bytes of a header of version 2 that are taken at most: the longest addresses, and behind them as much as a sender can count on to
/// arrive in one piece (536 bytes). The specification leaves the bound to the receiver.
pub const V2_MAX: usize = FIXED + 216 + 536;

const PREFIX: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 before the addresses.
const FIXED: usize = 16;
const UNSPEC: u8 = 0x00;
const TCP4: u8 = 0x11;
const UDP4: u8 = 0x12;
const TCP6: u8 = 0x21;
const UDP6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;
