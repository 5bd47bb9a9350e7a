//! The one stream type: a TCP or a Unix connection over monoio.

use std::cell::UnsafeCell;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRent, CancelableAsyncReadRent};
use monoio::net::TcpStream;
use socket2::{Domain, SockAddr, Socket, Type};

use super::sys::{Rest, Spare};
use super::{Moved, Stream, Timer, ring, sys};
use crate::address::Address;

/// A TCP or Unix connection. Clones share it.
#[derive(Clone)]
pub struct Link {
    /// Of either kind: nothing is asked of it that only one of them has.
    stream: Rc<UnsafeCell<TcpStream>>,
    fd: RawFd,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Link {
        let fd = stream.as_raw_fd();
        Link { stream: Rc::new(UnsafeCell::new(stream)), fd }
    }

    /// The descriptor, valid as long as the link.
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// Sends a part of bytes that others may be sending too.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn send_shared(&self, bytes: Rc<Vec<u8>>, mut part: Range<usize>) -> io::Result<()> {
        while !part.is_empty() {
            match sys::half(&self.stream).write(bytes.clone().slice(part.clone())).await.0 {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => part.start += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The address of this end, if it is one of the Internet.
    pub fn local_address(&self) -> Option<SocketAddr> {
        sys::local_address(self.fd)
    }

    /// Makes the close that follows a reset, so that the peer can't take what it got for complete.
    pub fn reset_on_close(&self) {
        sys::reset_on_close(self.fd);
    }
}

impl Stream for Link {
    async fn recv(&self, buf: Vec<u8>) -> Moved {
        let (result, Spare(buf)) = sys::half(&self.stream).read(Spare::of(buf)).await;
        (result, buf)
    }

    async fn recv_idle(&self, buf: Vec<u8>, timer: &Timer) -> Moved {
        let (result, Spare(buf)) = sys::half(&self.stream).cancelable_read(Spare::of(buf), timer.cancel_handle()).await;
        let result = result.map_err(|error| match error.raw_os_error() {
            Some(libc::ECANCELED | libc::EINTR) => io::ErrorKind::TimedOut.into(),
            _ => error,
        });
        (result, buf)
    }

    async fn send(&self, buf: Vec<u8>, from: usize) -> Moved {
        let mut rest = Rest { buf, from };
        while rest.from < rest.buf.len() {
            let result;
            (result, rest) = sys::half(&self.stream).write(rest).await;
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), rest.buf),
                Ok(sent) => rest.from += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (Err(error), rest.buf),
            }
        }
        (Ok(rest.from - from), rest.buf)
    }

    async fn readable(&self) -> io::Result<()> {
        sys::half(&self.stream).readable(false).await
    }

    fn finish(&self) {
        sys::shutdown(self.fd, std::net::Shutdown::Write);
    }

    fn abort(&self) {
        sys::shutdown(self.fd, std::net::Shutdown::Both);
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
    let link = Link::new(TcpStream::from_std(OwnedFd::from(socket).into())?);
    if waits {
        sys::half(&link.stream).writable(false).await?;
        if timer.expired() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if let Some(error) = sys::take_error(link.fd)? {
            return Err(error);
        }
    }
    Ok((link, timer))
}
