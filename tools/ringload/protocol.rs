//! What is spoken on an open connection: how requests are written, and which bytes end which of them.

use crate::http2::Session;
use crate::response::{Progress, Reader};
use crate::tally::{Failure, Outcome};
use crate::websocket::{self, Message, Socket};
use crate::worker::Worker;

/// What a run speaks.
pub enum Speech {
    /// HTTP/1.1; answers come in the order of their requests.
    Http1,
    /// HTTP/2, answers come as they are ready; with gRPC calls or not, and the body of each request.
    Http2(bool, Vec<u8>),
    /// WebSockets on which this is sent; echoes come in the order of their messages.
    WebSocket(Message),
}

/// One connection's state.
pub enum Protocol {
    /// With the reader of an answer that has begun.
    Http1(Option<Reader>),
    /// Once the peer has said how it wants to be asked.
    Http2(Box<Session>),
    /// After the handshake.
    WebSocket(Socket),
}

impl Protocol {
    /// How many requests more can be sent.
    pub fn room(&self) -> usize {
        match self {
            Protocol::Http1(_) | Protocol::WebSocket(_) => usize::MAX,
            Protocol::Http2(session) => session.room(),
        }
    }

    /// Whether something is to be sent beside requests.
    pub fn owes(&self) -> bool {
        match self {
            Protocol::Http1(_) => false,
            Protocol::Http2(session) => session.owes(),
            Protocol::WebSocket(socket) => socket.owes(),
        }
    }

    /// Writes all that this connection has to send; from this moment on its requests are under way.
    pub fn write(&mut self, worker: &Worker, number: usize, out: &mut Vec<u8>) {
        match (self, &worker.plan.speech) {
            (Protocol::Http2(session), Speech::Http2(_, body)) => {
                session.write_owed(body, out);
                worker.start(number, session.room(), |request| session.write(&request.block, request.is_head, body, out));
            }
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
            (Protocol::Http2(session), _) => take_streams(session, worker, number, bytes),
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

    /// Gives up the request that is under way for longest; false if that takes the connection along.
    pub fn give_up(&mut self) -> bool {
        match self {
            Protocol::Http2(session) => {
                session.cancel(0);
                !session.is_over()
            }
            _ => false,
        }
    }

    /// Whether one request can be given up without the others.
    pub fn gives_up_one(&self) -> bool {
        matches!(self, Protocol::Http2(_))
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

fn take_streams(session: &mut Session, worker: &Worker, number: usize, bytes: &[u8]) -> Result<(usize, bool), String> {
    let mut ended = false;
    let used = session.take(bytes, |place, outcome| {
        ended = true;
        worker.end(number, place, outcome);
    });
    let used = used.map_err(|fault| format!("malformed HTTP/2: {fault}"))?;
    if let Some(note) = session.take_note() {
        worker.note(|| note);
    }
    Ok((used, !(session.is_over() || ended && worker.plan.closes)))
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
