//! The one stream type: a TCP or a Unix connection over monoio.

use std::cell::UnsafeCell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, CancelableAsyncReadRent};
use monoio::net::{TcpStream, UnixStream};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{Moved, Stream, Timer, ring, sys};
use crate::address::Address;

/// A TCP or Unix connection. Clones share it.
#[derive(Clone)]
pub enum Link {
    /// TCP.
    Tcp(Rc<UnsafeCell<TcpStream>>, RawFd),
    /// Unix.
    Unix(Rc<UnsafeCell<UnixStream>>, RawFd),
}

impl Link {
    pub(super) fn tcp(stream: TcpStream) -> Link {
        let fd = stream.as_raw_fd();
        Link::Tcp(Rc::new(UnsafeCell::new(stream)), fd)
    }

    /// The descriptor, valid as long as the link.
    pub fn fd(&self) -> RawFd {
        match self {
            Link::Tcp(_, fd) | Link::Unix(_, fd) => *fd,
        }
    }

    /// Makes the close that follows a reset, so that the peer can't take what it got for complete.
    pub fn reset_on_close(&self) {
        sys::reset_on_close(self.fd());
    }
}

impl Stream for Link {
    async fn recv(&self, mut buf: Vec<u8>) -> Moved {
        let at = buf.len();
        if buf.capacity() == at {
            buf.reserve(at.max(1024));
        }
        let room = buf.slice_mut(at..);
        let (result, room) = match self {
            Link::Tcp(stream, _) => sys::half(stream).read(room).await,
            Link::Unix(stream, _) => sys::half(stream).read(room).await,
        };
        (result, room.into_inner())
    }

    async fn recv_idle(&self, mut buf: Vec<u8>, timer: &Timer) -> Moved {
        let at = buf.len();
        if buf.capacity() == at {
            buf.reserve(at.max(1024));
        }
        let room = buf.slice_mut(at..);
        let handle = timer.cancel_handle();
        let (result, room) = match self {
            Link::Tcp(stream, _) => sys::half(stream).cancelable_read(room, handle).await,
            Link::Unix(stream, _) => sys::half(stream).cancelable_read(room, handle).await,
        };
        let result = result.map_err(|error| match error.raw_os_error() {
            Some(libc::ECANCELED | libc::EINTR) => io::ErrorKind::TimedOut.into(),
            _ => error,
        });
        (result, room.into_inner())
    }

    async fn send(&self, mut buf: Vec<u8>, from: usize) -> Moved {
        let mut at = from;
        while at < buf.len() {
            let rest = buf.slice(at..);
            let (result, rest) = match self {
                Link::Tcp(stream, _) => sys::half(stream).write(rest).await,
                Link::Unix(stream, _) => sys::half(stream).write(rest).await,
            };
            buf = rest.into_inner();
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buf),
                Ok(sent) => at += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (Err(error), buf),
            }
        }
        (Ok(at - from), buf)
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Link::Tcp(stream, _) => sys::half(stream).readable(false).await,
            Link::Unix(stream, _) => sys::half(stream).readable(false).await,
        }
    }

    fn finish(&self) {
        sys::shutdown(self.fd(), std::net::Shutdown::Write);
    }

    fn abort(&self) {
        sys::shutdown(self.fd(), std::net::Shutdown::Both);
    }
}

/// Opens a connection; the timer, set by [`Timer::close_at`], bounds it.
///
/// # Errors
/// What the kernel says; `ErrorKind::TimedOut` when the timer expired.
pub async fn connect(address: &Address, make_timer: impl FnOnce(RawFd) -> Timer) -> io::Result<(Link, Timer)> {
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
    let timer = make_timer(socket.as_raw_fd());
    let link = if domain == Domain::UNIX {
        let stream = UnixStream::from_std(socket.into())?;
        let fd = stream.as_raw_fd();
        Link::Unix(Rc::new(UnsafeCell::new(stream)), fd)
    } else {
        Link::tcp(TcpStream::from_std(socket.into())?)
    };
    if waits {
        match &link {
            Link::Tcp(stream, _) => sys::half(stream).writable(false).await?,
            Link::Unix(stream, _) => sys::half(stream).writable(false).await?,
        }
        if timer.expired() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if let Some(error) = sys::take_error(link.fd())? {
            return Err(error);
        }
    }
    Ok((link, timer))
}
