//! A link as the traits of tokio's I/O see it, for crates that poll: receives ahead into one buffer, gathers what is written into one send.

use std::cell::Cell;
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

/// How sending stands, for whoever limits it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Something is being sent.
    pub sending: Cell<bool>,
    /// Sends that have ended.
    pub sent: Cell<u64>,
    /// Nothing has come for so long that what is waited with holds no buffer.
    pub rests: Cell<bool>,
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
    sees_sent: Option<Tap>,
    received: Vec<u8>,
    taken: usize,
    receiving: Option<Moving>,
    /// What is to be sent next, and the buffer that isn't in use.
    out: Vec<u8>,
    spare: Vec<u8>,
    sending: Option<Moving>,
    progress: Rc<Progress>,
}

impl Polled {
    /// Over a link from which `first` has been received already.
    pub fn new(link: Link, first: Vec<u8>, mut tap: Tap) -> Polled {
        tap(&first);
        Polled {
            rest: None,
            link,
            tap,
            sees_sent: None,
            received: first,
            taken: 0,
            receiving: None,
            out: Vec::new(),
            spare: Vec::new(),
            sending: None,
            progress: Rc::default(),
        }
    }

    /// Lets it rest where nothing comes; the timer is for nothing else.
    pub fn resting(mut self, timer: Timer, until: Until) -> Polled {
        self.rest = Some(Rc::new(Rest { timer, until }));
        self
    }

    /// Shows to `tap` what is sent as well.
    pub fn showing(mut self, tap: Tap) -> Polled {
        self.sees_sent = Some(tap);
        self
    }

    /// How sending stands.
    pub fn progress(&self) -> Rc<Progress> {
        self.progress.clone()
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let (result, mut buf) = ready!(sending.as_mut().poll(cx));
        self.sending = None;
        self.progress.sending.set(false);
        self.progress.sent.set(self.progress.sent.get() + 1);
        buf.clear();
        if buf.capacity() <= OUT_KEPT {
            self.spare = buf;
        }
        Poll::Ready(result.map(|_| ()))
    }
}

impl AsyncRead for Polled {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.taken == this.received.len() {
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
            let (result, buf) = ready!(receiving.as_mut().poll(cx));
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
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.out.len() >= OUT_MAX {
            ready!(Pin::new(&mut *this).poll_flush(cx))?;
        }
        this.out.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            ready!(this.poll_sent(cx))?;
            if this.out.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let buf = std::mem::replace(&mut this.out, std::mem::take(&mut this.spare));
            if let Some(tap) = &mut this.sees_sent {
                tap(&buf);
            }
            let link = this.link.clone();
            this.sending = Some(Box::pin(async move { link.send(buf, 0).await }));
            this.progress.sending.set(true);
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.link.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        // The kernel keeps a socket open for what is under way on it.
        if self.receiving.is_some() || self.sending.is_some() {
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
}
