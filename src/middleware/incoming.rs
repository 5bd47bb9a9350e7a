//! What the decisions ask of a request: where it wants to go, who sent it, what it hashes to.

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

use crate::config::{Cidr, HashKey};
use crate::http::{Known, RequestHead};
use crate::router::{Lookup, Properties};

/// A request as the decisions see it.
pub struct Incoming<'a> {
    /// Its parsed head.
    pub head: &'a RequestHead,
    /// The bytes the head was parsed from.
    pub bytes: &'a [u8],
    /// The address at the connection's other end.
    pub peer: IpAddr,
    /// It came over TLS, or a trusted proxy says that it did.
    pub secure: bool,
    /// Seconds since 1970 began, as of about a second ago.
    pub wall: u64,
}

/// A request, and the networks whose word about its client is believed.
pub struct Asked<'a> {
    /// The request.
    pub incoming: &'a Incoming<'a>,
    /// The networks.
    pub trusted: &'a [Cidr],
}

impl Properties for Asked<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.incoming.head.header(self.incoming.bytes, name)
    }

    fn cookie(&self, name: &str) -> Option<&[u8]> {
        self.incoming.cookie(name)
    }

    fn client(&self) -> IpAddr {
        self.incoming.client(self.trusted)
    }
}

impl Asked<'_> {
    /// What the router asks about, with this path.
    pub fn lookup<'b>(&'b self, path: &'b [u8]) -> Lookup<'b> {
        let Incoming { head, bytes, .. } = *self.incoming;
        Lookup {
            method: head.method,
            method_name: head.method_name.of(bytes),
            host: head.host.of(bytes),
            path,
            query: head.query.of(bytes),
            properties: self,
        }
    }
}

impl<'a> Incoming<'a> {
    /// The client's address: the peer's, or what trusted proxies say of it. `X-Forwarded-For` is read from its end, and the first
    /// address that isn't a trusted proxy's is the client's; what stands before it anyone could have written.
    pub fn client(&self, trusted: &[Cidr]) -> IpAddr {
        let trusts = |ip: IpAddr| trusted.iter().any(|network| network.contains(ip));
        let mut client = self.peer.to_canonical();
        if trusted.is_empty() || !trusts(client) {
            return client;
        }
        let lines = self.head.fields.iter().rev().filter(|field| field.known == Known::XForwardedFor);
        for part in lines.flat_map(|field| field.value.of(self.bytes).rsplit(|&byte| byte == b',')) {
            let Some(ip) = std::str::from_utf8(part.trim_ascii()).ok().and_then(|text| text.parse::<IpAddr>().ok()) else { break };
            client = ip.to_canonical();
            if !trusts(client) {
                break;
            }
        }
        client
    }

    /// Hash of the client's address, the same on every core and after every restart.
    pub fn client_hash(&self, trusted: &[Cidr]) -> u64 {
        match self.client(trusted) {
            IpAddr::V4(ip) => hash(&ip.octets()),
            IpAddr::V6(ip) => hash(&ip.octets()),
        }
    }

    /// Hash of what the upstream's hashing strategy asks for; of the client's address where the request hasn't that.
    pub fn hash_key(&self, key: &HashKey, trusted: &[Cidr]) -> u64 {
        let value = match key {
            HashKey::Path => Some(self.head.path.of(self.bytes)),
            HashKey::Ip => None,
            HashKey::Header(name) => self.head.header(self.bytes, name),
            HashKey::Cookie(name) => self.cookie(name),
        };
        value.map_or_else(|| self.client_hash(trusted), hash)
    }

    /// The value of a cookie (RFC 6265 section 4.2.1).
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        self.head.cookies(self.bytes, name.as_bytes()).next()
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    hasher.write(bytes);
    hasher.finish()
}
