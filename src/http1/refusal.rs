//! Why bytes are no request head: walks them slowly and names their first fault. Also a request's reasons as a response's.

use super::Limits;
use super::grammar::{is_control, is_space};
use crate::error::Reason;
use crate::http::is_token_byte;

/// The first fault in the bytes of a request's head, in the order of the bytes. `None`: there is none yet, or the last
/// bytes only begin one.
///
/// Faults of the head as a whole (its target's form, Host, framing) are not looked for.
pub(super) fn of_request(bytes: &[u8], limits: &Limits) -> Option<Reason> {
    let mut walk = Walk { bytes, at: 0 };
    match walk.request(limits) {
        Ok(()) | Err(Stop::More) => None,
        Err(Stop::Fault(reason)) => Some(reason),
    }
}

/// The same fault as seen in a response.
pub const fn as_response(reason: Reason) -> Reason {
    match reason {
        Reason::BadRequestLine
        | Reason::BadMethod
        | Reason::BadTarget
        | Reason::BadVersion
        | Reason::BadHeaderName
        | Reason::BadHeaderValue
        | Reason::SpaceBeforeColon
        | Reason::ObsFold
        | Reason::MissingHost
        | Reason::RepeatedHost
        | Reason::BadHost
        | Reason::BadExpectation
        | Reason::ConnectRefused => Reason::BadResponseHead,
        Reason::LengthWithCoding
        | Reason::DifferingLengths
        | Reason::BadLength
        | Reason::UnknownCoding
        | Reason::RepeatedCoding
        | Reason::CodingInHttp10 => Reason::BadResponseFraming,
        Reason::UriTooLong | Reason::HeadTooLarge | Reason::TooManyHeaders => Reason::ResponseHeadTooLarge,
        // Of heads these never get here: parsing a response names them as its own. The rest is of bodies.
        Reason::BareCr
        | Reason::BareLf
        | Reason::ControlByte
        | Reason::BadChunkSize
        | Reason::ChunkExtensionTooLong
        | Reason::BadChunkEnd
        | Reason::BadTrailer
        | Reason::TrailersTooLarge
        | Reason::BodyTooLarge => Reason::BadResponseBody,
        other => other,
    }
}

/// Why a walk ended early.
enum Stop {
    More,
    Fault(Reason),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Stop {
        Stop::Fault(reason)
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn request(&mut self, limits: &Limits) -> Result<(), Stop> {
        let mut lines = 0;
        while matches!(self.peek()?, b'\r' | b'\n') {
            if lines == EMPTY_LINES_MAX && self.peek()? == b'\r' {
                return Err(Reason::BadRequestLine.into());
            }
            self.line_end()?;
            lines += 1;
        }
        self.method()?;
        self.target(limits.uri)?;
        self.version()?;
        let mut headers = 0;
        loop {
            match self.peek()? {
                b'\r' | b'\n' => return self.line_end(),
                _ if headers == limits.headers => return Err(Reason::TooManyHeaders.into()),
                byte if is_space(byte) && headers > 0 => return Err(Reason::ObsFold.into()),
                _ => {}
            }
            self.name()?;
            self.value()?;
            headers += 1;
        }
    }

    fn method(&mut self) -> Result<(), Stop> {
        let start = self.at;
        loop {
            match self.peek()? {
                b' ' if self.at > start => break,
                byte if is_token_byte(byte) => self.at += 1,
                byte if is_space(byte) => return Err(Reason::BadRequestLine.into()),
                _ => return Err(self.stray(Reason::BadRequestLine, Reason::BadMethod)),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn target(&mut self, limit: usize) -> Result<(), Stop> {
        let start = self.at;
        loop {
            match self.peek()? {
                b' ' if self.at > start => break,
                byte if is_space(byte) => return Err(Reason::BadRequestLine.into()),
                _ if self.at - start == limit => return Err(Reason::UriTooLong.into()),
                b'!' | b'"' | b'$'..=b'~' => self.at += 1,
                _ => return Err(self.stray(Reason::BadRequestLine, Reason::BadTarget)),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn version(&mut self) -> Result<(), Stop> {
        for &expected in b"HTTP/" {
            if self.peek()? != expected {
                return Err(self.stray(Reason::BadRequestLine, Reason::BadRequestLine));
            }
            self.at += 1;
        }
        for expected in [b"11", b"..", b"01"] {
            if !expected.contains(&self.peek()?) {
                return Err(self.stray(Reason::BadVersion, Reason::BadVersion));
            }
            self.at += 1;
        }
        match self.peek()? {
            b'\r' | b'\n' => self.line_end(),
            _ => Err(self.stray(Reason::BadRequestLine, Reason::BadRequestLine)),
        }
    }

    fn name(&mut self) -> Result<(), Stop> {
        let start = self.at;
        while is_token_byte(self.peek()?) {
            self.at += 1;
        }
        match self.peek()? {
            b':' if self.at > start => {
                self.at += 1;
                Ok(())
            }
            byte if is_space(byte) && self.at > start => {
                while is_space(self.peek()?) {
                    self.at += 1;
                }
                let colon = self.peek()? == b':';
                Err(if colon { Reason::SpaceBeforeColon } else { Reason::BadHeaderName }.into())
            }
            _ => Err(self.stray(Reason::BadHeaderName, Reason::BadHeaderName)),
        }
    }

    fn value(&mut self) -> Result<(), Stop> {
        loop {
            match self.peek()? {
                b'\r' | b'\n' => return self.line_end(),
                byte if is_control(byte) => return Err(Reason::ControlByte.into()),
                _ => self.at += 1,
            }
        }
    }

    /// A byte that can't stand where it is: a line end that is a fault of its own or comes too early, a control byte, or
    /// something else.
    fn stray(&mut self, early: Reason, other: Reason) -> Stop {
        match self.peek() {
            Ok(b'\r' | b'\n') => self.line_end().err().unwrap_or(Stop::Fault(early)),
            Ok(byte) if is_control(byte) => Reason::ControlByte.into(),
            Ok(_) => other.into(),
            Err(stop) => stop,
        }
    }

    /// Carriage return and line feed, in full.
    fn line_end(&mut self) -> Result<(), Stop> {
        if self.peek()? == b'\n' {
            return Err(Reason::BareLf.into());
        }
        self.at += 1;
        if self.peek()? != b'\n' {
            return Err(Reason::BareCr.into());
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or(Stop::More)
    }
}

/// Empty lines that may stand before a request line.
pub(super) const EMPTY_LINES_MAX: usize = 2;
