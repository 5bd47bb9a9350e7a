//! Starting and stopping the whole: listeners, workers, coordinator, in this order; then waiting until it has drained.

mod error;
mod listen;

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use core_affinity::CoreId;
use crossbeam_channel::bounded;
use signal_hook::consts::SIGUSR1;

use crate::admin::Shared;
use crate::clock::{Clock, unix_seconds};
use crate::config::{self, Loaded};
use crate::coordinator::{self, Ended, Signals};
use crate::exchange::Plan;
use crate::latency::Board;
use crate::metrics;
use crate::middleware::{Registry, Secret};
use crate::net::Bell;
use crate::otlp::{self, Exporter};
use crate::proxy::Traced;
use crate::router::Router;
use crate::service::Service;
use crate::tls::Tickets;
use crate::{checks, flight, log, net, scribe, worker};

use listen::{bind_admin, bind_all, duplicates, spread_all};

pub use error::StartError;

/// Commands that wait for a worker.
const INBOX: usize = 16;
/// Reports that wait for the coordinator, per worker.
const REPORTS: usize = 64;

/// What is done once the gateway listens.
pub type OnReady = Box<dyn FnOnce(&Running)>;

/// What a start needs beside the configuration.
#[derive(Default)]
pub struct Options {
    /// The configuration's file, read again on reload; without it there is nothing to reload.
    pub path: Option<PathBuf>,
    /// Called once the gateway listens.
    pub on_ready: Option<OnReady>,
    /// Middlewares that the program brings along, for `custom` entries.
    pub middlewares: Registry,
    /// Gives freed memory back to the system; called on a worker's thread after many connections have fallen idle.
    pub release_memory: Option<fn()>,
    /// The service manager that started this process, and the process that it is to replace, if there are any.
    pub service: Service,
}

/// A gateway that listens.
#[derive(Clone, Debug)]
pub struct Running {
    /// Where clients connect.
    pub listener: SocketAddr,
    /// Where they connect by HTTPS, if anywhere.
    pub tls: Option<SocketAddr>,
    /// Where operators connect, if anywhere.
    pub admin: Option<SocketAddr>,
    /// The counters and the state of the endpoints.
    pub shared: Arc<Shared>,
}

/// Runs the gateway until it is told to stop and has drained.
///
/// What happens is told by `tracing` events, to whom the program has installed for them: [`log::install`] writes lines.
/// Prints `listening on http://ADDRESS`, the same with `https` if there is TLS, and `admin on http://ADDRESS` to standard output once
/// clients can connect.
///
/// # Errors
/// When it could not start; nothing is left running that matters, the process should exit.
pub fn run(loaded: Loaded, options: Options) -> Result<ExitCode, StartError> {
    let config = loaded.config.clone();
    log::configure(config.features.logging.then_some(config.logging.level));
    let signals = Signals::install().map_err(|error| StartError::Process { what: "handle signals", error })?;
    net::set_descriptor_limit();
    let clock = Clock::start();
    let registry = options.middlewares;
    let secret = secret();
    let tickets = Tickets::default();
    let make = move |loaded: &Loaded, generation| {
        let plan = build_with(loaded, generation, &registry)?;
        let tls = plan.tls.clone().map(|tls| tls.with(&tickets));
        Ok(Arc::new(Plan { secret, tls, ..plan }))
    };
    let plan = make(&loaded, 1).map_err(StartError::Config)?;

    if config.runtime.driver == config::Driver::IoUring {
        net::try_uring(config.runtime.ring_entries).map_err(StartError::Engine)?;
    }
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let quota = std::thread::available_parallelism().map_or(1, NonZero::get);
    let seats = seats(config.runtime.workers, config.runtime.pin, &cores, quota);
    let Service { notifier, mut inherited, program } = options.service;
    let ports = bind_all(&config, &mut inherited, seats.len())?;
    let listening: Vec<(&'static str, SocketAddr)> = ports.iter().map(|port| (port.setting, port.address)).collect();
    let admin = bind_admin(&config, &mut inherited)?;
    let admin_address = admin.as_ref().and_then(|listening| listening.socket.local_addr().ok());
    if let Some(left) = inherited.left() {
        return Err(StartError::Inherited { address: left, listening, admin: admin_address });
    }
    let failed = |error| StartError::Process { what: "duplicate the listeners", error };
    let sockets = duplicates(&ports, &admin).map_err(failed)?;
    let listeners = spread_all(ports, seats.len()).map_err(failed)?;

    let path = options.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let registry = metrics::Registry { latency: Arc::new(Board::new(config.latency.series)), ..metrics::Registry::new(seats.len()) };
    let shared = Arc::new(Shared::new(registry, path, loaded.hash, SystemTime::now()));
    shared.set_certificates(plan.certificates());
    plan.ended_certificates(unix_seconds(SystemTime::now())).iter().for_each(|ended| tracing::warn!("{ended}"));
    let (outbox, reports) = bounded(REPORTS * seats.len());
    let (limits, limit_reports) = bounded(REPORTS * seats.len());
    let (coordinator, doorbell) = Bell::new().map_err(|error| StartError::Process { what: "make a doorbell", error })?;
    let scribe = scribe::start(seats.len(), shared.registry.access_log.clone());
    let (desks, scribe) = scribe.map_err(|error| StartError::Process { what: "start the access log's thread", error })?;
    scribe.reopen_on(SIGUSR1).map_err(|error| StartError::Process { what: "handle signals", error })?;
    let flight = flight::start(shared.clone(), &config.latency);
    let flight = flight.map_err(|error| StartError::Process { what: "keep histograms of response times (latency.directory)", error })?;
    let exporter = otlp::start(&config.tracing, shared.registry.spans.clone());
    let exporter = exporter.map_err(|error| StartError::Process { what: "start the thread that sends spans", error })?;
    let passwords = checks::start(config.runtime.password_threads, config.limits.password_queue as usize);
    let passwords = passwords.map_err(|error| StartError::Process { what: "start the threads for passwords", error })?;
    let (there, arrivals) = bounded(seats.len());
    let (opener, open) = bounded(seats.len());
    let mut workers = Vec::with_capacity(seats.len());
    for (index, ((core_id, listeners), desk)) in seats.iter().zip(listeners).zip(desks).enumerate() {
        let (commands, inbox) = bounded(INBOX);
        // Before its thread exists, so that a stop in between does not find it idle.
        shared.registry.cores[index].accepting.set(1);
        let seat = worker::Seat {
            index,
            cores: seats.len(),
            core_id: *core_id,
            listeners,
            plan: plan.clone(),
            inbox,
            outbox: outbox.clone(),
            limits: limits.clone(),
            coordinator: coordinator.clone(),
            metrics: shared.registry.cores[index].clone(),
            shared: shared.clone(),
            clock,
            scribe: Box::new(desk),
            journal: scribe::BUFFER,
            checks: passwords.clone(),
            spans: spans(exporter.as_ref()),
            release_memory: options.release_memory.unwrap_or(|| ()),
            open: open.clone(),
        };
        let handle = Arc::new(worker::spawn(seat, there.clone()).map_err(|error| StartError::Worker { index, error })?);
        workers.push(coordinator::Seat {
            commands,
            ring: Box::new({
                let handle = handle.clone();
                move || handle.ring()
            }),
            ended: Box::new(move || handle.ended()),
        });
    }
    drop((outbox, limits, passwords, there, open));
    for (index, arrived) in arrivals {
        arrived.map_err(|error| StartError::Worker { index, error })?;
    }

    let (ready, answers) = crossbeam_channel::bounded(1);
    let address = |wanted| listening.iter().find(|(setting, _)| *setting == wanted).map(|&(_, address)| address);
    let listener = address("listener").expect("there is one always");
    let running = Running { listener, tls: address("tls"), admin: admin_address, shared: shared.clone() };
    let setup = coordinator::Setup {
        clock,
        shared,
        workers,
        reports,
        limit_reports,
        loaded,
        path: options.path,
        load: Box::new(load),
        build: Box::new(make),
        admin,
        signals,
        sockets,
        program,
        notifier: notifier.clone(),
        ready,
    };
    let thread = std::thread::Builder::new().name("coordinator".into()).spawn(move || coordinator::run(setup, doorbell));
    let thread = thread.map_err(|error| StartError::Process { what: "start the coordinator's thread", error })?;
    // Without an answer the coordinator has ended.
    if answers.recv().is_ok() {
        seats.iter().for_each(|_| _ = opener.send(()));
        announce(&running);
        inherited.tell_predecessor();
        notifier.ready();
        if let Some(on_ready) = options.on_ready {
            on_ready(&running);
        }
    }
    let ended = thread.join();
    flight.land();
    if let Some(exporter) = exporter {
        exporter.finish();
    }
    scribe.flush();
    log::flush();
    Ok(match ended {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::TimedOut | Ended::Interrupted) => ExitCode::from(4),
        Ok(Ended::Failed) | Err(_) => ExitCode::from(70),
    })
}

/// Where a worker's traced requests go.
fn spans(exporter: Option<&Exporter>) -> Box<dyn Fn(Traced) -> bool + Send> {
    match exporter {
        Some(exporter) => Box::new(exporter.desk()),
        None => Box::new(|_| true),
    }
}

/// Reads a configuration file.
///
/// # Errors
/// Everything that is wrong with it, if anything is that [`config::load`] looks at. What [`build`] may find in a file without
/// such problems, it tells itself.
pub fn load(path: &Path) -> Result<Loaded, config::Problems> {
    config::load(path).map_err(with_routes)
}

/// Adds what is wrong with the patterns of routes, so that a bad file is told about as a whole.
pub fn with_routes(problems: config::Problems) -> config::Problems {
    problems.and_of(|draft| {
        let found = Router::new(&draft.config.routes).err()?;
        let found = found.into_iter().map(|problem| (format!("routes[{}].{}", problem.route, problem.field), problem.message));
        Some(draft.source.problems(found))
    })
}

/// Makes a configuration ready to serve, as the plan of this generation: 1 at the start, one more for each one put in force.
///
/// # Errors
/// What can't be served, with its place in the file.
pub fn build(loaded: &Loaded, generation: u64) -> Result<Plan, config::Problems> {
    build_with(loaded, generation, &Registry::default())
}

/// The same, with the middlewares that the program brings along.
///
/// # Errors
/// As [`build`], and what those middlewares say of their settings.
pub fn build_with(loaded: &Loaded, generation: u64, registry: &Registry) -> Result<Plan, config::Problems> {
    Plan::build_with(loaded.config.clone(), loaded.hash, generation, registry)
        .map_err(|problems| loaded.source.problems(problems.into_iter().map(|problem| (problem.path, problem.message))))
}

/// What keys of rate limits are made with: another one in each process.
fn secret() -> Secret {
    let word = || RandomState::new().hash_one(0).to_le_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&word());
    bytes[8..].copy_from_slice(&word());
    Secret(bytes)
}

/// Prints where it listens, for people and for programs that started it.
fn announce(running: &Running) {
    let Running { listener, tls, admin, .. } = running;
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "listening on http://{listener}");
    if let Some(tls) = tls {
        let _ = writeln!(out, "listening on https://{tls}");
    }
    if let Some(admin) = admin {
        let _ = writeln!(out, "admin on http://{admin}");
    }
    let _ = out.flush();
}

/// How many workers there are and the core each is pinned to.
///
/// Where a container's quota allows less than the cores the process may use, workers are as many as the quota and not
/// pinned: every container of the host would pin to the same first cores.
fn seats(wanted: usize, pin: bool, cores: &[CoreId], quota: usize) -> Vec<Option<CoreId>> {
    let capped = quota < cores.len();
    let number = match wanted {
        0 => quota.min(cores.len().max(1)).max(1),
        wanted => wanted,
    };
    let pin = pin && !cores.is_empty() && !(capped && wanted == 0) && number <= cores.len();
    (0..number).map(|index| pin.then(|| cores[index])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(ids: &[usize]) -> Vec<CoreId> {
        ids.iter().map(|&id| CoreId { id }).collect()
    }

    fn ids(seats: &[Option<CoreId>]) -> Vec<Option<usize>> {
        seats.iter().map(|seat| seat.map(|core| core.id)).collect()
    }

    #[test]
    fn one_worker_for_each_core_that_may_be_used() {
        assert_eq!(ids(&seats(0, true, &cores(&[2, 5]), 2)), [Some(2), Some(5)]);
        assert_eq!(ids(&seats(0, false, &cores(&[2, 5]), 2)), [None, None]);
        assert_eq!(ids(&seats(1, true, &cores(&[2, 5]), 2)), [Some(2)]);
        assert_eq!(ids(&seats(0, true, &[], 1)), [None]);
    }

    #[test]
    fn more_workers_than_cores_or_quota_are_not_pinned() {
        assert_eq!(ids(&seats(3, true, &cores(&[0, 1]), 2)), [None, None, None]);
        assert_eq!(ids(&seats(0, true, &cores(&[0, 1, 2, 3]), 2)), [None, None]);
        assert_eq!(ids(&seats(2, true, &cores(&[0, 1, 2, 3]), 2)), [Some(0), Some(1)], "asked for by number: taken at its word");
    }
}
