//! How a message's body ends: RFC 9112 section 6.3, step by step, in this one place for both directions.

use super::grammar::elements;
use crate::error::Reason;
use crate::http::{Framing, Method, Version};

/// What the framing headers of one message say, gathered field by field.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// The one value all Content-Length fields have.
    length: Option<u64>,
    /// A Content-Length began with a zero that means nothing, as some read octal.
    zero: bool,
    /// The first fault of a Content-Length.
    bad_length: Option<Reason>,
    coding: Coding,
}

/// What the Transfer-Encoding fields say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    None,
    /// `chunked`, once, and nothing else.
    Chunked,
    /// Anything else.
    Refused(Reason),
}

impl Given {
    /// Takes the value of one Content-Length field. True if it repeats an earlier one and so needn't be forwarded.
    /// A list is refused even if its members are equal: no sender means one.
    #[inline]
    pub fn on_length(&mut self, value: &[u8]) -> bool {
        match (decimal(value), self.length) {
            (None, _) => self.bad_length = self.bad_length.or(Some(Reason::BadLength)),
            (Some(length), None) => {
                self.length = Some(length);
                self.zero |= value.len() > 1 && value[0] == b'0';
            }
            (Some(length), Some(earlier)) => {
                self.zero |= value.len() > 1 && value[0] == b'0';
                if length == earlier {
                    return true;
                }
                self.bad_length = self.bad_length.or(Some(Reason::DifferingLengths));
            }
        }
        false
    }

    /// Takes the value of one Transfer-Encoding field. Only `chunked`, once in all, is accepted: whatever else a list
    /// may be made of, some parser reads it as something else.
    #[inline]
    pub fn on_coding(&mut self, value: &[u8]) {
        if self.coding == Coding::None && value.eq_ignore_ascii_case(b"chunked") {
            self.coding = Coding::Chunked;
        } else {
            self.on_other_coding(value);
        }
    }

    #[cold]
    fn on_other_coding(&mut self, value: &[u8]) {
        for coding in elements(value) {
            match self.coding {
                Coding::None if coding.eq_ignore_ascii_case(b"chunked") => self.coding = Coding::Chunked,
                Coding::None => self.coding = Coding::Refused(Reason::UnknownCoding),
                Coding::Chunked => self.coding = Coding::Refused(Reason::RepeatedCoding),
                Coding::Refused(_) => {}
            }
        }
    }

    /// The framing of a request.
    #[inline]
    pub fn request(&self, version: Version) -> Result<Framing, Reason> {
        // Steps 1 and 2 are about responses. Step 3: both headers are an attempt at smuggling.
        if self.coding != Coding::None {
            return Err(match self.coding {
                _ if version == Version::Http10 => Reason::CodingInHttp10,
                _ if self.length.is_some() || self.bad_length.is_some() => Reason::LengthWithCoding,
                // Step 4.
                Coding::Refused(reason) => reason,
                _ => return Ok(Framing::Chunked),
            });
        }
        // Step 5.
        if let Some(reason) = self.bad_length {
            return Err(reason);
        }
        match self.length {
            Some(_) if self.zero => Err(Reason::BadLength),
            // Step 6.
            Some(length) => Ok(Framing::Length(length)),
            // Step 7.
            None => Ok(Framing::None),
        }
    }

    /// The framing of a response with this status to a request with this method. False beside it: the head says things
    /// about a body that can't be, so bytes may follow that are no response, and the connection must not be reused.
    #[inline]
    pub fn response(&self, version: Version, status: u16, request_method: Method) -> Result<(Framing, bool), Reason> {
        let coded = self.coding != Coding::None;
        if self.bad_length.is_some() {
            return Err(Reason::BadResponseFraming);
        }
        // Steps 3 and 4 before 1 and 2: what can't be trusted can't be trusted in an answer to HEAD either.
        if coded && (version == Version::Http10 || self.length.is_some() || self.coding != Coding::Chunked) {
            return Err(Reason::BadResponseFraming);
        }
        // Step 1.
        if status < 200 || status == 204 {
            return Ok((Framing::None, !coded && self.length.unwrap_or(0) == 0));
        }
        if status == 304 || request_method == Method::Head {
            return Ok((Framing::None, true));
        }
        // Step 2.
        if request_method == Method::Connect && status < 300 {
            return Ok((Framing::None, false));
        }
        Ok(match self.length {
            _ if coded => (Framing::Chunked, true),
            // Step 6.
            Some(length) => (Framing::Length(length), true),
            // Step 8.
            None => (Framing::UntilClose, false),
        })
    }
}

/// A number of 1 to 18 digits and nothing else.
#[inline]
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > LENGTH_DIGITS_MAX {
        return None;
    }
    let mut number = 0;
    for byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number)
}

/// Digits of a Content-Length. So many never overflow a signed 64-bit number, which other parsers may use.
const LENGTH_DIGITS_MAX: usize = 18;
