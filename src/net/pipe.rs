//! A stream within one core: what one end sends, the other receives. It carries the requests and answers of protocols that share one
//! connection among many.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::link::Target;
use super::{Link, Moved};

/// One direction's bytes on their way.
#[derive(Default)]
struct Way {
    /// Those sent and not received.
    bytes: Vec<u8>,
    /// How many of them, at the front, have been received.
    taken: usize,
    /// Nothing more comes.
    finished: bool,
    /// Nobody receives any more.
    deaf: bool,
    /// It ended too early.
    reset: bool,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

impl Way {
    fn end(&mut self, finished: bool, deaf: bool) {
        self.finished |= finished;
        self.deaf |= deaf;
        self.receiver.take().into_iter().chain(self.sender.take()).for_each(Waker::wake);
    }
}

struct Pipe {
    /// To the first end, and to the second.
    ways: [RefCell<Way>; 2],
    /// Bytes that a direction holds at most.
    capacity: usize,
    /// Whether an idle receive of an end is to be ended.
    woken: [Cell<bool>; 2],
    /// Why there will be no answer, if an end has said so.
    told: Cell<Option<Told>>,
    /// What is to end when the end opposite of this one is gone.
    ties: [RefCell<Vec<Option<Target>>>; 2],
}

/// Why an end of a pipe gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing was done with what was received.
    Unprocessed,
    /// It asked for what can't be had there.
    Unsupported,
}

/// While this is held, something ends with the other end of a pipe.
pub struct Tie {
    end: End,
    index: usize,
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.end.pipe.ties[self.end.side].borrow_mut()[self.index] = None;
    }
}

/// One end, and whatever acts on it.
#[derive(Clone)]
pub(super) struct End {
    pipe: Rc<Pipe>,
    side: usize,
}

/// Who holds an end open: it is closed when this is dropped.
pub(super) struct Held {
    pub(super) end: End,
    reset: Cell<bool>,
}

/// Both ends of a stream within this core that holds at most `capacity` bytes each way. Closing one end is seen at the other.
pub fn pipe(capacity: usize) -> (Link, Link) {
    let pipe =
        Rc::new(Pipe { ways: Default::default(), capacity, woken: Default::default(), told: Cell::new(None), ties: Default::default() });
    let link = |side| Link::of_pipe(Held { end: End { pipe: pipe.clone(), side }, reset: Cell::new(false) });
    (link(0), link(1))
}

impl Held {
    /// Lets the other end see that this one broke off when it is dropped.
    pub(super) fn reset_on_close(&self) {
        self.reset.set(true);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.reset.get() {
            self.end.outgoing().borrow_mut().reset = true;
        }
        self.end.shutdown(Shutdown::Both);
        for target in self.end.pipe.ties[1 - self.end.side].borrow().iter().flatten() {
            target.shutdown(Shutdown::Both);
        }
    }
}

impl End {
    fn incoming(&self) -> &RefCell<Way> {
        &self.pipe.ways[self.side]
    }

    fn outgoing(&self) -> &RefCell<Way> {
        &self.pipe.ways[1 - self.side]
    }

    /// Lets the other end know why there is no answer, before this one is closed.
    pub(super) fn tell(&self, told: Told) {
        self.pipe.told.set(Some(told));
    }

    /// What either end has said.
    pub(super) fn told(&self) -> Option<Told> {
        self.pipe.told.get()
    }

    /// Whether the other end takes nothing any more.
    pub(super) fn is_left(&self) -> bool {
        self.outgoing().borrow().deaf
    }

    /// Waits for that.
    pub(super) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut way = self.outgoing().borrow_mut();
        if way.deaf {
            return Poll::Ready(());
        }
        way.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends `target` once the other end is gone.
    pub(super) fn tie(&self, target: Target) -> Tie {
        let mut ties = self.pipe.ties[self.side].borrow_mut();
        let index = ties.iter().position(Option::is_none).unwrap_or_else(|| {
            ties.push(None);
            ties.len() - 1
        });
        ties[index] = Some(target);
        Tie { end: self.clone(), index }
    }

    /// Whether a receive would return at once.
    pub(super) fn is_readable(&self) -> bool {
        let way = self.incoming().borrow();
        way.taken < way.bytes.len() || way.finished
    }

    /// Ends one or both directions; operations under way return.
    pub(super) fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Write {
            // What has arrived can still be received, as of a socket.
            self.incoming().borrow_mut().end(true, true);
        }
        if how != Shutdown::Read {
            self.outgoing().borrow_mut().end(true, how == Shutdown::Both);
        }
    }

    /// Ends an idle receive under way, or the next.
    pub(super) fn wake(&self) {
        self.pipe.woken[self.side].set(true);
        if let Some(waker) = self.incoming().borrow_mut().receiver.take() {
            waker.wake();
        }
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_readable(cx)).await
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_readable() {
            return Poll::Ready(Ok(()));
        }
        self.incoming().borrow_mut().receiver = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) async fn recv(&self, mut buf: Vec<u8>) -> Moved {
        let result = match self.readable().await {
            Ok(()) => self.take(&mut buf),
            Err(error) => Err(error),
        };
        (result, buf)
    }

    pub(super) async fn recv_idle(&self, mut buf: Vec<u8>) -> Moved {
        let woken = &self.pipe.woken[self.side];
        woken.set(false);
        let result = poll_fn(|cx| {
            let readable = self.poll_readable(cx);
            if readable.is_pending() && woken.take() { Poll::Ready(Err(ErrorKind::TimedOut.into())) } else { readable }
        });
        let result = match result.await {
            Ok(()) => self.take(&mut buf),
            Err(error) => Err(error),
        };
        (result, buf)
    }

    fn take(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let mut way = self.incoming().borrow_mut();
        if way.taken == way.bytes.len() && way.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if buf.capacity() == buf.len() {
            buf.reserve(1024);
        }
        let count = (way.bytes.len() - way.taken).min(buf.capacity() - buf.len());
        buf.extend_from_slice(&way.bytes[way.taken..way.taken + count]);
        way.taken += count;
        if way.taken == way.bytes.len() {
            way.bytes.clear();
            way.taken = 0;
        }
        if let Some(waker) = way.sender.take() {
            waker.wake();
        }
        Ok(count)
    }

    pub(super) async fn send(&self, buf: Vec<u8>, from: usize) -> Moved {
        let mut sent = from;
        let result = poll_fn(|cx| self.poll_send(cx, &buf, &mut sent)).await;
        (result.map(|()| sent - from), buf)
    }

    /// Sends the bytes from `sent` on, which counts along.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8], sent: &mut usize) -> Poll<io::Result<()>> {
        let mut way = self.outgoing().borrow_mut();
        if way.deaf || way.finished {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = self.pipe.capacity.saturating_sub(way.bytes.len() - way.taken);
        let count = room.min(bytes.len() - *sent);
        if count > 0 {
            if way.taken > 0 && way.bytes.len() + count > way.bytes.capacity() {
                let taken = std::mem::take(&mut way.taken);
                way.bytes.drain(..taken);
            }
            way.bytes.extend_from_slice(&bytes[*sent..*sent + count]);
            *sent += count;
            if let Some(waker) = way.receiver.take() {
                waker.wake();
            }
        }
        if *sent == bytes.len() {
            return Poll::Ready(Ok(()));
        }
        way.sender = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Instant;
    use crate::net::{Deadlines, Engine, Stream, both, run_on, spawn};
    use std::time::Duration;

    fn on_a_core<F: Future<Output = ()> + 'static>(test: fn() -> F) {
        run_on(&[Engine::Epoll], 16, |_| test()).unwrap();
    }

    /// What comes until the stream ends, in pieces of at most `room` bytes.
    async fn all(link: &Link, room: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let (result, buf) = link.recv(Vec::with_capacity(room)).await;
            if result? == 0 {
                return Ok(all);
            }
            all.extend_from_slice(&buf);
        }
    }

    #[test]
    fn carries_every_byte_in_order_however_little_it_holds() {
        on_a_core(|| async {
            let bytes: Vec<u8> = (0..10_000u32).flat_map(u32::to_be_bytes).collect();
            for capacity in [1, 7, 4096, 1 << 20] {
                let (left, right) = pipe(capacity);
                let (bytes, shared) = (bytes.clone(), Rc::new(bytes.clone()));
                let send = async {
                    assert_eq!(left.send(bytes.clone(), 5).await.0.unwrap(), bytes.len() - 5);
                    left.send_shared(shared, 1..9).await.unwrap();
                    left.finish();
                };
                let (got, ()) = both(all(&right, 100), send).await;
                assert!(got.unwrap() == [&bytes[5..], &bytes[1..9]].concat());
            }
        });
    }

    #[test]
    fn holds_the_sender_back_once_it_is_full() {
        on_a_core(|| async {
            let (left, right) = pipe(10);
            let sent = Rc::new(Cell::new(false));
            let told = sent.clone();
            spawn(async move {
                left.send(vec![0; 11], 0).await.0.unwrap();
                told.set(true);
            });
            crate::net::pause(Duration::from_millis(5)).await;
            assert!(!sent.get());
            assert_eq!(right.recv(Vec::with_capacity(1)).await.0.unwrap(), 1);
            crate::net::pause(Duration::from_millis(5)).await;
            assert!(sent.get());
        });
    }

    #[test]
    fn an_end_that_is_gone_is_seen_at_the_other() {
        on_a_core(|| async {
            let (left, right) = pipe(100);
            left.send(b"last".to_vec(), 0).await.0.unwrap();
            drop(left);
            assert_eq!(right.send(b"x".to_vec(), 0).await.0.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(all(&right, 100).await.unwrap(), b"last");
            let (left, right) = pipe(100);
            left.send(b"half".to_vec(), 0).await.0.unwrap();
            left.reset_on_close();
            drop(left);
            assert_eq!(right.recv(Vec::with_capacity(9)).await.1, b"half");
            assert_eq!(right.recv(Vec::with_capacity(9)).await.0.unwrap_err().kind(), ErrorKind::ConnectionReset);
        });
    }

    #[test]
    fn deadlines_end_what_they_would_end_of_a_socket() {
        on_a_core(|| async {
            let deadlines = Rc::<Deadlines>::default();
            let due = Instant::ZERO;
            let sweep_soon = || {
                let deadlines = deadlines.clone();
                spawn(async move {
                    crate::net::pause(Duration::from_millis(2)).await;
                    assert_eq!(deadlines.sweep(due), 1);
                });
            };
            let (left, right) = pipe(4);
            let timer = deadlines.timer(&right);
            timer.wake_at(due);
            sweep_soon();
            assert_eq!(right.recv_idle(Vec::new(), &timer).await.0.unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(timer.expired());
            left.send(b"abcd".to_vec(), 0).await.0.unwrap();
            timer.wake_at(due);
            assert_eq!(deadlines.sweep(due), 1);
            assert_eq!(right.recv_idle(Vec::new(), &timer).await.1, b"abcd", "what is there is received");

            timer.hush_at(due);
            sweep_soon();
            assert_eq!(right.recv(Vec::new()).await.0.unwrap(), 0);
            right.send(b"late".to_vec(), 0).await.0.unwrap();
            timer.close_at(due);
            sweep_soon();
            assert_eq!(right.send(b"more".to_vec(), 0).await.0.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(all(&left, 100).await.unwrap(), b"late");
        });
    }
}
