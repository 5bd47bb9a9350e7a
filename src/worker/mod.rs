//! A worker: one thread pinned to one core, with its own listener and engine. It meets the coordinator only in messages.

mod accept;
mod introduced;
mod tick;

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use core_affinity::CoreId;
use crossbeam_channel::{Receiver, Sender};

use crate::admin::{self, Shared};
use crate::auth::KeySets;
use crate::cache::{Purge, Purged};
use crate::clock::Clock;
use crate::config::Driver;
use crate::exchange::{Plan, View};
use crate::latency::Recorder;
use crate::limiter::{LimitReport, LimitUpdate};
use crate::metrics::{self, DRIVER_EPOLL, DRIVER_IO_URING};
use crate::net::{Acceptor, Bell, Buffers, Doorbell, Engine, Listening, run_on};
use crate::proxy::{Core, Parts, Scribe, Traced};
use crate::reconcile::{Report, Update};
use crate::{balancer, checks};

/// What the coordinator tells a worker.
pub enum Command {
    /// Serve by this plan from the next request on, and say so if asked to.
    Plan(Arc<Plan>, Option<Sender<()>>),
    /// What all cores together know.
    Update(Update),
    /// What to hold of rate limits.
    Limits(LimitUpdate),
    /// The key sets that are known.
    Keys(Arc<KeySets>),
    /// Make these unavailable in the cache, and say what came of it if asked to.
    Purge(Arc<[Purge]>, Option<Sender<Purged>>),
    /// End each connection with the answer it gets next, and accept on.
    Leave,
    /// Accept no more, as others have the listeners; end each connection with the answer it gets next.
    HandOver,
    /// Accept no more; end connections after the request under way.
    Drain,
}

/// What a worker needs to begin.
pub struct Seat {
    /// Its number.
    pub index: usize,
    /// How many workers there are.
    pub cores: usize,
    /// The core it is pinned to.
    pub core_id: Option<CoreId>,
    /// Its own listener on the common address; several if they are more than the workers.
    pub listeners: Vec<Listening>,
    /// What it serves by.
    pub plan: Arc<Plan>,
    /// Commands of the coordinator.
    pub inbox: Receiver<Command>,
    /// Reports to the coordinator.
    pub outbox: Sender<Report>,
    /// Reports about rate limits, which may not be able to wait for a tick of the coordinator.
    pub limits: Sender<LimitReport>,
    /// Wakes the coordinator for them.
    pub coordinator: Bell,
    /// Its counters.
    pub metrics: Arc<metrics::Core>,
    /// What the built-in pages show.
    pub shared: Arc<Shared>,
    /// The process's clock.
    pub clock: Clock,
    /// Takes its records for the access log over.
    pub scribe: Box<dyn Scribe + Send>,
    /// Bytes of records for the access log that it may hold.
    pub journal: usize,
    /// Takes passwords that are to be checked.
    pub checks: checks::Counter,
    /// Takes requests that were traced; says whether there was room.
    pub spans: Box<dyn Fn(Traced) -> bool + Send>,
    /// Gives freed memory of this thread back to the system.
    pub release_memory: fn(),
    /// Where workers wait, all but accepting, until each of them can: a start that fails has taken no connection. Each message
    /// lets one through; those that wait when the sender is gone end.
    pub open: Receiver<()>,
}

/// Told once by each worker: its number, and what stands in its way if something does.
pub type Arrivals = Sender<(usize, io::Result<()>)>;

/// What a worker exchanges with the coordinator through.
struct Desk {
    inbox: Receiver<Command>,
    outbox: Sender<Report>,
    limits: Sender<LimitReport>,
    coordinator: Bell,
}

/// A running worker.
pub struct Handle {
    thread: JoinHandle<()>,
    bell: Bell,
}

impl Handle {
    /// Wakes the worker to read its inbox at once.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts a worker.
///
/// # Errors
/// When the process has no thread or descriptor left.
pub fn spawn(seat: Seat, there: Arrivals) -> io::Result<Handle> {
    let (bell, doorbell) = Bell::new()?;
    let own = bell.clone();
    let thread = std::thread::Builder::new().name(format!("worker-{}", seat.index)).spawn(move || run(seat, there, own, doorbell))?;
    Ok(Handle { thread, bell })
}

fn run(seat: Seat, there: Arrivals, bell: Bell, doorbell: Doorbell) {
    if let Some(core) = seat.core_id
        && !core_affinity::set_for_current(core)
    {
        tracing::warn!(worker = seat.index, core = core.id, "worker could not be pinned");
    }
    let engines: &[Engine] = match seat.plan.config.runtime.driver {
        Driver::Auto => &[Engine::UringDefer, Engine::UringCoop, Engine::Uring, Engine::Epoll],
        Driver::IoUring => &[Engine::UringDefer, Engine::UringCoop, Engine::Uring],
        Driver::Epoll => &[Engine::Epoll],
    };
    let entries = seat.plan.config.runtime.ring_entries;
    let (index, accepting, there) = (seat.index, seat.metrics.clone(), Cell::new(Some(there)));
    let ended = run_on(engines, entries, |engine| {
        let driver = if engine == Engine::Epoll { DRIVER_EPOLL } else { DRIVER_IO_URING };
        seat.metrics.driver.at(driver).set(1);
        tracing::info!(worker = seat.index, engine = engine.name(), "worker runs");
        work(seat, there.take(), bell, doorbell)
    });
    if let (Err(error), Some(there)) = (ended, there.take()) {
        let _ = there.send((index, Err(io::Error::other(error))));
    }
    accepting.accepting.set(0);
}

async fn work(seat: Seat, there: Option<Arrivals>, bell: Bell, doorbell: Doorbell) {
    let Seat { index, listeners, inbox, outbox, limits, coordinator, release_memory, open, .. } = seat;
    let port = listeners.first().and_then(|listening| listening.socket.local_addr().ok());
    let port = port.map(|address| address.port().to_string()).unwrap_or_default();
    let now = seat.clock.now();
    let number = u32::try_from(index).unwrap_or(0);
    let here = balancer::Seat { core: number, cores: u32::try_from(seat.cores).unwrap_or(1) };
    let runtime = &seat.plan.config.runtime;
    let [size, large] = [runtime.buffer, runtime.body_buffer].map(|size| size.get() as usize + HEAD_ROOM);
    let shared = seat.shared;
    let core = Core::new(Parts {
        index: u16::try_from(index).unwrap_or(u16::MAX),
        journal: seat.journal,
        scribe: seat.scribe,
        checks: Box::new(seat.checks.desk(bell.clone())),
        clock: seat.clock,
        view: View::new(seat.plan, here, chance(number), now),
        buffers: Buffers::new(size, large, BUFFERS_KEPT),
        counters: seat.metrics,
        latency: Recorder::new(shared.registry.latency.clone()),
        slow: shared.registry.slow.clone(),
        spans: seat.spans,
        pages: Box::new(move |page| {
            let page = admin::respond(page, &shared);
            (page.status, page.content_type, page.body)
        }),
        port,
        chance: chance(number),
        hurry: Box::new(move || bell.ring()),
    });
    let desk = Desk { inbox, outbox, limits, coordinator };
    let worker = tick::Worker::new(core.clone(), desk, release_memory);
    let acceptors: io::Result<Vec<Acceptor>> = listeners.into_iter().map(Acceptor::new).collect();
    let (acceptors, arrived) = match acceptors {
        Ok(acceptors) => (Some(acceptors), Ok(())),
        Err(error) => (None, Err(error)),
    };
    drop(there.map(|there| there.send((index, arrived))));
    // Nothing else runs on this core yet.
    if let (Some(acceptors), Ok(())) = (acceptors, open.recv()) {
        tick::run(worker, accept::start(&core, acceptors), doorbell).await;
    }
}

/// A number that differs from core to core and from start to start, for spreading.
fn chance(index: u32) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(index);
    if let Ok(since) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        hasher.write_u128(since.as_nanos());
    }
    hasher.finish()
}

/// Room for a head beside a full window of body, so that both go in one send.
const HEAD_ROOM: usize = 2048;
/// Free buffers kept.
const BUFFERS_KEPT: usize = 128;
