//! Admitting a request: its page or route, then its places below the gateway's and the route's concurrency limits.

use std::cell::RefCell;

use super::{Exchange, Found, Incoming, Place, Plan, Scratch, Stage, Step};
use crate::clock::Instant;
use crate::error::Reason;
use crate::http::Method;
use crate::limiter::Share;
use crate::middleware::{Asked, preflight, to_https};
use crate::router::{Lookup, Routed};

impl Exchange {
    pub(super) fn arrive(&mut self, request: &Incoming<'_>, scratch: &mut Scratch, now: Instant) -> Option<Step> {
        let view = self.view.clone();
        let plan = &view.plan;
        scratch.notes.clear();
        let (generation, head) = (plan.generation, request.head.seen.heads);
        match scratch.found {
            // Captures and paths are still those of this head: a route follows from the head alone.
            Some(found) if found.generation == generation && found.head == head => {
                self.route = found.route;
                self.preflight = found.preflight;
                self.routed = true;
            }
            _ => {
                scratch.found = None;
                if let Some(step) = self.find(plan, request, scratch) {
                    return Some(step);
                }
                scratch.found = Some(Found { generation, head, route: self.route, preflight: self.preflight });
            }
        }
        self.begin_route(now);
        self.stage = Stage::Chained;
        None
    }

    /// Takes over what the route says of all its requests.
    #[inline]
    pub(super) fn begin_route(&mut self, now: Instant) {
        let route = &self.view.plan.routes[self.route];
        self.upstream = route.upstream;
        self.retries_left = route.retries;
        self.begin_answer(now);
    }

    /// The time that the answer may take begins: the request is there.
    #[inline]
    pub(super) fn begin_answer(&mut self, now: Instant) {
        let timeout = self.view.plan.routes[self.route].timeout;
        if !timeout.is_zero() {
            self.deadline = now + timeout;
        }
    }

    /// Finds the request's route, and the path that its endpoint sees; `None` once it is found.
    fn find(&mut self, plan: &Plan, request: &Incoming<'_>, scratch: &mut Scratch) -> Option<Step> {
        let Scratch { captures, normal, path, .. } = scratch;
        path.clear();
        normal.clear();
        let received = request.head.path.of(request.bytes);
        let changed = match crate::router::normalise(received, normal) {
            Ok(changed) => changed,
            Err(reason) => return Some(self.refuse(reason)),
        };
        if !changed {
            normal.clear();
        }
        let matched: &[u8] = if changed { normal } else { received };
        if let Some(page) = plan.page(matched) {
            return Some(Step::Page(page));
        }
        if let Some(port) = plan.redirect
            && !request.secure
            && matched.starts_with(b"/")
            && !matched.starts_with(ACME)
        {
            return Some(match to_https(request, port) {
                Some(answer) => Step::Answer(Box::new(answer)),
                None => self.refuse(Reason::MissingHost),
            });
        }
        let asked = Asked { incoming: request, trusted: &plan.trusted };
        let lookup = asked.lookup(matched);
        let mut routed = plan.router.route(&lookup, captures);
        if routed == Routed::MethodNotAllowed
            && let Some((_, method_name)) = preflight(request)
        {
            // A preflight asks on behalf of the method that it names: that one's route has the answer.
            let lookup = Lookup { method: Method::from_bytes(method_name), method_name, ..lookup };
            routed = plan.router.route(&lookup, captures);
            self.preflight = true;
        }
        match routed {
            Routed::Route(index) => {
                self.route = index.0 as usize;
                self.routed = true;
                let rewrite = plan.router.rewrite(index);
                if !rewrite.keeps() {
                    rewrite.write(matched, captures, path);
                } else if changed {
                    path.extend_from_slice(matched);
                }
            }
            Routed::MethodNotAllowed => {
                let mut step = self.refusal(Reason::MethodNotAllowed);
                step.allow = Some(plan.router.allowed(&lookup));
                return Some(Step::Refuse(step));
            }
            Routed::NoRoute => return Some(self.refuse(Reason::NoRoute)),
        }
        None
    }

    /// Takes the gateway's and the route's places; `None` once both are held.
    pub(super) fn take_places(&mut self, now: Instant) -> Option<Step> {
        let view = self.view.clone();
        if !self.holds.gateway {
            if let Some(step) = self.place(&view.gateway, Place::Gateway, now) {
                return Some(step);
            }
            self.holds.gateway = true;
        }
        if !self.holds.route {
            if let Some(step) = self.place(view.route(self.route), Place::Route(self.route), now) {
                return Some(step);
            }
            self.holds.route = true;
        }
        view.upstream(self.upstream).upstream.borrow_mut().budget().begin();
        self.holds.request_budget = true;
        self.stage = Stage::Picking;
        None
    }

    /// Takes one place below a limit, else one in its queue; `None` once it is taken.
    fn place(&mut self, share: &RefCell<Share>, place: Place, now: Instant) -> Option<Step> {
        let mut share = share.borrow_mut();
        if self.queued != Some(place) {
            if share.try_take() {
                return None;
            }
            if !share.try_queue() {
                drop(share);
                return Some(self.refuse(Reason::QueueFull));
            }
            self.queued = Some(place);
            self.patience = now + self.view.plan.config.limits.queue_timeout.get();
            return Some(Step::Wait(place));
        }
        if share.take_queued() {
            self.queued = None;
            return None;
        }
        if now < self.patience {
            return Some(Step::Wait(place));
        }
        share.leave_queue();
        drop(share);
        self.queued = None;
        Some(self.refuse(Reason::QueueTimeout))
    }
}

/// Where an authority looks for the proof that a host is whose it says (RFC 8555 section 8.3), without TLS.
const ACME: &[u8] = b"/.well-known/acme-challenge/";
