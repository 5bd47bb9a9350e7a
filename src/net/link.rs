//! The one stream type: a TCP or a Unix connection, with or without TLS, or one end of a pipe within this core.

use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{Either, LocalBoxFuture};
use monoio::net::TcpStream;
use socket2::{Domain, SockAddr, Socket, Type};

use super::pipe::{End, Held, Tie, Told};
use super::tls::Tls;
use super::wire::Wire;
use super::{Moved, Stream, Timer, ring, sys};
use crate::address::Address;

/// A TCP or Unix connection, or one end of a [`pipe`](super::pipe()). Clones share it.
#[derive(Clone)]
pub struct Link {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Socket(Wire),
    Pipe(Rc<Held>),
    Tls(Rc<Tls>),
}

/// What a deadline acts on.
pub(super) enum Target {
    /// The descriptor of a socket.
    Socket(RawFd),
    /// An end of a pipe.
    Pipe(End),
    /// A task that is to be woken.
    Task(Waker),
}

impl Target {
    /// Ends one or both directions; operations under way return.
    pub(super) fn shutdown(&self, how: Shutdown) {
        match self {
            Target::Socket(fd) => sys::shutdown(*fd, how),
            Target::Pipe(end) => end.shutdown(how),
            Target::Task(task) => task.wake_by_ref(),
        }
    }
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Link {
        Link { kind: Kind::Socket(Wire::new(stream)) }
    }

    /// Takes a connected TCP or Unix socket over, by its descriptor, which has to be in the mode that the engine needs.
    ///
    /// # Errors
    /// When it isn't open, or what the kernel says.
    pub fn adopt(fd: RawFd) -> io::Result<Link> {
        Ok(Link::new(TcpStream::from_std(sys::adopt(fd)?.into())?))
    }

    pub(super) fn of_tls(tls: Tls) -> Link {
        Link { kind: Kind::Tls(Rc::new(tls)) }
    }

    /// The socket, if it is nothing but that.
    pub(super) fn wire(&self) -> Option<&Wire> {
        match &self.kind {
            Kind::Socket(wire) => Some(wire),
            _ => None,
        }
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        match &self.kind {
            Kind::Tls(tls) => Some(tls),
            _ => None,
        }
    }

    pub(super) fn of_pipe(end: Held) -> Link {
        Link { kind: Kind::Pipe(Rc::new(end)) }
    }

    /// The descriptor, valid as long as the link; a pipe has none.
    pub fn fd(&self) -> Option<RawFd> {
        match &self.kind {
            Kind::Socket(wire) => Some(wire.fd),
            Kind::Tls(tls) => Some(tls.fd()),
            Kind::Pipe(_) => None,
        }
    }

    /// Whether it is a socket without TLS.
    #[inline]
    pub fn is_socket(&self) -> bool {
        matches!(self.kind, Kind::Socket(_))
    }

    /// Receives what a socket without TLS has at once besides what was received last, into the buffer's spare capacity. What there is to tell
    /// otherwise, the next receive tells.
    pub fn recv_more(&self, buf: &mut Vec<u8>) {
        if let Kind::Socket(wire) = &self.kind {
            sys::recv_more(wire.fd, buf);
        }
    }

    /// Whether it is spoken over TLS.
    pub fn is_secure(&self) -> bool {
        matches!(self.kind, Kind::Tls(_))
    }

    /// Whether there is something to receive, the end of the stream included, without waiting. No receive may be under way.
    pub fn readable_now(&self) -> bool {
        match &self.kind {
            Kind::Socket(wire) => sys::readable_now(wire.fd),
            Kind::Tls(tls) => tls.readable_now(),
            Kind::Pipe(held) => held.end.is_readable(),
        }
    }

    /// Whether the other end of a pipe is gone, or takes nothing any more.
    pub fn is_left(&self) -> bool {
        match &self.kind {
            Kind::Socket(..) | Kind::Tls(..) => false,
            Kind::Pipe(held) => held.end.is_left(),
        }
    }

    /// Waits until [`Link::is_left`]; for ever, if this is no pipe.
    pub async fn left(&self) {
        match &self.kind {
            Kind::Socket(..) | Kind::Tls(..) => std::future::pending().await,
            Kind::Pipe(held) => poll_fn(|cx| held.end.poll_left(cx)).await,
        }
    }

    /// Waits for something to receive out of a pipe, its end included; for ever, if this is none.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.kind {
            Kind::Socket(..) | Kind::Tls(..) => Poll::Pending,
            Kind::Pipe(held) => held.end.poll_readable(cx),
        }
    }

    /// Lets the other end of a pipe know why there is no answer, before this one is closed.
    pub fn tell(&self, told: Told) {
        if let Kind::Pipe(held) = &self.kind {
            held.end.tell(told);
        }
    }

    /// Receives all that has come; nothing at the end of the stream. Out of a pipe it isn't copied for that.
    ///
    /// # Errors
    /// What [`Stream::recv`] says.
    pub async fn recv_all(&self) -> io::Result<Vec<u8>> {
        match &self.kind {
            Kind::Pipe(held) => held.end.recv_all().await,
            Kind::Socket(..) | Kind::Tls(..) => {
                let (received, buf) = self.recv(Vec::with_capacity(RECEIVE)).await;
                received.map(|_| buf)
            }
        }
    }

    /// Sends into a pipe what it has room for at once; how many bytes that were, none if this is no pipe.
    ///
    /// # Errors
    /// When the other end takes nothing any more.
    pub fn push(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.kind {
            Kind::Socket(..) | Kind::Tls(..) => Ok(0),
            Kind::Pipe(held) => held.end.push(bytes),
        }
    }

    /// What the other end of a pipe has said.
    pub fn told(&self) -> Option<Told> {
        match &self.kind {
            Kind::Pipe(held) => held.end.told(),
            Kind::Socket(..) | Kind::Tls(..) => None,
        }
    }

    /// Ends `other` once the other end of this pipe is gone, for as long as the tie is held; nothing, if this is no pipe. To be dropped
    /// before `other` is closed. Boxed, so that whoever holds it stays small.
    #[inline]
    pub fn tie(&self, other: &Link) -> Option<Box<Tie>> {
        match &self.kind {
            Kind::Socket(..) | Kind::Tls(..) => None,
            Kind::Pipe(held) => Some(Box::new(held.end.tie(other.target()))),
        }
    }

    pub(super) fn target(&self) -> Target {
        match &self.kind {
            Kind::Socket(wire) => Target::Socket(wire.fd),
            Kind::Tls(tls) => Target::Socket(tls.fd()),
            Kind::Pipe(held) => Target::Pipe(held.end.clone()),
        }
    }

    /// Sends a part of bytes that others may be sending too.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn send_shared(&self, bytes: Rc<Vec<u8>>, mut part: Range<usize>) -> io::Result<()> {
        match &self.kind {
            Kind::Socket(wire) => wire.send_shared(bytes, part).await,
            Kind::Pipe(held) => Box::pin(poll_fn(|cx| held.end.poll_send(cx, &bytes[..part.end], &mut part.start))).await,
            Kind::Tls(tls) => Box::pin(tls.send(&bytes[part])).await,
        }
    }

    /// Whether it holds bytes that were received together with others and not asked for yet, or the end.
    pub fn holds(&self) -> bool {
        matches!(&self.kind, Kind::Tls(tls) if tls.holds())
    }

    /// The address of this end, if it is one of the Internet.
    pub fn local_address(&self) -> Option<SocketAddr> {
        sys::local_address(self.fd()?)
    }

    /// Makes the close that follows a reset, so that the peer can't take what it got for complete.
    pub fn reset_on_close(&self) {
        match &self.kind {
            Kind::Socket(wire) => sys::reset_on_close(wire.fd),
            Kind::Tls(tls) => {
                tls.cut();
                sys::reset_on_close(tls.fd());
            }
            Kind::Pipe(held) => held.reset_on_close(),
        }
    }
}

impl Stream for Link {
    #[inline]
    fn recv(&self, buf: Vec<u8>) -> impl Future<Output = Moved> {
        match &self.kind {
            Kind::Socket(wire) => Either::Left(wire.recv(buf)),
            Kind::Pipe(held) => Either::Right(boxed(held.end.recv(buf))),
            Kind::Tls(tls) => Either::Right(boxed(tls.recv(buf))),
        }
    }

    async fn recv_idle(&self, buf: Vec<u8>, timer: &Timer) -> Moved {
        match &self.kind {
            Kind::Socket(wire) => wire.recv_idle(buf, timer).await,
            Kind::Pipe(held) => boxed(held.end.recv_idle(buf)).await,
            Kind::Tls(tls) => boxed(tls.recv_idle(buf, timer)).await,
        }
    }

    #[inline]
    fn send(&self, buf: Vec<u8>, from: usize) -> impl Future<Output = Moved> {
        match &self.kind {
            Kind::Socket(wire) => Either::Left(wire.send(buf, from)),
            Kind::Pipe(held) => Either::Right(boxed(held.end.send(buf, from))),
            Kind::Tls(tls) => Either::Right(boxed(async move {
                let sent = tls.send(&buf[from..]).await;
                (sent.map(|()| buf.len() - from), buf)
            })),
        }
    }

    async fn readable(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Socket(wire) => wire.readable().await,
            Kind::Pipe(held) => {
                poll_fn(|cx| held.end.poll_readable(cx)).await;
                Ok(())
            }
            Kind::Tls(tls) => Box::pin(tls.readable()).await,
        }
    }

    fn finish(&self) {
        match &self.kind {
            Kind::Tls(tls) => tls.finish(),
            _ => self.target().shutdown(Shutdown::Write),
        }
    }

    fn abort(&self) {
        if let Kind::Tls(tls) = &self.kind {
            tls.cut();
        }
        self.target().shutdown(Shutdown::Both);
    }
}

/// What isn't a plain socket is rarer, and isn't to make the state of those that wait for one larger.
#[cold]
#[inline(never)]
fn boxed<'a>(work: impl Future<Output = Moved> + 'a) -> LocalBoxFuture<'a, Moved> {
    Box::pin(work)
}

/// Opens a connection; the timer, set by [`Timer::close_at`], bounds it.
///
/// # Errors
/// What the kernel says; `ErrorKind::TimedOut` when the timer expired.
pub async fn connect(address: &Address, make_timer: impl FnOnce(&Link) -> Timer) -> io::Result<(Link, Timer)> {
    let (domain, to) = match address {
        Address::Tcp(to) => (Domain::for_address(*to), SockAddr::from(*to)),
        Address::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)?;
    if domain != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    let waits = match socket.connect(&to) {
        Ok(()) => false,
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => true,
        Err(error) => return Err(error),
    };
    // io_uring answers EAGAIN on a non-blocking descriptor where epoll needs one.
    socket.set_nonblocking(!ring::is_uring())?;
    let fd = socket.as_raw_fd();
    let link = Link::new(TcpStream::from_std(OwnedFd::from(socket).into())?);
    let timer = make_timer(&link);
    if let (true, Kind::Socket(wire)) = (waits, &link.kind) {
        sys::half(&wire.stream).writable(false).await?;
        if timer.expired() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if let Some(error) = sys::take_error(fd)? {
            return Err(error);
        }
    }
    Ok((link, timer))
}

/// Bytes that are received at once, where no buffer is lent for them.
const RECEIVE: usize = 16 << 10;
