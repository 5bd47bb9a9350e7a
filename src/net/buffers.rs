//! This core's free buffers, last in first out, so that the one taken is still in the cache.

use std::cell::RefCell;

/// Free buffers of two sizes, kept up to a number: those that most messages fit into, and large ones for long bodies.
pub struct Buffers {
    size: usize,
    large: usize,
    keep: usize,
    free: RefCell<Vec<Vec<u8>>>,
    free_large: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Buffers of `size` bytes, of which at most `keep` are kept while free, and of `large` bytes, of which a sixteenth of that is.
    pub fn new(size: usize, large: usize, keep: usize) -> Self {
        Buffers { size, large: large.max(size), keep, free: RefCell::new(Vec::with_capacity(keep)), free_large: RefCell::default() }
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

    /// The size of a large buffer in bytes, at least that of the others.
    pub fn large(&self) -> usize {
        self.large
    }

    /// An empty large buffer.
    pub fn take_large(&self) -> Vec<u8> {
        self.free_large.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(self.large))
    }

    /// What this buffer holds, in a large one.
    pub fn enlarge(&self, buf: Vec<u8>) -> Vec<u8> {
        if buf.capacity() >= self.large {
            return buf;
        }
        let mut large = self.take_large();
        large.extend_from_slice(&buf);
        self.give(buf);
        large
    }

    /// Drops free buffers beyond so many.
    pub fn trim(&self, spare: usize) {
        self.free.borrow_mut().truncate(spare);
        self.free_large.borrow_mut().truncate(spare / LARGE_KEPT);
    }

    /// Gives a buffer back. One that has grown, or that an interrupted operation kept, is dropped.
    pub fn give(&self, mut buf: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if free.len() < self.keep && buf.capacity().wrapping_sub(self.size) <= self.size / 4 {
            buf.clear();
            free.push(buf);
        } else if buf.capacity() == self.large {
            self.give_large(buf);
        }
    }

    #[cold]
    fn give_large(&self, mut buf: Vec<u8>) {
        let mut free = self.free_large.borrow_mut();
        if free.len() < self.keep / LARGE_KEPT {
            buf.clear();
            free.push(buf);
        }
    }
}

/// Of the large ones so many times fewer are kept.
const LARGE_KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuses_the_last_one_and_keeps_no_more_than_told() {
        let buffers = Buffers::new(100, 200, 1);
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

    #[test]
    fn what_outgrows_a_buffer_moves_to_a_large_one() {
        let buffers = Buffers::new(100, 200, 16);
        let mut buf = buffers.take();
        buf.extend_from_slice(b"so far");
        let large = buffers.enlarge(buf);
        assert_eq!((large.capacity(), &large[..]), (200, &b"so far"[..]));
        assert_eq!(buffers.free.borrow().len(), 1);
        let at = large.as_ptr();
        let large = buffers.enlarge(large);
        assert_eq!(large.as_ptr(), at, "it is one already");
        buffers.give(large);
        buffers.give(Vec::with_capacity(200));
        assert_eq!((buffers.free.borrow().len(), buffers.free_large.borrow().len()), (1, 1));
        assert!(buffers.take_large().is_empty());
    }
}
