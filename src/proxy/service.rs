//! What connections ask of a core: limits, buffers, and that each request is served and accounted for.

use std::rc::Rc;

use super::answer::{Extra, afterwards};
use super::core::{Core, Session};
use super::note::{Begun, Ended};
use super::serve::Request;
use crate::clock::Instant;
use crate::config::{Http2, Size, Time};
use crate::error::Reason;
use crate::http::RequestHead;
use crate::http1;
use crate::http2::{Pace, Rates};
use crate::metrics::{BROKEN_CONNECTION, BROKEN_STREAM, RESET_BY_CLIENT, RESET_BY_GATEWAY, RESET_REFUSED, SILENT_CLIENT};
use crate::net::Deadlines;
use crate::server::http2::{self, Event};
use crate::server::{Client, Inbound, Next, Service, Timing};

impl Service for Core {
    type Session = Box<Session>;

    fn now(&self) -> Instant {
        Core::now(self)
    }

    fn woke(&self) -> Instant {
        Core::woke(self)
    }

    fn timing(&self) -> Timing {
        let view = self.view.borrow();
        let timeouts = &view.plan.config.timeouts;
        Timing { read: timeouts.read.get(), idle: timeouts.idle.get() }
    }

    fn limits(&self) -> http1::Limits {
        self.view.borrow().plan.head_limits
    }

    fn connections(&self) -> u64 {
        self.counters.connections.count()
    }

    fn draining(&self) -> bool {
        self.draining.get()
    }

    fn leaving(&self) -> bool {
        self.leaving.get()
    }

    fn deadlines(&self) -> &Rc<Deadlines> {
        &self.deadlines
    }

    fn draw(&self) -> u64 {
        Core::draw(self)
    }

    fn http2(&self) -> Option<http2::Settings> {
        let view = self.view.borrow();
        let config = &view.plan.config;
        let Http2 { enabled, max_streams, stream_window, connection_window, max_frame, send_buffer, .. } = config.http2;
        let bytes = |size: Size| u32::try_from(size.get()).unwrap_or(u32::MAX);
        enabled.then(|| http2::Settings {
            streams: max_streams,
            stream_window: bytes(stream_window),
            connection_window: bytes(connection_window),
            frame: bytes(max_frame),
            // What is larger than allowed, but not by far, is refused like over HTTP/1, with a reason and a line in the log.
            head: bytes(config.limits.head).saturating_mul(2),
            send_buffer: bytes(send_buffer) as usize,
            rates: Rates { control: config.http2.control_frames, resets: config.http2.resets },
            faults: config.http2.stream_errors as usize,
            requests: config.limits.requests_per_connection,
            write: config.timeouts.write.get(),
            pace: pace(config.http2.ping_interval, config.http2.ping_timeout),
        })
    }

    fn on_http2(&self, event: Event) {
        let counters = &self.counters;
        match event {
            Event::Began => counters.http2_connections.add(1),
            Event::Stream => counters.http2_streams.add(1),
            Event::Refused => counters.http2_resets.add(RESET_REFUSED, 1),
            Event::ResetByClient => counters.http2_resets.add(RESET_BY_CLIENT, 1),
            Event::ResetByGateway => counters.http2_resets.add(RESET_BY_GATEWAY, 1),
            Event::GoAway => counters.http2_goaways.add(1),
            Event::Flood => counters.http2_floods.add(1),
            Event::Silent => counters.http2_silent.add(SILENT_CLIENT, 1),
            Event::Broken => counters.http2_errors.add(BROKEN_CONNECTION, 1),
            Event::BrokenStream => counters.http2_errors.add(BROKEN_STREAM, 1),
            Event::Rests => self.cooled.set(self.cooled.get() + 1),
        }
    }

    fn take_buffer(&self) -> Vec<u8> {
        self.buffers.take()
    }

    fn give_buffer(&self, buf: Vec<u8>) {
        self.buffers.give(buf);
    }

    fn begin(&self, client: &Client) -> Self::Session {
        self.session(client)
    }

    fn end(&self, session: Self::Session, cold: bool) {
        self.cooled.set(self.cooled.get() + u32::from(cold));
        self.keep(session);
    }

    fn head<'a>(&self, session: &'a mut Self::Session) -> &'a mut RequestHead {
        &mut session.head
    }

    async fn serve(&self, client: &Client, session: &mut Self::Session, inbound: &mut Inbound) -> Next {
        let started = self.now();
        let view = self.view.borrow().clone();
        session.scratch.id = self.request_id(view.plan.additions.uuid);
        session.served = session.served.saturating_add(1);
        self.sample(&view.plan, session);
        self.counters.in_flight.add(1);
        let begun = Begun::new(client, started);
        let mut request = Request { core: self, client, session, inbound, begun, ended: Ended::default(), held: None, fill: None };
        let next = request.run(view.clone()).await;
        if !request.ended.switched {
            self.woke();
            request.count(&view);
        }
        let Request { ended, held, fill, .. } = request;
        if let Some(fill) = fill {
            self.wake_fill(fill);
        }
        if let Some((route, upstream)) = held {
            session.copying = None;
            self.wake_places(route, upstream);
        }
        self.counters.in_flight.sub(1);
        self.note(&view, client, session, begun, ended);
        next
    }

    async fn refuse(&self, client: &Client, session: &mut Self::Session, reason: Reason) -> Next {
        session.scratch.id = self.request_id(self.view.borrow().plan.additions.uuid);
        // What was parsed before the mistake says nothing.
        session.head.forget();
        session.grpc = false;
        session.scratch.notes.clear();
        self.counters.ended(reason.status(), Some(reason), std::time::Duration::ZERO);
        session.arrived = 0;
        let begun = Begun::new(client, self.now());
        let view = self.view.borrow().clone();
        let edits = view.plan.response_edits(None, session.sender.is_bare());
        let next = afterwards(self.refusal(client, session, &[], reason, &Extra::default(), edits, false).await, false);
        self.note(&view, client, session, begun, Ended { status: reason.status(), reason: Some(reason), ..Ended::default() });
        next
    }
}

/// How a peer is asked whether it is there; not at all, if the interval is zero.
pub(super) fn pace(interval: Time, timeout: Time) -> Option<Pace> {
    (!interval.get().is_zero()).then(|| Pace { interval: interval.get(), timeout: timeout.get() })
}
