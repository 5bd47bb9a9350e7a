//! Admitting a request: its page or route, then its places below the gateway's and the route's concurrency limits.

use std::cell::RefCell;

use super::{Exchange, Incoming, Place, Scratch, Stage, Step};
use crate::clock::Instant;
use crate::error::Reason;
use crate::limiter::Share;
use crate::router::Routed;

impl Exchange {
    pub(super) fn arrive(&mut self, request: &Incoming<'_>, scratch: &mut Scratch, now: Instant) -> Option<Step> {
        let view = self.view.clone();
        let plan = &view.plan;
        let Scratch { captures, normal, path, notes } = scratch;
        path.clear();
        normal.clear();
        notes.clear();
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
        let lookup = request.lookup(matched);
        match plan.router.route(&lookup, captures) {
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
        let route = &plan.routes[self.route];
        self.retries_left = route.retries;
        if !route.timeout.is_zero() {
            self.deadline = now + route.timeout;
        }
        self.stage = Stage::Chained;
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
        view.member(self.route).upstream.borrow_mut().budget().begin();
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
