//! One connection's life: takes a request, sends it, takes the answer, tells what came of it.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ringway::clock::Instant;
use ringway::net::{self, Link, Stream, Timer};

use crate::response::{End, Progress, Reader};
use crate::tally::{Failure, Outcome};
use crate::worker::Worker;

/// Bytes that are received at once.
const WINDOW: usize = 16 << 10;
/// A connection that was idle for so many nanoseconds is looked at before it is used: the target may have closed it.
const IDLE: u64 = 10_000_000;
/// Pause behind a connection that could not be had, so that a target that refuses isn't asked without a break.
const PAUSE: Duration = Duration::from_millis(1);

/// An open connection. The timer has to go before the link.
struct Open {
    timer: Timer,
    link: Link,
    used: u64,
}

/// Buffers that one request leaves to the next.
struct Buffers {
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// Sends one request after another until the run is over; `number` is the connection's own.
pub async fn run(worker: Rc<Worker>, number: usize) {
    let mut buffers = Buffers { request: Vec::new(), answer: Vec::with_capacity(WINDOW) };
    let mut open = None;
    if !worker.plan.closes {
        // At the start, when many are opened at once, it isn't part of any request.
        open = connect(&worker, worker.now()).await.ok();
    }
    loop {
        worker.next(number).await;
        let outcome = exchange(&worker, number, &mut open, &mut buffers).await;
        worker.settle(number, outcome);
        if matches!(outcome, Outcome::Failure(Failure::Connect | Failure::ConnectTimeout)) {
            net::pause(PAUSE).await;
        }
    }
}

/// One request and what came of it.
async fn exchange(worker: &Rc<Worker>, number: usize, open: &mut Option<Open>, buffers: &mut Buffers) -> Outcome {
    let now = worker.now();
    if open.as_ref().is_some_and(|open| now - open.used > IDLE && net::readable_now(open.link.fd())) {
        worker.tally.borrow_mut().closed_idle += 1;
        *open = None;
    }
    let mut connection = match open.take() {
        Some(connection) => connection,
        None => match connect(worker, now).await {
            Ok(connection) => connection,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Outcome::Failure(Failure::ConnectTimeout),
            Err(error) => {
                worker.note(|| format!("cannot connect: {error}"));
                return Outcome::Failure(Failure::Connect);
            }
        },
    };
    connection.timer.close_at(Instant::from_nanos(now + worker.plan.timeout));
    let is_head = worker.write_request(&mut buffers.request);
    worker.sends(number);
    match converse(worker, &connection, buffers, is_head).await {
        Ok(End { status, keeps }) => {
            if keeps && !worker.plan.closes {
                connection.timer.clear();
                connection.used = worker.now();
                *open = Some(connection);
            }
            Outcome::Answer(status)
        }
        Err(_) if connection.timer.expired() => Outcome::Failure(Failure::Timeout),
        Err(error) => {
            worker.note(|| error.to_string());
            Outcome::Failure(if error.kind() == io::ErrorKind::InvalidData { Failure::Malformed } else { Failure::Cut })
        }
    }
}

/// Sends the request and receives the answer.
async fn converse(worker: &Worker, open: &Open, buffers: &mut Buffers, is_head: bool) -> io::Result<End> {
    let (result, request) = open.link.send(std::mem::take(&mut buffers.request), 0).await;
    buffers.request = request;
    // A target may answer and close before it has taken all.
    let unsent = match result {
        Ok(sent) => {
            worker.tally.borrow_mut().sent_bytes += sent as u64;
            None
        }
        Err(error) => Some(error),
    };
    let mut reader = Reader::new(is_head);
    buffers.answer.clear();
    loop {
        let (result, answer) = open.link.recv(std::mem::take(&mut buffers.answer)).await;
        buffers.answer = answer;
        let received = match result {
            Ok(received) => received,
            Err(error) => return Err(unsent.unwrap_or(error)),
        };
        if received == 0 {
            let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the target closed the connection before the whole answer");
            return reader.close().ok_or_else(cut);
        }
        worker.tally.borrow_mut().received_bytes += received as u64;
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        match reader.take(&buffers.answer).map_err(|fault| invalid(format!("malformed answer: {fault}")))? {
            Progress::Whole(used, end) if used == buffers.answer.len() => return Ok(end),
            Progress::Whole(..) => return Err(invalid("malformed answer: it is followed by bytes that nobody asked for".into())),
            Progress::More(used) if used == buffers.answer.len() => buffers.answer.clear(),
            Progress::More(used) => drop(buffers.answer.drain(..used)),
        }
    }
}

/// Opens a connection for a request that was taken at this moment.
async fn connect(worker: &Rc<Worker>, taken: u64) -> io::Result<Open> {
    let make_timer = |fd| {
        let timer = worker.deadlines.timer(fd);
        timer.close_at(Instant::from_nanos(taken + worker.plan.timeout));
        timer
    };
    let (link, timer) = net::connect(&worker.plan.address, make_timer).await?;
    timer.clear();
    let now = worker.now();
    let mut tally = worker.tally.borrow_mut();
    tally.opened += 1;
    tally.connect.saturating_record((now - taken).max(1));
    Ok(Open { timer, link, used: now })
}
