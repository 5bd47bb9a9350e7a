//! HTTP/2 as a client (RFC 9113): requests out of bytes made in advance, answers by what counts of them. It is neither the gateway's
//! nor the `h2` crate's, so that what one misreads the other doesn't misread alike; and it costs a fraction of that.
//!
//! Requests are under way in the order of their streams, so that a request's place among a connection's is that of its stream here.

mod fault;
mod frame;
pub mod hpack;
mod huffman;
mod take;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

#[cfg(test)]
use fault::Fault;
use hpack::{Block, Decoder};

/// Bytes of an answer, and of all answers of a connection, that may be on their way. They are thrown away as they come.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// The windows of either side at the beginning (section 6.9.2).
const USUAL_WINDOW: u32 = 65_535;
/// The largest a window may be.
const WINDOW_MAX: i64 = 0x7fff_ffff;
/// Bytes that are written at once, about: what is left comes behind them.
const OUT_MAX: usize = 64 << 10;
/// Bytes in front of a gRPC message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// One connection.
pub struct Session {
    /// Whether its requests are gRPC calls.
    calls: bool,
    peer: Peer,
    decoder: Decoder,
    /// The next stream's number.
    next: u32,
    /// How the next head is to be written.
    heads: Heads,
    /// Bytes of bodies that may be sent.
    window: i64,
    streams: VecDeque<Stream>,
    /// Streams whose bodies aren't wholly sent.
    unsent: usize,
    /// Bytes that were received and not yet asked for anew.
    unreleased: u32,
    /// The DATA frame that is being received.
    data: Option<Data>,
    /// The head that is being received: its stream, whether that ends with it, and what came of it.
    head: Option<(u32, bool, Vec<u8>)>,
    /// No further requests are taken.
    leaving: bool,
    /// What is to be sent beside requests.
    out: Vec<u8>,
    /// The last fault of a stream in words.
    note: Option<String>,
}

/// What the peer has said.
struct Peer {
    /// Its first SETTINGS came.
    begun: bool,
    streams: usize,
    window: u32,
    payload: usize,
}

/// Which form of a head is next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heads {
    First,
    Next,
    /// The peer keeps less than is needed, which the encoder has to confirm (RFC 7541, section 4.2).
    Confirm,
    Plain,
}

/// A request under way.
struct Stream {
    id: u32,
    /// Bytes of its body that may be sent.
    window: i64,
    /// Bytes of its body that were sent; all of it is `usize::MAX`.
    sent: usize,
    to_head: bool,
    /// Of its answer; 0 before its head.
    status: u16,
    length: Option<u64>,
    grpc: Option<u8>,
    received: u64,
    unreleased: u32,
    prefix: [u8; PREFIX],
}

#[derive(Clone, Copy)]
struct Data {
    stream: u32,
    left: usize,
    ends: bool,
}

impl Session {
    /// One that begins; its requests are gRPC calls or not.
    pub fn new(calls: bool) -> Session {
        let mut out = frame::PREFACE.to_vec();
        // ENABLE_PUSH is 0, and INITIAL_WINDOW_SIZE.
        let [a, b, c, d] = STREAM_WINDOW.to_be_bytes();
        frame::write(&mut out, frame::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0, 0, 4, a, b, c, d]);
        frame::write(&mut out, frame::WINDOW_UPDATE, 0, 0, &(CONNECTION_WINDOW - USUAL_WINDOW).to_be_bytes());
        Session {
            calls,
            peer: Peer { begun: false, streams: usize::MAX, window: USUAL_WINDOW, payload: frame::PAYLOAD },
            decoder: Decoder::default(),
            next: 1,
            heads: Heads::First,
            window: USUAL_WINDOW.into(),
            streams: VecDeque::new(),
            unsent: 0,
            unreleased: 0,
            data: None,
            head: None,
            leaving: false,
            out,
            note: None,
        }
    }

    /// Whether the peer has said how it wants to be asked.
    pub fn has_begun(&self) -> bool {
        self.peer.begun
    }

    /// How many requests more can be sent.
    pub fn room(&self) -> usize {
        if self.leaving || !self.peer.begun { 0 } else { self.peer.streams.saturating_sub(self.streams.len()) }
    }

    /// Whether nothing more comes of it.
    pub fn is_over(&self) -> bool {
        self.leaving && self.streams.is_empty()
    }

    /// The last fault of a stream in words, once.
    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Whether something is to be sent beside new requests.
    pub fn owes(&self) -> bool {
        let can = |stream: &Stream| stream.sent != usize::MAX && stream.window > 0;
        !self.out.is_empty() || self.unsent > 0 && self.window > 0 && self.streams.iter().any(can)
    }

    /// Writes that. Each request has this body.
    pub fn write_owed(&mut self, body: &[u8], out: &mut Vec<u8>) {
        out.append(&mut self.out);
        let mut at = 0;
        while self.unsent > 0 && at < self.streams.len() && out.len() < OUT_MAX {
            self.write_body(at, body, out);
            at += 1;
        }
    }

    /// Writes a request, for which there has to be room.
    pub fn write(&mut self, block: &Block, to_head: bool, body: &[u8], out: &mut Vec<u8>) {
        let id = self.next;
        self.next += 2;
        self.leaving |= id >= 0x7fff_fffd;
        let text = match self.heads {
            Heads::First => &block.first,
            Heads::Next => &block.next,
            Heads::Plain => &block.plain,
            Heads::Confirm => &[&[0x20], block.plain.as_slice()].concat(),
        };
        self.heads = match self.heads {
            Heads::First | Heads::Next => Heads::Next,
            Heads::Confirm | Heads::Plain => Heads::Plain,
        };
        frame::write_head(out, id, body.is_empty(), text);
        let sent = if body.is_empty() { usize::MAX } else { 0 };
        self.streams.push_back(Stream {
            id,
            window: self.peer.window.into(),
            sent,
            to_head,
            status: 0,
            length: None,
            grpc: None,
            received: 0,
            unreleased: 0,
            prefix: [0; PREFIX],
        });
        if sent == 0 {
            self.unsent += 1;
            self.write_body(self.streams.len() - 1, body, out);
        }
    }

    /// Writes as much of a body as windows, and what is written already, let it.
    fn write_body(&mut self, place: usize, body: &[u8], out: &mut Vec<u8>) {
        let stream = &mut self.streams[place];
        while stream.sent != usize::MAX && stream.window > 0 && self.window > 0 && out.len() < OUT_MAX {
            let room = usize::try_from(stream.window.min(self.window)).unwrap_or(0).min(self.peer.payload);
            let piece = &body[stream.sent..body.len().min(stream.sent + room)];
            let ends = stream.sent + piece.len() == body.len();
            frame::write(out, frame::DATA, if ends { frame::END_STREAM } else { 0 }, stream.id, piece);
            stream.window -= piece.len() as i64;
            self.window -= piece.len() as i64;
            stream.sent += piece.len();
            if ends {
                stream.sent = usize::MAX;
                self.unsent -= 1;
            }
        }
    }

    /// Nobody waits for this request's answer any more.
    pub fn cancel(&mut self, place: usize) {
        if let Some(stream) = self.remove(place) {
            frame::write(&mut self.out, frame::RST_STREAM, 0, stream.id, &frame::CANCEL.to_be_bytes());
        }
    }

    fn remove(&mut self, place: usize) -> Option<Stream> {
        let stream = self.streams.remove(place)?;
        self.unsent -= usize::from(stream.sent != usize::MAX);
        Some(stream)
    }

    /// The place of a stream that is under way.
    fn place(&self, id: u32) -> Option<usize> {
        match self.streams.front() {
            Some(first) if first.id == id => Some(0),
            _ => self.streams.binary_search_by_key(&id, |stream| stream.id).ok(),
        }
    }
}
