//! One connection's life: its streams are handed to lanes; it ends in order when idle or draining, at once when it is abused.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use super::answer::Reading;
use super::lane::{Slot, start};
use super::{Event, Settings};
use crate::clock::Instant;
use crate::http2::{Abuse, Alarm, Keepalive, Meter, PREFACE, Resets, Silent};
use crate::net::{Polled, Progress, Timer};
use crate::server::connection::{cools_at, or_forever};
use crate::server::{Client, Service};

/// What lanes and their connection share.
pub(super) struct Shared<S> {
    pub service: Rc<S>,
    pub client: Client,
    /// How long the client may take for what is sent to it.
    pub write: Duration,
    /// Lanes that wait for a stream.
    pub idle: RefCell<Vec<Rc<Slot>>>,
    /// Streams under way.
    pub busy: Cell<usize>,
    /// What answers' heads are read with.
    pub reading: RefCell<Reading>,
    /// Where a request's head is written before it goes into its pipe.
    pub writing: RefCell<Vec<u8>>,
    /// Lanes there are.
    pub lanes: Cell<usize>,
    /// The connection has ended: lanes end as well.
    pub over: Cell<bool>,
    /// The connection's own task.
    task: Waker,
    /// What a lane panicked with.
    panic: RefCell<Option<Panic>>,
}

impl<S> Shared<S> {
    /// Lets the connection look whether something is to be done.
    pub(super) fn wake(&self) {
        self.task.wake_by_ref();
    }

    /// A lane has panicked, with which the connection ends.
    pub(super) fn panicked(&self, with: Panic) {
        *self.panic.borrow_mut() = Some(with);
        self.wake();
    }
}

/// What ends lanes with their connection, be it by a panic.
struct Ending<S>(Rc<Shared<S>>);

impl<S> Drop for Ending<S> {
    fn drop(&mut self) {
        self.0.over.set(true);
        self.0.idle.borrow_mut().drain(..).for_each(|slot| slot.wake());
    }
}

/// What a task panicked with.
pub(super) type Panic = Box<dyn Any + Send>;

/// A stream that the client opened.
pub(super) type Opened = (Request<RecvStream>, SendResponse<Bytes>);

/// Serves a connection until it is closed; `first` has been received already.
pub async fn serve<S: Service>(service: Rc<S>, client: Client, settings: Settings, first: Vec<u8>) {
    let abused = Rc::new(Cell::new(None));
    let heard = Rc::new(Cell::new(service.now()));
    let (told, hears, clock) = (abused.clone(), heard.clone(), service.clone());
    let mut meter = Meter::new(settings.rates, PREFACE.len(), service.now());
    let tap = move |bytes: &[u8]| {
        hears.set(clock.woke());
        if let Err(abuse) = meter.take(bytes, hears.get()) {
            told.set(Some(abuse));
        }
    };
    let (mut resets, tells) = (Resets::default(), service.clone());
    let shown = move |bytes: &[u8]| resets.take(bytes, |code| reset(code.into()).into_iter().for_each(|event| tells.on_http2(event)));
    let (timer, clock) = (service.deadlines().timer(&client.link), service.clone());
    let io =
        Polled::new(client.link.clone(), first, Box::new(tap)).showing(Box::new(shown)).resting(timer, Box::new(move || cools_at(&*clock)));
    let progress = io.progress();
    client.timer.close_at(service.now() + or_forever(service.timing().read));
    let handshake = builder(&settings).handshake::<_, Bytes>(io);
    let mut connection = match Box::pin(handshake).await {
        Ok(connection) => connection,
        Err(error) => {
            if error.is_library() {
                service.on_http2(Event::Broken);
            }
            return;
        }
    };
    service.on_http2(Event::Began);
    client.timer.clear();
    let keepalive = settings.pace.zip(connection.ping_pong()).map(|(pace, ping)| Keepalive::new(pace, ping, heard));
    let pulse = client.timer.alarm().await;
    let alarm = service.deadlines().alarm().await;
    let shared = Rc::new(Shared {
        service,
        client,
        write: settings.write,
        idle: RefCell::default(),
        busy: Cell::new(0),
        reading: RefCell::default(),
        writing: RefCell::default(),
        lanes: Cell::new(0),
        over: Cell::new(false),
        task: poll_fn(|cx| Poll::Ready(cx.waker().clone())).await,
        panic: RefCell::default(),
    });
    let ending = Ending(shared.clone());
    let mut driver = Driver {
        shared: shared.clone(),
        settings,
        connection,
        alarm,
        abused,
        progress,
        limit: Limit::None,
        latest: Instant::MAX,
        opened: 0,
        stage: Stage::Open,
        waits: false,
        keepalive,
        pulse,
        rests: false,
    };
    poll_fn(|cx| driver.poll(cx)).await;
    // Streams under way learn of it, and see to it that what was begun for them ends.
    drop((driver, ending));
    poll_fn(|_| if shared.lanes.get() == 0 { Poll::Ready(()) } else { Poll::Pending }).await;
    if let Some(panic) = shared.panic.take() {
        resume_unwind(panic);
    }
}

/// What a reset with this code is that leaves the gateway, where nothing else tells of it: `h2` refuses streams, and resets what is malformed,
/// without a word. STREAM_CLOSED says nothing of the client: it may have been sending when its stream ended.
fn reset(code: Reason) -> Option<Event> {
    match code {
        Reason::REFUSED_STREAM => Some(Event::Refused),
        Reason::PROTOCOL_ERROR | Reason::FLOW_CONTROL_ERROR => Some(Event::BrokenStream),
        _ => None,
    }
}

fn builder(settings: &Settings) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(settings.streams)
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.frame)
        .max_header_list_size(settings.head)
        .max_send_buffer_size(settings.send_buffer)
        .max_local_error_reset_streams(Some(settings.faults))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .data_frame_budget(SMALL_DATA * settings.connection_window as usize)
        .enable_connect_protocol();
    builder
}

/// How far the end has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The client has been told to open no more streams.
    Leaving,
    /// It was cut for abuse.
    Cut,
}

struct Driver<S: Service> {
    shared: Rc<Shared<S>>,
    settings: Settings,
    connection: Connection<Polled, Bytes>,
    /// Wakes this task when the connection has been idle for too long, or the core drains.
    alarm: Timer,
    abused: Rc<Cell<Option<Abuse>>>,
    progress: Rc<Progress>,
    limit: Limit,
    /// When the connection ends, whatever the client still makes the gateway send, once nothing but its end is left.
    latest: Instant,
    opened: u32,
    stage: Stage,
    /// The alarm is set, as no stream is under way.
    waits: bool,
    keepalive: Option<Keepalive>,
    /// Wakes this task when the client's silence is to be looked at.
    pulse: Timer,
    /// It holds nothing for streams, as none has come for a while.
    rests: bool,
}

impl<S: Service> Driver<S> {
    /// Moves everything on; ready once the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.shared.panic.borrow().is_some() {
            return Poll::Ready(());
        }
        if self.alarm.expired() {
            self.leave();
        }
        self.progress.begin_turn();
        loop {
            let accepted = self.connection.poll_accept(cx);
            if let (Some(abuse), true) = (self.abused.get(), self.stage != Stage::Cut) {
                self.cut(abuse);
                continue;
            }
            match accepted {
                Poll::Ready(Some(Ok(opened))) => self.open(cx, opened),
                Poll::Ready(Some(Err(error))) => {
                    if error.is_library() && self.stage != Stage::Cut {
                        // What h2 itself counts.
                        let flood = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
                        self.shared.service.on_http2(if flood { Event::Flood } else { Event::Broken });
                    }
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        self.progress.end_turn(cx);
        self.watch();
        if self.look(cx).is_err() {
            self.shared.service.on_http2(Event::Silent);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Looks after a client that is silent while streams are under way.
    fn look(&mut self, cx: &mut Context<'_>) -> Result<(), Silent> {
        let Some(keepalive) = &mut self.keepalive else { return Ok(()) };
        match keepalive.look(cx, self.shared.busy.get() > 0, self.pulse.expired(), || self.shared.service.now())? {
            Alarm::Stays => {}
            Alarm::At(at) => self.pulse.close_at(at),
            Alarm::Off => self.pulse.clear(),
        }
        Ok(())
    }

    /// Ends the connection because of what the client sends.
    fn cut(&mut self, abuse: Abuse) {
        self.stage = Stage::Cut;
        let (event, code) = match abuse {
            Abuse::Flood => (Event::Flood, Reason::ENHANCE_YOUR_CALM),
            Abuse::NoSettings => (Event::Broken, Reason::PROTOCOL_ERROR),
        };
        self.shared.service.on_http2(event);
        self.connection.abrupt_shutdown(code);
    }

    /// Gives a stream to a lane that waits, or to a new one.
    fn open(&mut self, cx: &mut Context<'_>, (request, mut respond): Opened) {
        let shared = &self.shared;
        let service = &shared.service;
        service.on_http2(Event::Stream);
        self.opened = self.opened.saturating_add(1);
        if service.leaving() || self.settings.requests != 0 && self.opened >= self.settings.requests {
            self.leave();
        }
        let shared = &self.shared;
        // Streams that were reset leave their lanes busy until what was begun for them has ended.
        if shared.lanes.get() - shared.idle.borrow().len() >= 2 * self.settings.streams as usize {
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        shared.busy.set(shared.busy.get() + 1);
        while let Some(slot) = { shared.idle.borrow_mut().pop() } {
            if slot.is_open() {
                slot.give(cx, shared, (request, respond));
                return;
            }
            slot.wake();
        }
        start(cx, shared, (request, respond));
    }

    /// Says that no further streams are served on this connection; those under way are.
    fn leave(&mut self) {
        if self.stage == Stage::Open {
            self.stage = Stage::Leaving;
            self.shared.service.on_http2(Event::GoAway);
            self.connection.graceful_shutdown();
        }
    }

    /// Sets the limits that hold until something happens.
    fn watch(&mut self) {
        let (service, timer) = (&self.shared.service, &self.shared.client.timer);
        let idle = self.shared.busy.get() == 0;
        if self.stage != Stage::Leaving || !idle {
            self.latest = Instant::MAX;
        } else if self.latest == Instant::MAX {
            self.latest = service.now() + or_forever(self.settings.write) + GOODBYE;
        }
        let limit = match self.stage {
            Stage::Cut => Limit::Goodbye,
            _ if self.progress.sending.get() => Limit::Send(self.progress.sent.get()),
            Stage::Leaving if idle => Limit::Goodbye,
            _ => Limit::None,
        };
        if std::mem::replace(&mut self.limit, limit) != limit {
            match limit {
                Limit::None => timer.clear(),
                Limit::Send(_) => timer.close_at(self.latest.min(service.now() + or_forever(self.settings.write))),
                Limit::Goodbye => timer.close_at(self.latest.min(service.now() + GOODBYE)),
            }
        }
        let rests = idle && self.progress.rests.get();
        if std::mem::replace(&mut self.rests, rests) != rests && rests {
            service.on_http2(Event::Rests);
            self.shared.idle.borrow_mut().drain(..).for_each(|slot| slot.dismiss());
            self.shared.writing.take();
        }
        let waits = idle && self.stage == Stage::Open;
        if std::mem::replace(&mut self.waits, waits) != waits {
            if waits {
                self.alarm.wake_at(service.now() + or_forever(service.timing().idle));
            } else {
                self.alarm.clear();
            }
        }
    }
}

/// What limits the connection's end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    None,
    /// The client has to take what is sent after so many sends.
    Send(u64),
    /// It has to close the connection.
    Goodbye,
}

/// Streams that the client reset before they were looked at.
const PENDING_RESETS: usize = 20;
/// Times the connection's window: what small DATA frames that nobody has taken yet may cost, at 256 bytes less their size each. Small messages
/// that wait for a slow endpoint stay below it; h2's own measure is a sixteenth of that.
const SMALL_DATA: usize = 8;
/// How long a client has to close a connection that was said goodbye on.
const GOODBYE: Duration = Duration::from_secs(1);
