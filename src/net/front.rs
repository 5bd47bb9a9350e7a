//! The front of a stream, taken to the byte: what follows stays in the socket for whoever is to read it, a TLS handshake as well.

use super::{Link, Stream, sys};

/// What was at a stream's front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<T, E> {
    /// This.
    Complete(T),
    /// The parser didn't understand it.
    Refused(E),
    /// The stream ended, or its deadline came, before it was complete; whether before its first byte.
    Ended {
        /// Not a single byte came.
        clean: bool,
    },
}

/// Receives from a socket what the parser takes: asked with all bytes so far, it says how long the front is, or that more has to come. The parser bounds how
/// much that is, the stream's [`Timer`](super::Timer) bounds the wait.
pub async fn recv_front<T, E>(link: &Link, parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, E>) -> Front<T, E> {
    let Some(fd) = link.fd() else { return Front::Ended { clean: true } };
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        let waited = link.readable().await;
        let mut room = [0; 1024];
        let seen = match waited.and_then(|()| sys::recv_now(fd, &mut room, libc::MSG_PEEK)) {
            Ok(0) | Err(_) => return Front::Ended { clean: before == 0 },
            Ok(seen) => seen,
        };
        bytes.extend_from_slice(&room[..seen]);
        let (complete, length) = match parse(&bytes) {
            Ok(Some((front, length))) => (Some(front), length),
            Ok(None) => (None, bytes.len()),
            Err(error) => return Front::Refused(error),
        };
        let taken = &mut room[..length - before];
        if !sys::recv_now(fd, taken, 0).is_ok_and(|received| received == taken.len()) {
            return Front::Ended { clean: false };
        }
        if let Some(front) = complete {
            return Front::Complete(front);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::rc::Rc;

    use super::super::tests::{on_each, pair};
    use super::super::{Deadlines, pause};
    use super::*;
    use crate::clock::Instant;
    use std::time::Duration;

    /// A line, of letters only.
    fn line(bytes: &[u8]) -> Result<Option<(String, usize)>, u8> {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        match bytes[..end.unwrap_or(bytes.len())].iter().find(|byte| !byte.is_ascii_alphabetic()) {
            Some(&byte) => Err(byte),
            None => Ok(end.map(|end| (String::from_utf8(bytes[..end].to_vec()).unwrap(), end + 1))),
        }
    }

    async fn front_of(pieces: &'static [&'static str]) -> (Front<String, u8>, Vec<u8>) {
        let deadlines = Rc::<Deadlines>::default();
        let (_timer, link, mut peer) = pair(&deadlines).await;
        let sender = std::thread::spawn(move || {
            for piece in pieces {
                peer.write_all(piece.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(3));
            }
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            peer.read(&mut [0]).unwrap()
        });
        let front = recv_front(&link, line).await;
        let mut rest = Vec::new();
        loop {
            let (received, back) = link.recv(rest).await;
            rest = back;
            if received.unwrap() == 0 {
                break;
            }
        }
        link.finish();
        assert_eq!(sender.join().unwrap(), 0);
        (front, rest)
    }

    #[test]
    fn takes_the_front_and_not_a_byte_more() {
        on_each(|| async {
            for pieces in [&["front\nrest"][..], &["front\n", "rest"], &["f", "ro", "nt", "\nre", "st"]] {
                let (front, rest) = front_of(pieces).await;
                assert_eq!((front, &rest[..]), (Front::Complete("front".into()), &b"rest"[..]), "{pieces:?}");
            }
            assert_eq!(front_of(&["fr", "on7"]).await.0, Front::Refused(b'7'));
            assert_eq!(front_of(&[]).await.0, Front::Ended { clean: true });
            assert_eq!(front_of(&["fron"]).await.0, Front::Ended { clean: false });
        });
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        on_each(|| async {
            let deadlines = Rc::<Deadlines>::default();
            let (timer, link, mut peer) = pair(&deadlines).await;
            peer.write_all(b"fron").unwrap();
            timer.hush_at(Instant::from_nanos(1));
            let sweeper = deadlines.clone();
            super::super::spawn(async move {
                pause(Duration::from_millis(5)).await;
                sweeper.sweep(Instant::from_nanos(2));
            });
            assert_eq!(recv_front(&link, line).await, Front::Ended { clean: false });
            assert!(timer.expired());
        });
    }
}
