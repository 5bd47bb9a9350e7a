//! Bytes received from a client and not yet used: the rest of one message and perhaps the beginning of the next.

/// A buffer with a part already used at its front.
#[derive(Default)]
pub struct Inbound {
    buf: Vec<u8>,
    start: usize,
    /// The body of the request at the front isn't there any more.
    bodiless: bool,
}

impl Inbound {
    /// Over an empty buffer.
    pub fn new(buf: Vec<u8>) -> Self {
        Inbound { buf, ..Inbound::default() }
    }

    /// The unused bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// Uses up so many bytes.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        self.bodiless = false;
        debug_assert!(self.start <= self.buf.len());
        if self.start == self.buf.len() {
            self.buf.clear();
            self.start = 0;
        }
    }

    /// The buffer, with room for at least one more byte and the unused bytes at its front, to receive into.
    pub fn lend(&mut self, size: usize) -> Vec<u8> {
        if self.start > 0 && self.buf.len() == self.buf.capacity() {
            self.buf.copy_within(self.start.., 0);
            self.buf.truncate(self.buf.len() - self.start);
            self.start = 0;
        }
        if self.buf.len() == self.buf.capacity() {
            self.buf.reserve(size);
        }
        std::mem::take(&mut self.buf)
    }

    /// Takes the lent buffer back.
    pub fn restore(&mut self, buf: Vec<u8>) {
        self.buf = buf;
    }

    /// Replaces the unused bytes by those of a request's head and what comes behind its body, which was taken out.
    pub fn replace_body(&mut self, bytes: &[u8]) {
        self.replace(bytes);
        self.bodiless = true;
    }

    /// Whether the body of the request at the front was taken out.
    pub fn is_bodiless(&self) -> bool {
        self.bodiless
    }

    /// Replaces the unused bytes.
    pub fn replace(&mut self, bytes: &[u8]) {
        self.bodiless = false;
        self.buf.clear();
        self.start = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// The buffer itself, given up.
    pub fn into_buf(self) -> Vec<u8> {
        self.buf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_not_used() {
        let mut inbound = Inbound::new(Vec::with_capacity(8));
        let mut buf = inbound.lend(8);
        buf.extend_from_slice(b"abcdefgh");
        inbound.restore(buf);
        inbound.consume(6);
        assert_eq!(inbound.bytes(), b"gh");
        let mut buf = inbound.lend(8);
        assert!(buf.capacity() > buf.len(), "there is room again");
        buf.extend_from_slice(b"ij");
        inbound.restore(buf);
        assert_eq!(inbound.bytes(), b"ghij");
        inbound.consume(4);
        assert!(inbound.bytes().is_empty());
        inbound.replace(b"next");
        assert_eq!(inbound.bytes(), b"next");
    }
}
