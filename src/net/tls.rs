//! TLS over a socket: rustls decides, this moves its bytes. What is received goes through the caller's own buffer, so a connection that
//! waits holds nothing but rustls's state.
//!
//! One task at a time writes to the socket. What rustls wants sent while one does (an answer to a KeyUpdate, an alert) goes along with
//! it, in the order in which it was encrypted.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, BufRead, ErrorKind};
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::task::{Poll, Waker};

use rustls::Connection;

use super::sys::{self, Spare};
use super::wire::Wire;
use super::{Moved, Timer};

/// A TLS connection whose handshake is under way or complete.
pub(super) struct Tls {
    wire: Wire,
    session: RefCell<Connection>,
    /// Bytes that were decrypted and not yet received.
    plain: Cell<usize>,
    /// The peer has said that nothing more comes, by a close_notify.
    ended: Cell<bool>,
    /// What came and the session had no room for.
    rest: RefCell<Vec<u8>>,
    /// A task writes to the socket; and who waits for that to end.
    writing: Cell<bool>,
    waiting: Cell<Option<Waker>>,
    /// The socket's sending direction is to be ended once it does.
    finished: Cell<bool>,
    /// It is to look broken off to the peer: no close_notify.
    cut: Cell<bool>,
}

/// Ends the time in which a task writes, whether it ended or was dropped.
struct Writing<'a>(&'a Tls);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writing.set(false);
        if self.0.finished.get() {
            sys::shutdown(self.0.wire.fd, Shutdown::Write);
        }
        if let Some(waker) = self.0.waiting.take() {
            waker.wake();
        }
    }
}

impl Tls {
    pub(super) fn new(wire: Wire, session: Connection) -> Self {
        Tls {
            wire,
            session: RefCell::new(session),
            plain: Cell::new(0),
            ended: Cell::new(false),
            rest: RefCell::default(),
            writing: Cell::new(false),
            waiting: Cell::new(None),
            finished: Cell::new(false),
            cut: Cell::new(false),
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.wire.fd
    }

    /// What rustls knows of it.
    pub(super) fn session(&self) -> &RefCell<Connection> {
        &self.session
    }

    /// Carries the handshake on until it is complete; `left` has come already.
    ///
    /// # Errors
    /// `InvalidData` with a [`rustls::Error`] if the peers don't agree, `UnexpectedEof` if the peer leaves.
    pub(super) async fn handshake(&self, left: &[u8]) -> io::Result<()> {
        self.process()?;
        self.feed(left)?;
        let mut buf = scratch();
        loop {
            self.flush().await?;
            if !self.session.borrow().is_handshaking() {
                give_scratch(buf);
                return Ok(());
            }
            buf.clear();
            let result;
            (result, buf) = self.wire.recv(buf).await;
            if result? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.feed(&buf)?;
        }
    }

    /// Gives the session what has come.
    fn feed(&self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        // What follows a close_notify counts for nothing (RFC 8446 section 6.1).
        while !left.is_empty() && !self.ended.get() {
            if self.plain.get() >= PLAIN_MAX {
                self.rest.borrow_mut().extend_from_slice(left);
                break;
            }
            self.session.borrow_mut().read_tls(&mut left)?;
            self.process()?;
        }
        Ok(())
    }

    /// Has the session look at what it was given. What it finds wrong it tells the peer by an alert.
    fn process(&self) -> io::Result<()> {
        let processed = self.session.borrow_mut().process_new_packets();
        match processed {
            Ok(state) => {
                self.plain.set(state.plaintext_bytes_to_read());
                self.ended.set(state.peer_has_closed());
                Ok(())
            }
            Err(error) => {
                self.send_now();
                self.cut.set(true);
                Err(io::Error::new(ErrorKind::InvalidData, error))
            }
        }
    }

    /// Moves what was decrypted into the buffer's spare room, which there must be; `None` if there is nothing and more may come.
    fn take(&self, buf: &mut Vec<u8>) -> Option<io::Result<usize>> {
        if self.plain.get() == 0 {
            let rest = self.rest.take();
            if let Err(error) = self.feed(&rest) {
                return Some(Err(error));
            }
            if self.plain.get() == 0 {
                return self.ended.get().then_some(Ok(0));
            }
        }
        let mut session = self.session.borrow_mut();
        let mut reader = session.reader();
        let before = buf.len();
        while let Ok(chunk) = reader.fill_buf()
            && !chunk.is_empty()
            && buf.len() < buf.capacity()
        {
            let count = chunk.len().min(buf.capacity() - buf.len());
            buf.extend_from_slice(&chunk[..count]);
            reader.consume(count);
        }
        let received = buf.len() - before;
        self.plain.set(self.plain.get() - received);
        Some(Ok(received))
    }

    /// Receives by this operation on the socket until there is something for the caller.
    async fn recv_by(&self, buf: Vec<u8>, mut receive: impl AsyncFnMut(Vec<u8>) -> Moved) -> Moved {
        let Spare(mut buf) = Spare::of(buf);
        let before = buf.len();
        loop {
            if let Some(received) = self.take(&mut buf) {
                return (received, buf);
            }
            let result;
            (result, buf) = receive(buf).await;
            let result = match result {
                // Without a close_notify anybody may have cut the connection (RFC 8446 section 6.1).
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.feed(&buf[before..]),
                Err(error) => Err(error),
            };
            buf.truncate(before);
            if let Err(error) = result {
                return (Err(error), buf);
            }
            if self.owes() {
                let sent = self.flush().await;
                if let Err(error) = sent {
                    return (Err(error), buf);
                }
            }
        }
    }

    pub(super) async fn recv(&self, buf: Vec<u8>) -> Moved {
        self.recv_by(buf, async |buf| self.wire.recv(buf).await).await
    }

    pub(super) async fn recv_idle(&self, buf: Vec<u8>, timer: &Timer) -> Moved {
        let receive = async |buf| match timer.expired() {
            // While something was sent: there was no receive that it could end.
            true => (Err(ErrorKind::TimedOut.into()), buf),
            false => self.wire.recv_idle(buf, timer).await,
        };
        self.recv_by(buf, receive).await
    }

    /// Whether the session wants something sent that nobody is about to send.
    fn owes(&self) -> bool {
        !self.writing.get() && self.session.borrow().wants_write()
    }

    /// Sends what the session wants sent, and what it comes to want meanwhile. Nobody else may be writing.
    async fn flush(&self) -> io::Result<()> {
        self.writing.set(true);
        let _writing = Writing(self);
        loop {
            let mut out = scratch();
            self.write_into(&mut out)?;
            if out.is_empty() {
                give_scratch(out);
                return Ok(());
            }
            let (result, out) = self.wire.send(out, 0).await;
            give_scratch(out);
            result?;
        }
    }

    fn write_into(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        while session.wants_write() {
            session.write_tls(out)?;
        }
        Ok(())
    }

    /// Sends all these bytes.
    pub(super) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            poll_fn(|cx| {
                if !self.writing.get() {
                    return Poll::Ready(());
                }
                self.waiting.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            let taken = io::Write::write(&mut self.session.borrow_mut().writer(), left)?;
            left = &left[taken..];
            self.flush().await?;
        }
        Ok(())
    }

    /// Waits until there is something to receive, be it nothing but for the session.
    pub(super) async fn readable(&self) -> io::Result<()> {
        if self.holds() {
            return Ok(());
        }
        // Room for a record is kept by the session until it is asked to read again.
        let _ = self.session.borrow_mut().read_tls(&mut Nothing);
        self.wire.readable().await
    }

    /// Whether it holds bytes, or the end, that can be received without the socket.
    pub(super) fn holds(&self) -> bool {
        self.plain.get() > 0 || self.ended.get() || !self.rest.borrow().is_empty()
    }

    /// Whether there is something to receive without waiting, the end included: what is for the session alone it is given, a ticket
    /// most often. No receive may be under way.
    pub(super) fn readable_now(&self) -> bool {
        let mut buf = scratch();
        while !self.holds() && sys::readable_now(self.wire.fd) {
            buf.clear();
            let received = sys::recv_ready(self.wire.fd, &mut buf);
            if !received.is_ok_and(|count| count > 0) || self.feed(&buf).is_err() {
                return true;
            }
            // Half a record sent would spoil all that follow.
            if self.owes() && !self.send_now() {
                return true;
            }
        }
        give_scratch(buf);
        self.holds()
    }

    /// Sends what the session wants sent as far as that goes without waiting, unless a task is sending: that takes it along. Whether all
    /// is on its way.
    fn send_now(&self) -> bool {
        if self.writing.get() {
            return true;
        }
        let mut out = scratch();
        let sent = self.write_into(&mut out).is_ok() && (out.is_empty() || sys::send_now(self.wire.fd, &out) == out.len());
        give_scratch(out);
        sent
    }

    /// Says that nothing more comes. Where the socket has no room for that, its end says it.
    fn say_goodbye(&self) {
        let mut session = self.session.borrow_mut();
        if self.cut.get() || session.is_handshaking() {
            return;
        }
        session.send_close_notify();
        drop(session);
        self.send_now();
    }

    pub(super) fn finish(&self) {
        self.say_goodbye();
        if self.writing.get() {
            self.finished.set(true);
        } else {
            sys::shutdown(self.wire.fd, Shutdown::Write);
        }
    }

    /// From here on the peer sees no orderly end.
    pub(super) fn cut(&self) {
        self.cut.set(true);
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

/// A source that has nothing for the moment.
struct Nothing;

impl io::Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

/// Decrypted bytes that a session holds before it is given no more: one record's.
const PLAIN_MAX: usize = 16 << 10;
/// Free buffers that a core keeps for what goes out encrypted, and the bytes of each, at most.
const SCRATCH_KEPT: usize = 16;
const SCRATCH_MAX: usize = 128 << 10;
/// Bytes of a new one: a record and what surrounds it.
const SCRATCH: usize = 18 << 10;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer for bytes on their way between session and socket.
pub(super) fn scratch() -> Vec<u8> {
    FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(SCRATCH))
}

/// Gives it back.
pub(super) fn give_scratch(mut buf: Vec<u8>) {
    if (SCRATCH..=SCRATCH_MAX).contains(&buf.capacity()) {
        buf.clear();
        FREE.with_borrow_mut(|free| {
            if free.len() < SCRATCH_KEPT {
                free.push(buf);
            }
        });
    }
}
