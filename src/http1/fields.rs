//! One pass over a head's fields: spans, known names, strict line ends, and all facts that framing and forwarding need.

use httparse::Header;

use super::connection::Options;
use super::framing::Given;
use super::grammar::elements;
use crate::http::{Field, Known, Span};

/// What a head's fields say together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) framing: Given,
    pub(super) options: Options,
    /// The first Host.
    pub(super) host: Span,
    /// How many Hosts there are.
    pub(super) hosts: u32,
    /// There is an Upgrade.
    pub(super) upgrade: bool,
    /// TE accepts trailers.
    pub(super) te_trailers: bool,
    pub(super) expect_continue: bool,
    /// An expectation other than 100-continue.
    pub(super) expect_other: bool,
}

/// Makes `fields` of httparse's headers and gathers the facts. `None` if some line ends with a bare line feed, which
/// httparse accepts.
///
/// The headers and the `length` bytes of the head lie in `bytes`.
#[inline]
pub(super) fn gather(bytes: &[u8], length: usize, headers: &[Header<'_>], fields: &mut Vec<Field>) -> Option<Facts> {
    let mut facts = Facts::default();
    let mut strict = bytes[..length].ends_with(b"\r\n\r\n");
    fields.clear();
    fields.reserve(headers.len());
    for header in headers {
        let name = span(bytes, header.name.as_bytes());
        let value = span(bytes, header.value);
        // The line before ends right before this name, with a line feed.
        strict &= bytes[name.start as usize - 2] == b'\r';
        let known = Known::from_name(header.name.as_bytes());
        let mut hop = known.is_hop();
        match known {
            Known::Connection => facts.options.on_value(header.value),
            Known::ContentLength => hop = facts.framing.on_length(header.value),
            Known::TransferEncoding => facts.framing.on_coding(header.value),
            Known::Host => {
                if facts.hosts == 0 {
                    facts.host = value;
                }
                facts.hosts += 1;
            }
            Known::Te => facts.te_trailers |= elements(header.value).any(|coding| coding.eq_ignore_ascii_case(b"trailers")),
            Known::Upgrade => facts.upgrade |= !header.value.is_empty(),
            Known::Expect => {
                let known = header.value.eq_ignore_ascii_case(b"100-continue");
                facts.expect_continue |= known;
                facts.expect_other |= !known;
            }
            _ => {}
        }
        fields.push(Field { name, value, known, hop });
    }
    strict.then_some(facts)
}

/// Where `part` lies in `bytes`, of which it is a part.
#[inline]
pub(super) fn span(bytes: &[u8], part: &[u8]) -> Span {
    let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
    debug_assert!(start + part.len() <= bytes.len());
    Span { start: start as u32, end: (start + part.len()) as u32 }
}

/// Headers that fit the array on the stack. A head with more, where the limit allows more, is scanned again into an
/// allocation.
pub(super) const HEADERS_INLINE: usize = 128;

/// The longest head: spans are 32 bits.
pub(super) const HEAD_MAX: usize = u32::MAX as usize;
