//! What is spoken on an open connection: how requests are written, and which bytes end which of them.

use crate::response::{Progress, Reader};
use crate::tally::{Failure, Outcome};
use crate::websocket::{self, Message, Socket};
use crate::worker::Worker;

/// What a run speaks.
pub enum Speech {
    /// HTTP/1.1; answers come in the order of their requests.
    Http1,
    /// WebSockets on which this is sent; echoes come in the order of their messages.
    WebSocket(Message),
}

/// One connection's state.
pub enum Protocol {
    /// With the reader of an answer that has begun.
    Http1(Option<Reader>),
    /// After the handshake.
    WebSocket(Socket),
}

impl Protocol {
    /// How many requests more can be sent.
    pub fn room(&self) -> usize {
        match self {
            Protocol::Http1(_) | Protocol::WebSocket(_) => usize::MAX,
        }
    }

    /// Whether something is to be sent beside requests.
    pub fn owes(&self) -> bool {
        match self {
            Protocol::Http1(_) => false,
            Protocol::WebSocket(socket) => socket.owes(),
        }
    }

    /// Writes all that this connection has to send; from this moment on its requests are under way.
    pub fn write(&mut self, worker: &Worker, number: usize, out: &mut Vec<u8>) {
        match (self, &worker.plan.speech) {
            (Protocol::WebSocket(socket), Speech::WebSocket(message)) => {
                socket.write_owed(out);
                worker.start(number, usize::MAX, |_| socket.write(message, out));
            }
            _ => worker.start(number, usize::MAX, |request| out.extend_from_slice(&request.bytes)),
        }
    }

    /// Takes what was received: how many bytes are used, and whether the connection can be used again.
    ///
    /// # Errors
    /// In words, when this is none of the protocol; nothing that follows can be trusted.
    pub fn take(&mut self, worker: &Worker, number: usize, bytes: &[u8]) -> Result<(usize, bool), String> {
        match (self, &worker.plan.speech) {
            (Protocol::Http1(reader), _) => take_answers(reader, worker, number, bytes),
            (Protocol::WebSocket(socket), Speech::WebSocket(message)) => take_echoes(socket, message, worker, number, bytes),
            _ => unreachable!("a connection speaks what its run does"),
        }
    }

    /// The target has closed: the status of an answer that ends by that.
    pub fn close(&self) -> Option<u16> {
        match self {
            Protocol::Http1(Some(reader)) => reader.close().map(|end| end.status),
            _ => None,
        }
    }

    /// Whether bytes may come that no request asked for.
    pub fn talks_unasked(&self) -> bool {
        !matches!(self, Protocol::Http1(_))
    }
}

fn take_answers(reader: &mut Option<Reader>, worker: &Worker, number: usize, bytes: &[u8]) -> Result<(usize, bool), String> {
    let mut used = 0;
    while used < bytes.len() {
        let reading = reader.get_or_insert_with(|| Reader::new(worker.awaits_head(number)));
        match reading.take(&bytes[used..]).map_err(|fault| format!("malformed answer: {fault}"))? {
            Progress::More(count) => return Ok((used + count, true)),
            Progress::Whole(count, end) => {
                used += count;
                if used < bytes.len() && worker.under_way(number) == 1 {
                    return Err("malformed answer: it is followed by bytes that nobody asked for".into());
                }
                worker.end(number, 0, Outcome::Answer(end.status));
                if !end.keeps || worker.plan.closes {
                    return Ok((used, false));
                }
                *reader = None;
            }
        }
    }
    Ok((used, true))
}

fn take_echoes(socket: &mut Socket, message: &Message, worker: &Worker, number: usize, bytes: &[u8]) -> Result<(usize, bool), String> {
    let mut used = 0;
    loop {
        match socket.take(&bytes[used..], message).map_err(|fault| format!("malformed WebSocket: {fault}"))? {
            websocket::Progress::More(count) => return Ok((used + count, true)),
            websocket::Progress::Closed => return Ok((bytes.len(), false)),
            websocket::Progress::Whole(count, same) => {
                used += count;
                if !worker.is_under_way(number) {
                    return Err("a message came that nobody asked for".into());
                }
                worker.end(number, 0, if same { Outcome::Echo } else { Outcome::Failure(Failure::Mismatch) });
                if worker.plan.closes {
                    return Ok((used, false));
                }
            }
        }
    }
}
