//! A body being encoded: pieces go in, what the coding has ready comes out. Each coding looks back 256 KiB at most (gzip 32 KiB), so that a
//! stream's memory is bounded whatever its length.

use std::io::{self, Write};

use crate::error::Reason;
use crate::http2::web;
use crate::middleware::{Coding, Compression, Encoding};

/// An encoder of one body.
pub(super) enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    Web(web::Writer),
    /// It has ended.
    Done,
}

impl Encoder {
    /// # Errors
    /// [`Reason::Internal`] if there is no memory for it.
    pub(super) fn new(encoding: &Encoding) -> Result<Encoder, Reason> {
        let (Compression { coding, level, .. }, out) = match encoding {
            Encoding::Compressed(compression) => (compression, Vec::new()),
            Encoding::Web(form) => return Ok(Encoder::Web(web::Writer::new(*form))),
        };
        Ok(match coding {
            Coding::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::new(*level))),
            Coding::Br => Encoder::Br(Box::new(brotli::CompressorWriter::new(out, BUFFER, *level, WINDOW))),
            Coding::Zstd => {
                let level = i32::try_from(*level).unwrap_or_default();
                let zstd = zstd::Encoder::new(out, level).and_then(|mut zstd| {
                    zstd.window_log(WINDOW)?;
                    zstd.include_contentsize(false)?;
                    Ok(zstd)
                });
                Encoder::Zstd(told(zstd)?)
            }
        })
    }

    /// Takes a piece; what is ready is appended to `out`.
    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        told(match self {
            Encoder::Gzip(gzip) => gzip.write_all(piece),
            Encoder::Br(br) => br.write_all(piece),
            Encoder::Zstd(zstd) => zstd.write_all(piece),
            Encoder::Web(web) => {
                web.push(piece, out);
                Ok(())
            }
            Encoder::Done => Ok(()),
        })?;
        self.drain(out);
        Ok(())
    }

    /// Appends all that can be decoded by now: the client is not to wait for what comes next.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Reason> {
        told(match self {
            Encoder::Gzip(gzip) => gzip.flush(),
            Encoder::Br(br) => br.flush(),
            Encoder::Zstd(zstd) => zstd.flush(),
            Encoder::Web(web) => {
                web.flush(out);
                Ok(())
            }
            Encoder::Done => Ok(()),
        })?;
        self.drain(out);
        Ok(())
    }

    /// Appends the end: what is pushed behind it is lost. Returns the trailers that aren't part of it.
    pub(super) fn finish<'a>(&mut self, out: &mut Vec<u8>, trailers: &'a [u8]) -> Result<&'a [u8], Reason> {
        let rest = match std::mem::replace(self, Encoder::Done) {
            Encoder::Gzip(gzip) => told(gzip.finish())?,
            Encoder::Br(br) => br.into_inner(),
            Encoder::Zstd(zstd) => told(zstd.finish())?,
            Encoder::Web(mut web) => {
                web.finish(trailers, out);
                return Ok(b"");
            }
            Encoder::Done => Vec::new(),
        };
        out.extend_from_slice(&rest);
        Ok(trailers)
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        let ready = match self {
            Encoder::Gzip(gzip) => gzip.get_mut(),
            Encoder::Br(br) => br.get_mut(),
            Encoder::Zstd(zstd) => zstd.get_mut(),
            Encoder::Web(_) | Encoder::Done => return,
        };
        out.extend_from_slice(ready);
        ready.clear();
    }
}

/// Writing to a vector can't fail; an encoder that does has run out of memory.
fn told<T>(result: io::Result<T>) -> Result<T, Reason> {
    result.map_err(|_| Reason::Internal)
}

/// How far a coding looks back: the logarithm of the bytes.
const WINDOW: u32 = 18;
/// Bytes that brotli hands over at once.
const BUFFER: usize = 4096;
