//! The coordinator with workers that only take notes.

use std::hash::BuildHasher;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crossbeam_channel::bounded;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::*;
use crate::config::Time;
use crate::metrics::Registry;

/// How long anything that must happen may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A coordinator on its own thread, and all that it touches.
struct Stage {
    signals: Signals,
    shared: Arc<Shared>,
    inboxes: Vec<Receiver<Command>>,
    rings: Arc<AtomicU32>,
    /// What the next reload reads.
    next: Arc<Mutex<Result<Loaded, Problems>>>,
    admin: SocketAddr,
    thread: JoinHandle<Ended>,
}

fn loaded(change: impl FnOnce(&mut Config)) -> Loaded {
    let mut config = Config::default();
    config.timeouts.drain_delay = Time::from_secs(0);
    config.features.logging = false;
    change(&mut config);
    let hash = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(format!("{config:?}"));
    Loaded { config: config.into(), hash, ..Loaded::default() }
}

fn stage(change: impl FnOnce(&mut Config)) -> Stage {
    let shared = Arc::new(Shared::new(Registry::new(2), String::new(), 0, SystemTime::now()));
    let (rings, signals) = (Arc::new(AtomicU32::new(0)), Signals::none());
    let next = Arc::new(Mutex::new(Ok(loaded(|_| ()))));
    let (_, reports) = bounded(1);
    let (_, limit_reports) = bounded(1);
    let (_, doorbell) = crate::net::Bell::new().unwrap();
    let (mut workers, mut inboxes) = (Vec::new(), Vec::new());
    for core in &shared.registry.cores {
        core.accepting.set(1);
        let (commands, inbox) = bounded(4);
        inboxes.push(inbox);
        let rings = rings.clone();
        let ring = Box::new(move || _ = rings.fetch_add(1, SeqCst));
        workers.push(Seat { commands, ring, ended: Box::new(|| false) });
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = listener.local_addr().unwrap();
    let reading = next.clone();
    let setup = Setup {
        clock: Clock::start(),
        shared: shared.clone(),
        workers,
        reports,
        limit_reports,
        loaded: loaded(change),
        path: Some("gateway.json".into()),
        load: Box::new(move |_| reading.lock().unwrap().clone()),
        build: Box::new(|loaded, generation| crate::run::build(loaded, generation).map(Arc::new)),
        admin: Some(crate::net::Listening { socket: listener, kept: false }),
        signals: signals.clone(),
        notifier: Default::default(),
        sockets: vec![],
        program: None,
        ready: bounded(1).0,
    };
    let thread = std::thread::spawn(move || run(setup, doorbell));
    Stage { signals, shared, inboxes, rings, next, admin, thread }
}

impl Stage {
    /// The next command to this worker that is neither an update nor the notice before draining.
    fn command(&self, worker: usize) -> Option<Command> {
        loop {
            match self.inboxes[worker].recv_timeout(LIMIT) {
                Ok(Command::Update(_) | Command::Leave) => {}
                Ok(command) => return Some(command),
                Err(_) => return None,
            }
        }
    }

    fn wait_for(&self, what: &str, condition: impl Fn(&Shared) -> bool) {
        let limit = std::time::Instant::now() + LIMIT;
        while !condition(&self.shared) {
            assert!(std::time::Instant::now() < limit, "waited too long: {what}");
            std::thread::yield_now();
        }
    }

    /// Waits until the coordinator has had time to do whatever it would do.
    fn pass_ticks(&self) {
        let before = self.shared.registry.process.ticks.count();
        self.wait_for("ticks", |shared| shared.registry.process.ticks.count() >= before + 3);
    }

    fn ask(&self, request_line: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "{request_line} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Interrupts, lets the workers stop and takes the end.
    fn end(self) -> Ended {
        self.signals.raise(SIGINT);
        for (worker, core) in self.shared.registry.cores.iter().enumerate() {
            assert!(matches!(self.command(worker), Some(Command::Drain)));
            core.accepting.set(0);
        }
        self.thread.join().unwrap()
    }
}

#[test]
fn a_good_reload_reaches_every_worker() {
    let stage = stage(|_| ());
    *stage.next.lock().unwrap() = Ok(loaded(|config| config.limits.uri = crate::config::Size::from_bytes(99)));
    stage.signals.raise(SIGHUP);
    for worker in 0..2 {
        assert!(matches!(stage.command(worker), Some(Command::Plan(plan, None)) if plan.generation == 2));
    }
    stage.wait_for("the generation", |shared| shared.loading().generation == 2);
    stage.wait_for("both bells", |_| stage.rings.load(SeqCst) >= 2);
    assert_eq!(stage.shared.registry.process.reloads.count(GOOD), 1);
    assert_eq!(stage.end(), Ended::Drained);
}

#[test]
fn a_bad_reload_changes_nothing_and_says_so() {
    let stage = stage(|_| ());
    *stage.next.lock().unwrap() = Err(crate::config::load(Path::new("/there/is/no/such/file.json")).unwrap_err());
    let answer = stage.ask("POST /reload");
    assert!(answer.starts_with("HTTP/1.1 422 ") && answer.contains("nothing was changed"), "{answer}");
    assert_eq!(stage.shared.loading().generation, 1);
    assert!(!stage.shared.loading().last_reload.unwrap().problems.is_empty());
    assert_eq!(stage.shared.registry.process.reloads.count(BAD), 1);
    assert!(stage.ask("GET /config").contains("\"result\": \"failure\""));
    for inbox in &stage.inboxes {
        assert!(inbox.try_iter().all(|command| matches!(command, Command::Update(_))));
    }
    assert_eq!(stage.end(), Ended::Drained);
}

#[test]
fn a_reload_names_what_waits_for_a_restart() {
    let stage = stage(|_| ());
    *stage.next.lock().unwrap() = Ok(loaded(|config| config.listener.port = 1));
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| stage.ask("POST /reload"));
        for worker in 0..2 {
            assert!(!asking.is_finished(), "the answer comes once all workers have it");
            let Some(Command::Plan(_, Some(reply))) = stage.command(worker) else { panic!("a plan that wants an answer") };
            reply.send(()).unwrap();
        }
        asking.join().unwrap()
    });
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("listener.port waits for a restart"), "{answer}");
    assert!(!answer.contains("still"), "{answer}");
    assert_eq!(stage.end(), Ended::Drained);
}

#[test]
fn an_unchanged_file_disturbs_nobody() {
    let stage = stage(|_| ());
    let answer = stage.ask("POST /reload");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(stage.shared.loading().generation, 1);
    assert_eq!(stage.end(), Ended::Drained, "the first command but updates is to drain");
}

#[test]
fn stopping_waits_for_open_connections() {
    let stage = stage(|_| ());
    let cores = stage.shared.registry.cores.clone();
    cores[1].connections.set(1);
    stage.signals.raise(SIGTERM);
    for (worker, core) in cores.iter().enumerate() {
        assert!(matches!(stage.command(worker), Some(Command::Drain)));
        core.accepting.set(0);
    }
    assert!(stage.ask("GET /readyz").starts_with("HTTP/1.1 503 "));
    stage.pass_ticks();
    assert!(!stage.thread.is_finished());
    cores[1].connections.set(0);
    assert_eq!(stage.thread.join().unwrap(), Ended::Drained);
}

#[test]
fn readiness_fails_before_workers_stop_accepting() {
    let stage = stage(|config| config.timeouts.drain_delay = Time::from_secs(3600));
    stage.signals.raise(SIGTERM);
    stage.wait_for("readiness", Shared::draining);
    stage.pass_ticks();
    for inbox in &stage.inboxes {
        let commands: Vec<Command> = inbox.try_iter().filter(|command| !matches!(command, Command::Update(_))).collect();
        assert!(matches!(commands[..], [Command::Leave]), "answers end their connections, and more are accepted");
    }
    assert_eq!(stage.end(), Ended::Drained, "an interrupt ends the delay");
}

#[test]
fn connections_that_stay_are_cut_in_the_end() {
    let stage = stage(|config| config.timeouts.drain = Time::from_millis(1));
    stage.shared.registry.cores[0].connections.set(1);
    stage.signals.raise(SIGTERM);
    assert_eq!(stage.thread.join().unwrap(), Ended::TimedOut);
}
