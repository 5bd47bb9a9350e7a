//! What was received: frames taken apart, requests ended.

use super::fault::{Fault, reason};
use super::frame::{self, Head};
use super::hpack::{self, Field};
use super::{CONNECTION_WINDOW, Data, Heads, PREFIX, STREAM_WINDOW, Session, Stream, WINDOW_MAX};
use crate::tally::{Failure, Outcome};

/// Bytes of an answer's head, at most.
const HEAD_MAX: usize = 64 << 10;

impl Session {
    /// Takes what was received, and tells of each request that has come to its end: its place, and what came of it. Says how many bytes
    /// are used; the others have to be there again the next time.
    ///
    /// # Errors
    /// When this is no HTTP/2; nothing that follows can be trusted.
    pub fn take(&mut self, bytes: &[u8], mut on_end: impl FnMut(usize, Outcome)) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            if let Some(data) = self.data {
                let count = data.left.min(rest.len());
                used += count;
                let ends = count == data.left;
                self.data = (!ends).then(|| Data { left: data.left - count, ..data });
                self.take_data(data.stream, &rest[..count], count, ends && data.ends, &mut on_end);
                if !ends {
                    return Ok(used);
                }
                continue;
            }
            let Some(head) = Head::read(rest) else { return Ok(used) };
            if !self.peer.begun && (head.kind != frame::SETTINGS || head.stream != 0) {
                return Err(Fault::Begin);
            }
            if head.length > frame::PAYLOAD {
                return Err(Fault::Length);
            }
            if self.head.as_ref().is_some_and(|(stream, ..)| (head.kind, head.stream) != (frame::CONTINUATION, *stream)) {
                return Err(Fault::Head);
            }
            if head.kind == frame::DATA && !head.has(frame::PADDED) {
                self.known(head.stream)?;
                used += frame::HEAD;
                self.data = Some(Data { stream: head.stream, left: head.length, ends: head.has(frame::END_STREAM) });
                continue;
            }
            let Some(payload) = rest.get(frame::HEAD..frame::HEAD + head.length) else { return Ok(used) };
            used += frame::HEAD + head.length;
            self.take_frame(head, payload, &mut on_end)?;
        }
    }

    /// A stream that a frame is for was opened, be it that it has ended.
    fn known(&self, stream: u32) -> Result<(), Fault> {
        if stream % 2 == 1 && stream < self.next { Ok(()) } else { Err(Fault::Stream) }
    }

    fn take_frame(&mut self, head: Head, payload: &[u8], on_end: &mut impl FnMut(usize, Outcome)) -> Result<(), Fault> {
        match head.kind {
            frame::DATA => {
                self.known(head.stream)?;
                let content = head.unpadded(payload).ok_or(Fault::Length)?;
                self.take_data(head.stream, content, payload.len(), head.has(frame::END_STREAM), on_end);
            }
            frame::HEADERS => {
                self.known(head.stream)?;
                let block = head.unpadded(payload).ok_or(Fault::Length)?;
                let block = if head.has(frame::PRIORITY) { block.get(5..).ok_or(Fault::Length)? } else { block };
                let ends = head.has(frame::END_STREAM);
                if !head.has(frame::END_HEADERS) {
                    self.head = Some((head.stream, ends, block.to_vec()));
                    return Ok(());
                }
                self.take_head(head.stream, ends, block, on_end)?;
            }
            frame::CONTINUATION => {
                let (stream, ends, mut block) = self.head.take().ok_or(Fault::Head)?;
                block.extend_from_slice(payload);
                if block.len() > HEAD_MAX {
                    return Err(Fault::Head);
                }
                if !head.has(frame::END_HEADERS) {
                    self.head = Some((stream, ends, block));
                    return Ok(());
                }
                self.take_head(stream, ends, &block, on_end)?;
            }
            frame::RST_STREAM => {
                self.known(head.stream)?;
                let code = frame::number(payload).filter(|_| payload.len() == 4).ok_or(Fault::Length)?;
                if let Some(place) = self.place(head.stream) {
                    self.remove(place);
                    self.note = Some(format!("the target reset a stream: {}", reason(code)));
                    let failure = if code == frame::REFUSED_STREAM { Failure::Refused } else { Failure::Reset };
                    on_end(place, Outcome::Failure(failure));
                }
            }
            frame::SETTINGS => self.take_settings(head, payload)?,
            frame::PUSH_PROMISE => return Err(Fault::Stream),
            frame::PING if payload.len() != 8 => return Err(Fault::Length),
            frame::PING if !head.has(frame::ACK) => frame::write(&mut self.out, frame::PING, frame::ACK, 0, payload),
            frame::GOAWAY => {
                let [last, code] = [payload, payload.get(4..).unwrap_or_default()].map(frame::number);
                let (last, code) = last.zip(code).ok_or(Fault::Length)?;
                self.leaving = true;
                if code != 0 {
                    self.note = Some(format!("the target said goodbye: {}", reason(code)));
                }
                while self.streams.back().is_some_and(|stream| stream.id > last & 0x7fff_ffff) {
                    self.remove(self.streams.len() - 1);
                    on_end(self.streams.len(), Outcome::Failure(Failure::Goaway));
                }
            }
            frame::WINDOW_UPDATE => {
                let count = frame::number(payload).filter(|_| payload.len() == 4).ok_or(Fault::Length)?;
                let place = self.place(head.stream);
                let window = match (head.stream, place) {
                    (0, _) => &mut self.window,
                    (_, Some(place)) => &mut self.streams[place].window,
                    (stream, None) => return self.known(stream),
                };
                *window += i64::from(count & 0x7fff_ffff);
                if count == 0 || *window > WINDOW_MAX {
                    return Err(Fault::Window);
                }
            }
            // PRIORITY, an acknowledged PING, and what isn't known (section 5.5).
            _ => {}
        }
        Ok(())
    }

    /// Takes a piece of a body; `counts` are its bytes with their padding.
    fn take_data(&mut self, id: u32, content: &[u8], counts: usize, ends: bool, on_end: &mut impl FnMut(usize, Outcome)) {
        self.unreleased += counts as u32;
        if self.unreleased >= CONNECTION_WINDOW / 2 {
            let released = std::mem::take(&mut self.unreleased);
            frame::write(&mut self.out, frame::WINDOW_UPDATE, 0, 0, &released.to_be_bytes());
        }
        let Some(place) = self.place(id) else { return };
        let stream = &mut self.streams[place];
        if stream.received < PREFIX as u64 {
            let at = stream.received as usize;
            let count = content.len().min(PREFIX - at);
            stream.prefix[at..at + count].copy_from_slice(&content[..count]);
        }
        stream.received += content.len() as u64;
        stream.unreleased += counts as u32;
        if ends {
            self.end(place, on_end);
        } else if stream.unreleased >= STREAM_WINDOW / 2 {
            let released = std::mem::take(&mut stream.unreleased);
            frame::write(&mut self.out, frame::WINDOW_UPDATE, 0, id, &released.to_be_bytes());
        }
    }

    /// Takes a head or trailers.
    fn take_head(&mut self, id: u32, ends: bool, block: &[u8], on_end: &mut impl FnMut(usize, Outcome)) -> Result<(), Fault> {
        let (mut status, mut length, mut grpc, mut wrong) = (None, None, None, false);
        let decoded = self.decoder.decode(block, |field| match field {
            Field::Status(code) => wrong |= status.replace(code).is_some(),
            Field::Length(count) => wrong |= length.replace(count).is_some_and(|before| before != count),
            Field::Grpc(code) => grpc = Some(code),
            Field::Wrong => wrong = true,
            Field::Other => {}
        });
        decoded.map_err(|_| Fault::Head)?;
        let Some(place) = self.place(id) else { return Ok(()) };
        let stream = &mut self.streams[place];
        match (stream.status, status) {
            // An interim answer (section 8.1).
            (0, Some(100..200)) if !ends && !wrong => return Ok(()),
            (0, Some(code)) => (stream.status, stream.length) = (code, length),
            (1.., None) if ends => {}
            _ => wrong = true,
        }
        stream.grpc = grpc.or(stream.grpc);
        if wrong {
            self.fail(place, "its head contradicts itself", on_end);
        } else if ends {
            self.end(place, on_end);
        }
        Ok(())
    }

    /// An answer is whole.
    fn end(&mut self, place: usize, on_end: &mut impl FnMut(usize, Outcome)) {
        let stream = &self.streams[place];
        let bodiless = stream.to_head || matches!(stream.status, 204 | 304);
        if stream.status == 0 {
            return self.fail(place, "it has no head", on_end);
        }
        if stream.length.is_some_and(|length| length != stream.received && !(bodiless && stream.received == 0)) {
            return self.fail(place, "its body isn't of the length that its head says", on_end);
        }
        let outcome = match stream.grpc {
            _ if !self.calls || stream.status != 200 => Outcome::Answer(stream.status),
            None => return self.fail(place, "it ends without a grpc-status", on_end),
            Some(0) if !stream.has_message() => return self.fail(place, "its grpc-status is 0, and there isn't one message", on_end),
            Some(code) => Outcome::Call(code),
        };
        if let Some(stream) = self.remove(place)
            && stream.sent != usize::MAX
        {
            // The rest of its body is of no use (section 8.1).
            frame::write(&mut self.out, frame::RST_STREAM, 0, stream.id, &frame::CANCEL.to_be_bytes());
        }
        on_end(place, outcome);
    }

    /// An answer can't be taken for one.
    fn fail(&mut self, place: usize, why: &str, on_end: &mut impl FnMut(usize, Outcome)) {
        self.note = Some(format!("malformed answer: {why}"));
        self.cancel(place);
        on_end(place, Outcome::Failure(Failure::Malformed));
    }

    fn take_settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        self.peer.begun = true;
        if head.has(frame::ACK) {
            return Ok(());
        }
        if !payload.len().is_multiple_of(6) {
            return Err(Fault::Length);
        }
        for setting in payload.chunks_exact(6) {
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            match u16::from_be_bytes([setting[0], setting[1]]) {
                1 if (value as usize) < hpack::TABLE => self.heads = Heads::Confirm,
                3 => self.peer.streams = value as usize,
                4 => {
                    let more = i64::from(value) - i64::from(self.peer.window);
                    self.peer.window = value;
                    self.streams.iter_mut().for_each(|stream| stream.window += more);
                    if i64::from(value) > WINDOW_MAX || self.streams.iter().any(|stream| stream.window > WINDOW_MAX) {
                        return Err(Fault::Setting);
                    }
                }
                5 if !(frame::PAYLOAD..1 << 24).contains(&(value as usize)) => return Err(Fault::Setting),
                5 => self.peer.payload = value as usize,
                _ => {}
            }
        }
        frame::write(&mut self.out, frame::SETTINGS, frame::ACK, 0, &[]);
        Ok(())
    }
}

impl Stream {
    /// Whether there is one gRPC message, and nothing else.
    fn has_message(&self) -> bool {
        let length = frame::number(&self.prefix[1..]).map_or(0, u64::from);
        self.received == PREFIX as u64 + length
    }
}
