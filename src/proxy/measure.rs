//! A request that has ended, measured: which phase took how long, and its whole story if it was slow.

use super::core::{Core, Session};
use super::note::{Asked, Begun, Ended, micros};
use super::serve::Request;
use super::trace::{Traced, parent};
use crate::access::Line;
use crate::clock::Instant;
use crate::exchange::View;
use crate::http::kept_request_id;
use crate::http2::grpc;
use crate::latency::{NOBODY, Phase, Slow, Times};
use crate::metrics::outcome;
use crate::server::Client;

/// The longest line that is kept of a slow request, in bytes.
const LINE_MAX: usize = 256;

impl Core {
    /// Records what each phase took, if anybody wants to know.
    #[inline]
    pub(super) fn measure(&self, view: &View, client: &Client, session: &Session, begun: Begun, ended: &Ended) {
        if !ended.page && (view.plan.config.features.histograms || session.trace.is_some()) {
            self.measured(view, client, session, begun, ended);
        }
    }

    /// Not inlined: what calls it would become too large to be inlined itself, for 70 instructions.
    #[inline(never)]
    fn measured(&self, view: &View, client: &Client, session: &Session, begun: Begun, ended: &Ended) {
        let plan = &view.plan;
        let upstream = ended.asked.map_or(usize::MAX, |asked| asked.upstream);
        let numbers = [plan.generation, ended.route.unwrap_or(usize::MAX) as u64, upstream as u64];
        let names = || {
            let route = ended.route.map_or_else(|| NOBODY.into(), |route| plan.routes[route].name.clone());
            let upstream = ended.asked.map_or(NOBODY, |asked| &plan.config.upstreams[asked.upstream].id);
            [route, upstream.into()]
        };
        let times = self.times(session, begun, ended);
        let outcome = outcome(session.head.method, ended.status);
        let slow = plan.config.features.histograms && self.latency.borrow_mut().record(numbers, names, &times, outcome);
        if slow || session.trace.is_some() {
            let story = self.story(names(), view, client, session, begun, ended, times);
            self.tell(view, session, begun, ended, story, slow);
        }
    }

    #[inline]
    fn times(&self, session: &Session, begun: Begun, ended: &Ended) -> Times {
        let mut times = Times([Times::NONE; Phase::ALL.len()]);
        let now = self.now();
        let mut put = |phase: Phase, micros: u32| times.0[phase as usize] = micros;
        put(Phase::Total, micros(begun.at, now));
        if ended.queued > 0 {
            put(Phase::Queue, ended.queued);
        }
        let Some(Asked { at, answered, .. }) = ended.asked else { return times };
        let policies = micros(begun.at, at).saturating_sub(ended.queued);
        if ended.attempts == 1 {
            put(Phase::Policies, policies);
        }
        let connect = session.connect.unwrap_or(0);
        if session.connect.is_some() {
            put(Phase::Connect, connect);
        }
        if let Some(answered) = answered {
            let body = micros(answered, now);
            put(Phase::FirstByte, micros(at, answered).saturating_sub(connect));
            put(Phase::Body, body);
            if ended.attempts == 1 && ended.whole {
                put(Phase::Overhead, policies + body);
            }
        }
        times
    }

    /// Tells of a request that was slow, or is traced.
    #[cold]
    fn tell(&self, view: &View, session: &Session, begun: Begun, ended: &Ended, story: Slow, slow: bool) {
        let own = view.plan.tracing.filter(|_| slow && view.plan.config.tracing.slow).map(|_| self.trace(parent(session)));
        if let Some(trace) = session.trace.as_deref().copied().or(own) {
            let asked = ended.asked.map(|asked| micros(begun.at, asked.at));
            self.export(Traced { trace, story: story.clone(), asked });
        }
        if slow {
            self.slow.add(story);
        }
    }

    #[cold]
    #[allow(clippy::too_many_arguments)]
    fn story(
        &self,
        [route, upstream]: [std::sync::Arc<str>; 2],
        view: &View,
        client: &Client,
        session: &Session,
        begun: Begun,
        ended: &Ended,
        times: Times,
    ) -> Slow {
        let Session { head, sender, scratch, .. } = session;
        let bytes = head.received();
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(LINE_MAX)]).into_owned();
        let line = Line::of(head, bytes, false);
        let endpoint = ended.asked.and_then(|asked| {
            let upstream = view.upstream(asked.upstream).upstream.borrow();
            upstream.endpoint_name(asked.endpoint).map(|name| name.to_string())
        });
        Slow {
            at_us: self.epoch_us.get() + begun.at.as_nanos() / 1000,
            request_id: text(kept_request_id(head, bytes, sender.trusted).unwrap_or(scratch.id.as_bytes())),
            line: format!("{} {}", text(line.method()), text(line.path())),
            route,
            upstream,
            endpoint: endpoint.unwrap_or_default(),
            status: ended.status,
            reason: ended.reason.map(|reason| reason.code()),
            attempts: ended.attempts,
            lost: ended.first.zip(ended.asked).map_or(0, |(first, asked)| micros(first, asked.at)),
            bytes_out: client.sent.get().wrapping_sub(begun.sent),
            core: self.index,
            times,
        }
    }
}

impl Request<'_> {
    /// Counts it among those that have ended, and what it took.
    pub(super) fn count(&mut self, view: &View) {
        let Request { core, client, session, begun, ended, .. } = self;
        if session.grpc {
            let status = ended.call.or(ended.reason.map(grpc::status)).unwrap_or(grpc::of_http(ended.status));
            view.count_call(ended.route, status);
            ended.call = Some(status);
        }
        core.counters.ended(ended.status, ended.reason, core.now().since(begun.at));
        core.measure(view, client, session, *begun, ended);
        ended.switched = ended.status == 101;
    }

    /// It has waited since then; for a place, unless somebody was asked before.
    pub(super) fn waited(&mut self, since: Instant) {
        let waited = micros(since, self.core.woke());
        if self.ended.first.is_none() {
            self.ended.queued = self.ended.queued.saturating_add(waited);
        }
    }
}
