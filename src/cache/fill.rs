//! A response on its way into the store, and what those see who wait for it.
//!
//! ```text
//! Asked --- head --> Receiving --- all of the body --> Done
//!      \                      \
//!       \- not stored, failed, dropped, too large -----> Ended
//! ```

use std::cell::RefCell;
use std::rc::Rc;

use super::Cache;
use super::condition::Form;
use super::hit::{Copied, Hit, append};
use super::item::{BLOCK, Block, Item};
use super::shard::Shard;
use super::status::{Outcome, Status};
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
    /// Bytes there will be, if the head says so. Only then it can be followed: it won't turn out too large.
    pub(super) expected: Option<u64>,
    /// Blocks that are full.
    blocks: Vec<Block>,
    /// The one being filled.
    last: Vec<u8>,
    got: u64,
    /// Bytes of the shard that are kept for it.
    reserved: usize,
}

impl Fill {
    pub(super) fn new(id: u64, hash: u64, seq: u64, url: Box<[u8]>, extra: Box<[u8]>, zone: u64) -> Rc<Fill> {
        Rc::new(Fill { id, hash, seq, url, extra, zone, stage: RefCell::new(Stage::Asked) })
    }

    /// A number that no other fill of this core has: what waiters are kept under.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it is over: those that wait look up again.
    pub fn is_over(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Done(_) | Stage::Ended)
    }

    /// The complete response.
    pub(super) fn done(&self) -> Option<Item> {
        match &*self.stage.borrow() {
            Stage::Done(item) => Some(item.clone()),
            _ => None,
        }
    }

    /// Appends the body from byte `at` on, at most so many bytes.
    pub(super) fn copy(&self, at: u64, most: usize, out: &mut Vec<u8>) -> Copied {
        let stage = self.stage.borrow();
        let bytes = match &*stage {
            Stage::Asked => return Copied::Wait,
            Stage::Ended => return Copied::Broken,
            Stage::Done(item) => item.body(at),
            Stage::Receiving(body) => match body.blocks.get(at as usize / BLOCK) {
                Some(block) => &block[at as usize % BLOCK..],
                None => body.last.get(at as usize % BLOCK..).filter(|_| at < body.got).unwrap_or_default(),
            },
        };
        match append(out, bytes, most) {
            0 => Copied::Wait,
            copied => Copied::More(copied),
        }
    }
}

impl Receiving {
    pub(super) fn new(item: Item, expected: Option<u64>, reserved: usize) -> Self {
        let first = expected.map_or(0, |length| length.min(BLOCK as u64) as usize);
        Receiving { item, expected, blocks: Vec::new(), last: Vec::with_capacity(first), got: 0, reserved }
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
                self.blocks.push(Rc::new(std::mem::replace(&mut self.last, next)));
            }
        }
    }

    fn complete(mut self) -> Item {
        if !self.last.is_empty() {
            self.last.shrink_to_fit();
            self.blocks.push(Rc::new(self.last));
        }
        self.item.complete(self.expected.is_none(), self.blocks, self.got)
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
            done @ Stage::Done(_) => *self.fill.stage.borrow_mut() = done,
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
    /// The next piece of the body; `false` if it won't be stored, because it has become too large or more than was announced: the rest
    /// just passes through.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let mut stage = self.lead.fill.stage.borrow_mut();
        let Stage::Receiving(body) = &mut *stage else { return false };
        let mut shard = self.lead.cache.0.borrow_mut();
        let got = body.got + piece.len() as u64;
        let fits = match body.expected {
            Some(expected) => got <= expected,
            None if got + body.item.head().len() as u64 <= shard.limits.object_max && shard.reserve(piece.len()) => {
                body.reserved += piece.len();
                true
            }
            None => false,
        };
        if fits {
            body.take(piece);
            return true;
        }
        shard.release(body.reserved);
        shard.forget(&self.lead.fill);
        shard.mark_unshared(self.lead.fill.hash, true);
        *stage = Stage::Ended;
        false
    }

    /// The body is complete. It isn't stored if bytes are missing, or if it was purged meanwhile.
    pub fn finish(self, now: Instant) {
        let stage = std::mem::replace(&mut *self.lead.fill.stage.borrow_mut(), Stage::Ended);
        let Stage::Receiving(body) = stage else { return };
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

    /// The same response as a hit, for a client that is served from the fill. `None` if its length isn't known, or if it was given up.
    pub fn hit(&self, head_only: bool) -> Option<Hit> {
        match &*self.lead.fill.stage.borrow() {
            Stage::Receiving(Receiving { item, expected: Some(_), .. }) => Some(Hit {
                item: item.clone(),
                fill: Some(self.lead.fill.clone()),
                form: Form::Whole,
                head_only,
                status: Status::hit(Outcome::Collapsed),
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
