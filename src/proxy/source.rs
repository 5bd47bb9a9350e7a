//! Where a body ends among the bytes that come: taken piece by piece, decoded in place.

use crate::error::Reason;
use crate::http::Framing;
use crate::http1::{Chunked, Limits};

/// A body on its way in.
pub(super) enum Source {
    /// So many bytes are to come.
    Counted(u64),
    Chunked(Box<Chunked>),
    /// It ends with the connection.
    Open,
}

/// What a piece was.
pub(super) struct Taken {
    /// Bytes of the body, at the piece's front.
    pub data: usize,
    /// They were the last.
    pub done: bool,
    /// Bytes of the piece that belong to the body; what stands behind them is another message's.
    pub consumed: usize,
}

impl Source {
    pub(super) fn new(framing: Framing, limits: &Limits) -> Source {
        match framing {
            Framing::Chunked => Source::Chunked(Box::new(Chunked::new(limits))),
            Framing::Length(length) => Source::Counted(length),
            Framing::None => Source::Counted(0),
            Framing::UntilClose => Source::Open,
        }
    }

    /// # Errors
    /// What is wrong with the chunks.
    pub(super) fn take(&mut self, piece: &mut [u8]) -> Result<Taken, Reason> {
        Ok(match self {
            Source::Counted(left) => {
                let data = piece.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data as u64;
                Taken { data, done: *left == 0, consumed: data }
            }
            Source::Chunked(decoder) => {
                let decoded = decoder.decode(piece)?;
                Taken { data: decoded.data, done: decoded.done, consumed: decoded.consumed }
            }
            Source::Open => Taken { data: piece.len(), done: false, consumed: piece.len() },
        })
    }

    /// The trailers, once it is done.
    pub(super) fn trailers(&self) -> &[u8] {
        match self {
            Source::Chunked(decoder) => decoder.trailers(),
            _ => b"",
        }
    }
}
