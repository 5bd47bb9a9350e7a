//! A response on its way into the store, and what those see who wait for it.
//!
//! ```text
//! Asked --- head --> Receiving --- all of the body --> Done
//!      \                      \
//!       \- not stored, failed, dropped --------------> Ended
//! ```
//! A body of unknown length that becomes too large passes through: others don't find it any more, and what all its readers have
//! read is let go.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use super::Cache;
use super::condition::Form;
use super::hit::{Copied, Hit, append};
use super::item::{BLOCK, Block, Item};
use super::shard::Shard;
use super::status::Status;
use crate::clock::Instant;

/// A response that is being fetched, as those see it who wait for it.
pub struct Fill {
    id: u64,
    pub(super) hash: u64,
    /// The shard's sequence when it was asked for.
    pub(super) seq: u64,
    pub(super) url: Box<[u8]>,
    pub(super) extra: Box<[u8]>,
    pub(super) zone: u64,
    pub(super) stage: RefCell<Stage>,
    /// How far each reader has come; `None` in a place that is free.
    readers: RefCell<Vec<Option<u64>>>,
}

pub(super) enum Stage {
    /// Its head hasn't come yet.
    Asked,
    Receiving(Receiving),
    Done(Item),
    /// There is nothing to wait for.
    Ended,
}

pub(super) struct Receiving {
    /// The response without its body.
    pub(super) item: Item,
    /// Bytes there will be, if the head says so.
    pub(super) expected: Option<u64>,
    /// Blocks that are full, without those that all readers of a body that isn't stored have passed.
    blocks: VecDeque<Block>,
    /// The number of the first of them.
    first: usize,
    /// The one being filled.
    last: Vec<u8>,
    got: u64,
    /// Bytes of the shard that are kept for it.
    reserved: usize,
    /// It has become too large to be stored: it only passes through, as fast as the slowest reader takes it.
    passes: bool,
    /// It has passed through to its end.
    complete: bool,
}

/// One who reads from a fill.
pub(super) struct Reader {
    pub(super) fill: Rc<Fill>,
    place: usize,
}

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fill").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.fill.readers.borrow_mut()[self.place] = None;
    }
}

impl Reader {
    /// Appends the body from byte `at` on, at most so many bytes; what stands before isn't asked for again.
    pub(super) fn copy(&self, at: u64, most: usize, out: &mut Vec<u8>) -> Copied {
        self.fill.readers.borrow_mut()[self.place] = Some(at);
        let stage = self.fill.stage.borrow();
        let (bytes, whole) = match &*stage {
            Stage::Asked => return Copied::Wait,
            Stage::Ended => return Copied::Broken,
            Stage::Done(item) => (item.body(at), at >= item.meta().length),
            Stage::Receiving(body) => (body.bytes(at), body.complete && at >= body.got),
        };
        match append(out, bytes, most) {
            0 if whole => Copied::All(0),
            0 => Copied::Wait,
            copied => Copied::More(copied),
        }
    }
}

impl Fill {
    pub(super) fn new(id: u64, hash: u64, seq: u64, url: Box<[u8]>, extra: Box<[u8]>, zone: u64) -> Rc<Fill> {
        Rc::new(Fill { id, hash, seq, url, extra, zone, stage: RefCell::new(Stage::Asked), readers: RefCell::default() })
    }

    /// A number that no other fill of this core has: what waiters are kept under.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it is over: those that wait look up again.
    pub fn is_over(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Done(_) | Stage::Ended)
    }

    /// Whether its readers hold it up: it is to be told when one has gone on.
    pub fn is_held(&self) -> bool {
        matches!(&*self.stage.borrow(), Stage::Receiving(body) if body.passes)
    }

    /// The complete response.
    pub(super) fn done(&self) -> Option<Item> {
        match &*self.stage.borrow() {
            Stage::Done(item) => Some(item.clone()),
            _ => None,
        }
    }

    /// A reader from the body's beginning.
    pub(super) fn reader(self: &Rc<Self>) -> Reader {
        let mut readers = self.readers.borrow_mut();
        let place = readers.iter().position(Option::is_none).unwrap_or_else(|| {
            readers.push(None);
            readers.len() - 1
        });
        readers[place] = Some(0);
        Reader { fill: self.clone(), place }
    }

    /// How far the slowest reader has come; `None` if there is no reader.
    fn slowest(&self) -> Option<u64> {
        self.readers.borrow().iter().flatten().min().copied()
    }
}

impl Receiving {
    pub(super) fn new(item: Item, expected: Option<u64>, reserved: usize) -> Self {
        let size = expected.map_or(0, |length| length.min(BLOCK as u64) as usize);
        Receiving {
            item,
            expected,
            blocks: VecDeque::new(),
            first: 0,
            last: Vec::with_capacity(size),
            got: 0,
            reserved,
            passes: false,
            complete: false,
        }
    }

    /// What there is of the body from byte `at` on, as far as it lies together.
    fn bytes(&self, at: u64) -> &[u8] {
        match self.blocks.get((at as usize / BLOCK).wrapping_sub(self.first)) {
            Some(block) => &block[at as usize % BLOCK..],
            None => self.last.get(at as usize % BLOCK..).filter(|_| at < self.got).unwrap_or_default(),
        }
    }

    fn take(&mut self, mut piece: &[u8]) {
        self.got += piece.len() as u64;
        while !piece.is_empty() {
            let (now, rest) = piece.split_at(piece.len().min(BLOCK - self.last.len()));
            self.last.extend_from_slice(now);
            piece = rest;
            if self.last.len() == BLOCK {
                let left = self.expected.map_or(0, |length| length.saturating_sub(self.got - rest.len() as u64));
                let next = Vec::with_capacity(left.min(BLOCK as u64) as usize);
                self.blocks.push_back(Rc::new(std::mem::replace(&mut self.last, next)));
            }
        }
    }

    /// Lets the blocks go that lie before byte `at`; how many bytes of the shard that sets free.
    fn drop_before(&mut self, at: u64) -> usize {
        while self.first < at as usize / BLOCK && self.blocks.pop_front().is_some() {
            self.first += 1;
        }
        let held = self.blocks.len() * BLOCK + self.last.capacity();
        let free = self.reserved.saturating_sub(held);
        self.reserved -= free;
        free
    }

    fn complete(mut self) -> Item {
        if !self.last.is_empty() {
            self.last.shrink_to_fit();
            self.blocks.push_back(Rc::new(self.last));
        }
        self.item.complete(self.expected.is_none(), self.blocks.into(), self.got)
    }
}

/// The right to fill, and the duty to say when it came to nothing.
pub(super) struct Lead {
    pub(super) cache: Cache,
    pub(super) fill: Rc<Fill>,
}

impl Drop for Lead {
    fn drop(&mut self) {
        let stage = std::mem::replace(&mut *self.fill.stage.borrow_mut(), Stage::Ended);
        let mut shard = self.cache.0.borrow_mut();
        shard.forget(&self.fill);
        match stage {
            done @ (Stage::Done(_) | Stage::Receiving(Receiving { complete: true, .. })) => *self.fill.stage.borrow_mut() = done,
            Stage::Receiving(body) => {
                shard.release(body.reserved);
                shard.mark_unshared(self.fill.hash, true);
            }
            // Those that waited go on side by side rather than one after the other.
            Stage::Asked => shard.mark_unshared(self.fill.hash, true),
            Stage::Ended => {}
        }
    }
}

/// A response on its way into the store. Dropped before [`Filling::finish`], it isn't stored.
pub struct Filling {
    pub(super) lead: Lead,
    pub(super) show_key: bool,
}

impl Filling {
    /// The next piece of the body. `false` if it won't be stored, because it has become too large: it still passes through to its
    /// readers, but no more may be pushed than there is [`Filling::room`] for. More than was announced ends it.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let mut stage = self.lead.fill.stage.borrow_mut();
        let Stage::Receiving(body) = &mut *stage else { return false };
        let mut shard = self.lead.cache.0.borrow_mut();
        let got = body.got + piece.len() as u64;
        match body.expected {
            Some(expected) if got > expected => {
                shard.release(body.reserved);
                shard.forget(&self.lead.fill);
                *stage = Stage::Ended;
                return false;
            }
            Some(_) => {}
            None if body.passes => {}
            None if got + body.item.head().len() as u64 <= shard.limits.object_max && shard.reserve(piece.len()) => {
                body.reserved += piece.len();
            }
            None => {
                body.passes = true;
                shard.forget(&self.lead.fill);
                shard.mark_unshared(self.lead.fill.hash, true);
            }
        }
        body.take(piece);
        !body.passes
    }

    /// Whether more may be pushed. `None` if nobody wants more of it: it isn't stored, and its readers have left.
    pub fn room(&mut self) -> Option<bool> {
        let mut stage = self.lead.fill.stage.borrow_mut();
        let Stage::Receiving(body) = &mut *stage else { return None };
        if !body.passes {
            return Some(true);
        }
        let slowest = self.lead.fill.slowest()?;
        let free = body.drop_before(slowest);
        self.lead.cache.0.borrow_mut().release(free);
        Some(body.got - slowest < WINDOW)
    }

    /// The body is complete. It isn't stored if bytes are missing, or if it was purged meanwhile.
    pub fn finish(self, now: Instant) {
        let mut stage = self.lead.fill.stage.borrow_mut();
        if let Stage::Receiving(body) = &mut *stage
            && body.passes
        {
            body.complete = true;
            self.lead.cache.0.borrow_mut().release(std::mem::take(&mut body.reserved));
            return;
        }
        let Stage::Receiving(body) = std::mem::replace(&mut *stage, Stage::Ended) else { return };
        drop(stage);
        let mut shard = self.lead.cache.0.borrow_mut();
        shard.release(body.reserved);
        shard.forget(&self.lead.fill);
        if body.expected.is_some_and(|expected| expected != body.got) {
            shard.mark_unshared(self.lead.fill.hash, true);
            return;
        }
        let item = body.complete();
        store(&mut shard, &self.lead.fill, item.clone(), now);
        *self.lead.fill.stage.borrow_mut() = Stage::Done(item);
    }

    /// Those that wait are to be woken after `push`, after `finish`, and when this is dropped.
    pub fn fill(&self) -> &Rc<Fill> {
        &self.lead.fill
    }

    /// The same response as a hit, for the client that it was fetched for.
    pub fn hit(&self, status: Status) -> Option<Hit> {
        match &*self.lead.fill.stage.borrow() {
            Stage::Receiving(Receiving { item, expected, .. }) => Some(Hit {
                item: item.clone(),
                reader: Some(self.lead.fill.reader()),
                sized: expected.is_some(),
                form: Form::Whole,
                head_only: false,
                status,
                show_key: self.show_key,
            }),
            _ => None,
        }
    }
}

fn store(shard: &mut Shard, fill: &Fill, item: Item, now: Instant) {
    let terms = item.terms();
    let shared = terms.is_fresh(now) && !terms.always_ask;
    shard.mark_unshared(fill.hash, !shared);
    shard.insert(item, fill.hash, fill.seq);
}

/// Bytes of a body that isn't stored which may lie before its slowest reader.
const WINDOW: u64 = BLOCK as u64;
