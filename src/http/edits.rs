//! A route's changes to a message's headers, made ready once so that applying them copies one block.

/// Headers taken away, and a block of header lines added. Setting a header is taking it away and adding it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edits {
    dropped: Vec<Box<[u8]>>,
    /// The lines to add and the blank line behind them.
    tail: Vec<u8>,
}

impl Default for Edits {
    fn default() -> Self {
        Edits { dropped: Vec::new(), tail: b"\r\n".to_vec() }
    }
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

    /// Whether a received header of this name is taken away.
    pub fn drops(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|dropped| dropped.eq_ignore_ascii_case(name))
    }

    /// What ends the head, as it goes on the wire: the lines to add and the blank line.
    #[inline]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }
}
