//! The coordinator: one thread that gathers what all cores report, and tells all what follows from it.
//!
//! It probes endpoints, looks up host names, takes signals, reloads the configuration, stops the gateway and serves the private
//! listener. Nothing waits for it: workers go on with what they last heard. Each tick it takes what came in, asks the deciding
//! modules (`reconcile`, `drain`), and carries out what they answer.

mod drain;
mod keys;
mod limits;
mod lookup;
mod post;
mod probe;
mod probe_http2;
mod probes;
mod purge;
mod reload;
mod show;
mod signals;
#[cfg(test)]
mod tests;
mod upgrade;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use crate::admin::{self, Desk, Shared};
use crate::chance::Chance;
use crate::clock::{Clock, Instant};
use crate::config::{Config, Loaded, Problems};
use crate::exchange::Plan;
use crate::limiter::LimitReport;
use crate::metrics::{BAD, GOOD};
use crate::net::{self, Deadlines, Doorbell, Engine, Listening, Stopper};
use crate::reconcile::{Lookup, ProbeId, Reconciler, Report};
use crate::service::{Notifier, Program};
use crate::tls;
use crate::worker::Command;

use drain::{Delays, Drain, Step, Stop};
use keys::Keys;
use limits::Rates;
use lookup::Lookups;
use post::Post;
use probes::Probes;
use upgrade::Upgrade;

pub use drain::Ended;
pub use signals::Signals;

/// Time between two ticks; signals and reports wait at most so long.
const TICK: Duration = Duration::from_millis(50);
/// Ticks between two copies of the endpoints' states for the pages.
const SHOW_EVERY: u64 = 10;

/// One worker, seen from the coordinator.
pub struct Seat {
    /// Commands to it.
    pub commands: Sender<Command>,
    /// Wakes it, so that it takes its commands at once.
    pub ring: Box<dyn Fn() + Send>,
    /// Whether its thread has ended.
    pub ended: Box<dyn Fn() -> bool + Send>,
}

/// Reads a configuration file.
pub type Load = Box<dyn FnMut(&Path) -> Result<Loaded, Problems> + Send>;
/// Compiles a configuration into what workers use, as the plan of this generation.
pub type Build = Box<dyn FnMut(&Loaded, u64) -> Result<Arc<Plan>, Problems> + Send>;

/// What the coordinator is given.
pub struct Setup {
    /// The process's clock.
    pub clock: Clock,
    /// What pages are made from.
    pub shared: Arc<Shared>,
    /// All workers, in order.
    pub workers: Vec<Seat>,
    /// Reports of all workers.
    pub reports: Receiver<Report>,
    /// Their reports about rate limits.
    pub limit_reports: Receiver<LimitReport>,
    /// The configuration that the workers started with.
    pub loaded: Loaded,
    /// Its file.
    pub path: Option<PathBuf>,
    /// Reads it again.
    pub load: Load,
    /// Compiles it.
    pub build: Build,
    /// The private listener.
    pub admin: Option<Listening>,
    /// Duplicates of all listeners, to be handed to a successor.
    pub sockets: Vec<Listening>,
    /// How to start one.
    pub program: Option<Program>,
    /// Signals to the process.
    pub signals: Signals,
    /// Tells the service manager.
    pub notifier: Notifier,
    /// Told once all that is asked of it is answered.
    pub ready: Sender<()>,
}

/// Runs until the gateway has stopped. Blocks its thread. The doorbell is rung for reports about rate limits that can't wait.
pub fn run(setup: Setup, doorbell: Doorbell) -> Ended {
    match net::run_on(&[Engine::Epoll], 256, |_| supervise(setup, doorbell)) {
        Ok(ended) => ended,
        Err(error) => {
            tracing::error!(%error, "the coordinator cannot run");
            Ended::Failed
        }
    }
}

async fn supervise(mut setup: Setup, doorbell: Doorbell) -> Ended {
    let lookups = match Lookups::start(lookup::system) {
        Ok(lookups) => lookups,
        Err(error) => {
            tracing::error!(%error, "cannot start the thread for host name look-ups");
            return Ended::Failed;
        }
    };
    let keys = match Keys::start(keys::get) {
        Ok(keys) => keys,
        Err(error) => {
            tracing::error!(%error, "cannot start the thread for key sets");
            return Ended::Failed;
        }
    };
    let (clock, shared, admin) = (setup.clock, setup.shared.clone(), setup.admin.take());
    let ready = setup.ready.clone();
    let deadlines = Rc::new(Deadlines::default());
    let coordinator = Rc::new(RefCell::new(Coordinator::new(setup, lookups, keys, deadlines.clone())));
    if let Some(listener) = admin {
        let reloading = coordinator.clone();
        let reload = Box::new(move || reloading.borrow_mut().reload_for_operator());
        let purging = coordinator.clone();
        let purge = Box::new(move |purges| purging.borrow_mut().purge(purges));
        match admin::serve(listener, Desk { shared, reload, purge, clock, deadlines: deadlines.clone() }) {
            Ok(stopper) => coordinator.borrow_mut().admin = Some(stopper),
            Err(error) => tracing::error!(%error, "the private listener cannot be served"),
        }
    }
    limits::answer(doorbell, &coordinator);
    let _ = ready.try_send(());
    loop {
        let now = clock.now();
        deadlines.sweep(now);
        if let Some(ended) = coordinator.borrow_mut().tick(now) {
            return ended;
        }
        limits::pause(&coordinator, TICK).await;
    }
}

/// Everything the coordinator knows.
struct Coordinator {
    clock: Clock,
    shared: Arc<Shared>,
    workers: Vec<(Seat, Post, bool)>,
    reports: Receiver<Report>,
    /// The configuration in force.
    config: Arc<Config>,
    hash: u64,
    /// The configuration of the start: what needs a restart is still as it says.
    started: Arc<Config>,
    path: Option<PathBuf>,
    load: Load,
    build: Build,
    signals: Signals,
    notifier: Notifier,
    reconciler: Reconciler,
    rates: Rates,
    probes: Probes<ProbeId>,
    /// What endpoints with `https://` are probed with, by upstream.
    clients: HashMap<String, tls::Client>,
    lookups: Lookups<Lookup>,
    keys: Keys,
    drain: Drain,
    upgrade: Upgrade,
    /// Ends the private listener.
    admin: Option<Stopper>,
    chance: Chance,
}

impl Coordinator {
    fn new(setup: Setup, lookups: Lookups<Lookup>, mut keys: Keys, deadlines: Rc<Deadlines>) -> Self {
        let Setup {
            clock, shared, workers, reports, limit_reports, loaded, path, load, build, signals, notifier, sockets, program, ..
        } = setup;
        let Loaded { config, hash, .. } = loaded;
        keys.reconfigure(&keys::configured(&config), clock.now());
        show::warn_of_trials(&config);
        shared.switch_metrics_page(config.features.metrics);
        let generation = shared.loading().generation;
        let cores = u32::try_from(workers.len()).expect("fewer than 2^32 workers");
        Coordinator {
            clock,
            shared,
            workers: workers.into_iter().map(|seat| (seat, Post::default(), false)).collect(),
            reports,
            rates: Rates::new(cores, &config, generation, limit_reports, clock.now()),
            reconciler: Reconciler::new(cores, &config, generation, clock.now()),
            clients: probe::clients(&config),
            started: config.clone(),
            config,
            hash,
            path,
            load,
            build,
            signals,
            notifier,
            probes: Probes::new(clock, deadlines),
            lookups,
            keys,
            drain: Drain::new(),
            upgrade: Upgrade::new(program, sockets),
            admin: None,
            chance: Chance::new(std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)),
        }
    }

    /// Takes what came in since the last tick and carries out what follows; how the gateway ended, if it did.
    fn tick(&mut self, now: Instant) -> Option<Ended> {
        for _ in 0..self.reports.len() {
            let Ok(report) = self.reports.try_recv() else { break };
            if !report.purges.is_empty() {
                self.pass_on(report.core, &report.purges);
            }
            report.keys_wanted.iter().for_each(|url| self.keys.want(url, now));
            self.reconciler.on_report(report, now);
        }
        self.take_probes(now);
        self.take_lookups(now);
        self.take_keys(now);
        if self.signals.take_hangup() {
            let _ = self.reload(now, None);
        }
        for (update, (_, post, _)) in self.reconciler.tick(now).into_iter().zip(&mut self.workers) {
            if post.update(update) {
                self.shared.registry.process.updates_replaced.add(1);
            }
        }
        let changes = self.reconciler.changes();
        changes.iter().for_each(show::tell);
        let ticks = &self.shared.registry.process.ticks;
        if !changes.is_empty() || ticks.count().is_multiple_of(SHOW_EVERY) {
            show::publish(&self.reconciler, &mut self.rates, &self.shared);
            self.shared.set_key_ages(self.keys.ages(now));
        }
        ticks.add(1);
        self.notifier.alive(now);
        let ended = self.stop(now);
        self.tick_rates();
        ended
    }

    fn take_probes(&mut self, now: Instant) {
        for (id, result) in self.probes.take() {
            self.shared.registry.process.probes.add(if result.is_ok() { GOOD } else { BAD }, 1);
            let turned = self.reconciler.on_probe(&id, result.as_ref().copied().map_err(ToString::to_string));
            if let Err(failure) = &result {
                failure.tell(&id.upstream, &id.endpoint, turned);
            }
        }
        let draw = self.chance.draw();
        for due in self.reconciler.due_probes(now, draw) {
            let tls = self.clients.get(&*due.id.upstream).and_then(|client| Some((client.config.clone(), client.name_of(&due.url)?)));
            let ask = probe::Ask {
                address: due.address,
                tls,
                introduction: due.proxy_protocol.version(),
                timeout: due.settings.timeout.get(),
                protocol: due.protocol,
                host: due.host,
                check: due.settings,
            };
            self.probes.begin(due.id, ask);
        }
    }

    fn take_lookups(&mut self, now: Instant) {
        let counts = &self.shared.registry.process.lookups;
        while let Some((lookup, answer)) = self.lookups.take() {
            counts.add(if answer.is_ok() { GOOD } else { BAD }, 1);
            let addresses = answer.unwrap_or_else(|error| {
                let Lookup { upstream, endpoint, host, .. } = &lookup;
                tracing::warn!(%upstream, %endpoint, %host, %error, "host name not found; addresses that it had before stay in use");
                Vec::new()
            });
            self.reconciler.on_resolved(&lookup, addresses, now);
        }
        for due in self.reconciler.due_lookups(now) {
            if !self.lookups.ask(due.clone(), due.host.clone(), due.port) {
                self.reconciler.on_resolved(&due, Vec::new(), now);
            }
        }
    }

    fn send_posts(&mut self) {
        for (index, (seat, post, gone)) in self.workers.iter_mut().enumerate() {
            let sent = post.send(|command| seat.commands.try_send(command));
            if sent.any {
                (seat.ring)();
            }
            if (sent.gone || (seat.ended)()) && !*gone && !self.drain.begun() {
                *gone = true;
                tracing::error!(worker = index, "a worker has ended, which it never should; the others go on");
            }
        }
    }

    /// Takes signals to stop and moves stopping on.
    fn stop(&mut self, now: Instant) -> Option<Ended> {
        let timeouts = &self.config.timeouts;
        let delays = Delays { notice: timeouts.drain_delay.get(), finish: timeouts.drain.get() };
        let mut steps = self.upgrade(delays, now);
        if self.signals.take_terminate() {
            steps.extend(self.drain.on_stop(Stop::Terminate, delays, now));
        }
        if self.signals.take_interrupt() {
            steps.extend(self.drain.on_stop(Stop::Interrupt, delays, now));
        }
        let (idle, open) = self.idle();
        if steps.is_empty() {
            steps = self.drain.on_tick(idle, delays, now);
        }
        for step in steps {
            match step {
                Step::FailReadiness => {
                    self.upgrade.give_up();
                    self.notifier.stopping();
                    self.shared.start_draining();
                    self.workers.iter_mut().for_each(|(_, post, _)| post.leave());
                    tracing::info!(connections = open, "stopping: readiness fails from here on");
                }
                Step::HandOver => {
                    self.workers.iter_mut().for_each(|(_, post, _)| post.hand_over());
                    tracing::info!(connections = open, "stopping: connections end with their next answer");
                }
                Step::StopAccepting => {
                    self.workers.iter_mut().for_each(|(_, post, _)| post.drain());
                    tracing::info!(connections = open, wait = ?delays.finish, "stopping: no further connections are accepted");
                }
                Step::End(ended) => {
                    match ended {
                        Ended::Drained => tracing::info!("stopped: all requests were finished"),
                        Ended::TimedOut => {
                            tracing::warn!(connections = open, "stopped: timeouts.drain is over, connections were cut");
                        }
                        _ => tracing::warn!(connections = open, "stopped at once by a second signal"),
                    }
                    return Some(ended);
                }
            }
        }
        let all_gone = !self.workers.is_empty() && self.workers.iter().all(|(seat, ..)| (seat.ended)());
        if all_gone && !self.drain.begun() {
            tracing::error!("all workers have ended, which they never should");
            return Some(Ended::Failed);
        }
        None
    }

    /// Whether no worker accepts and no client is connected, and how many are.
    fn idle(&self) -> (bool, u64) {
        let live = self.workers.iter().zip(&self.shared.registry.cores).filter(|((seat, ..), _)| !(seat.ended)());
        let (mut accepting, mut open) = (0, 0);
        for (_, core) in live {
            accepting += core.accepting.count();
            open += core.connections.count();
        }
        (accepting == 0 && open == 0, open)
    }
}
