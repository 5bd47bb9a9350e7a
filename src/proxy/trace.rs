//! Requests that are traced: which they are, what their endpoints are told of it, and where their story goes.

use super::core::{Core, Session};
use crate::exchange::Plan;
use crate::http::Known;
use crate::latency::Slow;
use crate::trace::{Parent, Trace};

/// A request that was traced.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Its spans.
    pub trace: Trace,
    /// Its story.
    pub story: Slow,
    /// When an endpoint was asked last, in microseconds from its begin; `None` if none was.
    pub asked: Option<u32>,
}

impl Traced {
    /// How many spans it has.
    pub const fn spans(&self) -> u64 {
        1 + self.asked.is_some() as u64
    }
}

impl Core {
    /// Decides whether a request is traced: by chance, or because a trusted proxy says that it is.
    #[inline]
    pub(super) fn sample(&self, plan: &Plan, session: &mut Session) {
        session.trace = None;
        if let Some(threshold) = plan.tracing {
            self.sample_within(threshold, session);
        }
    }

    fn sample_within(&self, threshold: u64, session: &mut Session) {
        let parent = parent(session);
        if (session.sender.trusted && parent.is_some_and(|parent| parent.sampled)) || self.draw() < threshold {
            session.trace = Some(Box::new(self.trace(parent)));
        }
    }

    /// Spans for a request, in the trace of whoever asks, or in one of its own.
    pub(super) fn trace(&self, parent: Option<Parent>) -> Trace {
        let fresh = || u128::from(self.draw() | 1) << 64 | u128::from(self.draw());
        Trace {
            trace: parent.map_or_else(fresh, |parent| parent.trace),
            parent: parent.map(|parent| parent.span),
            server: self.draw() | 1,
            client: self.draw() | 1,
        }
    }

    /// Hands the story of a traced request over.
    pub(super) fn export(&self, traced: Traced) {
        let spans = traced.spans();
        if !(self.spans)(traced) {
            self.counters.spans_dropped.add(spans);
        }
    }
}

/// What the request's `traceparent` says, if it has exactly one.
pub(super) fn parent(session: &Session) -> Option<Parent> {
    let bytes = session.head.received();
    let mut told = session.head.fields.iter().filter(|field| field.known == Known::Traceparent);
    let first = told.next()?;
    if told.next().is_some() { None } else { Parent::read(first.value.of(bytes)) }
}

impl Session {
    /// Tells the endpoint of the trace, if it is the first that is asked: others are told the same.
    #[inline]
    pub(super) fn tell_trace(&mut self, first: bool) {
        if let Some(trace) = self.trace.as_ref().filter(|_| first) {
            self.scratch.notes.request.set("traceparent", trace.traceparent().as_bytes());
        }
    }
}
