//! A connection with TLS as monoio-http sees one. The bytes are copied once more, which with TLS hardly counts.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use monoio::BufResult;
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut, IoVecWrapper, IoVecWrapperMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use ringway::net::{Link, Stream};

use super::Connection;

/// A link after its handshake.
pub struct Secure(pub Link);

impl Connection for Secure {
    fn into_link(self) -> io::Result<Link> {
        Ok(self.0)
    }
}

impl AsRawFd for Secure {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd().expect("TLS is spoken over a socket")
    }
}

impl AsyncReadRent for Secure {
    async fn read<T: IoBufMut>(&mut self, mut buf: T) -> BufResult<usize, T> {
        let (result, bytes) = self.0.recv(Vec::with_capacity(buf.bytes_total())).await;
        match result {
            Ok(_) => bytes.as_slice().read(buf).await,
            Err(error) => (Err(error), buf),
        }
    }

    async fn readv<T: IoVecBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        match IoVecWrapperMut::new(buf) {
            Ok(first) => {
                let (result, first) = self.read(first).await;
                (result, first.into_inner())
            }
            Err(buf) => (Ok(0), buf),
        }
    }
}

impl AsyncWriteRent for Secure {
    #[allow(unsafe_code)]
    async fn write<T: IoBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        // SAFETY: an `IoBuf` vouches for so many bytes there, and it isn't touched before they are copied.
        let bytes = unsafe { std::slice::from_raw_parts(buf.read_ptr(), buf.bytes_init()) }.to_vec();
        (self.0.send(bytes, 0).await.0, buf)
    }

    async fn writev<T: IoVecBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        match IoVecWrapper::new(buf) {
            Ok(first) => {
                let (result, first) = self.write(first).await;
                (result, first.into_inner())
            }
            Err(buf) => (Ok(0), buf),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.0.finish();
        Ok(())
    }
}
