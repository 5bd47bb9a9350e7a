//! What is known of a stored response, written as bytes in front of it.

use std::ops::Range;

use super::terms::Terms;
use crate::http::Span;

/// The parts of a stored response that stand one behind the other.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Url,
    /// The key's further parts.
    Extra,
    /// What it was chosen by.
    Vary,
    Tags,
    /// The hashes of the head's names, two bytes each.
    Names,
    /// Status line and header lines.
    Head,
}

impl Part {
    pub(super) const COUNT: usize = Part::Head as usize + 1;
}

/// What is known of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) terms: Terms,
    pub(super) status: u16,
    /// `Last-Modified` can tell apart two states of the resource (RFC 9110 section 8.8.2.2).
    pub(super) strong_date: bool,
    /// Route and arm.
    pub(super) zone: u64,
    /// Bytes of the body.
    pub(super) length: u64,
    /// What `If-Modified-Since` is compared with: `Last-Modified`, else `Date`, which the head always has.
    pub(super) since: u64,
    /// Where each part ends.
    pub(super) ends: [u32; Part::COUNT],
    pub(super) etag: Span,
    pub(super) last_modified: Span,
}

impl Meta {
    /// Bytes it takes.
    pub(super) const SIZE: usize = 88;

    /// Reads it from the front of a stored response. What isn't used of it isn't read.
    #[inline(always)]
    pub(super) fn read(text: &[u8]) -> Meta {
        let bytes = text.first_chunk::<{ Meta::SIZE }>().expect("it stands in front of each stored response");
        let wide = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("it ends behind"));
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("it ends behind"));
        Meta {
            terms: Terms {
                origin: wide(0) as i64,
                lifetime: word(8),
                while_revalidate: word(12),
                if_error: word(16),
                always_ask: bytes[22] & ALWAYS_ASK != 0,
                never_stale: bytes[22] & NEVER_STALE != 0,
            },
            status: u16::from_le_bytes([bytes[20], bytes[21]]),
            strong_date: bytes[22] & STRONG_DATE != 0,
            zone: wide(24),
            length: wide(32),
            since: wide(40),
            ends: [word(48), word(52), word(56), word(60), word(64), word(68)],
            etag: Span { start: word(72), end: word(76) },
            last_modified: Span { start: word(80), end: word(84) },
        }
    }

    /// Writes it over the front of a stored response.
    pub(super) fn write(&self, text: &mut [u8]) {
        let Terms { origin, lifetime, while_revalidate, if_error, always_ask, never_stale } = self.terms;
        let mut put = |at: usize, bytes: &[u8]| text[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &origin.to_le_bytes());
        for (at, word) in [(8, lifetime), (12, while_revalidate), (16, if_error)] {
            put(at, &word.to_le_bytes());
        }
        put(20, &self.status.to_le_bytes());
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        put(22, &[flag(always_ask, ALWAYS_ASK) | flag(never_stale, NEVER_STALE) | flag(self.strong_date, STRONG_DATE)]);
        for (at, wide) in [(24, self.zone), (32, self.length), (40, self.since)] {
            put(at, &wide.to_le_bytes());
        }
        for (index, end) in self.ends.iter().enumerate() {
            put(48 + 4 * index, &end.to_le_bytes());
        }
        for (at, span) in [(72, self.etag), (80, self.last_modified)] {
            put(at, &span.start.to_le_bytes());
            put(at + 4, &span.end.to_le_bytes());
        }
    }

    /// Where a part is.
    #[inline(always)]
    pub(super) fn range(&self, part: Part) -> Range<usize> {
        let start = match part {
            Part::Url => Meta::SIZE,
            later => self.ends[later as usize - 1] as usize,
        };
        start..self.ends[part as usize] as usize
    }
}

const ALWAYS_ASK: u8 = 1;
const NEVER_STALE: u8 = 2;
const STRONG_DATE: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (always_ask, never_stale, strong_date) in
            [(false, false, false), (true, false, false), (false, true, false), (false, false, true)]
        {
            let terms = Terms { origin: -5, lifetime: 1 << 31, while_revalidate: 2, if_error: 3, always_ask, never_stale };
            let meta = Meta {
                terms,
                status: 404,
                strong_date,
                zone: u64::MAX - 1,
                length: 7 << 40,
                since: 8 << 33,
                ends: [100, 200, 300, 400, 500, 1 << 31],
                etag: Span { start: 11, end: 12 },
                last_modified: Span { start: 13, end: 14 },
            };
            let mut text = vec![0xff; Meta::SIZE];
            meta.write(&mut text);
            assert_eq!(Meta::read(&text), meta);
            assert_eq!((meta.range(Part::Url), meta.range(Part::Head)), (Meta::SIZE..100, 500..1 << 31));
        }
    }
}
