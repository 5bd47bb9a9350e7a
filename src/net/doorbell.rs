//! Waking a core from another thread: a byte through a socket pair, since a core never waits on a channel.

use std::io::{self, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use monoio::io::AsyncReadRent;
use monoio::net::UnixStream;

use super::ring;

/// Rings a core's doorbell, from any thread. Never waits.
#[derive(Clone)]
pub struct Bell(Arc<StdStream>);

/// A core's side of it, to be taken to the core's thread.
pub struct Doorbell(StdStream);

impl Bell {
    /// A bell and its doorbell.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<(Bell, Doorbell)> {
        let (near, far) = StdStream::pair()?;
        near.set_nonblocking(true)?;
        Ok((Bell(Arc::new(near)), Doorbell(far)))
    }

    /// Wakes the core. A bell that is still ringing needs no second ring, so a full pipe is no error.
    pub fn ring(&self) {
        let _ = (&*self.0).write(&[1]);
    }
}

impl Doorbell {
    /// Calls `on_ring` at each ring until the last bell is dropped.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn answer(self, mut on_ring: impl FnMut()) -> io::Result<()> {
        self.0.set_nonblocking(!ring::is_uring())?;
        let mut stream = UnixStream::from_std(self.0)?;
        let mut buf = vec![0; 64];
        loop {
            let (result, back) = stream.read(buf).await;
            buf = back;
            if result? == 0 {
                return Ok(());
            }
            on_ring();
        }
    }
}
