//! A run: threads that send, and the one that gathers what they report.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use hdrhistogram::serialization::V2DeflateSerializer;
use ringway::address::Address;
use ringway::clock::{Clock, Instant, write_rfc3339};
use ringway::net::{self, Engine};
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::Arguments;
use crate::diff;
use crate::dispatch::Dispatch;
use crate::files;
use crate::gateway::{self, Seen};
use crate::greeting::NO_HTTP2;
use crate::html::{self, Interval};
use crate::merge::{self, Merge};
use crate::progress::Progress;
use crate::report::{self, Result as Outcome, Size};
use crate::said::Said;
use crate::schedule::{Arrivals, Piece, Schedule};
use crate::secure::refuses_http2;
use crate::tally::Tally;
use crate::target::{Url, is_loopback};
use crate::verdict;
use crate::words::SECOND;
use crate::worker::{Plan, Report, Worker};

/// Why there is no result.
pub enum Problem {
    /// The command line asks for what is not to be.
    Usage(String),
    /// The run could not be.
    Cannot(String),
}

/// Where results go, opened before the run so that none is lost to a mistyped path.
struct Outputs {
    json: Option<Box<dyn Write>>,
    hgrm: Option<Box<dyn Write>>,
    hlog: Option<Box<dyn Write>>,
    html: Option<Box<dyn Write>>,
}

/// Submission queue entries of a thread's ring.
const ENTRIES: u32 = 1024;
/// Time in which threads open their connections, before the first request is due.
const LEAD: Duration = Duration::from_millis(200);
/// More of it for each connection.
const LEAD_EACH: Duration = Duration::from_micros(200);
/// Time for the first look at the target.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// Descriptors beside those of connections.
const DESCRIPTORS: u64 = 64;
/// In a closed loop, how often a second a thread looks whether it is late itself.
const BEATS: f64 = 100.0;

/// Runs what the arguments say, prints the result, and says whether it is good.
///
/// # Errors
/// When there is no result.
pub fn run(mut arguments: Arguments) -> Result<bool, Problem> {
    let cannot = |what: String| move |error: io::Error| Problem::Cannot(format!("{what}: {error}"));
    let Said { url, requests, speech, target } = Said::new(&mut arguments)?;
    let address = find(&url, arguments.allow_remote)?;
    let tls = url.tls.then(|| arguments.trust.client(&url.host, arguments.http2)).transpose().map_err(Problem::Cannot)?;
    if let Some((config, name)) = tls.as_ref().filter(|_| arguments.http2)
        && let Ok(stream) = TcpStream::connect_timeout(&address, FIRST_LOOK)
        && refuses_http2(stream, config.clone(), name.clone())
    {
        return Err(Problem::Cannot(format!("{NO_HTTP2}: leave out --http2, or switch it on there")));
    }
    if net::set_descriptor_limit() < arguments.connections as u64 + DESCRIPTORS {
        return Err(Problem::Cannot(format!("{} connections need a higher limit of open files (ulimit -n)", arguments.connections)));
    }
    let mut outputs =
        Outputs { json: open(&arguments.json)?, hgrm: open(&arguments.hgrm)?, hlog: open(&arguments.hlog)?, html: open(&arguments.html)? };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends the process at once.
        signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(cannot("cannot handle signals".into()))?;
    }
    let schedule = arguments.schedule.take().map(Arc::new);
    let end = schedule.as_ref().map_or(arguments.duration, |schedule| schedule.length());
    let closes = arguments.message.closes;
    let plan = Arc::new(Plan {
        address: Address::Tcp(address),
        tls,
        requests,
        closes,
        pipeline: arguments.pipeline,
        speech,
        timeout: arguments.timeout,
        end,
        grace: arguments.grace.unwrap_or(arguments.timeout + SECOND),
        stop,
    });
    let admin = arguments.gateway.as_deref();
    let unseen = |admin: &str| cannot(format!("the gateway's private listener at {admin} can't be asked"));
    let before = admin.map(|admin| Seen::ask(admin).map_err(unseen(admin))).transpose()?;
    let (clock, began) = (Clock::start(), SystemTime::now());
    let start = clock.now() + LEAD + LEAD_EACH * arguments.connections as u32;
    let (reports, backs) = spawn(&arguments, &plan, schedule.as_ref(), (clock, start));
    let gathered = gather(&arguments, schedule.as_deref(), &plan, (clock, start), &reports, &backs, &mut outputs);
    let gathered = gathered.map_err(cannot("cannot write the log of histograms".into()))?;
    let sides = match (admin, before) {
        (Some(admin), Some(before)) => {
            thread::sleep(gateway::BEHIND);
            let asked = Seen::ask(admin).and_then(|after| Ok((after, gateway::slow(admin, gateway::since_1970(began))?)));
            let (after, slow) = asked.map_err(unseen(admin))?;
            Some(gateway::waterfall(&before, &after, &slow, &gathered.tally))
        }
        _ => None,
    };
    let result = Outcome {
        target,
        asked: schedule.as_ref().map(|schedule| (schedule.total(), schedule.length())),
        doubts: verdict::doubts(&gathered.tally, gathered.wanted, &arguments.limits),
        judged: arguments.expectations.iter().map(|expectation| expectation.judge(&gathered.tally)).collect(),
        tally: &gathered.tally,
        time: if plan.stop.load(Relaxed) { gathered.time } else { gathered.time.max(end) },
        size: Size { threads: arguments.threads, connections: arguments.connections, pipeline: arguments.pipeline },
        busiest: gathered.busiest,
        kept_off: gathered.kept_off,
        note: gathered.note,
        gateway: sides,
    };
    if let Some(out) = &mut outputs.html {
        let mut settings = arguments.settings();
        let mut moment = String::new();
        write_rfc3339(&mut moment, began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64);
        settings.push(("begun", moment));
        let page = html::page(&result, &gathered.intervals, &settings);
        out.write_all(page.as_bytes()).and_then(|()| out.flush()).map_err(cannot("cannot write the page".into()))?;
    }
    publish(&result, arguments.json.as_deref(), outputs).map_err(cannot("cannot write the result".into()))?;
    Ok(result.is_good())
}

/// Merges results, prints what comes of it, and says whether it is good.
///
/// # Errors
/// When there is no result.
pub fn merge(arguments: &Merge) -> Result<bool, Problem> {
    let results = arguments.results.iter().map(|path| load(path)).collect::<Result<Vec<_>, _>>()?;
    let mut tally = Tally::default();
    let result = merge::merge(&results, &arguments.expectations, &mut tally).map_err(Problem::Cannot)?;
    let outputs = Outputs { json: open(&arguments.json)?, hgrm: open(&arguments.hgrm)?, hlog: None, html: None };
    publish(&result, arguments.json.as_deref(), outputs).map_err(|error| Problem::Cannot(format!("cannot write the result: {error}")))?;
    Ok(result.is_good())
}

/// Prints two results side by side.
///
/// # Errors
/// When one of them can't be read.
pub fn diff(first: &Path, second: &Path) -> Result<bool, Problem> {
    let text = diff::diff(&load(first)?, &load(second)?).map_err(Problem::Cannot)?;
    io::stdout().write_all(text.as_bytes()).map_err(|error| Problem::Cannot(format!("cannot write: {error}")))?;
    Ok(true)
}

/// A result that `--json` wrote, with its file's name.
fn load(path: &Path) -> Result<(String, Value), Problem> {
    let name = path.display().to_string();
    let text = std::fs::read(path).map_err(|error| Problem::Cannot(format!("cannot read {name}: {error}")))?;
    let value = serde_json::from_slice(&text).map_err(|error| Problem::Cannot(format!("{name} is no JSON: {error}")))?;
    Ok((name, value))
}

/// The target's address, which has to be this machine's own unless others are allowed; of several, the first that takes a connection.
fn find(url: &Url, allow_remote: bool) -> Result<SocketAddr, Problem> {
    let found = (url.host.as_str(), url.port).to_socket_addrs();
    let addresses: Vec<SocketAddr> = found.map_err(|error| Problem::Cannot(format!("cannot look up {}: {error}", url.host)))?.collect();
    if let Some(remote) = addresses.iter().find(|address| !allow_remote && !is_loopback(address.ip())) {
        return Err(Problem::Usage(format!(
            "{} is {}, which is not this machine: load hurts whoever gets it; if it is yours to load, add --allow-remote",
            url.host,
            remote.ip()
        )));
    }
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&address, FIRST_LOOK) {
            Ok(_) => return Ok(address),
            Err(error) => refused = error,
        }
    }
    Err(Problem::Cannot(format!("nobody answers at {}:{}: {refused}", url.host, url.port)))
}

/// Opens a file that a result goes to; `-` is standard output.
///
/// # Errors
/// When it can't be written.
pub fn open(path: &Option<PathBuf>) -> Result<Option<Box<dyn Write>>, Problem> {
    let Some(path) = path else { return Ok(None) };
    if path == Path::new("-") {
        return Ok(Some(Box::new(io::stdout())));
    }
    let file = File::create(path).map_err(|error| Problem::Cannot(format!("cannot write {}: {error}", path.display())))?;
    Ok(Some(Box::new(BufWriter::new(file))))
}

/// Starts the threads; each gets its tallies back by a channel of its own.
fn spawn(
    arguments: &Arguments,
    plan: &Arc<Plan>,
    schedule: Option<&Arc<Schedule>>,
    clock: (Clock, Instant),
) -> (Receiver<Report>, Vec<Sender<Box<Tally>>>) {
    let threads = arguments.threads;
    let cores = core_affinity::get_core_ids().filter(|cores| cores.len() >= threads);
    let (reports, gathered) = bounded(2 * threads);
    let mut backs = Vec::new();
    for number in 0..threads {
        let (give, back) = bounded(2);
        // The tally that is filled while the other is away.
        let _ = give.try_send(Box::default());
        backs.push(give);
        let beat = || Arc::new(Schedule::new(vec![Piece { from: BEATS, to: BEATS, length: plan.end }], None, Arrivals::Even));
        let part = |schedule: &Arc<Schedule>| schedule.starts(number as u64, threads as u64);
        let connections = arguments.connections / threads + usize::from(number < arguments.connections % threads);
        let (plan, reports) = (plan.clone(), reports.clone());
        let dispatch = match schedule {
            Some(schedule) => Dispatch::open(part(schedule), plan.end),
            None => Dispatch::closed(beat().starts(0, 1), plan.end),
        };
        // From the last core on, as a gateway takes them from the first on.
        let core = cores.as_ref().map(|cores| cores[cores.len() - 1 - number]);
        thread::spawn(move || {
            core.map(core_affinity::set_for_current);
            let main = async |_| Rc::new(Worker::new(plan, clock, dispatch, connections, number)).run(number, reports, back).await;
            let engines = [Engine::UringDefer, Engine::UringCoop, Engine::Uring, Engine::Epoll];
            let ended = net::run_on(&engines, ENTRIES, main).map_err(|error| error.to_string());
            if let Err(error) = ended.and_then(|ended| ended.map_err(|error| error.to_string())) {
                eprintln!("ringload: a thread cannot go on: {error}");
                std::process::exit(1);
            }
        });
    }
    (gathered, backs)
}

/// What all threads reported.
struct Gathered {
    tally: Tally,
    time: u64,
    busiest: f64,
    kept_off: f64,
    /// Both together, of one thread.
    wanted: f64,
    note: Option<String>,
    /// Second by second.
    intervals: Vec<Interval>,
}

/// Gathers reports until each thread's last, and tells of progress.
fn gather(
    arguments: &Arguments,
    schedule: Option<&Schedule>,
    plan: &Plan,
    (clock, start): (Clock, Instant),
    reports: &Receiver<Report>,
    backs: &[Sender<Box<Tally>>],
    outputs: &mut Outputs,
) -> io::Result<Gathered> {
    let began = SystemTime::now() + start.since(clock.now());
    let mut serializer = V2DeflateSerializer::new();
    let mut hlog = outputs.hlog.as_mut().map(|out| files::begin_hlog(out, &mut serializer, began)).transpose()?;
    let mut progress = Progress::new(arguments.quiet);
    let mut all =
        Gathered { tally: Tally::default(), time: 0, busiest: 0.0, kept_off: 0.0, wanted: 0.0, note: None, intervals: Vec::new() };
    let (mut interval, mut from, mut under_way) = (Tally::default(), 0, 0);
    let mut cores = vec![(0, 0, 0); backs.len()];
    let (mut running, mut missing) = (backs.len(), backs.len());
    while running > 0 {
        let Ok(mut report) = reports.recv() else { break };
        interval.add(&report.tally);
        under_way += report.under_way;
        let core = &mut cores[report.thread];
        *core = (core.0 + report.busy, core.1 + report.kept_off, core.2 + report.time);
        all.time = all.time.max(report.ended);
        all.note = report.note.take().or(all.note);
        if report.last {
            running -= 1;
        } else {
            report.tally.clear();
            let _ = backs[report.thread].try_send(report.tally);
        }
        missing = missing.saturating_sub(1);
        if missing > 0 && running > 0 {
            continue;
        }
        let to = if running > 0 { clock.now().since(start).as_nanos() as u64 } else { all.time.max(from) };
        if let Some(log) = &mut hlog
            && to > from
        {
            files::write_interval(log, (from, to), &interval)?;
        }
        if to > from {
            let asked = schedule.map(|schedule| schedule.due_by(to) - schedule.due_by(from));
            all.intervals.push(Interval::new(&interval, (from, to), asked));
        }
        if running > 0 {
            progress.tell(&report::progress(schedule, (from, to), plan.end, &interval, under_way));
        }
        all.tally.add(&interval);
        interval.clear();
        from = to;
        (missing, under_way) = (running, 0);
    }
    progress.end();
    for (busy, kept_off, time) in cores {
        let time = time.max(1) as f64;
        all.busiest = all.busiest.max(busy as f64 / time);
        all.kept_off = all.kept_off.max(kept_off as f64 / time);
        all.wanted = all.wanted.max((busy + kept_off) as f64 / time);
    }
    Ok(all)
}

/// Writes the result wherever it is wanted.
fn publish(result: &Outcome, json: Option<&Path>, mut outputs: Outputs) -> io::Result<()> {
    if let Some(out) = &mut outputs.hlog {
        out.flush()?;
    }
    if let Some(out) = &mut outputs.hgrm {
        files::write_hgrm(out, &result.tally.response)?;
        out.flush()?;
    }
    if let Some(out) = &mut outputs.json {
        writeln!(out, "{:#}", files::json(result))?;
        out.flush()?;
    }
    if json != Some(Path::new("-")) {
        let mut out = io::stdout();
        out.write_all(result.summary().as_bytes())?;
        out.flush()?;
    }
    Ok(())
}
