//! A link as the traits of tokio's I/O see it, for crates that poll: receives ahead into one buffer, gathers what is written into one send.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Link, Moved, Stream, Timer};
use crate::clock::Instant;

/// An operation under way.
type Moving = Pin<Box<dyn Future<Output = Moved>>>;

/// Sees what is received as it comes, or what is sent as it goes.
pub type Tap = Box<dyn FnMut(&[u8])>;

/// How sending stands, for whoever limits it; and its turns, for whoever polls it more than once in one.
pub struct Progress {
    /// Something is being sent.
    pub sending: Cell<bool>,
    /// Sends that have ended.
    pub sent: Cell<u64>,
    /// Nothing has come for so long that what is waited with holds no buffer.
    pub rests: Cell<bool>,
    out: RefCell<Out>,
    turn: Cell<Turn>,
}

/// What is on its way out.
struct Out {
    link: Link,
    /// What is to be sent next, and the buffer that isn't in use.
    next: Vec<u8>,
    spare: Vec<u8>,
    moving: Option<Moving>,
    /// Sees what is sent.
    tap: Option<Tap>,
    /// Why the end of a turn could send nothing.
    failed: Option<io::Error>,
}

/// Where a turn stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There is none: what is flushed is sent at once.
    None,
    /// What is flushed waits for the turn's end.
    Open,
    /// And nothing is there to be received.
    Dry,
}

impl Progress {
    fn of(link: Link) -> Progress {
        let out = Out { link, next: Vec::new(), spare: Vec::new(), moving: None, tap: None, failed: None };
        Progress {
            sending: Cell::new(false),
            sent: Cell::new(0),
            rests: Cell::new(false),
            out: RefCell::new(out),
            turn: Cell::new(Turn::None),
        }
    }

    /// Begins a turn: until its end what is written is gathered, be it flushed or not, and whether something has come is looked at once.
    pub fn begin_turn(&self) {
        self.turn.set(Turn::Open);
    }

    /// Ends it: sends what was gathered. Whoever polls learns the next time if that can't be.
    pub fn end_turn(&self, cx: &mut Context<'_>) {
        self.turn.set(Turn::None);
        if let Poll::Ready(Err(error)) = self.poll_all(cx) {
            self.out.borrow_mut().failed = Some(error);
            cx.waker().wake_by_ref();
        }
    }

    /// Waits until what is being sent has been.
    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = &mut *self.out.borrow_mut();
        if let Some(error) = out.failed.take() {
            return Poll::Ready(Err(error));
        }
        let Some(moving) = &mut out.moving else { return Poll::Ready(Ok(())) };
        let (result, mut buf) = ready!(moving.as_mut().poll(cx));
        out.moving = None;
        self.sending.set(false);
        self.sent.set(self.sent.get() + 1);
        buf.clear();
        if buf.capacity() <= OUT_KEPT {
            out.spare = buf;
        }
        Poll::Ready(result.map(|_| ()))
    }

    /// Waits until nothing is left to be sent.
    fn poll_all(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_sent(cx))?;
            if !self.send() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Sends what is next, if there is something.
    fn send(&self) -> bool {
        let out = &mut *self.out.borrow_mut();
        if out.next.is_empty() {
            return false;
        }
        let buf = std::mem::replace(&mut out.next, std::mem::take(&mut out.spare));
        if let Some(tap) = &mut out.tap {
            tap(&buf);
        }
        let link = out.link.clone();
        out.moving = Some(Box::pin(async move { link.send(buf, 0).await }));
        self.sending.set(true);
        true
    }
}

/// When a receive that brings nothing gives its buffer back; `None` if it may keep it.
pub type Until = Box<dyn Fn() -> Option<Instant>>;

/// What ends such a receive.
struct Rest {
    timer: Timer,
    until: Until,
}

/// A link that is polled. Dropping it ends both directions if an operation is under way.
pub struct Polled {
    rest: Option<Rc<Rest>>,
    link: Link,
    tap: Tap,
    received: Vec<u8>,
    taken: usize,
    receiving: Option<Moving>,
    progress: Rc<Progress>,
}

impl Polled {
    /// Over a link from which `first` has been received already.
    pub fn new(link: Link, first: Vec<u8>, mut tap: Tap) -> Polled {
        tap(&first);
        let progress = Rc::new(Progress::of(link.clone()));
        Polled { rest: None, link, tap, received: first, taken: 0, receiving: None, progress }
    }

    /// Lets it rest where nothing comes; the timer is for nothing else.
    pub fn resting(mut self, timer: Timer, until: Until) -> Polled {
        self.rest = Some(Rc::new(Rest { timer, until }));
        self
    }

    /// Shows to `tap` what is sent as well.
    pub fn showing(self, tap: Tap) -> Polled {
        self.progress.out.borrow_mut().tap = Some(tap);
        self
    }

    /// How sending stands, and its turns.
    pub fn progress(&self) -> Rc<Progress> {
        self.progress.clone()
    }
}

impl AsyncRead for Polled {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.taken == this.received.len() {
            if this.progress.turn.get() == Turn::Dry {
                return Poll::Pending;
            }
            let receiving = match &mut this.receiving {
                Some(receiving) => receiving,
                none => {
                    let (link, mut buf) = (this.link.clone(), std::mem::take(&mut this.received));
                    this.taken = 0;
                    buf.clear();
                    buf.reserve(RECEIVE);
                    match this.rest.clone().and_then(|rest| (rest.until)().map(|at| (rest, at))) {
                        Some((rest, at)) => none.insert(Box::pin(receive_or_rest(link, buf, rest, at, this.progress.clone()))),
                        None => none.insert(Box::pin(async move { link.recv(buf).await })),
                    }
                }
            };
            let Poll::Ready((result, buf)) = receiving.as_mut().poll(cx) else {
                if this.progress.turn.get() == Turn::Open {
                    this.progress.turn.set(Turn::Dry);
                }
                return Poll::Pending;
            };
            this.receiving = None;
            this.received = buf;
            result?;
            (this.tap)(&this.received);
        }
        let rest = &this.received[this.taken..];
        let count = rest.len().min(to.remaining());
        to.put_slice(&rest[..count]);
        this.taken += count;
        Poll::Ready(Ok(()))
    }
}

/// Receives; from `at` on, waits without a buffer.
async fn receive_or_rest(link: Link, buf: Vec<u8>, rest: Rc<Rest>, at: Instant, progress: Rc<Progress>) -> Moved {
    rest.timer.wake_at(at);
    let (result, buf) = link.recv_idle(buf, &rest.timer).await;
    rest.timer.clear();
    match result {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            drop(buf);
            progress.rests.set(true);
            let readable = link.readable().await;
            progress.rests.set(false);
            match readable {
                Ok(()) => link.recv(Vec::with_capacity(RECEIVE)).await,
                Err(error) => (Err(error), Vec::new()),
            }
        }
        result => (result, buf),
    }
}

impl AsyncWrite for Polled {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let progress = &self.progress;
        if progress.out.borrow().next.len() >= OUT_MAX {
            ready!(progress.poll_sent(cx))?;
            progress.send();
        }
        progress.out.borrow_mut().next.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.progress.turn.get() {
            Turn::None => self.progress.poll_all(cx),
            Turn::Open | Turn::Dry => Poll::Ready(self.progress.out.borrow_mut().failed.take().map_or(Ok(()), Err)),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.progress.poll_all(cx))?;
        self.link.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        // The kernel keeps a socket open for what is under way on it.
        if self.receiving.is_some() || self.progress.sending.get() {
            self.link.abort();
        }
    }
}

/// Room a receive has at least, in bytes.
const RECEIVE: usize = 16 << 10;
/// So many bytes are gathered before those before them must have gone.
const OUT_MAX: usize = 64 << 10;
/// A buffer no larger than this is used again.
const OUT_KEPT: usize = 2 * OUT_MAX;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;

    use super::*;
    use crate::net::{Deadlines, Engine, both, pipe, run_on};

    #[test]
    fn carries_what_is_polled_both_ways_and_shows_it_to_taps() {
        run_on(&[Engine::Epoll], 16, |_| async {
            let (near, far) = pipe(1000);
            let bytes: Vec<u8> = (0..50_000u32).flat_map(u32::to_be_bytes).collect();
            let (seen, shown) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
            let (tap, sees) = (seen.clone(), shown.clone());
            let mut polled = Polled::new(near, b"first".to_vec(), Box::new(move |bytes| tap.set(tap.get() + bytes.len())))
                .showing(Box::new(move |bytes| sees.borrow_mut().extend_from_slice(bytes)));
            let progress = polled.progress();
            let echo = async {
                let mut got = Vec::new();
                loop {
                    let (result, buf) = far.recv(Vec::with_capacity(900)).await;
                    if result.unwrap() == 0 {
                        return got;
                    }
                    got.extend_from_slice(&buf);
                    far.send(buf, 0).await.0.unwrap();
                }
            };
            let there_and_back = async {
                let (mut sent, mut got) = (0, Vec::new());
                poll_fn(|cx| {
                    while sent < bytes.len() {
                        let Poll::Ready(count) = Pin::new(&mut polled).poll_write(cx, &bytes[sent..bytes.len().min(sent + 7000)]) else {
                            break;
                        };
                        sent += count.unwrap();
                    }
                    let _ = Pin::new(&mut polled).poll_flush(cx);
                    loop {
                        let mut piece = [0; 333];
                        let mut piece = ReadBuf::new(&mut piece);
                        let Poll::Ready(result) = Pin::new(&mut polled).poll_read(cx, &mut piece) else { return Poll::Pending };
                        result.unwrap();
                        got.extend_from_slice(piece.filled());
                        if got.len() == bytes.len() + 5 {
                            return Poll::Ready(());
                        }
                    }
                })
                .await;
                poll_fn(|cx| Pin::new(&mut polled).poll_shutdown(cx)).await.unwrap();
                got
            };
            let (echoed, got) = both(echo, there_and_back).await;
            assert!(echoed == bytes && got == [b"first", &bytes[..]].concat());
            assert!(seen.get() == bytes.len() + 5 && *shown.borrow() == bytes);
            assert!(!progress.sending.get() && progress.sent.get() > 1);
        })
        .unwrap();
    }

    #[test]
    fn where_nothing_comes_it_rests_without_a_buffer() {
        run_on(&[Engine::Epoll], 16, |_| async {
            let (near, far) = pipe(1000);
            let deadlines = Rc::new(Deadlines::default());
            let timer = deadlines.timer(&near);
            let mut polled = Polled::new(near, Vec::new(), Box::new(|_| {})).resting(timer, Box::new(|| Some(Instant::ZERO)));
            let progress = polled.progress();
            for sent in [&b"one"[..], b"two"] {
                let mut piece = [0; 9];
                let mut piece = ReadBuf::new(&mut piece);
                poll_fn(|cx| {
                    for rests in [false, true] {
                        assert!(Pin::new(&mut polled).poll_read(cx, &mut piece).is_pending());
                        assert_eq!((progress.rests.get(), polled.received.capacity()), (rests, 0));
                        deadlines.sweep(Instant::ZERO);
                    }
                    Poll::Ready(())
                })
                .await;
                far.send(sent.to_vec(), 0).await.0.unwrap();
                poll_fn(|cx| Pin::new(&mut polled).poll_read(cx, &mut piece)).await.unwrap();
                assert_eq!((piece.filled(), progress.rests.get()), (sent, false));
            }
        })
        .unwrap();
    }

    #[test]
    fn in_a_turn_what_is_flushed_is_gathered_and_what_has_come_is_looked_at_once() {
        run_on(&[Engine::Epoll], 16, |_| async {
            let (near, far) = pipe(1 << 20);
            let mut polled = Polled::new(near, Vec::new(), Box::new(|_| {}));
            let progress = polled.progress();
            let mut room = [0; 9];
            let mut room = ReadBuf::new(&mut room);
            poll_fn(|cx| {
                progress.begin_turn();
                for piece in [&b"one, "[..], b"two, ", &vec![b'x'; OUT_MAX]] {
                    assert!(Pin::new(&mut polled).poll_write(cx, piece).is_ready() && Pin::new(&mut polled).poll_flush(cx).is_ready());
                    assert!(!far.readable_now() && !progress.sending.get());
                }
                assert!(Pin::new(&mut polled).poll_write(cx, b"three").is_ready() && progress.sending.get(), "so much isn't gathered");
                assert!(Pin::new(&mut polled).poll_read(cx, &mut room).is_pending());
                far.push(b"come").unwrap();
                assert!(Pin::new(&mut polled).poll_read(cx, &mut room).is_pending());
                progress.end_turn(cx);
                assert!(Pin::new(&mut polled).poll_read(cx, &mut room).is_ready());
                Poll::Ready(())
            })
            .await;
            let sent = far.recv_all().await.unwrap();
            assert!(sent.starts_with(b"one, two, xx") && sent.ends_with(b"xxthree") && progress.sent.get() == 2);
            drop(far);
            progress.begin_turn();
            poll_fn(|cx| Pin::new(&mut polled).poll_write(cx, b"late")).await.unwrap();
            poll_fn(|cx| Poll::Ready(progress.end_turn(cx))).await;
            assert!(poll_fn(|cx| Pin::new(&mut polled).poll_flush(cx)).await.is_err(), "who polls learns that it can't be sent");
        })
        .unwrap();
    }
}
