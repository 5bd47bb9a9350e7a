//! A request that has ended, noted for the access log: copied into the core's journal, nothing else.

use super::core::{Core, Session};
use crate::access::{Line, Record, Times};
use crate::clock::Instant;
use crate::error::{Fault, Reason};
use crate::exchange::{Access, EndpointId, Incoming, View};
use crate::http::{Known, kept_request_id};
use crate::http2::grpc;
use crate::server::Client;

/// How a request ended.
#[derive(Clone, Copy, Default)]
pub(super) struct Ended {
    /// The answer's status; 0 if there was none.
    pub status: u16,
    /// Why it ended otherwise than by an endpoint's whole answer.
    pub reason: Option<Reason>,
    /// The status of a call of gRPC: the endpoint's, or once it has been counted, what the client makes of it.
    pub call: Option<u8>,
    /// Its route.
    pub route: Option<usize>,
    /// Who was asked last.
    pub asked: Option<Asked>,
    /// How many times somebody was asked.
    pub attempts: u32,
    /// When somebody was asked first.
    pub first: Option<Instant>,
    /// It waited so long for a place before that, in microseconds.
    pub queued: u32,
    /// All of the answer was there with its head.
    pub whole: bool,
    /// Its connection was upgraded: as a request it was over then.
    pub switched: bool,
    /// It was answered with a built-in page, which are asked for all the time and aren't logged.
    pub page: bool,
}

/// An endpoint that was asked.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// The upstream's index in the plan.
    pub upstream: usize,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// When.
    pub at: Instant,
    /// When the head of its answer was there.
    pub answered: Option<Instant>,
}

/// Where a client's connection stood when a request began.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    pub at: Instant,
    pub sent: u64,
    pub received: u64,
}

impl Begun {
    pub(super) fn new(client: &Client, now: Instant) -> Self {
        Begun { at: now, sent: client.sent.get(), received: client.received.get() }
    }
}

impl Core {
    /// Notes a request for the access log, if it gets a line.
    #[inline(always)]
    pub(super) fn note(&self, view: &View, client: &Client, session: &Session, begun: Begun, ended: Ended) {
        if let Some(access) = view.plan.access(ended.route)
            && !ended.page
        {
            let failed = ended.status >= 500
                || ended.reason.is_some_and(|reason| reason.fault() != Fault::Client)
                || ended.call.is_some_and(|status| grpc::counts_as(status, session.limit.is_some()) >= 500);
            if (access.failures && failed) || access.threshold == u64::MAX || self.draw() < access.threshold {
                self.add_record(access, view, client, session, begun, ended);
            }
        }
    }

    #[inline(never)]
    fn add_record(&self, access: Access, view: &View, client: &Client, session: &Session, begun: Begun, ended: Ended) {
        let plan = &view.plan;
        let Session { head, sender, scratch, .. } = session;
        let bytes = head.received();
        let peer = session.peer.expect("set for each session");
        let incoming = Incoming { head, bytes, peer, secure: false, wall: 0 };
        let marks = &scratch.notes.marks;
        let upstream = ended.asked.map(|asked| view.upstream(asked.upstream).upstream.borrow());
        let endpoint = upstream.as_ref().zip(ended.asked).and_then(|(upstream, asked)| upstream.endpoint_name(asked.endpoint));
        let connected = ended.asked.and(session.connect);
        let mut agent = &b""[..];
        let mut traceparent = &b""[..];
        for field in &head.fields {
            match field.known {
                Known::UserAgent => agent = field.value.of(bytes),
                Known::Traceparent => traceparent = field.value.of(bytes),
                _ => {}
            }
        }
        let record = Record {
            log: access.log,
            core: self.index,
            at_us: self.epoch_us.get() + begun.at.as_nanos() / 1000,
            status: ended.status,
            grpc_status: ended.call,
            upstream_status: ended.asked.is_some_and(|asked| asked.answered.is_some()),
            reason: ended.reason,
            version: head.version,
            http2: client.http2,
            route: ended.route.map(|route| route as u32),
            upstream: ended.asked.map(|asked| asked.upstream as u32),
            attempts: ended.attempts,
            bytes_in: session.arrived + client.received.get().wrapping_sub(begun.received),
            bytes_out: client.sent.get().wrapping_sub(begun.sent),
            times: Times {
                all: micros(begun.at, self.now()),
                connect: connected,
                first_byte: ended.asked.and_then(|asked| Some(micros(asked.at, asked.answered?))),
            },
            client: if sender.trusted { incoming.client(&plan.trusted) } else { peer },
            peer,
            request_id: kept_request_id(head, bytes, sender.trusted).unwrap_or(scratch.id.as_bytes()),
            traceparent,
            line: Line::of(head, bytes, access.query),
            host: head.host.of(bytes),
            endpoint: endpoint.map_or(b"", |name| name.as_bytes()),
            cache: marks.cache.as_bytes(),
            rate_limit: marks.rate_limit.as_bytes(),
            identity: &marks.identity,
            user_agent: agent,
        };
        let mut journal = self.journal.borrow_mut();
        if !journal.is_of(&plan.names) {
            drop(journal);
            self.hand_over();
            journal = self.journal.borrow_mut();
            self.counters.access_log_dropped.add(journal.reopen(plan.names.clone()));
        }
        if !journal.add(&record) {
            self.counters.access_log_dropped.add(1);
        }
        let full = journal.is_full();
        drop(journal);
        // A core that drains may end any moment.
        if full || self.draining.get() {
            self.hand_over();
        }
    }
}

/// Whole microseconds; an hour and some at most.
#[inline]
pub(super) fn micros(from: Instant, to: Instant) -> u32 {
    let micros = to.as_nanos().saturating_sub(from.as_nanos()) / 1000;
    micros.min(u64::from(u32::MAX) - 1) as u32
}
