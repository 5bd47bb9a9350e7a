//! A route's changes to a message's headers, made ready once so that applying them copies one block.

/// Headers taken away, and a block of header lines added. Setting a header is taking it away and adding it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    dropped: Vec<Box<[u8]>>,
    block: Vec<u8>,
}

impl Edits {
    /// Takes every header of this name away.
    pub fn remove(&mut self, name: &str) {
        self.dropped.push(name.to_ascii_lowercase().into_bytes().into());
    }

    /// Replaces every header of this name by one.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.add(name, value);
    }

    /// Adds a header beside those of the same name. Name and value must have been validated.
    pub fn add(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\r\n"] {
            self.block.extend_from_slice(part.as_bytes());
        }
    }

    /// Whether a received header of this name is taken away.
    #[inline]
    pub fn drops(&self, name: &[u8]) -> bool {
        !self.dropped.is_empty() && self.dropped.iter().any(|dropped| dropped.eq_ignore_ascii_case(name))
    }

    /// The lines to add, as they go on the wire.
    #[inline]
    pub fn block(&self) -> &[u8] {
        &self.block
    }
}
