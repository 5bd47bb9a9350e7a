//! A route's changes to a message's headers, made ready once so that applying them copies one block.

use super::alike::are_alike;

/// Headers taken away, and a block of header lines added. Setting a header is taking it away and adding it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edits {
    dropped: Vec<Box<[u8]>>,
    /// The hash of each of them.
    hashes: Vec<u16>,
    /// The lines to add and the blank line behind them.
    tail: Vec<u8>,
}

impl Default for Edits {
    fn default() -> Self {
        Edits { dropped: Vec::new(), hashes: Vec::new(), tail: b"\r\n".to_vec() }
    }
}

impl Edits {
    /// Takes every header of this name away.
    pub fn remove(&mut self, name: &str) {
        self.dropped.push(name.to_ascii_lowercase().into_bytes().into());
        self.hashes.push(name_hash(name.as_bytes()));
    }

    /// Replaces every header of this name by one.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.add(name, value);
    }

    /// Adds a header beside those of the same name. Name and value must have been validated.
    pub fn add(&mut self, name: &str, value: &str) {
        self.tail.truncate(self.tail.len() - 2);
        for part in [name, ": ", value, "\r\n\r\n"] {
            self.tail.extend_from_slice(part.as_bytes());
        }
    }

    /// Whether any received header is taken away.
    #[inline]
    pub fn drop_any(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Whether any header may be taken away of those whose names have these hashes, two bytes each ([`name_hash`]). It may say so though
    /// none is.
    #[inline]
    pub fn may_drop_of(&self, hashes: &[u8]) -> bool {
        let (hashes, _) = hashes.as_chunks::<2>();
        self.hashes.iter().any(|own| hashes.contains(&own.to_le_bytes()))
    }

    /// Whether a received header of this name is taken away.
    pub fn drops(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|dropped| dropped.eq_ignore_ascii_case(name))
    }

    /// Whether a request header of this name is taken away, or of one that an endpoint may take for it.
    pub fn drops_alike(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|dropped| are_alike(dropped, name))
    }

    /// What ends the head, as it goes on the wire: the lines to add and the blank line.
    #[inline]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }
}

/// A header name's hash, the same in any case.
pub fn name_hash(name: &[u8]) -> u16 {
    let hash = name.iter().fold(name.len() as u32, |hash, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(byte.to_ascii_lowercase()));
    (hash ^ (hash >> 16)) as u16
}
