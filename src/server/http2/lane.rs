//! A lane: a pipe whose one end is served like a client's connection, and whose other end carries one stream after the other.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;

use super::Event;
use super::answer::{Answer, Cut, Passed, Patience, answer, bytes};
use super::connection::{Opened, Shared};
use super::upload::upload;
use crate::error::Reason;
use crate::http::Method;
use crate::http2::{Body, Switch, write_request};
use crate::net::{Link, Stream, both, pipe};
use crate::server::connection::or_forever;
use crate::server::{Client, Service};

/// Where a lane that waits is given its next stream.
pub(super) struct Slot {
    next: RefCell<Option<Opened>>,
    waker: RefCell<Option<Waker>>,
    link: RefCell<Option<Link>>,
}

impl Slot {
    /// Whether its pipe is served still.
    pub(super) fn is_open(&self) -> bool {
        self.link.borrow().as_ref().is_some_and(|link| !link.readable_now() && !link.is_left())
    }

    /// Gives it a stream.
    pub(super) fn give(&self, opened: Opened) {
        *self.next.borrow_mut() = Some(opened);
        self.wake();
    }

    /// Ends its lane.
    pub(super) fn dismiss(&self) {
        *self.link.borrow_mut() = None;
        self.wake();
    }

    /// Lets it look whether it has something to do.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Serves a stream, then those it is given, until its pipe is closed or the connection is over.
pub(super) async fn lane<S: Service>(shared: Rc<Shared<S>>, first: Opened) {
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
    both(crate::server::serve(service.clone(), client), streams(&shared, near, first, &untold)).await;
}

async fn streams<S: Service>(shared: &Rc<Shared<S>>, near: Link, first: Opened, untold: &Cell<Option<Reason>>) {
    let slot = Rc::new(Slot { next: RefCell::new(Some(first)), waker: RefCell::default(), link: RefCell::new(Some(near.clone())) });
    let (clock, write) = (shared.service.clone(), or_forever(shared.write) + STALLED);
    let patience = Patience { alarm: shared.service.deadlines().alarm().await, until: Box::new(move || clock.now() + write) };
    let mut answering = Answer::new(&shared.service.limits(), patience);
    loop {
        let mut closed = pin!(near.readable());
        let next = poll_fn(|cx| {
            let next = slot.next.borrow_mut().take();
            if next.is_some() || shared.over.get() || !slot.is_open() {
                return Poll::Ready(next);
            }
            *slot.waker.borrow_mut() = Some(cx.waker().clone());
            closed.as_mut().poll(cx).map(|_| None)
        });
        let Some(opened) = next.await else { break };
        let kept = stream(shared, &near, opened, &mut answering, untold).await;
        shared.busy.set(shared.busy.get() - 1);
        if !kept || shared.over.get() || !slot.is_open() || shared.idle.borrow().len() >= KEPT {
            break;
        }
        shared.idle.borrow_mut().push(slot.clone());
    }
    let mut idle = shared.idle.borrow_mut();
    if let Some(at) = idle.iter().position(|other| Rc::ptr_eq(other, &slot)) {
        idle.swap_remove(at);
    }
    drop(idle);
    *slot.link.borrow_mut() = None;
    // Whoever serves the other end must not take what came for complete.
    near.reset_on_close();
}

/// Carries one stream; whether the pipe can carry another.
async fn stream<S: Service>(
    shared: &Shared<S>,
    near: &Link,
    (request, mut respond): Opened,
    answering: &mut Answer,
    untold: &Cell<Option<Reason>>,
) -> bool {
    let service = &*shared.service;
    let (parts, mut body) = request.into_parts();
    // What has come of the body by now is all of it, most often: then its length is known, and it can be sent again.
    let first = match poll_fn(|cx| Poll::Ready(body.poll_data(cx))).await {
        Poll::Ready(Some(Ok(piece))) => piece,
        _ => Bytes::new(),
    };
    let whole = body.is_end_stream().then_some(first.len() as u64);
    let mut head = Vec::with_capacity(1024);
    let protocol = parts.extensions.get::<Protocol>().cloned();
    let nonce = (u128::from(service.draw()) << 64 | u128::from(service.draw())).to_be_bytes();
    let switch = protocol.as_ref().map(|protocol| Switch { protocol: protocol.as_str(), nonce });
    let translated = write_request(&mut head, &parts, whole, switch.as_ref());
    let framing = translated.unwrap_or_else(|reason| {
        // Whoever serves the other end answers, counts and logs it as what HTTP/1 refuses.
        untold.set(Some(reason));
        NO_REQUEST.clone_into(&mut head);
        Body::None
    });
    let method = if framing == Body::Switched { Method::Get } else { Method::from_bytes(parts.method.as_str().as_bytes()) };
    drop(parts);
    let switches = framing == Body::Switched;
    let at_once = translated.is_err() || whole.is_some() && !switches && head.len() + first.len() <= CAPACITY;
    if at_once && translated.is_ok() {
        head.extend_from_slice(&first);
    }
    let (sent, _) = near.send(head, 0).await;
    let mut uploaded = at_once || sent.is_err();
    let result = {
        let mut upload = pin!(upload(near, body, first, framing));
        // What is sent behind a request that may not be switched would be taken for the next one.
        let passed = {
            let mut answer = pin!(answer(near, &mut respond, method, switch.as_ref(), service.limits(), answering));
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
            Ok(passed) => Ok(matches!(passed, Passed::Clean) && uploaded && sent.is_ok()),
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
