//! What a rate limit counts by: parts of a request, made one number that nobody outside can foresee.

use std::hash::Hasher;
use std::net::IpAddr;
use std::str::FromStr;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::Request;
use crate::http::is_token;

/// A part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The client's address; of IPv6, the network of 64 bits that one customer usually has.
    Ip,
    /// Who the client has proved to be, else its `X-API-Key`.
    Credential,
    /// A header.
    Header(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
    /// A claim of who the client has proved to be.
    Claim(Box<str>),
    /// The route's name.
    Route,
}

impl Key {
    pub const HINT: &str = "it is one of \"ip\", \"api_key\", \"header:NAME\", \"cookie:NAME\", \"claim:NAME\" and \"route\"";
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |name: &str| match is_token(name) {
            true => Ok(name.into()),
            false => Err("names what can't be the name of a header or cookie".to_owned()),
        };
        match text.split_once(':') {
            None if text == "ip" => Ok(Key::Ip),
            None if text == "api_key" => Ok(Key::Credential),
            None if text == "route" => Ok(Key::Route),
            Some(("header", name)) => Ok(Key::Header(named(name)?)),
            Some(("cookie", name)) => Ok(Key::Cookie(named(name)?)),
            Some(("claim", name)) if !name.is_empty() => Ok(Key::Claim(name.into())),
            _ => Err("is nothing that a limit can count by".into()),
        }
    }
}

/// What keys are made with: chosen anew by each process, so that nobody can find two clients whose keys collide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Secret(pub [u8; 16]);

impl Secret {
    /// A request's key.
    #[inline]
    pub(super) fn key(&self, keys: &[Key], request: &mut Request<'_>) -> u128 {
        if keys != [Key::Ip] {
            return self.make(keys, request);
        }
        let client = request.client();
        if let Some((_, key)) = request.address_key.filter(|(known, _)| *known == client) {
            return key;
        }
        let key = self.make(keys, request);
        *request.address_key = Some((client, key));
        key
    }

    fn make(&self, keys: &[Key], request: &Request<'_>) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        for key in keys {
            match key {
                Key::Ip => address(&mut hasher, request),
                Key::Route => part(&mut hasher, b'r', request.route.as_bytes()),
                Key::Credential => match &request.notes.marks.identity[..] {
                    [] => found(&mut hasher, request.incoming.head.header(request.incoming.bytes, "x-api-key"), request),
                    identity => part(&mut hasher, b'i', identity),
                },
                Key::Header(name) => found(&mut hasher, request.incoming.head.header(request.incoming.bytes, name), request),
                Key::Claim(name) => {
                    let claim = request.notes.verified.as_ref().and_then(|verified| verified.text(name));
                    found(&mut hasher, claim.as_deref().map(str::as_bytes), request);
                }
                Key::Cookie(name) => found(&mut hasher, request.incoming.cookie(name), request),
            }
        }
        hasher.finish128().as_u128()
    }
}

/// A part that a request may not have.
fn found(hasher: &mut SipHasher13, value: Option<&[u8]>, request: &Request<'_>) {
    match value {
        Some(value) => part(hasher, b'v', value),
        None => address(hasher, request),
    }
}

fn address(hasher: &mut SipHasher13, request: &Request<'_>) {
    match request.client() {
        IpAddr::V4(ip) => hasher.write_u64(u64::from(b'4') << 32 | u64::from(ip.to_bits())),
        IpAddr::V6(ip) => {
            hasher.write_u64(u64::from(b'6') << 32);
            hasher.write_u64((ip.to_bits() >> 64) as u64);
        }
    }
}

/// Each part says how long it is, so that no two lists of parts read the same.
fn part(hasher: &mut SipHasher13, kind: u8, bytes: &[u8]) {
    hasher.write_u64(u64::from(kind) << 56 | bytes.len() as u64);
    hasher.write(bytes);
}

/// A number that differs where the keys do.
pub(super) fn kind(keys: &[String], keys_max: u32) -> u64 {
    let mut hasher = SipHasher13::new();
    for key in keys {
        part(&mut hasher, b'k', key.as_bytes());
    }
    hasher.write_u32(keys_max);
    hasher.finish()
}
