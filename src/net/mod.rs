//! Bytes in and out: streams, listeners, the ring, buffers and deadlines. The only module that knows monoio, and the only one that cancels.

mod accept;
mod both;
mod buffers;
mod deadlines;
mod doorbell;
mod front;
mod handshake;
mod link;
mod pipe;
mod polled;
mod ring;
mod sys;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub use accept::{Acceptor, Listening, Stopper, adopt_listener, bind};
pub use both::both;
pub use buffers::Buffers;
pub use deadlines::{Deadlines, Timer};
pub use doorbell::{Bell, Doorbell};
pub use front::{Front, recv_front};
pub use handshake::{Agreed, Failed, HELLO_MAX, Unsafe, is_untrusted, secure, secure_to};
pub use link::{Link, connect};
pub use pipe::{Tie, Told, pipe};
pub use polled::{Polled, Progress, Tap, Until};
pub use ring::{Engine, RingError, run_on, try_uring};
pub use sys::{adopt, pass_only, readable_at_once, reset_on_close, set_descriptor_limit};

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

/// Bytes received, sent or failed, together with the buffer that the operation borrowed.
pub type Moved = (io::Result<usize>, Vec<u8>);

/// A connection's byte stream. One operation in each direction may be under way at a time.
///
/// A receive that is dropped may lose bytes, so after dropping one the connection must be closed; only
/// [`Stream::recv_idle`] may be ended from outside, through its [`Timer`].
pub trait Stream {
    /// Receives into the buffer's spare capacity and grows its length by what came; 0 is the end of the stream.
    fn recv(&self, buf: Vec<u8>) -> impl Future<Output = Moved>;

    /// As `recv`, but ends without losing a byte when the timer, set by [`Timer::wake_at`], expires: `ErrorKind::TimedOut`.
    fn recv_idle(&self, buf: Vec<u8>, timer: &Timer) -> impl Future<Output = Moved>;

    /// Sends all bytes from `from` on. The number is that of the bytes sent.
    fn send(&self, buf: Vec<u8>, from: usize) -> impl Future<Output = Moved>;

    /// Waits until there is something to receive, holding no buffer.
    fn readable(&self) -> impl Future<Output = io::Result<()>>;

    /// Says that nothing more will be sent.
    fn finish(&self);

    /// Ends both directions at once; operations under way return.
    fn abort(&self);
}

/// Waits. For pauses of a single request; a connection's limits are its [`Timer`]'s.
pub async fn pause(duration: Duration) {
    monoio::time::sleep(duration).await;
}

/// Runs a task on this core, beside all others. Its panic ends the process: see [`spawn_apart`].
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    monoio::spawn(task);
}

/// The same for a task that a panic ends alone; `ended` hears of its end, and of the panic if it was one. An `async fn` around the task would
/// hold its state once more, in each connection that waits.
pub fn spawn_apart(task: impl Future<Output = ()> + 'static, ended: impl FnOnce(std::thread::Result<()>) + 'static) {
    spawn(AssertUnwindSafe(task).catch_unwind().map(ended));
}
