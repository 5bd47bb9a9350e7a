//! This core's free buffers, last in first out, so that the one taken is still in the cache.

use std::cell::RefCell;

/// Free buffers of one size, kept up to a number.
pub struct Buffers {
    size: usize,
    keep: usize,
    free: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Buffers of `size` bytes, of which at most `keep` are kept while free.
    pub fn new(size: usize, keep: usize) -> Self {
        Buffers { size, keep, free: RefCell::new(Vec::with_capacity(keep)) }
    }

    /// The size of a buffer in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// An empty buffer.
    #[inline]
    pub fn take(&self) -> Vec<u8> {
        self.free.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(self.size))
    }

    /// Drops free buffers beyond so many.
    pub fn trim(&self, spare: usize) {
        self.free.borrow_mut().truncate(spare);
    }

    /// Gives a buffer back. One that has grown, or that an interrupted operation kept, is dropped.
    pub fn give(&self, mut buf: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if free.len() < self.keep && buf.capacity().wrapping_sub(self.size) <= self.size / 4 {
            buf.clear();
            free.push(buf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuses_the_last_one_and_keeps_no_more_than_told() {
        let buffers = Buffers::new(100, 1);
        let (mut a, b) = (buffers.take(), buffers.take());
        a.extend_from_slice(b"x");
        let at = a.as_ptr();
        buffers.give(a);
        buffers.give(b);
        let again = buffers.take();
        assert!(again.is_empty() && again.as_ptr() == at);
        assert_eq!(buffers.free.borrow().len(), 0);
        buffers.give(Vec::with_capacity(1000));
        assert_eq!(buffers.free.borrow().len(), 0);
    }
}
