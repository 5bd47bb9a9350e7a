//! Frames, seen as their bytes pass by. Of those received are counted what costs a peer little and the gateway work: settings, pings, priorities,
//! unknown ones, resets. The `h2` crate bounds memory, and what CONTINUATION and small DATA frames may cost; it doesn't bound these, which move
//! nothing. Of those sent are told the streams that are reset: some of them `h2` resets without a word.

use std::time::Duration;

use crate::clock::Instant;

/// How many frames a client may send in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// SETTINGS, PING, PRIORITY, and frames of unknown types.
    pub control: u32,
    /// RST_STREAM (CVE-2023-44487).
    pub resets: u32,
}

/// What a peer's frames may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abuse {
    /// More than allowed.
    Flood,
    /// Others than its settings first (RFC 9113 section 3.4), which `h2` lets pass.
    NoSettings,
}

/// Counts the frames of one connection's direction.
#[derive(Clone, Debug)]
pub struct Meter {
    rates: Rates,
    heads: Heads,
    /// Since when is counted.
    since: Instant,
    control: u32,
    resets: u32,
    /// Its settings have come.
    greeted: bool,
}

impl Meter {
    /// At the beginning of a connection, of which `preface` bytes are no frames.
    pub fn new(rates: Rates, preface: usize, now: Instant) -> Meter {
        Meter { rates, heads: Heads { skip: preface, ..Heads::default() }, since: now, control: 0, resets: 0, greeted: false }
    }

    /// Takes what has been received, cut anywhere.
    ///
    /// # Errors
    /// When there were too many in a second, or the first of all is the wrong one.
    pub fn take(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Abuse> {
        if now.since(self.since) >= Duration::from_secs(1) {
            (self.since, self.control, self.resets) = (now, 0, 0);
        }
        while let Some(kind) = self.heads.next(&mut bytes) {
            if !std::mem::replace(&mut self.greeted, true) && kind != SETTINGS {
                return Err(Abuse::NoSettings);
            }
            match kind {
                DATA | HEADERS | WINDOW_UPDATE | CONTINUATION => {}
                RST_STREAM => self.resets += 1,
                _ => self.control += 1,
            }
        }
        if self.control > self.rates.control || self.resets > self.rates.resets { Err(Abuse::Flood) } else { Ok(()) }
    }
}

/// Sees which streams are reset in what is sent.
#[derive(Clone, Debug, Default)]
pub struct Resets {
    heads: Heads,
    /// A reset's error code, of which so many bytes are still to come.
    code: u32,
    missing: usize,
}

impl Resets {
    /// Takes what is sent, cut anywhere, and tells the error code of each reset (RFC 9113 section 7).
    pub fn take(&mut self, mut bytes: &[u8], mut tell: impl FnMut(u32)) {
        loop {
            while self.missing > 0 {
                let Some((&byte, rest)) = bytes.split_first() else { return };
                (self.code, self.missing, bytes) = (self.code << 8 | u32::from(byte), self.missing - 1, rest);
                if self.missing == 0 {
                    tell(self.code);
                }
            }
            match self.heads.next(&mut bytes) {
                // Its code is all that it has.
                Some(RST_STREAM) => self.missing = std::mem::take(&mut self.heads.skip),
                Some(_) => {}
                None => return,
            }
        }
    }
}

/// The heads of one direction's frames.
#[derive(Clone, Debug, Default)]
struct Heads {
    /// Bytes until the next frame's head.
    skip: usize,
    /// The part of a frame's head that has come.
    head: [u8; HEAD],
    have: usize,
}

impl Heads {
    /// The type of the next frame whose head is complete in `bytes`, from which it is taken.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<u8> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        *bytes = &bytes[skipped..];
        let count = (HEAD - self.have).min(bytes.len());
        self.head[self.have..self.have + count].copy_from_slice(&bytes[..count]);
        self.have += count;
        *bytes = &bytes[count..];
        if self.have < HEAD {
            return None;
        }
        let [a, b, c, kind, ..] = self.head;
        (self.skip, self.have) = (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c), 0);
        Some(kind)
    }
}

/// Sees when a peer's first frame is there, which are its settings (RFC 9113 section 3.4), and what they say of windows.
#[derive(Clone, Copy, Debug)]
pub struct Greeting {
    taken: usize,
    length: usize,
    /// The bytes of the last setting: its identifier and its value.
    setting: u64,
    /// Bytes that may be sent on a stream from its beginning on.
    pub window: u32,
}

impl Default for Greeting {
    fn default() -> Greeting {
        // RFC 9113 section 6.5.2.
        Greeting { taken: 0, length: 0, setting: 0, window: 65_535 }
    }
}

impl Greeting {
    /// Takes what has been received, cut anywhere; whether the frame is there.
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            match self.taken {
                0..3 => self.length = self.length << 8 | usize::from(byte),
                HEAD.. if self.taken - HEAD >= self.length => break,
                HEAD.. => {
                    self.setting = self.setting << 8 | u64::from(byte);
                    if (self.taken - HEAD) % 6 == 5 && self.setting >> 32 & 0xffff == INITIAL_WINDOW_SIZE {
                        self.window = self.setting as u32;
                    }
                }
                _ => {}
            }
            self.taken += 1;
        }
        self.taken >= HEAD && self.taken - HEAD >= self.length
    }
}

/// Bytes of a frame's head (RFC 9113 section 4.1), and the types of those that are told from others (section 6).
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// The setting of streams' windows (section 6.5.2).
const INITIAL_WINDOW_SIZE: u64 = 4;
