//! What a worker does besides requests, every tick: deadlines, the coordinator's commands, the report to it, idle connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::{Command, Desk};
use crate::cache::Purged;
use crate::clock::{Instant, thread_time};
use crate::exchange::View;
use crate::metrics::UPSTREAM_IDLE;
use crate::net::{self, Doorbell, Stopper};
use crate::proxy::Core;
use crate::reconcile::Report;

/// A worker's side of the conversation with the coordinator.
pub(super) struct Worker {
    core: Rc<Core>,
    desk: Desk,
    sequence: u64,
    second: Instant,
    /// Once draining: when connections without a request are ended.
    end_idle_from: Instant,
    /// And when upgraded ones are.
    end_upgraded_from: Instant,
    release_memory: fn(),
    /// When the next tick is due, and the processor time until the last second.
    due: Instant,
    cpu: Duration,
}

impl Worker {
    pub(super) fn new(core: Rc<Core>, desk: Desk, release_memory: fn()) -> Self {
        Worker {
            core,
            desk,
            sequence: 0,
            second: Instant::ZERO,
            end_idle_from: Instant::ZERO,
            end_upgraded_from: Instant::ZERO,
            release_memory,
            due: Instant::MAX,
            cpu: Duration::ZERO,
        }
    }

    /// Obeys what the coordinator has sent.
    fn obey(&mut self, stoppers: &[Stopper]) {
        let core = &self.core;
        let now = core.woke();
        core.take_replies();
        let mut answer = false;
        while let Ok(command) = self.desk.inbox.try_recv() {
            match command {
                Command::Plan(plan, reply) => {
                    let next = View::next(&core.view.borrow(), plan, now);
                    core.view.replace(Rc::new(next));
                    if let Some(reply) = reply {
                        let _ = reply.try_send(());
                    }
                }
                Command::Update(update) => {
                    core.view.borrow().apply(&update, now);
                    // Shares may have grown.
                    core.waiters.wake_all();
                }
                Command::Limits(update) => answer |= core.view.borrow().limiters().borrow_mut().apply(&update, now),
                Command::Keys(sets) => core.view.borrow().keys().replace(sets),
                Command::Purge(purges, reply) => {
                    let view = core.view.borrow();
                    let purged = view.cache().map_or(Purged { responses: 0, complete: true }, |cache| {
                        let at_once: usize = purges.iter().map(|purge| cache.purge(purge)).sum();
                        let responses = at_once + cache.sweep(CACHE_SWEPT);
                        Purged { responses, complete: cache.is_swept() }
                    });
                    if let Some(reply) = reply {
                        let _ = reply.try_send(purged);
                    }
                }
                Command::Leave => core.leaving.set(true),
                Command::HandOver => {
                    core.leaving.set(true);
                    stoppers.iter().for_each(Stopper::hand_over);
                }
                Command::Drain => {
                    core.leaving.set(true);
                    core.draining.set(true);
                    // What follows is handed over as it is noted.
                    core.hand_over();
                    self.end_idle_from = now + NOTICE;
                    let patience = core.view.borrow().plan.config.timeouts.drain_upgraded.get();
                    self.end_upgraded_from = if patience.is_zero() { Instant::MAX } else { now + patience };
                    stoppers.iter().for_each(Stopper::stop);
                }
            }
        }
        if answer || core.view.borrow().limiters().borrow().is_urgent() {
            self.report_limits(true, now);
        }
    }

    /// Tells the coordinator of rate limits: at once, if it is urgent.
    fn report_limits(&self, urgent: bool, now: Instant) {
        let Some(report) = self.core.view.borrow().limiters().borrow_mut().report(now) else { return };
        if self.desk.limits.try_send(report).is_err() {
            self.core.counters.reports_dropped.add(1);
        } else if urgent {
            self.desk.coordinator.ring();
        }
    }

    /// Whether keys of rate limits that the coordinator looks after are asked for.
    fn limits_busy(&self) -> bool {
        self.core.view.borrow().limiters().borrow().is_busy()
    }

    fn tick(&mut self) {
        let core = &self.core;
        let now = core.woke();
        let late = now.since(self.due).saturating_sub(LATE);
        if !late.is_zero() {
            core.counters.stalled.add(late);
            core.deadlines.slept(self.due, now);
        }
        core.deadlines.sweep(now);
        if core.draining.get() && now >= self.end_idle_from {
            core.deadlines.end_idle();
        }
        if core.draining.get() && now >= self.end_upgraded_from {
            core.deadlines.end_upgraded();
        }
        core.take_replies();
        core.waiters.wake_all();
        self.sequence += 1;
        let purges = core.purges.take();
        let report = Report { purges, ..core.view.borrow().report(self.sequence, now) };
        if let Err(error) = self.desk.outbox.try_send(report) {
            core.counters.reports_dropped.add(1);
            core.tell_others(error.into_inner().purges);
        }
        let counters = &core.counters;
        // A reload may have switched it off.
        let (objects, bytes) = core.view.borrow().cache().map_or((0, 0), |cache| {
            cache.sweep(CACHE_SWEPT);
            let (stored, evicted) = cache.take_counts();
            counters.cache_stored.add(stored);
            counters.cache_evictions.add(evicted);
            (cache.count(), cache.bytes())
        });
        counters.cache_objects.set(objects as u64);
        counters.cache_bytes.set(bytes as u64);
        self.report_limits(false, now);
        core.hand_over();
        core.pool.sweep(now);
        core.counters.upstream_connections.at(UPSTREAM_IDLE).set(core.pool.len() as u64);
        if now.since(self.second) >= Duration::from_secs(1) || self.second == Instant::ZERO {
            self.second = now;
            let cpu = thread_time();
            core.counters.cpu.add(cpu.saturating_sub(std::mem::replace(&mut self.cpu, cpu)));
            if core.take_cooled() >= COOLED_MANY {
                core.buffers.trim(BUFFERS_SPARE);
                (self.release_memory)();
            }
            let wall = SystemTime::now();
            let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            core.wall.set(since.as_secs());
            core.epoch_us.set(u64::try_from(since.as_micros()).unwrap_or(u64::MAX).saturating_sub(now.as_nanos() / 1000));
            let date = format!("Date: {}\r\n", httpdate::fmt_http_date(wall));
            if let Ok(date) = date.as_bytes().try_into() {
                core.date.set(date);
            }
        }
    }
}

/// Ticks until the coordinator is gone.
pub(super) async fn run(worker: Worker, stoppers: Vec<Stopper>, doorbell: Doorbell) {
    let core = worker.core.clone();
    let worker = Rc::new(RefCell::new(worker));
    let rung = worker.clone();
    net::spawn(async move {
        if let Err(error) = doorbell.answer(|| rung.borrow_mut().obey(&stoppers)).await {
            tracing::error!(%error, "the doorbell broke");
        }
    });
    loop {
        worker.borrow_mut().tick();
        let shortest = core.view.borrow().plan.shortest_limit;
        let mut left = (shortest / 4).clamp(TICK_MIN, TICK);
        while worker.borrow().limits_busy() && left > TICK_BUSY {
            net::pause(TICK_BUSY).await;
            left -= TICK_BUSY;
            worker.borrow().report_limits(false, core.woke());
        }
        worker.borrow_mut().due = core.now() + left;
        net::pause(left).await;
    }
}

/// How long clients that are busy have, once draining, for a next request whose answer tells them that it is the last. Ending their
/// connections between two requests would lose the one on its way.
const NOTICE: Duration = Duration::from_millis(250);
/// A tick that comes so late isn't late: timers are that coarse.
const LATE: Duration = Duration::from_millis(5);
/// Time between two ticks, and the least there is.
const TICK: Duration = Duration::from_millis(100);
const TICK_MIN: Duration = Duration::from_millis(5);
/// Between two reports about rate limits while clients are at them.
const TICK_BUSY: Duration = Duration::from_millis(10);
/// Entries of the cache looked at in a tick to free what was purged: a millisecond's work at most.
const CACHE_SWEPT: usize = 10_000;
/// So many connections falling idle within a second leave enough memory behind that giving it back is worth a pause.
const COOLED_MANY: u32 = 256;
/// Free buffers kept then.
const BUFFERS_SPARE: usize = 16;
