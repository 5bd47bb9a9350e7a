//! A connected socket over monoio: its bytes as they are on the wire.

use std::cell::UnsafeCell;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use futures_util::FutureExt;
use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRent, CancelableAsyncReadRent};
use monoio::net::TcpStream;

use super::sys::{self, Rest, Spare};
use super::{Moved, Timer};

/// A connected socket, TCP or Unix: nothing is asked of it that only one of them has. Clones share it.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) stream: Rc<UnsafeCell<TcpStream>>,
    pub(super) fd: RawFd,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        let fd = stream.as_raw_fd();
        Wire { stream: Rc::new(UnsafeCell::new(stream)), fd }
    }

    /// Receives into the buffer's spare room, as [`super::Stream::recv`] does. No `async fn`, whose state would be one more to go through.
    #[inline]
    pub(super) fn recv(&self, buf: Vec<u8>) -> impl Future<Output = Moved> {
        sys::half(&self.stream).read(Spare::of(buf)).map(|(result, Spare(buf))| (result, buf))
    }

    /// As [`super::Stream::recv_idle`] does.
    #[inline]
    pub(super) async fn recv_idle(&self, buf: Vec<u8>, timer: &Timer) -> Moved {
        let (result, Spare(buf)) = sys::half(&self.stream).cancelable_read(Spare::of(buf), timer.cancel_handle()).await;
        let result = result.map_err(|error| match error.raw_os_error() {
            Some(libc::ECANCELED | libc::EINTR) => ErrorKind::TimedOut.into(),
            _ => error,
        });
        (result, buf)
    }

    /// Sends all bytes from `from` on, as [`super::Stream::send`] does.
    #[inline]
    pub(super) async fn send(&self, buf: Vec<u8>, from: usize) -> Moved {
        let mut rest = Rest { buf, from };
        while rest.from < rest.buf.len() {
            let result;
            (result, rest) = sys::half(&self.stream).write(rest).await;
            match result {
                Ok(0) => return (Err(ErrorKind::WriteZero.into()), rest.buf),
                Ok(sent) => rest.from += sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (Err(error), rest.buf),
            }
        }
        (Ok(rest.from - from), rest.buf)
    }

    /// Sends a part of bytes that others may be sending too.
    pub(super) async fn send_shared(&self, bytes: Rc<Vec<u8>>, mut part: Range<usize>) -> io::Result<()> {
        while !part.is_empty() {
            match sys::half(&self.stream).write(bytes.clone().slice(part.clone())).await.0 {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => part.start += sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until there is something to receive.
    pub(super) async fn readable(&self) -> io::Result<()> {
        sys::half(&self.stream).readable(false).await
    }
}
