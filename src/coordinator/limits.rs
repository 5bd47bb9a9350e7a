//! Rate limits at the coordinator: woken by cores that are short of something, and ticking faster only while they are.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::Coordinator;
use crate::admin::RateLimitState;
use crate::clock::Instant;
use crate::config::Config;
use crate::limiter::{Limit, LimitReport, LimitUpdate};
use crate::middleware;
use crate::net::{self, Doorbell};
use crate::reconcile::Limits;

/// Rate limits at the coordinator.
pub(super) struct Rates {
    limits: Limits,
    reports: Receiver<LimitReport>,
    ticked: Instant,
    /// A round is due that came too soon after the last one.
    late: bool,
    /// What `shadow` had let through when that was last logged.
    told: HashMap<Arc<str>, u64>,
}

/// Between two rounds at least.
const ROUND: Duration = Duration::from_millis(1);
/// Between two rounds while cores are short of something.
const BUSY: Duration = Duration::from_millis(5);

impl Rates {
    pub fn new(cores: u32, config: &Config, generation: u64, reports: Receiver<LimitReport>, now: Instant) -> Self {
        let mut limits = Limits::new(cores);
        limits.reconfigure(configured(config), generation, now);
        Rates { limits, reports, ticked: now, late: false, told: HashMap::new() }
    }

    pub fn reconfigure(&mut self, config: &Config, generation: u64, now: Instant) {
        self.limits.reconfigure(configured(config), generation, now);
    }

    /// Takes what cores have reported; what they are to be told.
    pub fn tick(&mut self, now: Instant) -> Vec<(usize, LimitUpdate)> {
        self.ticked = now;
        for report in self.reports.try_iter().take(self.reports.len()) {
            self.limits.on_report(&report, now);
        }
        self.limits.tick(now)
    }

    /// What pages show, and what `shadow` let through since this was last asked, by limit.
    pub fn show(&mut self) -> (Vec<RateLimitState>, Vec<(Arc<str>, u64)>) {
        let (mut states, mut lines) = (Vec::new(), Vec::new());
        for state in self.limits.snapshot() {
            let told = self.told.entry(Arc::clone(&state.name)).or_default();
            let more = state.tally.shadowed.saturating_sub(*told);
            *told = state.tally.shadowed;
            if more > 0 {
                lines.push((Arc::clone(&state.name), more));
            }
            states.push(RateLimitState {
                limiter: state.name.to_string(),
                decisions: [state.tally.allowed, state.tally.limited, state.tally.shadowed],
                keys: state.tally.keys,
                evicted: state.tally.evicted,
                hot: state.hot,
                left_alone: state.left_alone,
                error: state.error,
            });
        }
        (states, lines)
    }
}

impl Coordinator {
    /// Takes and makes what is to be said of rate limits; sends all that waits.
    pub(super) fn tick_rates(&mut self) {
        let now = self.clock.now();
        for (core, update) in self.rates.tick(now) {
            self.workers[core].1.limits(update);
        }
        self.send_posts();
    }
}

/// Takes reports when a core rings.
pub(super) fn answer(doorbell: Doorbell, coordinator: &Rc<RefCell<Coordinator>>) {
    let coordinator = coordinator.clone();
    net::spawn(async move {
        if let Err(error) = doorbell.answer(|| rung(&coordinator)).await {
            tracing::error!(%error, "the coordinator's doorbell broke");
        }
    });
}

/// Waits so long; while cores are short of something, with rounds in between.
pub(super) async fn pause(coordinator: &Rc<RefCell<Coordinator>>, time: Duration) {
    let mut left = time;
    while coordinator.borrow().rates.limits.is_busy() && left > BUSY {
        net::pause(BUSY).await;
        left -= BUSY;
        coordinator.borrow_mut().tick_rates();
    }
    net::pause(left).await;
}

/// A core has rung. Its report is taken at once, unless the last round was less than a millisecond ago: then once it is.
fn rung(coordinator: &Rc<RefCell<Coordinator>>) {
    let mut desk = coordinator.borrow_mut();
    let now = desk.clock.now();
    if now.since(desk.rates.ticked) >= ROUND {
        desk.tick_rates();
    } else if !desk.rates.late {
        desk.rates.late = true;
        let coordinator = coordinator.clone();
        net::spawn(async move {
            net::pause(ROUND).await;
            let mut desk = coordinator.borrow_mut();
            desk.rates.late = false;
            desk.tick_rates();
        });
    }
}

/// The rate limits that are switched on.
fn configured(config: &Config) -> Vec<(Arc<str>, Limit)> {
    if !config.features.rate_limit {
        return Vec::new();
    }
    middleware::rate_limits(&config.middlewares, config.routes.iter().map(|route| (route.name(), &*route.middlewares)))
}
