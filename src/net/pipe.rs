//! A stream within one core: what one end sends, the other receives. It carries the requests and answers of protocols that share one
//! connection among many.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

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
    receiver: Waiter,
    sender: Waiter,
    /// Waits for nobody to receive any more.
    leaver: Waiter,
}

impl Way {
    fn is_readable(&self) -> bool {
        self.taken < self.bytes.len() || self.finished
    }

    fn end(&mut self, finished: bool, deaf: bool) {
        self.finished |= finished;
        self.deaf |= deaf;
        self.receiver.wake();
        self.sender.wake();
        self.leaver.wake();
    }
}

/// A task that may be waiting. It stays the same one most often, so that its waker is kept.
#[derive(Default)]
struct Waiter {
    task: Option<Waker>,
    waits: bool,
}

impl Waiter {
    fn wait(&mut self, cx: &Context<'_>) {
        self.waits = true;
        match &mut self.task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    fn wake(&mut self) {
        if std::mem::take(&mut self.waits)
            && let Some(task) = &self.task
        {
            task.wake_by_ref();
        }
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
        way.leaver.wait(cx);
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
        self.incoming().borrow().is_readable()
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
        self.incoming().borrow_mut().receiver.wake();
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut way = self.incoming().borrow_mut();
        if way.is_readable() {
            return Poll::Ready(());
        }
        way.receiver.wait(cx);
        Poll::Pending
    }

    pub(super) fn recv(&self, buf: Vec<u8>) -> impl Future<Output = Moved> + Unpin {
        let mut buf = Some(buf);
        poll_fn(move |cx| {
            ready!(self.poll_readable(cx));
            let mut buf = buf.take().expect("polled until it is ready");
            Poll::Ready((self.take(&mut buf), buf))
        })
    }

    pub(super) async fn recv_idle(&self, mut buf: Vec<u8>) -> Moved {
        let woken = &self.pipe.woken[self.side];
        woken.set(false);
        let came = poll_fn(|cx| {
            let readable = self.poll_readable(cx);
            if readable.is_pending() && woken.take() { Poll::Ready(false) } else { readable.map(|()| true) }
        });
        let result = if came.await { self.take(&mut buf) } else { Err(ErrorKind::TimedOut.into()) };
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
        way.sender.wake();
        Ok(count)
    }

    /// Receives all that has come, as it is; nothing at the end.
    pub(super) async fn recv_all(&self) -> io::Result<Vec<u8>> {
        poll_fn(|cx| self.poll_readable(cx)).await;
        let mut way = self.incoming().borrow_mut();
        if way.taken == way.bytes.len() && way.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let mut bytes = std::mem::take(&mut way.bytes);
        bytes.drain(..std::mem::take(&mut way.taken));
        way.sender.wake();
        Ok(bytes)
    }

    /// Sends as much as there is room for; how much that was.
    pub(super) fn push(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        match self.poll_send(&mut Context::from_waker(Waker::noop()), bytes, &mut sent) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(sent),
        }
    }

    pub(super) fn send(&self, mut buf: Vec<u8>, from: usize) -> impl Future<Output = Moved> + Unpin {
        let mut sent = from;
        poll_fn(move |cx| {
            let result = ready!(self.poll_send(cx, &buf, &mut sent));
            Poll::Ready((result.map(|()| sent - from), std::mem::take(&mut buf)))
        })
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
            way.receiver.wake();
        }
        if *sent == bytes.len() {
            return Poll::Ready(Ok(()));
        }
        way.sender.wait(cx);
        Poll::Pending
    }
}
