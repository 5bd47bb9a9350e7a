//! An endpoint's answer on its way to the client: head and the beginning of the body in one send, the rest through one buffer, so
//! that the endpoint sends no faster than the client takes. An answer that breaks off is cut, never completed.

use super::attempt::Answered;
use super::chunks::{FRONT, frame, reframe};
use super::core::{Core, Session, after};
use super::upload::{Upload, beside};
use crate::error::Reason;
use crate::exchange::Plan;
use crate::http::{Framing, Method, ResponseOut, Version};
use crate::http1::write::write_last_chunk;
use crate::http1::{Chunked, as_response};
use crate::http2::grpc;
use crate::net::Stream;
use crate::server::Client;

/// How a relayed answer ended.
pub(super) struct Relayed {
    /// Complete, or why it was cut.
    pub result: Result<(), Reason>,
    /// The endpoint's connection can carry another request.
    pub reusable: bool,
}

/// What relaying needs besides the answer itself.
pub(super) struct Terms<'a> {
    pub plan: &'a Plan,
    pub route: usize,
    /// The client's connection stays open afterwards.
    pub keep: bool,
}

/// How the body is framed towards the client.
fn framing_out(session: &Session) -> Framing {
    match session.response.framing {
        _ if session.scratch.notes.encoding.is_some() => Framing::Chunked,
        Framing::UntilClose | Framing::Chunked if session.head.version == Version::Http11 => Framing::Chunked,
        Framing::Chunked => Framing::UntilClose,
        other => other,
    }
}

/// Whether a client's connection can outlive this answer: without framing of its own, the body ends with the connection.
pub(super) fn outlives(session: &Session) -> bool {
    framing_out(session) != Framing::UntilClose
}

impl Core {
    /// Relays the answer.
    pub(super) async fn relay(&self, client: &Client, session: &mut Session, answered: &mut Answered<'_>, terms: &Terms<'_>) -> Relayed {
        let mut out = self.buffers.take();
        let whole = answered.whole.take();
        let framing = match &whole {
            Some((body, _)) if session.scratch.notes.encoding.is_none() => Framing::Length(body.len() as u64),
            _ => framing_out(session),
        };
        let Session { head: request, response: head, response_writer, scratch, sender, .. } = &mut *session;
        let response = ResponseOut {
            head,
            bytes: &answered.buf,
            framing,
            keep_length: head.framing == Framing::None && (request.method == Method::Head || head.status == 304),
            edits: terms.plan.routes[terms.route].response.to(sender.is_bare()),
            changes: &scratch.notes.response,
            version: request.version,
            keep_alive: terms.keep,
            date: &self.date.get(),
        };
        response_writer.write(&mut out, &response, (terms.plan.generation, terms.route));
        let encoding = scratch.notes.encoding.take();
        let head = &session.response;
        // The time that the client takes is not the endpoint's.
        answered.connection.timer.clear();
        let mut reusable = head.connection.keep_alive;
        let mut buf = std::mem::take(&mut answered.buf);
        let (mut at, mut received) = (head.length, head.framing);
        if let Some((body, clean)) = whole {
            (at, received) = (0, Framing::Length(body.len() as u64));
            buf = body;
            reusable &= clean;
        }
        let behind = buf.len() - at;
        let result = match (&encoding, received) {
            (Some(encoding), framing) => {
                let body = (buf, at);
                let encoded = Box::pin(self.encoded(client, answered, terms, out, body, framing, encoding)).await;
                reusable &= encoded == Ok(true);
                encoded.map(|_| ())
            }
            (None, Framing::None) => {
                reusable &= behind == 0;
                self.buffers.give(buf);
                self.out(client, &mut answered.upload, terms, out, 0).await
            }
            (None, Framing::Length(length)) => {
                reusable &= behind as u64 <= length;
                let (result, clean) = self.counted(client, answered, terms, out, buf, length, at).await;
                reusable &= clean;
                result
            }
            (None, Framing::Chunked) => {
                let (result, clean) = Box::pin(self.chunked(client, answered, terms, out, buf, session)).await;
                reusable &= clean;
                result
            }
            (None, Framing::UntilClose) => {
                reusable = false;
                Box::pin(self.until_close(client, answered, terms, out, buf, session)).await
            }
        };
        Relayed { reusable: reusable && result.is_ok(), result }
    }

    /// Sends a piece to the client and gives the buffer back.
    pub(super) async fn out(
        &self,
        client: &Client,
        upload: &mut Option<Upload<'_>>,
        terms: &Terms<'_>,
        buf: Vec<u8>,
        from: usize,
    ) -> Result<(), Reason> {
        let (result, buf) = self.piece(client, upload, terms, buf, from).await;
        self.buffers.give(buf);
        result
    }

    /// Sends a piece to the client.
    pub(super) async fn piece(
        &self,
        client: &Client,
        upload: &mut Option<Upload<'_>>,
        terms: &Terms<'_>,
        buf: Vec<u8>,
        mut from: usize,
    ) -> (Result<(), Reason>, Vec<u8>) {
        client.timer.close_at(after(self.now(), terms.plan.config.timeouts.write.get()));
        self.counters.bytes_out.add((buf.len() - from) as u64);
        client.sent.set(client.sent.get() + (buf.len() - from) as u64);
        // A stream of HTTP/2 takes most answers at once.
        if client.http2 {
            match client.link.push(&buf[from..]) {
                Ok(pushed) => from += pushed,
                Err(_) => return (Err(Reason::ClientLeft), buf),
            }
            if from == buf.len() {
                return (Ok(()), buf);
            }
        }
        let (result, buf) = match upload {
            None => client.link.send(buf, from).await,
            Some(upload) => beside(upload, client.link.send(buf, from), || ()).await,
        };
        let result = match result {
            Ok(_) => Ok(()),
            Err(_) if client.timer.expired() => Err(Reason::ClientStalled),
            Err(_) => Err(Reason::ClientLeft),
        };
        (result, buf)
    }

    /// Receives the next piece of the body behind what `buf` holds; `Ok(false)` at the stream's end.
    pub(super) async fn more(
        &self,
        client: &Client,
        answered: &mut Answered<'_>,
        terms: &Terms<'_>,
        buf: Vec<u8>,
    ) -> (Result<bool, Reason>, Vec<u8>) {
        // The time that the endpoint takes is not the client's.
        client.timer.clear();
        answered.pieces = true;
        let buf = if answered.filled { self.buffers.enlarge(buf) } else { buf };
        let Answered { connection, upload, filled, .. } = answered;
        let limit = || connection.timer.close_at(after(self.now(), terms.plan.config.timeouts.body_idle.get()));
        let (result, buf) = match upload {
            // The endpoint may wait for the rest of the upload, which has limits of its own.
            Some(upload) if upload.ended().is_none() => beside(upload, connection.link.recv(buf), limit).await,
            _ => {
                limit();
                connection.link.recv(buf).await
            }
        };
        self.woke();
        let unsent = || upload.as_ref().and_then(|upload| upload.ended()?.result.err());
        let result = match result {
            Ok(received) if received > 0 => {
                connection.timer.clear();
                *filled = buf.len() == buf.capacity();
                Ok(true)
            }
            _ if client.link.is_left() => Err(Reason::ClientLeft),
            _ if connection.timer.expired() => Err(unsent().unwrap_or(Reason::ResponseBodyTimeout)),
            Ok(_) => Ok(false),
            Err(_) => Err(Reason::ClosedMidBody),
        };
        (result, buf)
    }

    /// A body of known length; says too whether the endpoint's connection is clean afterwards.
    #[allow(clippy::too_many_arguments)]
    async fn counted(
        &self,
        client: &Client,
        answered: &mut Answered<'_>,
        terms: &Terms<'_>,
        mut out: Vec<u8>,
        mut buf: Vec<u8>,
        length: u64,
        head: usize,
    ) -> (Result<(), Reason>, bool) {
        let mut clean = true;
        let there = usize::try_from(length).unwrap_or(usize::MAX).min(buf.len() - head);
        // As much as fits goes with the head; a second send is only made for more.
        let with_head = there.min(out.capacity() - out.len());
        out.extend_from_slice(&buf[head..head + with_head]);
        buf.truncate(head + there);
        let mut left = length - there as u64;
        let (mut result, out) = self.piece(client, &mut answered.upload, terms, out, 0).await;
        self.buffers.give(out);
        if result.is_ok() && with_head < there {
            (result, buf) = self.piece(client, &mut answered.upload, terms, buf, head + with_head).await;
        }
        while left > 0 && result.is_ok() {
            buf.clear();
            answered.filled = left > buf.capacity() as u64;
            let received;
            (received, buf) = self.more(client, answered, terms, buf).await;
            result = received.and_then(|more| if more { Ok(()) } else { Err(Reason::ClosedMidBody) });
            if result.is_ok() {
                if buf.len() as u64 > left {
                    // More than was announced: what belongs to the body is complete, the rest is nobody's.
                    buf.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    clean = false;
                }
                left -= buf.len() as u64;
                (result, buf) = self.piece(client, &mut answered.upload, terms, buf, 0).await;
            }
        }
        self.buffers.give(buf);
        (result, clean)
    }

    /// A chunked body, decoded and framed anew; says too whether the endpoint's connection is clean afterwards.
    async fn chunked(
        &self,
        client: &Client,
        answered: &mut Answered<'_>,
        terms: &Terms<'_>,
        head_out: Vec<u8>,
        mut buf: Vec<u8>,
        session: &Session,
    ) -> (Result<(), Reason>, bool) {
        let mut decoder = Chunked::new(&terms.plan.head_limits);
        let to_chunked = framing_out(session) == Framing::Chunked;
        let mut rest = Vec::new();
        let mut head_out = Some(head_out);
        make_front(&mut buf, session.response.length);
        loop {
            let piece = match reframe(&mut decoder, &mut buf, to_chunked, &mut rest, |_| false) {
                Ok(piece) => piece,
                Err(reason) => {
                    // The head may go before the cut, so that the client sees what broke off.
                    if let Some(head) = head_out.take() {
                        let _ = self.out(client, &mut answered.upload, terms, head, 0).await;
                    }
                    return (Err(as_response(reason)), false);
                }
            };
            let mut result = Ok(());
            if let Some(mut head) = head_out.take() {
                if head.capacity() - head.len() >= buf.len() - piece.from {
                    head.extend_from_slice(&buf[piece.from..]);
                    buf.truncate(piece.from);
                }
                result = self.out(client, &mut answered.upload, terms, head, 0).await;
            }
            if result.is_ok() && buf.len() > piece.from {
                (result, buf) = self.piece(client, &mut answered.upload, terms, buf, piece.from).await;
            }
            if result.is_err() || piece.done {
                if session.grpc && piece.done {
                    answered.call = grpc::status_in(decoder.trailers()).or(answered.call);
                }
                self.buffers.give(buf);
                return (result, rest.is_empty());
            }
            // Shorter than that if its piece went with the head.
            buf.resize(FRONT, 0);
            let received;
            (received, buf) = self.more(client, answered, terms, buf).await;
            if let Err(reason) = received.and_then(|more| if more { Ok(()) } else { Err(Reason::ClosedMidBody) }) {
                return (Err(reason), false);
            }
        }
    }

    /// A body that ends with the endpoint's connection.
    async fn until_close(
        &self,
        client: &Client,
        answered: &mut Answered<'_>,
        terms: &Terms<'_>,
        head_out: Vec<u8>,
        mut buf: Vec<u8>,
        session: &Session,
    ) -> Result<(), Reason> {
        let to_chunked = framing_out(session) == Framing::Chunked;
        make_front(&mut buf, session.response.length);
        self.out(client, &mut answered.upload, terms, head_out, 0).await?;
        loop {
            if buf.len() > FRONT {
                let data = buf.len() - FRONT;
                let from = if to_chunked { frame(&mut buf, data) } else { FRONT };
                let sent;
                (sent, buf) = self.piece(client, &mut answered.upload, terms, buf, from).await;
                sent?;
                buf.truncate(FRONT);
            }
            let received;
            (received, buf) = self.more(client, answered, terms, buf).await;
            if !received? {
                break;
            }
        }
        buf.clear();
        if to_chunked {
            write_last_chunk(&mut buf, b"");
            return self.out(client, &mut answered.upload, terms, buf, 0).await;
        }
        self.buffers.give(buf);
        Ok(())
    }
}

/// Drops a head from a buffer's front and leaves room for a chunk's frame there.
fn make_front(buf: &mut Vec<u8>, head: usize) {
    if head >= FRONT {
        buf.drain(FRONT..head);
    } else {
        buf.splice(..head, [0; FRONT]);
    }
}
