//! Heads written again: on one connection they are often the same but for a request's first line, the id it gets and the date. What was
//! written of the one before is copied then.

use super::forward::{WrittenRequest, WrittenResponse, tell_version, write_request_line};
use super::head::SEEN_KEPT;
use super::{Changes, Edits, Framing, RequestOut, ResponseOut, Version, write_request, write_response};

/// The rules a head is written by: the generation of a plan, and a route in it. Two plans never have the same.
pub type Rules = (u64, usize);

/// What was written last, up to the lines that were decided for that message alone; kept from the second time on, as what never comes
/// again isn't worth the copy.
#[derive(Debug)]
struct Kept<K> {
    key: Option<K>,
    /// The names that were taken away for that message.
    dropped: Vec<u8>,
    bytes: Vec<u8>,
    /// Where in them something new is put each time.
    hole: Option<usize>,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Kept { key: None, dropped: Vec::new(), bytes: Vec::new(), hole: None }
    }
}

impl<K: PartialEq> Kept<K> {
    #[inline]
    fn is(&self, key: &K, changes: &Changes) -> bool {
        self.key.as_ref() == Some(key) && self.dropped == changes.dropped()
    }

    #[inline]
    fn has(&self, key: &K, changes: &Changes) -> bool {
        !self.bytes.is_empty() && self.is(key, changes)
    }

    /// Appends what is kept, with `new` in its hole, and what ends the head.
    #[inline]
    fn append(&self, out: &mut Vec<u8>, new: &[u8], changes: &Changes, edits: &Edits) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        if let Some(hole) = self.hole {
            out[begin + hole..][..new.len()].copy_from_slice(new);
        }
        if !changes.lines().is_empty() {
            out.extend_from_slice(changes.lines());
        }
        out.extend_from_slice(edits.tail());
    }

    /// Keeps what was written under this key, if it is the second time.
    fn keep(&mut self, key: K, changes: &Changes, bytes: &[u8], hole: Option<usize>) {
        self.bytes.clear();
        if !self.is(&key, changes) {
            self.key = Some(key);
            self.dropped.clear();
            self.dropped.extend_from_slice(changes.dropped());
        } else if bytes.len() <= SEEN_KEPT {
            self.bytes.extend_from_slice(bytes);
            self.hole = hole;
        }
    }

    fn clear(&mut self) {
        self.key = None;
        self.bytes.clear();
    }
}

/// Writes the requests of one client's connection, all parsed into one head and all from the same sender.
#[derive(Debug, Default)]
pub struct RequestWriter(Kept<(u64, Rules, bool, bool)>);

impl RequestWriter {
    /// Makes it ready for another connection.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// As [`write_request`]; the rules stand for the edits and additions.
    #[inline]
    pub fn write(&mut self, out: &mut Vec<u8>, request: &RequestOut<'_>, rules: Rules) {
        let as_received = request.as_received();
        let key = (request.head.seen.lines, rules, as_received, request.sized);
        if self.0.has(&key, request.changes) {
            if as_received {
                out.extend_from_slice(request.received_line());
            } else {
                write_request_line(out, request);
            }
            self.0.append(out, request.request_id, request.changes, request.edits);
            tell_version(out, request.head.version, request.sender.http2, request.edits);
        } else {
            self.write_anew(out, request, key);
        }
    }

    fn write_anew(&mut self, out: &mut Vec<u8>, request: &RequestOut<'_>, key: (u64, Rules, bool, bool)) {
        let begin = out.len();
        let WrittenRequest { line, id, changes } = write_request(out, request);
        self.0.keep(key, request.changes, &out[begin + line..begin + changes], id.map(|id| id - line));
    }
}

/// All that a response is written by, besides its head, its changes and the date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    head: u64,
    rules: Rules,
    framing: Framing,
    keep_length: bool,
    version: Version,
    keep_alive: bool,
}

/// Writes the responses to one client, all parsed into one head.
#[derive(Debug, Default)]
pub struct ResponseWriter(Kept<Terms>);

impl ResponseWriter {
    /// Makes it ready for another connection.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// As [`write_response`]; the rules stand for the edits.
    #[inline]
    pub fn write(&mut self, out: &mut Vec<u8>, response: &ResponseOut<'_>, rules: Rules) {
        let ResponseOut { head, framing, keep_length, version, keep_alive, date, changes, edits, .. } = *response;
        let terms = Terms { head: head.seen.heads, rules, framing, keep_length, version, keep_alive };
        if self.0.has(&terms, changes) {
            self.0.append(out, date, changes, edits);
            tell_version(out, head.version, false, edits);
        } else {
            self.write_anew(out, response, terms);
        }
    }

    fn write_anew(&mut self, out: &mut Vec<u8>, response: &ResponseOut<'_>, terms: Terms) {
        let begin = out.len();
        let WrittenResponse { date, changes } = write_response(out, response);
        self.0.keep(terms, response.changes, &out[begin..begin + changes], date);
    }
}
