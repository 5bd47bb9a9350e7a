//! One connection's life: sends the requests it is given, takes the answers, tells what came of each. What is spoken is `protocol`'s.
//!
//! Sending and receiving are two halves of one task: with several requests at a time one goes out while answers to those before it
//! are still to come. A connection that ends takes with it what was sent on it; what wasn't goes to the next one.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringway::clock::Instant;
use ringway::net::{self, Link, Stream, Timer};

use crate::greeting::greet;
use crate::protocol::Protocol;
use crate::tally::{Failure, Outcome};
use crate::worker::Worker;

/// Bytes that are received at once.
const WINDOW: usize = 16 << 10;
/// Pause behind a connection that could not be had, so that a target that refuses isn't asked without a break.
const PAUSE: Duration = Duration::from_millis(1);

/// One of a thread's connections, open or not; `number` is its own.
struct Connection {
    worker: Rc<Worker>,
    number: usize,
}

/// An open connection. The timer has to go before the link.
struct Open {
    timer: Timer,
    link: Link,
    protocol: RefCell<Protocol>,
    /// Why nothing more can be sent.
    unsent: Cell<Option<io::Error>>,
    /// Whether requests are being sent that can't wait for anything to be received first.
    sending: Cell<bool>,
}

/// Why a connection can't be had: what that is to a request, and in words.
pub struct Unopened(pub Outcome, pub Option<String>);

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Unopened {
        if error.kind() == io::ErrorKind::TimedOut {
            Unopened(Outcome::Failure(Failure::ConnectTimeout), None)
        } else {
            Unopened(Outcome::Failure(Failure::Connect), Some(format!("cannot connect: {error}")))
        }
    }
}

/// Buffers that one request leaves to the next.
struct Buffers {
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// Sends requests until the run is over; `number` is the connection's own.
pub async fn run(worker: Rc<Worker>, number: usize) {
    let connection = Connection { worker, number };
    let worker = &connection.worker;
    let mut buffers = Buffers { request: Vec::new(), answer: Vec::with_capacity(WINDOW) };
    // At the start, when many are opened at once, it isn't part of any request.
    let opened = if worker.plan.closes { None } else { connection.open(worker.now(), &mut buffers.answer).await.ok() };
    connection.take_places(worker.plan.pipeline);
    if let Some(open) = opened {
        connection.serve(open, &mut buffers).await;
    }
    loop {
        let taken = worker.request(number).await;
        match connection.open(taken, &mut buffers.answer).await {
            Ok(open) => connection.serve(open, &mut buffers).await,
            Err(Unopened(outcome, note)) => {
                if let Some(note) = note {
                    worker.note(|| note);
                }
                let count = worker.given(number);
                (0..count).for_each(|_| worker.settle(number, 0, outcome));
                net::pause(PAUSE).await;
                connection.take_places(count);
            }
        }
    }
}

impl Connection {
    /// Opens it for a request that was taken at this moment. What came behind the other's greeting is left in `bytes`.
    async fn open(&self, taken: u64, bytes: &mut Vec<u8>) -> Result<Open, Unopened> {
        let worker = &self.worker;
        let make_timer = |link: &net::Link| {
            let timer = worker.deadlines.timer(link);
            timer.close_at(Instant::from_nanos(taken + worker.plan.timeout));
            timer
        };
        let (mut link, timer) = net::connect(&worker.plan.address, make_timer).await?;
        let late = |error| if timer.expired() { io::ErrorKind::TimedOut.into() } else { error };
        if let Some((config, name)) = &worker.plan.tls {
            let made = Box::pin(net::secure_to(&link, config.clone(), name.clone())).await;
            link = made.map_err(|error| late(io::Error::from(error)))?;
        }
        let greeted = greet(worker, &link, bytes).await;
        let protocol = greeted.map_err(|unopened| if timer.expired() { late(io::ErrorKind::TimedOut.into()).into() } else { unopened })?;
        timer.clear();
        let timer = if protocol.gives_up_one() { worker.deadlines.alarm().await } else { timer };
        let mut tally = worker.tally.borrow_mut();
        tally.opened += 1;
        tally.connect.saturating_record((worker.now() - taken).max(1));
        Ok(Open { timer, link, protocol: RefCell::new(protocol), unsent: Cell::new(None), sending: Cell::new(false) })
    }

    /// Sends and receives until the connection is of no more use, and settles what was sent on it.
    async fn serve(&self, open: Open, buffers: &mut Buffers) {
        let Buffers { request, answer } = buffers;
        let result = {
            let (mut receive, mut send) = (pin!(self.receive(&open, answer)), pin!(self.send(&open, request)));
            poll_fn(|context| {
                if open.timer.expired() && open.protocol.borrow().gives_up_one() {
                    self.give_up(&open);
                }
                let Poll::Pending = send.as_mut().poll(context);
                let received = receive.as_mut().poll(context);
                if received.is_pending() {
                    // What was received has left room to send.
                    let waits = self.sends_first(&open);
                    let Poll::Pending = send.as_mut().poll(context);
                    if waits && !self.sends_first(&open) {
                        context.waker().wake_by_ref();
                    }
                }
                received
            })
            .await
        };
        let worker = &self.worker;
        let mut failure = Failure::Cut;
        if let Err(error) = result
            && worker.is_under_way(self.number)
        {
            if open.timer.expired() {
                failure = Failure::Timeout;
            } else {
                worker.note(|| error.to_string());
                if error.kind() == io::ErrorKind::InvalidData {
                    failure = Failure::Malformed;
                }
            }
        }
        // Those behind the first had no part in its fault.
        while worker.is_under_way(self.number) {
            worker.end(self.number, 0, Outcome::Failure(failure));
            failure = Failure::Cut;
        }
    }

    /// Gives up those requests whose time is over. One that couldn't even be sent, or was the last, takes the connection along.
    fn give_up(&self, open: &Open) {
        let worker = &self.worker;
        let late = |taken: u64| taken + worker.plan.timeout <= worker.now();
        while worker.oldest(self.number).is_some_and(late) {
            let goes_on = worker.is_under_way(self.number) && open.protocol.borrow_mut().give_up();
            if worker.is_under_way(self.number) {
                worker.end(self.number, 0, Outcome::Failure(Failure::Timeout));
            }
            if !goes_on {
                open.link.abort();
                break;
            }
        }
        self.set_timer(open);
    }

    /// Sends what there is, again and again.
    async fn send(&self, open: &Open, bytes: &mut Vec<u8>) -> Infallible {
        loop {
            poll_fn(|context| {
                let protocol = open.protocol.borrow();
                if protocol.owes() || protocol.room() > 0 && self.worker.poll_request(self.number, context).is_ready() {
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
            if open.timer.expired() {
                return pending().await;
            }
            let alone = !self.worker.is_under_way(self.number);
            bytes.clear();
            open.protocol.borrow_mut().write(&self.worker, self.number, bytes);
            self.set_timer(open);
            open.sending.set(alone && bytes.len() <= WINDOW);
            let (result, sent) = open.link.send(std::mem::take(bytes), 0).await;
            open.sending.set(false);
            *bytes = sent;
            match result {
                Ok(sent) => self.worker.tally.borrow_mut().sent_bytes += sent as u64,
                Err(error) => {
                    // A target may answer and close before it has taken all.
                    open.unsent.set(Some(error));
                    return pending().await;
                }
            }
        }
    }

    /// Receives answers until the connection is of no more use; `bytes` came already. A fault is that of the first request that is under
    /// way.
    async fn receive(&self, open: &Open, bytes: &mut Vec<u8>) -> io::Result<()> {
        let worker = &self.worker;
        loop {
            if !bytes.is_empty() {
                let taken = open.protocol.borrow_mut().take(worker, self.number, bytes);
                let (used, goes_on) = taken.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
                if !goes_on {
                    return Ok(());
                }
                if used == bytes.len() {
                    bytes.clear()
                } else {
                    drop(bytes.drain(..used))
                }
                self.set_timer(open);
            }
            poll_fn(|_| if self.sends_first(open) { Poll::Pending } else { Poll::Ready(()) }).await;
            let before = bytes.len();
            let (result, received) = open.link.recv(std::mem::take(bytes)).await;
            *bytes = received;
            let ended = !result.as_ref().is_ok_and(|count| *count > 0);
            if !worker.is_under_way(self.number) && (ended || !open.protocol.borrow().talks_unasked()) {
                // The end, or bytes that nobody asked for.
                worker.tally.borrow_mut().closed_idle += 1;
                return Ok(());
            }
            if result.map_err(|error| open.unsent.take().unwrap_or(error))? == 0 {
                let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the target closed the connection before the whole answer");
                let status = open.protocol.borrow().close().ok_or_else(cut)?;
                worker.end(self.number, 0, Outcome::Answer(status));
                return Ok(());
            }
            worker.tally.borrow_mut().received_bytes += (bytes.len() - before) as u64;
        }
    }

    /// Whether receiving waits for what is sent: a receive that finds nothing costs more than one that comes later. Only requests that
    /// find the way free and room in the kernel are waited for, as those behind others may need an answer to be taken first.
    fn sends_first(&self, open: &Open) -> bool {
        let waits = || !self.worker.is_under_way(self.number) && self.worker.given(self.number) > 0;
        open.sending.get() || waits() && open.protocol.borrow().room() > 0
    }

    /// The connection may wait for its oldest request's time, and as long as it likes for none.
    fn set_timer(&self, open: &Open) {
        match self.worker.oldest(self.number) {
            Some(taken) => open.timer.close_at(Instant::from_nanos(taken + self.worker.plan.timeout)),
            None => open.timer.clear(),
        }
    }

    /// Has room for so many more requests.
    fn take_places(&self, count: usize) {
        (0..count).for_each(|_| self.worker.next(self.number));
    }
}
