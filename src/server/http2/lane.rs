//! A lane: a pipe whose one end is served like a client's connection, and whose other end carries one stream after the other.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::ext::Protocol;
use h2::server::SendResponse;

use super::Event;
use super::answer::{Answer, Cut, Passed, Patience, answer, bytes};
use super::connection::{Opened, Shared};
use super::upload::upload;
use crate::error::Reason;
use crate::http::Method;
use crate::http2::{Body, Switch, write_request};
use crate::net::{self, Link, Stream, pipe};
use crate::server::connection::or_forever;
use crate::server::{Client, Service};

/// Where a lane that waits is given its next stream.
pub(super) struct Slot {
    next: RefCell<Option<Begun>>,
    waker: RefCell<Option<Waker>>,
    link: RefCell<Option<Link>>,
    /// Why what came is no request, for whoever serves the pipe's other end.
    untold: Rc<Cell<Option<Reason>>>,
}

impl Slot {
    /// Whether its pipe is served still.
    pub(super) fn is_open(&self) -> bool {
        self.link.borrow().as_ref().is_some_and(|link| !link.readable_now() && !link.is_left())
    }

    /// Gives it a stream, whose request goes into the pipe. Its lane is woken by the answer, or by what ends the stream before, unless there
    /// is more to be sent.
    pub(super) fn give<S: Service>(&self, cx: &mut Context<'_>, shared: &Shared<S>, opened: Opened) {
        let link = self.link.borrow();
        let Some(link) = &*link else { return };
        let mut begun = begin(cx, shared, link, &self.untold, opened);
        let lane = self.waker.borrow();
        let waits =
            begun.uploaded && lane.as_ref().is_some_and(|lane| begun.respond.poll_reset(&mut Context::from_waker(lane)).is_pending());
        *self.next.borrow_mut() = Some(begun);
        if !waits && let Some(lane) = &*lane {
            lane.wake_by_ref();
        }
    }

    /// Ends its lane.
    pub(super) fn dismiss(&self) {
        *self.link.borrow_mut() = None;
        self.wake();
    }

    /// Lets it look whether it has something to do.
    pub(super) fn wake(&self) {
        if let Some(lane) = &*self.waker.borrow() {
            lane.wake_by_ref();
        }
    }
}

/// A lane's place on its connection, held by both of its tasks.
struct Place<S>(Rc<Shared<S>>);

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        self.0.lanes.set(self.0.lanes.get() - 1);
        self.0.wake();
    }
}

/// Makes a lane, which serves a stream, then those it is given, until its pipe is closed or the connection is over. Each end of the pipe has
/// a task of its own, so that neither is polled for what the other waits for.
pub(super) fn start<S: Service>(cx: &mut Context<'_>, shared: &Rc<Shared<S>>, first: Opened) {
    let (near, far) = pipe(CAPACITY);
    let service = &shared.service;
    let timer = service.deadlines().timer(&far);
    let Client { peer, destination, secured, link, .. } = &shared.client;
    let destination = destination.clone().or_else(|| link.local_address().map(Box::new));
    let (peer, secured) = (*peer, secured.clone());
    let untold = Rc::new(Cell::new(None));
    let told = Some(untold.clone());
    let client =
        Client { timer, link: far, peer, destination, http2: true, untold: told, secured, sent: Cell::new(0), received: Cell::new(0) };
    let slot = Rc::new(Slot { next: RefCell::default(), waker: RefCell::default(), link: RefCell::new(Some(near.clone())), untold });
    slot.give(cx, shared, first);
    shared.lanes.set(shared.lanes.get() + 1);
    let place = Rc::new(Place(shared.clone()));
    spawn(place.clone(), crate::server::serve(service.clone(), client));
    let shared = shared.clone();
    spawn(place, async move { streams(&shared, near, &slot).await });
}

/// Runs a task of a lane. Its panic is the connection's.
fn spawn<S: Service>(place: Rc<Place<S>>, task: impl Future<Output = ()> + 'static) {
    net::spawn_apart(task, move |result| {
        if let Err(with) = result {
            place.0.panicked(with);
        }
    });
}

async fn streams<S: Service>(shared: &Shared<S>, near: Link, slot: &Rc<Slot>) {
    let (clock, write) = (shared.service.clone(), or_forever(shared.write) + STALLED);
    let patience = Patience { alarm: shared.service.deadlines().alarm().await, until: Box::new(move || clock.now() + write) };
    let mut answering = Answer::new(&shared.service.limits(), patience);
    loop {
        let next = poll_fn(|cx| {
            let next = slot.next.borrow_mut().take();
            if next.is_some() || shared.over.get() || !slot.is_open() {
                return Poll::Ready(next);
            }
            slot.waker.borrow_mut().get_or_insert_with(|| cx.waker().clone());
            near.poll_readable(cx).map(|()| None)
        });
        let Some(begun) = next.await else { break };
        let kept = stream(shared, &near, begun, &mut answering).await;
        shared.busy.set(shared.busy.get() - 1);
        if shared.busy.get() == 0 {
            shared.wake();
        }
        if !kept || shared.over.get() || !slot.is_open() || shared.idle.borrow().len() >= KEPT {
            break;
        }
        shared.idle.borrow_mut().push(slot.clone());
    }
    let mut idle = shared.idle.borrow_mut();
    if let Some(at) = idle.iter().position(|other| Rc::ptr_eq(other, slot)) {
        idle.swap_remove(at);
    }
    drop(idle);
    *slot.link.borrow_mut() = None;
    // Whoever serves the other end must not take what came for complete.
    near.reset_on_close();
}

/// Another protocol that a stream asks for.
struct Asked {
    protocol: Protocol,
    nonce: [u8; 16],
}

impl Asked {
    fn switch(&self) -> Switch<'_> {
        Switch { protocol: self.protocol.as_str(), nonce: self.nonce }
    }
}

/// A stream whose request is in the pipe, or on its way into it.
struct Begun {
    respond: SendResponse<Bytes>,
    /// What of the head, and of a body that is there as a whole, didn't go into the pipe.
    rest: Vec<u8>,
    /// The body, and what has come of it.
    body: RecvStream,
    first: Bytes,
    framing: Body,
    method: Method,
    asked: Option<Box<Asked>>,
    /// All of the request has been sent, or can't be.
    uploaded: bool,
    /// The pipe is served still.
    served: bool,
}

/// Translates a request, and sends into the pipe what there is room for.
fn begin<S: Service>(
    cx: &mut Context<'_>,
    shared: &Shared<S>,
    near: &Link,
    untold: &Cell<Option<Reason>>,
    (request, respond): Opened,
) -> Begun {
    let service = &shared.service;
    let (parts, mut body) = request.into_parts();
    let mut first = Bytes::new();
    // What has come of the body by now is all of it, most often: then its length is known, and it can be sent again.
    if !body.is_end_stream()
        && let Poll::Ready(Some(Ok(piece))) = body.poll_data(cx)
    {
        first = piece;
    }
    let whole = body.is_end_stream().then_some(first.len() as u64);
    let head = &mut *shared.writing.borrow_mut();
    head.clear();
    let protocol = parts.extensions.get::<Protocol>().cloned();
    let asked = protocol
        .map(|protocol| Box::new(Asked { protocol, nonce: (u128::from(service.draw()) << 64 | u128::from(service.draw())).to_be_bytes() }));
    let switch = asked.as_ref().map(|asked| asked.switch());
    let translated = write_request(head, &parts, whole, switch.as_ref());
    let framing = translated.unwrap_or_else(|reason| {
        // Whoever serves the other end answers, counts and logs it as what HTTP/1 refuses.
        untold.set(Some(reason));
        NO_REQUEST.clone_into(head);
        Body::None
    });
    let method = if framing == Body::Switched { Method::Get } else { Method::from_bytes(parts.method.as_str().as_bytes()) };
    let at_once = translated.is_err() || whole.is_some() && framing != Body::Switched && head.len() + first.len() <= CAPACITY;
    if at_once && translated.is_ok() {
        head.extend_from_slice(&first);
    }
    let pushed = near.push(head);
    let served = pushed.is_ok();
    let rest = head[pushed.unwrap_or(head.len())..].to_vec();
    Begun { respond, uploaded: at_once && rest.is_empty() || !served, rest, body, first, framing, method, asked, served }
}

/// Carries one stream; whether the pipe can carry another.
async fn stream<S: Service>(shared: &Shared<S>, near: &Link, begun: Begun, answering: &mut Answer) -> bool {
    let service = &*shared.service;
    let Begun { mut respond, rest, body, first, framing, method, asked, mut uploaded, mut served } = begun;
    let switch = asked.as_ref().map(|asked| asked.switch());
    let switches = framing == Body::Switched;
    if !rest.is_empty() {
        served = near.send(rest, 0).await.0.is_ok();
        uploaded = !served;
    }
    let result = {
        let mut upload = pin!(upload(near, body, first, framing));
        // What is sent behind a request that may not be switched would be taken for the next one.
        let passed = {
            let mut answer = pin!(answer(near, &mut respond, method, switch.as_ref(), service.limits(), &shared.reading, answering));
            poll_fn(|cx| {
                if !uploaded
                    && !switches
                    && let Poll::Ready(whole) = upload.as_mut().poll(cx)
                {
                    uploaded = true;
                    if !whole {
                        return Poll::Ready(Err(Cut::Client));
                    }
                }
                answer.as_mut().poll(cx)
            })
            .await
        };
        match passed {
            Ok(Passed::Switched(send)) if switches => {
                let (mut passing, mut passed) = (pin!(bytes(near, send, answering)), false);
                poll_fn(|cx| {
                    if !uploaded && let Poll::Ready(whole) = upload.as_mut().poll(cx) {
                        uploaded = true;
                        if !whole {
                            return Poll::Ready(Err(Cut::Client));
                        }
                    }
                    if !passed && let Poll::Ready(result) = passing.as_mut().poll(cx) {
                        passed = true;
                        if let Err(cut) = result {
                            return Poll::Ready(Err(cut));
                        }
                    }
                    if uploaded && passed { Poll::Ready(Ok(false)) } else { Poll::Pending }
                })
                .await
            }
            // Where the upload isn't over, h2 ends the stream without an error once the answer is sent (RFC 9113 section 8.1).
            Ok(passed) => Ok(matches!(passed, Passed::Clean) && uploaded && served),
            Err(cut) => Err(cut),
        }
    };
    result.unwrap_or_else(|cut| {
        service.on_http2(if cut == Cut::Client { Event::ResetByClient } else { Event::ResetByGateway });
        if let Cut::Gateway = cut {
            respond.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        false
    })
}

/// What no request begins with.
const NO_REQUEST: &[u8] = b"\0\r\n\r\n";
/// Bytes that a pipe holds each way.
const CAPACITY: usize = 16 << 10;
/// The gateway's own limit, which knows the reason, comes before a lane's by so much.
const STALLED: Duration = Duration::from_secs(1);
/// Lanes of a connection that are kept while no stream needs them.
const KEPT: usize = 32;
