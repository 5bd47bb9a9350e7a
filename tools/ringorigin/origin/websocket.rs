//! WebSockets (RFC 6455): whatever a client sends it gets back, frame by frame, as it comes.

use std::io;

use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use monoio::io::AsyncReadRent;
use monoio_http::common::request::RequestHead;
use monoio_http::h1::FramedRead;
use ringway::http::websocket_accept;

use super::Connection;
use super::answer::write;
use super::upload::HeadDecoder;

/// Bytes that are received at once.
const WINDOW: usize = 64 << 10;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The client's key, if the request asks for a WebSocket (section 4.2.1).
pub fn key(request: &RequestHead) -> Option<&str> {
    let says = |name: HeaderName, word: &str| {
        let lines = request.headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|said| said.trim().eq_ignore_ascii_case(word))
    };
    let asks = says(CONNECTION, "upgrade") && says(UPGRADE, "websocket") && says(SEC_WEBSOCKET_VERSION, "13");
    request.headers.get(SEC_WEBSOCKET_KEY).filter(|_| asks)?.to_str().ok()
}

/// Switches, and echoes until the client closes or breaks the rules.
///
/// # Errors
/// When the connection fails.
pub async fn echo<S: Connection>(connection: &mut FramedRead<S, HeadDecoder>, key: &str) -> io::Result<()> {
    let accept = websocket_accept(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nServer: ringorigin\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    write(connection.get_mut(), head.into()).await?;
    let (mut echo, mut received) = (Echo::default(), Vec::with_capacity(WINDOW));
    loop {
        received.clear();
        let result;
        (result, received) = connection.read(received).await;
        if result? == 0 {
            return Ok(());
        }
        let mut out = Vec::with_capacity(received.len());
        let goes_on = echo.take(&received, &mut out);
        if !out.is_empty() {
            write(connection.get_mut(), out.into()).await?;
        }
        if !goes_on {
            return Ok(());
        }
    }
}

/// Turns a client's frames into a server's.
#[derive(Default)]
struct Echo {
    /// What came of a head that isn't whole.
    head: Vec<u8>,
    payload: Payload,
}

/// What is to come of a frame.
#[derive(Default)]
struct Payload {
    left: u64,
    /// Turned so that it begins with the next byte's.
    mask: [u8; 4],
    opcode: u8,
}

impl Echo {
    /// Takes what was received, and writes what goes back; whether more may come.
    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> bool {
        loop {
            let Payload { left, mask, opcode } = &mut self.payload;
            let count = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            let (piece, rest) = bytes.split_at(count);
            bytes = rest;
            *left -= count as u64;
            if *opcode != PONG {
                let from = out.len();
                out.extend_from_slice(piece);
                out[from..].iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at & 3]);
            }
            mask.rotate_left(count & 3);
            if *left > 0 {
                return true;
            }
            if *opcode == CLOSE {
                return false;
            }
            let Some((byte, rest)) = bytes.split_first() else { return true };
            self.head.push(*byte);
            bytes = rest;
            if self.head.len() < head_length(&self.head) {
                continue;
            }
            let opcode = self.head[0] & 15;
            // Extensions were agreed on none (section 5.2), and a client masks (section 5.1).
            if self.head[0] & 0x70 != 0 || self.head[1] & 0x80 == 0 {
                return false;
            }
            let (head, mask) = self.head.split_at(self.head.len() - 4);
            let left = match head[1] & 0x7f {
                126 => u64::from(u16::from_be_bytes([head[2], head[3]])),
                127 => u64::from_be_bytes(head[2..].try_into().expect("ten bytes")),
                short => u64::from(short),
            };
            self.payload = Payload { left, mask: mask.try_into().expect("the last four"), opcode };
            if opcode != PONG {
                out.push(head[0] & 0xf0 | if opcode == PING { PONG } else { opcode });
                out.push(head[1] & 0x7f);
                out.extend_from_slice(&head[2..]);
            }
            self.head.clear();
        }
    }
}

/// Bytes of the head that begins with these.
fn head_length(begin: &[u8]) -> usize {
    match begin.get(1).map(|byte| (byte & 0x80, byte & 0x7f)) {
        None => 2,
        Some((masked, length)) => {
            let more = match length {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            2 + more + if masked == 0 { 0 } else { 4 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 0x55, 0xaa, 1];
        let mut frame = vec![first];
        match payload.len() {
            short @ ..126 => frame.push(0x80 | short as u8),
            middle @ ..65_536 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(middle as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        frame
    }

    #[test]
    fn frames_come_back_unmasked_however_they_are_cut() {
        let long = vec![b'x'; 70_000];
        let frames = [frame(0x81, b"hello"), frame(0x02, &[9; 300]), frame(0x80, b""), frame(0x89, b"you?"), frame(0x8a, b"pong")];
        let sent = [frames.concat(), frame(0x82, &long), frame(0x88, &[3, 232])].concat();
        let mut expected = [&[0x81, 5], &b"hello"[..], &[2, 126, 1, 44], &[9; 300], &[0x80, 0], &[0x8a, 4], b"you?"].concat();
        expected.extend_from_slice(&[0x82, 127, 0, 0, 0, 0, 0, 1, 17, 112]);
        expected.extend_from_slice(&long);
        expected.extend_from_slice(&[0x88, 2, 3, 232]);
        for size in [1, 2, 3, 5, 1000, sent.len()] {
            let (mut echo, mut out) = (Echo::default(), Vec::new());
            let goes_on: Vec<bool> = sent.chunks(size).map(|piece| echo.take(piece, &mut out)).collect();
            assert!(out == expected, "{size}");
            assert!(!goes_on[goes_on.len() - 1] && goes_on[..goes_on.len() - 1].iter().all(|on| *on), "{size}");
        }
    }

    #[test]
    fn frames_without_a_mask_or_with_extensions_end_it() {
        for wrong in [&[0x81, 1, b'a'][..], &frame(0xc1, b"a")] {
            assert!(!Echo::default().take(wrong, &mut Vec::new()));
        }
    }
}
