//! Answering from the store: the head of the answer, and its body piece by piece.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use super::condition::Form;
use super::fill::{Fill, Reader};
use super::head::{split, write_length};
use super::item::{Block, Item};
use super::status::{Outcome, Status};
use crate::clock::Instant;
use crate::http::{Changes, Edits, Known, write_line};

/// A response that is answered from the store, or from a fill that is still under way.
pub struct Hit {
    pub(super) item: Item,
    /// What the body is read from until it is complete.
    pub(super) reader: Option<Reader>,
    /// The item knows its body's length.
    pub(super) sized: bool,
    pub(super) form: Form,
    /// The client asked for the head only.
    pub(super) head_only: bool,
    pub(super) status: Status,
    pub(super) show_key: bool,
}

/// How far a copy of a hit's body came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// So many bytes, and there are more: at least one, unless there was no room.
    More(usize),
    /// So many bytes, which were the last.
    All(usize),
    /// Nothing yet: wait until the fill moved on.
    Wait,
    /// The fill was given up: the answer has to be cut.
    Broken,
}

impl fmt::Debug for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit").field("status", &self.status).field("form", &self.form).finish_non_exhaustive()
    }
}

impl Hit {
    /// The status of the answer: that of the stored response, or 206, 304 or 416.
    pub fn status(&self) -> u16 {
        match self.form {
            Form::Whole => self.item.meta().status,
            Form::NotModified => 304,
            Form::Range(..) => 206,
            Form::Unsatisfiable => 416,
        }
    }

    /// Whether the head tells the body's length. If not, the body has to be framed: it is being fetched, and nobody knows how long it is.
    pub fn is_sized(&self) -> bool {
        self.sized || self.form != Form::Whole
    }

    /// The part of the stored body that the client gets.
    fn range(&self) -> (u64, u64) {
        match self.form {
            _ if self.head_only => (0, 0),
            Form::Whole if !self.is_sized() => (0, u64::MAX),
            Form::Whole => (0, self.item.meta().length),
            Form::Range(start, end) => (start, end),
            Form::NotModified | Form::Unsatisfiable => (0, 0),
        }
    }

    /// Appends the answer's head as HTTP/1.1 up to and with `Age` and `Cache-Status`, without what `edits` and `changes` take away. What
    /// follows is the caller's: framing if the length isn't known, `Connection`, other lines, the edits' tail with the blank line.
    pub fn write_head(&self, out: &mut Vec<u8>, edits: &Edits, changes: &Changes, now: Instant) {
        if self.form == Form::Whole && !changes.drop_any() && !edits.may_drop_of(self.item.names()) {
            out.extend_from_slice(self.item.head());
        } else {
            self.write_edited(out, edits, changes);
        }
        let terms = self.item.terms();
        let age = terms.age(now);
        // It says that the answer wasn't made for this request (RFC 9111 section 5.1).
        if age > 0 || self.status.outcome != Outcome::Miss {
            write_line(out, b"Age", itoa::Buffer::new().format(age).as_bytes());
        }
        let status = Status { ttl: Some(terms.ttl(now)), ..self.status };
        status.write_with(out, self.show_key.then_some(self.item.url()));
    }

    #[cold]
    fn write_edited(&self, out: &mut Vec<u8>, edits: &Edits, changes: &Changes) {
        for (line, name) in split(self.item.head()) {
            if name.is_empty() {
                out.extend_from_slice(match self.form {
                    Form::Whole => line,
                    Form::NotModified => b"HTTP/1.1 304 Not Modified\r\n",
                    Form::Range(..) => b"HTTP/1.1 206 Partial Content\r\n",
                    Form::Unsatisfiable => b"HTTP/1.1 416 Range Not Satisfiable\r\n",
                });
                continue;
            }
            let known = Known::from_name(name);
            let kept = match self.form {
                Form::Whole => true,
                Form::Range(..) => known != Known::ContentLength,
                // What says how a body is to be read is left out where there is none (RFC 9110 section 15.4.5).
                Form::NotModified => {
                    known == Known::ContentLocation || !name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
                }
                Form::Unsatisfiable => known == Known::Date,
            };
            if kept && !edits.drops(name) && !changes.drops(name) {
                out.extend_from_slice(line);
            }
        }
        let whole = self.item.meta().length;
        match self.form {
            Form::Range(start, end) => {
                write_length(out, end - start);
                write_line(out, b"Content-Range", format!("bytes {start}-{}/{whole}", end - 1).as_bytes());
            }
            Form::Unsatisfiable => {
                write_length(out, 0);
                write_line(out, b"Content-Range", format!("bytes */{whole}").as_bytes());
            }
            Form::Whole | Form::NotModified => {}
        }
    }

    /// Appends the body from byte `at` on of those that the client gets, at most `room` bytes.
    pub fn copy(&self, at: u64, room: usize, out: &mut Vec<u8>) -> Copied {
        let (start, end) = self.range();
        let (mut at, before) = (start + at, out.len());
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(room - (out.len() - before));
            if most == 0 {
                return Copied::More(out.len() - before);
            }
            let copied = match &self.reader {
                None => append(out, self.item.body(at), most),
                Some(reader) => match reader.copy(at, most, out) {
                    Copied::More(copied) => copied,
                    Copied::All(_) => break,
                    Copied::Wait | Copied::Broken if out.len() > before => return Copied::More(out.len() - before),
                    nothing => return nothing,
                },
            };
            at += copied as u64;
        }
        Copied::All(out.len() - before)
    }

    /// The piece of the body at byte `at` of those that the client gets, to be sent without copying. `None` where there is no such piece
    /// because the body is small and stands beside the head, or isn't complete yet: then copy it.
    pub fn piece(&self, at: u64) -> Option<Piece> {
        let (start, end) = self.range();
        let at = start + at;
        let done;
        let item = match &self.reader {
            None => &self.item,
            Some(reader) => {
                done = reader.fill.done()?;
                &done
            }
        };
        if at >= end {
            return None;
        }
        let block = item.block(at)?.clone();
        let from = at as usize % super::item::BLOCK;
        let to = block.len().min(from + usize::try_from(end - at).unwrap_or(usize::MAX));
        Some(Piece { block, from, to })
    }

    /// Whether the body is small and stands beside the head: one copy gets all of it.
    pub fn is_small(&self) -> bool {
        self.reader.is_none() && self.item.is_inline()
    }

    /// The fill that it is read from, if that was still under way.
    pub fn fill(&self) -> Option<&Rc<Fill>> {
        self.reader.as_ref().map(|reader| &reader.fill)
    }

    /// As metrics count it.
    pub fn outcome(&self) -> Outcome {
        self.status.outcome
    }
}

/// Appends at most so many bytes; how many.
pub(super) fn append(out: &mut Vec<u8>, bytes: &[u8], most: usize) -> usize {
    let bytes = &bytes[..bytes.len().min(most)];
    out.extend_from_slice(bytes);
    bytes.len()
}

/// A piece of a body that several answers may share: it keeps its bytes, whatever becomes of the stored response.
#[derive(Clone, Debug)]
pub struct Piece {
    block: Block,
    from: usize,
    to: usize,
}

impl Piece {
    /// What it is a part of, and from where to where.
    pub fn into_parts(self) -> (Rc<Vec<u8>>, Range<usize>) {
        (self.block, self.from..self.to)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.block[self.from..self.to]
    }
}
