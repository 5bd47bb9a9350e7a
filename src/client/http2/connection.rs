//! This core's HTTP/2 connections to endpoints: which one takes a further lane, when another is opened, when one ends.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};

use super::lane::lane;
use crate::client::Key;
use crate::clock::Instant;
use crate::http1::Limits;
use crate::http2::{Alarm, Greeting, Keepalive, Pace, Requests, Silent};
use crate::net::{self, Link, Polled, Timer, pipe};

/// What a connection to an endpoint may carry.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Requests at once; then a further connection is opened.
    pub streams: u32,
    /// Bytes of one answer that are received before they are asked for.
    pub stream_window: u32,
    /// The same of all answers of a connection.
    pub connection_window: u32,
    /// How long the endpoint may take for what is sent to it; zero is for ever.
    pub write: Duration,
    /// How it is asked whether it is there, if it is.
    pub pace: Option<Pace>,
    /// Limits of answers' heads and of chunked coding within the core.
    pub limits: Limits,
}

/// A connection, or one that is being opened.
pub(super) struct Shared {
    key: Key,
    /// It is spoken over TLS.
    pub(super) secure: Cell<bool>,
    /// Its endpoint's settings have come.
    greeted: Cell<bool>,
    /// Bytes of a body that may be sent with its head; none until those settings have come.
    pub(super) at_once: Cell<u32>,
    /// Lanes that wait for them.
    waiting: RefCell<Vec<Waker>>,
    /// Requests that it carries.
    pub(super) busy: Cell<u32>,
    /// What requests' heads are read with and made with, of one lane after the other, as most are alike.
    pub(super) requests: RefCell<Requests>,
    /// Lanes that use it.
    lanes: Cell<u32>,
    stage: RefCell<Stage>,
    /// Lanes that carry nothing, and end with it.
    idle: RefCell<Vec<(u64, Waker)>>,
    /// Lanes so far.
    numbers: Cell<u64>,
}

enum Stage {
    /// Who waits for it.
    Opening(Vec<Waker>),
    Open(SendRequest<Bytes>),
    /// It takes no further requests; why not, if it was never opened.
    Closed(Option<io::ErrorKind>),
}

/// All of a core.
pub struct Connections {
    all: RefCell<Vec<Rc<Shared>>>,
    /// Hears of tasks that ended by a panic.
    on_panic: Box<dyn Fn()>,
}

/// What a connection takes away when it ends: its place among the others.
struct Place {
    connections: Rc<Connections>,
    shared: Rc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !matches!(*self.shared.stage.borrow(), Stage::Closed(_)) {
            self.shared.close(None);
        }
        self.connections.all.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.shared));
    }
}

/// A lane's place on its connection.
pub(super) struct Seat {
    pub shared: Rc<Shared>,
    number: u64,
    /// It is among those that are woken when the connection takes no further requests.
    listed: Cell<bool>,
}

impl Seat {
    fn take(shared: Rc<Shared>) -> Seat {
        shared.lanes.set(shared.lanes.get() + 1);
        shared.numbers.set(shared.numbers.get() + 1);
        Seat { number: shared.numbers.get(), shared, listed: Cell::new(false) }
    }

    /// Whether the connection takes no further requests; the lane is woken once it doesn't.
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(*self.shared.stage.borrow(), Stage::Closed(_)) {
            return Poll::Ready(());
        }
        if !self.listed.replace(true) {
            self.shared.idle.borrow_mut().push((self.number, cx.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Seat {
    /// With the last lane the connection ends.
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.idle.borrow_mut().retain(|(number, _)| *number != self.number);
        shared.lanes.set(shared.lanes.get() - 1);
        if shared.lanes.get() == 0 && matches!(*shared.stage.borrow(), Stage::Open(_)) {
            shared.close(None);
        }
    }
}

impl Shared {
    fn takes(&self, key: Key, most: u32) -> bool {
        let room = match &*self.stage.borrow() {
            Stage::Opening(_) => most,
            Stage::Open(sender) => most.min(u32::try_from(sender.current_max_send_streams()).unwrap_or(u32::MAX)),
            Stage::Closed(_) => 0,
        };
        self.key == key && self.lanes.get() < room
    }

    fn close(&self, why: Option<io::ErrorKind>) {
        if let Stage::Opening(waiting) = std::mem::replace(&mut *self.stage.borrow_mut(), Stage::Closed(why)) {
            waiting.into_iter().for_each(Waker::wake);
        }
        self.idle.borrow_mut().drain(..).for_each(|(_, waker)| waker.wake());
        self.let_go();
    }

    /// Where requests are sent.
    pub(super) fn sender(&self) -> Option<SendRequest<Bytes>> {
        match &*self.stage.borrow() {
            Stage::Open(sender) => Some(sender.clone()),
            _ => None,
        }
    }

    /// Waits until it is known what its endpoint takes, or that it ends.
    pub(super) async fn greeted(&self) {
        poll_fn(|cx| {
            if self.greeted.get() || matches!(*self.stage.borrow(), Stage::Closed(_)) {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Lets go on who waits for that.
    fn let_go(&self) {
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// It takes no further requests: its endpoint said so, or it broke.
    pub(super) fn retire(&self) {
        self.close(None);
    }

    async fn opened(&self) -> io::Result<()> {
        poll_fn(|cx| match &mut *self.stage.borrow_mut() {
            Stage::Opening(waiting) => {
                waiting.push(cx.waker().clone());
                Poll::Pending
            }
            Stage::Open(_) => Poll::Ready(Ok(())),
            Stage::Closed(why) => Poll::Ready(Err(why.unwrap_or(io::ErrorKind::ConnectionReset).into())),
        })
        .await
    }
}

impl Connections {
    /// None yet. `on_panic` hears of each task of theirs that ends by a panic, which ends its connection and no other.
    pub fn new(on_panic: impl Fn() + 'static) -> Rc<Connections> {
        Rc::new(Connections { all: RefCell::default(), on_panic: Box::new(on_panic) })
    }

    /// One end of a pipe that carries requests to the endpoint, over a connection that has room or a new one, which `connect` opens;
    /// whether it had to be opened. `on_silent` is called if it ends because its endpoint said nothing, though it was asked.
    ///
    /// # Errors
    /// What `connect` says.
    pub async fn lane(
        self: &Rc<Self>,
        key: Key,
        settings: Settings,
        now: impl Fn() -> Instant + Clone + 'static,
        on_silent: impl Fn() + 'static,
        connect: impl Future<Output = io::Result<(Link, Timer)>>,
    ) -> io::Result<(Link, bool)> {
        let there = self.all.borrow().iter().find(|shared| shared.takes(key, settings.streams)).cloned();
        let opens = there.is_none();
        let seat = match there {
            Some(shared) => Seat::take(shared),
            None => {
                let shared = Rc::new(Shared {
                    key,
                    secure: Cell::new(false),
                    greeted: Cell::new(false),
                    at_once: Cell::new(0),
                    waiting: RefCell::default(),
                    busy: Cell::new(0),
                    requests: RefCell::default(),
                    lanes: Cell::new(0),
                    stage: RefCell::new(Stage::Opening(Vec::new())),
                    idle: RefCell::default(),
                    numbers: Cell::new(0),
                });
                self.all.borrow_mut().push(shared.clone());
                let seat = Seat::take(shared.clone());
                let place = Place { connections: self.clone(), shared: shared.clone() };
                match connect.await {
                    Ok((link, timer)) => self.start(place, link, timer, settings, now, on_silent),
                    Err(error) => {
                        shared.close(Some(error.kind()));
                        return Err(error);
                    }
                }
                seat
            }
        };
        seat.shared.opened().await?;
        let (near, far) = pipe(CAPACITY);
        let (shared, end, connections) = (seat.shared.clone(), far.clone(), self.clone());
        net::spawn_apart(lane(seat, far, settings.limits), move |result| {
            if result.is_err() {
                end.reset_on_close();
                shared.retire();
                (connections.on_panic)();
            }
        });
        Ok((near, opens))
    }

    /// Runs a connection, in a task of its own.
    fn start(
        self: &Rc<Self>,
        place: Place,
        link: Link,
        timer: Timer,
        settings: Settings,
        now: impl Fn() -> Instant + Clone + 'static,
        on_silent: impl Fn() + 'static,
    ) {
        place.shared.secure.set(link.is_secure());
        let connections = self.clone();
        let task = async move {
            let heard = Rc::new(Cell::new(now()));
            let (hears, clock, shared) = (heard.clone(), now.clone(), place.shared.clone());
            let mut greeting = Greeting::default();
            let paced = settings.pace.is_some();
            let tap = move |bytes: &[u8]| {
                if paced {
                    hears.set(clock());
                }
                if !shared.greeted.get() {
                    shared.greeted.set(greeting.take(bytes));
                    if shared.greeted.get() {
                        shared.at_once.set(greeting.window);
                    }
                }
            };
            let io = Polled::new(link, Vec::new(), Box::new(tap));
            let progress = io.progress();
            let mut builder = h2::client::Builder::new();
            builder
                .initial_window_size(settings.stream_window)
                .initial_connection_window_size(settings.connection_window)
                .max_header_list_size(u32::try_from(settings.limits.head).unwrap_or(u32::MAX))
                .max_send_buffer_size(SEND_BUFFER)
                .data_frame_budget(SMALL_DATA * settings.connection_window as usize)
                .enable_push(false);
            // The limit on connecting is the limit on this as well.
            let (sender, mut connection) = match builder.handshake::<_, Bytes>(io).await {
                Ok(both) => both,
                Err(_) => {
                    let why = if timer.expired() { io::ErrorKind::TimedOut } else { io::ErrorKind::ConnectionReset };
                    place.shared.close(Some(why));
                    return;
                }
            };
            timer.clear();
            if let Stage::Opening(waiting) = std::mem::replace(&mut *place.shared.stage.borrow_mut(), Stage::Open(sender)) {
                waiting.into_iter().for_each(Waker::wake);
            }
            if place.shared.lanes.get() == 0 {
                // Who wanted it has left meanwhile.
                place.shared.close(None);
            }
            let keepalive = settings.pace.zip(connection.ping_pong()).map(|(pace, ping)| Keepalive::new(pace, ping, heard));
            let mut pulse = Pulse { shared: place.shared.clone(), keepalive, alarm: timer.alarm().await };
            if drive(connection, &timer, settings.write, &progress, now, &mut pulse).await.is_err() {
                on_silent();
            }
        };
        net::spawn_apart(task, move |result| result.unwrap_or_else(|_| (connections.on_panic)()));
    }
}

/// Looks after an endpoint that is silent while requests wait for it.
struct Pulse {
    shared: Rc<Shared>,
    keepalive: Option<Keepalive>,
    alarm: Timer,
}

impl Pulse {
    fn look(&mut self, cx: &mut Context<'_>, now: &impl Fn() -> Instant) -> Result<(), Silent> {
        let Some(keepalive) = &mut self.keepalive else { return Ok(()) };
        match keepalive.look(cx, self.shared.busy.get() > 0, self.alarm.expired(), now)? {
            Alarm::Stays => {}
            Alarm::At(at) => self.alarm.close_at(at),
            Alarm::Off => self.alarm.clear(),
        }
        Ok(())
    }
}

/// Moves a connection's frames until it ends, or its endpoint is gone without a word. What is sent has to be taken in time.
async fn drive(
    connection: Connection<Polled, Bytes>,
    timer: &Timer,
    write: Duration,
    progress: &net::Progress,
    now: impl Fn() -> Instant,
    pulse: &mut Pulse,
) -> Result<(), Silent> {
    let mut connection = pin!(connection);
    let mut limited = None;
    poll_fn(|cx| {
        progress.begin_turn();
        let ended = connection.as_mut().poll(cx);
        progress.end_turn(cx);
        if pulse.shared.greeted.get() {
            pulse.shared.let_go();
        }
        let sending = progress.sending.get().then(|| progress.sent.get());
        if sending != std::mem::replace(&mut limited, sending) {
            match sending {
                Some(_) if !write.is_zero() => timer.close_at(now() + write),
                _ => timer.clear(),
            }
        }
        if ended.is_pending() {
            // A PING that is due goes out when this is polled next, for which it wakes the task.
            pulse.look(cx, &now)?;
        }
        ended.map(|_| Ok(()))
    })
    .await
}

/// Bytes that a lane's pipe holds each way.
const CAPACITY: usize = 16 << 10;
/// Times the connection's window: what small DATA frames that wait for their clients may cost, at 256 bytes less their size each. A client that is
/// slow to take small messages must not end the connection for all others.
const SMALL_DATA: usize = 32;
/// Bytes of one request's body that wait to be sent.
const SEND_BUFFER: usize = 64 << 10;

#[cfg(test)]
mod tests;
