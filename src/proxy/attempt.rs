//! One attempt: get a connection to the endpoint, send the request, wait for the head of its answer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::connect::ends;
use super::core::{Core, Session, after};
use super::note::micros;
use super::upload::{Ended, Own, Terms, Upload, beside_until};
use crate::client::{Connection, HeadError, INTERIM_MAX, Key, read_head};
use crate::clock::Instant;
use crate::config::HostHeader;
use crate::error::{Fault, Reason};
use crate::exchange::{Attempt, Incoming, Trace, View};
use crate::http::{Changes, Edits, Framing, Method, RequestHead, RequestOut, ResponseHead, ResponseOut, Version};
use crate::http::{write_request, write_response};
use crate::http1;
use crate::net::{Stream, Tie, Told};
use crate::server::{Client, Inbound};

/// An endpoint that has begun to answer. Its head is in the session, parsed from the front of `buf`.
pub(super) struct Answered<'a> {
    /// Ends the connection when the client's stream ends.
    pub _tie: Option<Box<Tie>>,
    pub connection: Rc<Connection>,
    pub buf: Vec<u8>,
    pub upload: Option<Upload<'a>>,
    pub trace: Trace,
    /// The whole body in place of the received one, and whether the connection is clean behind that.
    pub whole: Option<(Vec<u8>, bool)>,
    /// More of it was received than came with its head.
    pub pieces: bool,
    /// What comes next needs a large buffer: the last one was filled.
    pub filled: bool,
    /// The status that a call of gRPC ended with.
    pub call: Option<u8>,
}

/// What the head of an endpoint's answer says of the bytes behind it.
#[derive(Clone, Copy)]
pub(super) struct Received {
    pub length: usize,
    pub framing: Framing,
    /// The connection may carry another request.
    pub keep_alive: bool,
}

impl Received {
    pub(super) fn of(head: &ResponseHead) -> Self {
        Received { length: head.length, framing: head.framing, keep_alive: head.connection.keep_alive }
    }
}

/// Why an endpoint did not answer, and what happened until then.
pub(super) struct Failed {
    pub reason: Reason,
    pub trace: Trace,
}

/// How a request's body stands before it is sent.
pub(super) struct Body {
    /// Bytes of it that were received with the head.
    pub there: usize,
    /// Framing of what has yet to be received; `None` if all is there.
    pub left: Option<Framing>,
}

impl Body {
    pub(super) fn of(head: &RequestHead, received: usize) -> Body {
        let behind = received - head.length;
        match head.framing {
            Framing::Length(length) => {
                let there = usize::try_from(length).unwrap_or(usize::MAX).min(behind);
                let left = length - there as u64;
                Body { there, left: (left > 0).then_some(Framing::Length(left)) }
            }
            // Whatever there is goes through the decoder.
            Framing::Chunked => Body { there: behind, left: Some(Framing::Chunked) },
            Framing::None | Framing::UntilClose => Body { there: 0, left: None },
        }
    }
}

impl Core {
    /// Makes one attempt. Without a client the request has no body.
    pub(super) async fn attempt<'a>(
        &'a self,
        client: Option<&'a Client>,
        session: &mut Session,
        inbound: &Inbound,
        view: &Rc<View>,
        deadline: Instant,
        attempt: &Attempt,
    ) -> Result<Answered<'a>, Failed> {
        let plan = &view.plan;
        let began = self.now();
        let limit = session.limit.unwrap_or(Instant::MAX);
        let deadline = deadline.min(limit);
        session.connect = None;
        let ends = || client.map(|client| ends(client, session, inbound.bytes(), plan));
        let (connection, reused) =
            self.connection(view, attempt, deadline, ends).await.map_err(|reason| Failed { reason, trace: Trace::default() })?;
        if !reused {
            session.connect = Some(micros(began, self.now()));
        }
        connection.requests.set(connection.requests.get() + 1);
        let tie = client.and_then(|client| client.link.tie(&connection.link));

        let bytes = inbound.bytes();
        let body = match session.scratch.notes.body {
            Some(_) => Body { there: 0, left: None },
            None => Body::of(&session.head, bytes.len()),
        };
        let mut out = self.buffers.take();
        write_head(&mut out, session, bytes, view, attempt, None);
        let there = &bytes[session.head.length..session.head.length + body.there];
        let first = match body.left {
            Some(Framing::Chunked) => there.to_vec(),
            _ => {
                out.extend_from_slice(session.scratch.notes.body.as_deref().unwrap_or(there));
                Vec::new()
            }
        };
        let idle = plan.config.timeouts.body_idle.get();
        connection.timer.close_at(after(self.now(), idle).min(deadline));
        let (sent, mut buf) = connection.link.send(out, 0).await;
        buf.clear();
        let mut upload = match (body.left, client) {
            (Some(left), Some(client)) if sent.is_ok() => {
                let body_max = session.scratch.notes.body_max(plan.config.limits.body.get());
                let own = || Own { view: view.clone(), route: attempt.route, changes: session.scratch.notes.request.clone() };
                let own = (left == Framing::Chunked).then(own);
                let terms = Terms { body_max, idle, limits: plan.head_limits, copying: session.copying.take(), own };
                Some(Upload::begin(self, client, connection.clone(), left, first, terms))
            }
            _ => None,
        };
        // An endpoint may answer and close before it has taken everything, so its answer is looked for even then.
        let mut trace = Trace { reused, sent: true, body_lost: upload.is_some(), ..Trace::default() };
        let first_byte = plan.routes[attempt.route].first_byte;
        let deadline = Cell::new(deadline);
        let patience = || connection.timer.close_at(after(self.now(), first_byte).min(deadline.get()));
        if upload.is_none() {
            patience();
        } else {
            // The upload has limits of its own, and whoever is slow in it is to blame.
            connection.timer.clear();
        }
        let limits = &plan.upstreams[attempt.upstream].head_limits;
        let (asked, mut interims) = ((session.head.method, session.head.connection.upgrade), 0);
        let reason = loop {
            let error = match look(&buf, asked, limits, &mut session.response, &mut interims) {
                Ok(Look::Complete) => {
                    return Ok(Answered {
                        _tie: tie,
                        connection,
                        buf,
                        upload,
                        trace,
                        whole: None,
                        pieces: false,
                        filled: false,
                        call: None,
                    });
                }
                Ok(Look::Interim) => {
                    if let Some(client) = client
                        && let Err(reason) = self.interim(client, session, &buf, plan.config.timeouts.write.get()).await
                    {
                        break reason;
                    }
                    trace.relayed |= !session.hushed;
                    buf.drain(..session.response.length);
                    continue;
                }
                Ok(Look::More) => {
                    let before = buf.len();
                    let receiving = connection.link.recv(buf);
                    let received = match &mut upload {
                        None => Ok(receiving.await),
                        Some(upload) => {
                            let on_end = |ended: &Ended| match ended.result {
                                // What the client did wrong ends the wait; an endpoint that stopped taking may have answered.
                                Err(reason) if reason.fault() == Fault::Client => Some(reason),
                                _ => {
                                    // The whole request is there: the time for its answer begins.
                                    deadline.set(after(self.now(), plan.routes[attempt.route].timeout).min(limit));
                                    patience();
                                    None
                                }
                            };
                            Box::pin(beside_until(upload, receiving, on_end)).await
                        }
                    };
                    self.woke();
                    let result = match received {
                        Ok((result, back)) => {
                            buf = back;
                            result
                        }
                        Err(reason) => break reason,
                    };
                    match connection.received(result, before) {
                        Ok(()) => continue,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            trace.started |= error != HeadError::Closed { clean: true };
            // What ended the sending may have ended the connection: the limit on it, most often.
            let sending = upload.as_ref().and_then(|upload| upload.ended()?.result.err());
            break match error {
                _ if connection.link.told() == Some(Told::Unprocessed) => Reason::StreamRefused,
                _ if connection.link.told() == Some(Told::Unsupported) => Reason::UpgradeUnsupported,
                _ if client.is_some_and(|client| client.link.is_left()) => Reason::ClientLeft,
                HeadError::Expired if self.now() >= deadline.get() => Reason::RequestTimeout,
                HeadError::Expired => Reason::FirstByteTimeout,
                HeadError::Refused(reason) => reason,
                HeadError::Closed { clean: true } if sent.is_err() => Reason::SendFailed,
                HeadError::Closed { clean: true } => sending.unwrap_or(Reason::ClosedBeforeHead),
                HeadError::Closed { clean: false } => Reason::ClosedBeforeHead,
            };
        };
        Err(Failed { reason, trace })
    }

    /// Passes an interim response on; HTTP/1.0 knows none (RFC 9110 section 15.2).
    async fn interim(&self, client: &Client, session: &Session, bytes: &[u8], write: Duration) -> Result<(), Reason> {
        if session.head.version == Version::Http10 || session.hushed {
            return Ok(());
        }
        let mut out = self.buffers.take();
        let (none, unchanged) = (Edits::default(), Changes::default());
        write_response(
            &mut out,
            &ResponseOut {
                head: &session.response,
                bytes,
                framing: Framing::None,
                keep_length: false,
                edits: &none,
                changes: &unchanged,
                version: Version::Http11,
                keep_alive: true,
                date: &[],
            },
        );
        client.timer.close_at(after(self.now(), write));
        let (result, out) = client.link.send(out, 0).await;
        client.timer.clear();
        self.buffers.give(out);
        result.map(|_| ()).map_err(|_| Reason::ClientLeft)
    }
}

/// What has been received of an answer so far.
pub(super) enum Look {
    More,
    Interim,
    Complete,
}

/// Looks for a head in what was received of the answer to this method; whether an upgrade was asked for.
#[inline]
pub(super) fn look(
    buf: &[u8],
    (method, upgrade): (Method, bool),
    limits: &http1::Limits,
    response: &mut ResponseHead,
    interims: &mut u32,
) -> Result<Look, HeadError> {
    if !read_head(buf, method, limits, response)? {
        return Ok(Look::More);
    }
    match response.status {
        200.. => Ok(Look::Complete),
        101 if upgrade => Ok(Look::Complete),
        101 => Err(HeadError::Refused(Reason::UnexpectedUpgrade)),
        _ if *interims == INTERIM_MAX => Err(HeadError::Refused(Reason::BadResponseHead)),
        _ => {
            *interims += 1;
            Ok(Look::Interim)
        }
    }
}

/// Writes the request as the endpoint is to see it; a copy of it with other edits than the route's.
pub(super) fn write_head(out: &mut Vec<u8>, session: &mut Session, bytes: &[u8], view: &View, attempt: &Attempt, copy: Option<&Edits>) {
    let plan = &view.plan;
    let upstream;
    let host = match &plan.upstreams[attempt.upstream].host {
        HostHeader::Keep => None,
        HostHeader::Set(host) => Some(host.as_bytes()),
        HostHeader::Endpoint => {
            upstream = view.upstream(attempt.upstream).upstream.borrow();
            upstream.endpoint(attempt.endpoint).settings().authority().map(str::as_bytes)
        }
    };
    let peer = session.peer.expect("set for each session");
    let client = if session.sender.trusted {
        Incoming { head: &session.head, bytes, peer, secure: false, wall: 0 }.client(&plan.trusted)
    } else {
        peer
    };
    let Session { head, request_writer, scratch, sender, .. } = session;
    let request = RequestOut {
        head,
        bytes,
        path: scratch.path_out(),
        query: scratch.notes.query.as_deref(),
        host,
        edits: copy.unwrap_or(&plan.routes[attempt.route].request),
        changes: &scratch.notes.request,
        additions: &plan.additions,
        sender,
        client,
        request_id: scratch.id.as_bytes(),
        sized: scratch.notes.body.is_some(),
    };
    if copy.is_none() {
        request_writer.write(out, &request, (plan.generation, attempt.route));
    } else {
        write_request(out, &request);
    }
}

/// Which pool an attempt's connection belongs to.
pub(super) fn key(attempt: &Attempt) -> Key {
    Key { upstream: attempt.pool, slot: attempt.endpoint.slot, generation: attempt.endpoint.generation }
}
