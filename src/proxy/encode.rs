//! Bodies encoded on their way to the client, chunk by chunk. What has come goes on as soon as nothing more is there to be read, so that
//! streams arrive as promptly as without.

use super::attempt::Answered;
use super::chunks::{FRONT, frame};
use super::core::Core;
use super::encoder::Encoder;
use super::hit::Way;
use super::relay::Terms;
use super::source::Source;
use crate::cache::{Copied, Hit};
use crate::error::Reason;
use crate::http::Framing;
use crate::http1::as_response;
use crate::http1::write::write_last_chunk;
use crate::http2::grpc;
use crate::middleware::Encoding;
use crate::net::Stream;
use crate::server::Client;

/// What is encoded and has not been sent.
struct Output {
    encoder: Encoder,
    /// It is counted among those that are compressed.
    compresses: bool,
    /// A chunk, behind the room for its size.
    chunk: Vec<u8>,
    /// Something was taken that the client can't decode yet.
    pending: bool,
}

impl Output {
    fn new(core: &Core, encoding: &Encoding) -> Result<Output, Reason> {
        if let Encoding::Compressed(compression) = encoding {
            core.counters.compressed.add(compression.coding as usize, 1);
        }
        let mut chunk = core.buffers.take();
        chunk.resize(FRONT, 0);
        let compresses = matches!(encoding, Encoding::Compressed(_));
        Ok(Output { encoder: Encoder::new(encoding)?, compresses, chunk, pending: false })
    }

    fn push(&mut self, core: &Core, piece: &[u8]) -> Result<(), Reason> {
        self.pending |= !piece.is_empty();
        if self.compresses {
            core.counters.compress_in.add(piece.len() as u64);
        }
        self.encoder.push(piece, &mut self.chunk)
    }

    fn flush(&mut self) -> Result<(), Reason> {
        if std::mem::take(&mut self.pending) {
            self.encoder.flush(&mut self.chunk)?;
        }
        Ok(())
    }

    /// Frames what there is; the place where it begins.
    fn frame(&mut self, core: &Core) -> usize {
        let data = self.chunk.len() - FRONT;
        if self.compresses {
            core.counters.compress_out.add(data as u64);
        }
        frame(&mut self.chunk, data)
    }

    /// Frames what there is and the end of the body; the place where it begins.
    fn finish(&mut self, core: &Core, trailers: &[u8]) -> Result<usize, Reason> {
        let trailers = self.encoder.finish(&mut self.chunk, trailers)?;
        let from = self.frame(core);
        write_last_chunk(&mut self.chunk, trailers);
        Ok(from)
    }
}

/// Puts a chunk behind the head, if there is one and room in it: both go in one send.
fn join(head: &mut Vec<u8>, chunk: &mut Vec<u8>, from: usize) {
    if head.capacity() - head.len() >= chunk.len() - from {
        head.extend_from_slice(&chunk[from..]);
        chunk.truncate(from);
    }
}

impl Core {
    /// A body that stands in `buf` from `at` on as far as it has come, encoded. Says whether the endpoint's connection is clean afterwards.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn encoded(
        &self,
        client: &Client,
        answered: &mut Answered<'_>,
        terms: &Terms<'_>,
        head: Vec<u8>,
        (mut buf, mut at): (Vec<u8>, usize),
        framing: Framing,
        encoding: &Encoding,
    ) -> Result<bool, Reason> {
        let mut source = Source::new(framing, &terms.plan.head_limits);
        let mut output = Output::new(self, encoding)?;
        let (mut head, mut ended) = (Some(head), false);
        loop {
            let filled = buf.len() == buf.capacity();
            let taken = match source.take(&mut buf[at..]) {
                Ok(taken) => taken,
                Err(reason) => {
                    // The head may go before the cut, so that the client sees what broke off.
                    if let Some(head) = head.take() {
                        let _ = self.out(client, &mut answered.upload, terms, head, 0).await;
                    }
                    return Err(as_response(reason));
                }
            };
            output.push(self, &buf[at..at + taken.data])?;
            let clean = taken.done && taken.consumed == buf.len() - at;
            let done = taken.done || ended;
            let from = if done {
                self.buffers.give(std::mem::take(&mut buf));
                if let Encoding::Web(_) = encoding {
                    answered.call = grpc::status_in(source.trailers()).or(answered.call);
                }
                output.finish(self, source.trailers())?
            } else {
                if !(filled && answered.connection.link.readable_now()) {
                    output.flush()?;
                }
                output.frame(self)
            };
            if let Some(mut head) = head.take() {
                join(&mut head, &mut output.chunk, from);
                self.out(client, &mut answered.upload, terms, head, 0).await?;
            }
            if output.chunk.len() > from {
                let result;
                (result, output.chunk) = self.piece(client, &mut answered.upload, terms, std::mem::take(&mut output.chunk), from).await;
                result?;
            }
            if done {
                self.buffers.give(output.chunk);
                return Ok(clean);
            }
            output.chunk.clear();
            output.chunk.resize(FRONT, 0);
            buf.clear();
            at = 0;
            let received;
            (received, buf) = self.more(client, answered, terms, buf).await;
            ended = !received?;
            if ended && !matches!(source, Source::Open) {
                return Err(Reason::ClosedMidBody);
            }
        }
    }
}

impl Way<'_> {
    /// A body from the cache, encoded, behind its head.
    pub(super) async fn encoded(&self, hit: &Hit, encoding: &Encoding, mut head: Vec<u8>) -> Result<(), Reason> {
        let core = self.core;
        let mut output = Output::new(core, encoding)?;
        let mut plain = core.buffers.take();
        let mut at = 0u64;
        loop {
            plain.clear();
            let copied = self.copy(hit, at, plain.capacity(), &mut plain);
            output.push(core, &plain)?;
            at += plain.len() as u64;
            let from = match copied {
                Copied::All(_) => output.finish(core, b"")?,
                Copied::Broken => return Err(Reason::ClosedMidBody),
                Copied::Wait => {
                    output.flush()?;
                    output.frame(core)
                }
                Copied::More(_) => output.frame(core),
            };
            if !head.is_empty() {
                join(&mut head, &mut output.chunk, from);
                self.send(std::mem::take(&mut head)).await?;
            }
            if output.chunk.len() > from {
                self.limit(output.chunk.len() - from);
                let result;
                (result, output.chunk) = self.client.link.send(std::mem::take(&mut output.chunk), from).await;
                core.woke();
                self.sent(result)?;
            }
            match copied {
                Copied::All(_) => break,
                Copied::Wait => self.wait(hit).await,
                _ => {}
            }
            output.chunk.clear();
            output.chunk.resize(FRONT, 0);
        }
        core.buffers.give(plain);
        core.buffers.give(output.chunk);
        Ok(())
    }

    /// A body that is there as a whole, encoded, behind its head.
    pub(super) async fn encoded_whole(&self, body: &[u8], encoding: &Encoding, mut head: Vec<u8>) -> Result<(), Reason> {
        let core = self.core;
        let mut output = Output::new(core, encoding)?;
        output.push(core, body)?;
        let from = output.finish(core, b"")?;
        head.extend_from_slice(&output.chunk[from..]);
        self.send(head).await
    }
}
