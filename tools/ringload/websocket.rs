//! WebSockets (RFC 6455) as a client: what asks for one, and messages whose echoes are compared, byte by byte.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httparse::{EMPTY_HEADER, Response};
use ringway::chance::Chance;
use ringway::http::websocket_accept;

/// Header fields of an answer, at most.
const FIELDS_MAX: usize = 128;
/// Opcodes (section 5.2).
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Why a target doesn't switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It answers with another status than 101.
    Status(u16),
    /// Its answer doesn't accept what was asked for.
    Wrong(&'static str),
}

/// Why bytes are no frames of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A frame is masked (section 5.1).
    Masked,
    /// It uses an extension, or an opcode that there isn't.
    Unknown,
    /// A control frame is cut in pieces or longer than 125 bytes (section 5.5).
    Control,
    /// A message begins within another, or goes on where there is none (section 5.4).
    Fragment,
}

/// A key for a handshake, which need not be hard to guess (section 1.3).
pub fn key(chance: u128) -> String {
    STANDARD.encode(chance.to_be_bytes())
}

/// Whether this head accepts a handshake with this key (section 4.1).
///
/// # Errors
/// Why not.
pub fn accepted(head: &[u8], key: &str) -> Result<(), Refusal> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut response = Response::new(&mut fields);
    let status = match response.parse(head) {
        Ok(status) if status.is_complete() => response.code.unwrap_or(0),
        _ => return Err(Refusal::Wrong("the target's answer to the handshake is no HTTP/1.1")),
    };
    if status != 101 {
        return Err(Refusal::Status(status));
    }
    let says = |name: &str, word: &str| {
        let lines = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        lines.flat_map(|field| field.value.split(|byte| *byte == b',')).any(|said| said.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    let accept = websocket_accept(key.as_bytes());
    let accepts = response
        .headers
        .iter()
        .any(|field| field.name.eq_ignore_ascii_case("sec-websocket-accept") && field.value.trim_ascii() == accept.as_bytes());
    if !says("upgrade", "websocket") || !says("connection", "upgrade") {
        Err(Refusal::Wrong("the target switches to something that is no WebSocket"))
    } else if !accepts {
        Err(Refusal::Wrong("the target's Sec-WebSocket-Accept isn't made of the key that was sent"))
    } else {
        Ok(())
    }
}

/// What is sent again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether they are text; binary, if not.
    pub is_text: bool,
}

/// One open WebSocket. Echoes come in the order of their messages.
#[derive(Debug)]
pub struct Socket {
    /// Where the masks come from: another one for each frame, as a server may expect.
    chance: Chance,
    /// What is to come of a frame.
    left: u64,
    frame: Frame,
    /// Bytes of a message that came.
    at: usize,
    /// A message is to go on.
    within: bool,
    /// What came of it isn't what was sent.
    differs: bool,
    /// What a control frame says.
    control: Vec<u8>,
    /// What is to be sent beside messages.
    out: Vec<u8>,
}

/// A frame's head.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    is_last: bool,
    opcode: u8,
}

/// What came of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many are used; more have to come.
    More(usize),
    /// So many are used, and a message is whole: whether it is the one that was sent.
    Whole(usize, bool),
    /// The target closes.
    Closed,
}

impl Socket {
    /// One whose masks come from this number.
    pub fn new(seed: u64) -> Socket {
        Socket {
            chance: Chance::new(seed),
            left: 0,
            frame: Frame::default(),
            at: 0,
            within: false,
            differs: false,
            control: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Writes a message.
    pub fn write(&mut self, message: &Message, out: &mut Vec<u8>) {
        let mask = self.mask();
        write_frame(out, if message.is_text { TEXT } else { BINARY }, &message.bytes, mask);
    }

    /// Whether something is to be sent that answers the target.
    pub fn owes(&self) -> bool {
        !self.out.is_empty()
    }

    /// Writes that.
    pub fn write_owed(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.out);
    }

    /// Takes what was received. Bytes that aren't used have to be there again the next time.
    ///
    /// # Errors
    /// When these are no frames; nothing that follows can be trusted.
    pub fn take(&mut self, bytes: &[u8], message: &Message) -> Result<Progress, Fault> {
        let mut used = 0;
        loop {
            if self.left > 0 {
                let rest = &bytes[used..];
                let count = rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                if self.frame.opcode >= CLOSE {
                    self.control.extend_from_slice(&rest[..count]);
                } else {
                    let expected = message.bytes.get(self.at..self.at.saturating_add(count));
                    self.differs |= expected != Some(&rest[..count]);
                    self.at = self.at.saturating_add(count);
                }
                used += count;
                self.left -= count as u64;
                if self.left > 0 {
                    return Ok(Progress::More(used));
                }
            } else {
                let Some(length) = self.head(&bytes[used..], message)? else { return Ok(Progress::More(used)) };
                used += length;
                if self.left > 0 {
                    continue;
                }
            }
            match self.frame.opcode {
                CLOSE => return Ok(Progress::Closed),
                PING => {
                    let (mask, control) = (self.mask(), std::mem::take(&mut self.control));
                    write_frame(&mut self.out, PONG, &control, mask);
                }
                PONG => self.control.clear(),
                _ if self.frame.is_last => {
                    let same = !self.differs && self.at == message.bytes.len();
                    (self.at, self.within, self.differs) = (0, false, false);
                    return Ok(Progress::Whole(used, same));
                }
                _ => {}
            }
        }
    }

    /// Reads a frame's head, once it is whole: its length.
    fn head(&mut self, bytes: &[u8], message: &Message) -> Result<Option<usize>, Fault> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let opcode = first & 15;
        let (length, left) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
            (127, rest) if rest.len() >= 8 => (10, u64::from_be_bytes(rest[..8].try_into().expect("eight"))),
            (126 | 127, _) => return Ok(None),
            (short, _) => (2, u64::from(short)),
        };
        if second & 0x80 != 0 {
            return Err(Fault::Masked);
        }
        if first & 0x70 != 0 || !matches!(opcode, 0..=BINARY | CLOSE..=PONG) {
            return Err(Fault::Unknown);
        }
        self.frame = Frame { is_last: first & 0x80 != 0, opcode };
        self.left = left;
        if opcode >= CLOSE {
            if !self.frame.is_last || left > 125 {
                return Err(Fault::Control);
            }
        } else if (opcode == 0) != self.within {
            return Err(Fault::Fragment);
        } else {
            self.within = true;
            self.differs |= opcode != 0 && (opcode == TEXT) != message.is_text;
        }
        Ok(Some(length))
    }

    fn mask(&self) -> [u8; 4] {
        ((self.chance.draw() >> 32) as u32).to_be_bytes()
    }
}

/// Writes a client's frame (section 5.2).
fn write_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ ..126 => out.push(0x80 | short as u8),
        middle @ ..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    let from = out.len();
    out.extend_from_slice(payload);
    out[from..].iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at & 3]);
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Masked => "a frame of a server is masked",
            Fault::Unknown => "a frame uses an extension or an opcode that wasn't agreed on",
            Fault::Control => "a control frame is cut in pieces or too long",
            Fault::Fragment => "a message begins within another, or goes on where there is none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that comes of some bytes, fed in pieces of this size.
    fn take(bytes: &[u8], size: usize, message: &Message) -> (Vec<Result<Progress, Fault>>, Vec<u8>) {
        let (mut socket, mut kept, mut found) = (Socket::new(7), Vec::new(), Vec::new());
        for piece in bytes.chunks(size) {
            kept.extend_from_slice(piece);
            loop {
                let progress = socket.take(&kept, message);
                match progress {
                    Ok(Progress::More(used)) => {
                        kept.drain(..used);
                        break;
                    }
                    Ok(Progress::Whole(used, same)) => {
                        kept.drain(..used);
                        found.push(Ok(Progress::Whole(0, same)));
                    }
                    other => {
                        found.push(other);
                        return (found, socket.out);
                    }
                }
            }
        }
        (found, socket.out)
    }

    fn text(bytes: &[u8]) -> Message {
        Message { bytes: bytes.to_vec(), is_text: true }
    }

    #[test]
    fn messages_are_masked_by_what_changes_and_come_out_the_same() {
        let mut socket = Socket::new(1);
        let mut masks = Vec::new();
        for length in [0, 125, 126, 65_535, 65_536] {
            let message = Message { bytes: (0..length).map(|at| (at % 251) as u8).collect(), is_text: false };
            let mut out = Vec::new();
            socket.write(&message, &mut out);
            let head = out.len() - length - 4;
            assert_eq!((out[0], out[1] & 0x80), (0x82, 0x80));
            let mask: [u8; 4] = out[head..head + 4].try_into().unwrap();
            let plain: Vec<u8> = out[head + 4..].iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
            assert!(plain == message.bytes && !masks.contains(&mask));
            masks.push(mask);
            // A server sends the same without a mask.
            let echo = [&[out[0], out[1] & 0x7f], &out[2..head], &plain].concat();
            for size in [1, 3, 1000, echo.len()] {
                assert_eq!(take(&echo, size, &message).0, [Ok(Progress::Whole(0, true))], "{length} {size}");
            }
        }
    }

    #[test]
    fn pieces_make_a_message_and_control_frames_may_come_between() {
        let message = text(b"hello");
        let bytes = [&[0x01, 2][..], b"he", &[0x89, 2], b"hi", &[0x00, 0], &[0x8a, 0], &[0x80, 3], b"llo", &[0x81, 5], b"hullo"].concat();
        for size in [1, 2, 5, bytes.len()] {
            let (found, out) = take(&bytes, size, &message);
            assert_eq!(found, [Ok(Progress::Whole(0, true)), Ok(Progress::Whole(0, false))]);
            assert_eq!((out[0], out[1], out.len()), (0x8a, 0x82, 8));
        }
        for wrong in [&[0x81, 4][..], &[0x82, 5], &[0x81, 6]] {
            let bytes = [wrong, b"hello!"].concat();
            assert_eq!(take(&bytes[..2 + usize::from(wrong[1])], 99, &message).0, [Ok(Progress::Whole(0, false))], "{wrong:?}");
        }
        assert_eq!(take(&[0x88, 2, 3, 232], 1, &message).0, [Ok(Progress::Closed)]);
    }

    #[test]
    fn what_no_server_may_send_is_a_fault() {
        for (bytes, fault) in [
            (&[0x81, 0x85, 0, 0][..], Fault::Masked),
            (&[0xc1, 0], Fault::Unknown),
            (&[0x83, 0], Fault::Unknown),
            (&[0x09, 0], Fault::Control),
            (&[0x89, 126, 0, 126], Fault::Control),
            (&[0x80, 0], Fault::Fragment),
            (&[0x01, 0, 0x81, 0], Fault::Fragment),
        ] {
            assert_eq!(take(bytes, 99, &text(b"a")).0, [Err(fault)], "{bytes:?}");
        }
    }

    #[test]
    fn a_handshake_is_accepted_by_the_example_of_the_rfc_and_nothing_less() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let answer = |accept: &str, upgrade: &str| {
            format!(
                "HTTP/1.1 101 Switching\r\nUpgrade: {upgrade}\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            )
        };
        assert_eq!(accepted(answer("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "WebSocket").as_bytes(), key), Ok(()));
        for wrong in [answer("s3pPLMBiTxaQ9kYGzzhZRbK+xOO=", "websocket"), answer("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "h2c"), "\r\n\r\n".into()]
        {
            assert!(matches!(accepted(wrong.as_bytes(), key), Err(Refusal::Wrong(_))), "{wrong}");
        }
        assert_eq!(accepted(b"HTTP/1.1 503 No\r\n\r\n", key), Err(Refusal::Status(503)));
        assert_eq!(self::key(0), "AAAAAAAAAAAAAAAAAAAAAA==");
    }
}
