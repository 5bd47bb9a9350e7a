//! What `tracing` events become in the gateway's program: lines on standard error, one a cold event, written by their own thread so
//! that no worker waits for a slow reader.
//!
//! `2026-11-24T02:03:04.567Z info  endpoint is up upstream=users endpoint=a`: the message, then the event's fields in their order, as
//! logfmt writes them. Each thread may write so many lines a second; those beyond are dropped and counted, and the next line that passes
//! says how many. A program built on the library may install a subscriber of its own instead; nothing else here is needed then.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber, set_global_default};
use tracing::{Event, Level, Metadata};

use crate::clock;
use crate::config::LogLevel;

/// Lines a thread may write each second.
const LINES_PER_SECOND: u32 = 50;
/// Lines that wait for the writer; more are dropped.
const QUEUE: usize = 4096;
/// The level at which nothing is written.
const OFF: u8 = 0;

/// The least important level that is written, as [`rank`] numbers it.
static LEVEL: AtomicU8 = AtomicU8::new(3);
/// Lines dropped so far, of all threads.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// To the writer, once there is one.
static WRITER: OnceLock<Sender<Entry>> = OnceLock::new();

/// What the writer is sent.
enum Entry {
    Line(String),
    Flush(Sender<()>),
}

/// A level as a number: the higher, the less important.
const fn rank(level: LogLevel) -> u8 {
    match level {
        LogLevel::Error => 1,
        LogLevel::Warn => 2,
        LogLevel::Info => 3,
        LogLevel::Debug => 4,
    }
}

/// An event's level as one of ours; what is less important than `debug` is never written.
fn level(level: Level) -> Option<LogLevel> {
    match level {
        Level::ERROR => Some(LogLevel::Error),
        Level::WARN => Some(LogLevel::Warn),
        Level::INFO => Some(LogLevel::Info),
        Level::DEBUG => Some(LogLevel::Debug),
        _ => None,
    }
}

/// Sets what [`install`]'s subscriber writes; `None` is nothing at all.
pub fn configure(level: Option<LogLevel>) {
    LEVEL.store(level.map_or(OFF, rank), Relaxed);
}

/// Lines that were dropped so far because there were too many.
pub fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

/// Makes this process write its events as lines, unless it has a subscriber already, which then stays.
///
/// # Errors
/// When there can be no thread for the writer.
pub fn install() -> std::io::Result<()> {
    if set_global_default(Lines { level: &LEVEL, write }).is_err() {
        return Ok(());
    }
    let (sender, receiver) = bounded(QUEUE);
    std::thread::Builder::new().name("log".into()).spawn(move || drain(&receiver))?;
    WRITER.get_or_init(|| sender);
    Ok(())
}

/// Waits until what was logged is written, at most for a second.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        let (done, wait) = bounded(1);
        let limit = Duration::from_secs(1);
        if writer.send_timeout(Entry::Flush(done), limit).is_ok() {
            let _ = wait.recv_timeout(limit);
        }
    }
}

/// The writer's whole life.
fn drain(entries: &Receiver<Entry>) {
    for entry in entries {
        match entry {
            Entry::Line(line) => put(&line),
            Entry::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Writes one line in one call, so that lines of several writers don't mix. Who can't write a log can't say so either.
fn put(line: &str) {
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// One thread's allowance of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Allowance {
    second: u64,
    lines: u32,
    dropped: u64,
}

impl Allowance {
    /// Takes one line in this second: the number dropped before it, or `None` if it is to be dropped too.
    fn take(&mut self, second: u64) -> Option<u64> {
        if self.second != second {
            self.second = second;
            self.lines = 0;
        }
        if self.lines == LINES_PER_SECOND {
            self.dropped += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

thread_local! {
    static ALLOWANCE: Cell<Allowance> = const { Cell::new(Allowance { second: 0, lines: 0, dropped: 0 }) };
}

/// Whether such events may ever be written. Of other crates' only errors are: details would cost requests something, and what h2 warns of are
/// frames of peers, who could write into the log as they please.
fn concerns(target: &str, level: Level) -> bool {
    level <= if target.starts_with(env!("CARGO_PKG_NAME")) { Level::DEBUG } else { Level::ERROR }
}

/// The subscriber: events up to a level go where it says, spans nowhere.
struct Lines<F> {
    /// As [`rank`] numbers it.
    level: &'static AtomicU8,
    write: F,
}

impl<F: Fn(&Event<'_>) + 'static> Subscriber for Lines<F> {
    /// Asked once of each place in the code; whether an event of it is written, each time.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let concerns = metadata.is_event() && concerns(metadata.target(), *metadata.level());
        if concerns { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && level(*metadata.level()).is_some_and(|level| rank(level) <= self.level.load(Relaxed))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn event(&self, event: &Event<'_>) {
        (self.write)(event);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn write(event: &Event<'_>) {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut allowance = ALLOWANCE.get();
    let taken = allowance.take(second);
    ALLOWANCE.set(allowance);
    let Some(dropped) = taken else {
        DROPPED.fetch_add(1, Relaxed);
        return;
    };
    let line = format!("{} {}", rfc3339(now), text(event, dropped));
    match WRITER.get() {
        None => put(&line),
        Some(writer) => {
            if writer.try_send(Entry::Line(line)).is_err() {
                DROPPED.fetch_add(1, Relaxed);
            }
        }
    }
}

/// An event's line without its time. Line ends and control characters within it are shown escaped: one event is one line.
fn text(event: &Event<'_>, dropped: u64) -> String {
    let name = match level(*event.metadata().level()) {
        Some(LogLevel::Error) => "error",
        Some(LogLevel::Warn) => "warn ",
        Some(LogLevel::Info) => "info ",
        Some(LogLevel::Debug) | None => "debug",
    };
    let mut told = Told::default();
    event.record(&mut told);
    let mut line = format!("{name} {}{}", told.message, told.fields);
    if dropped > 0 {
        let _ = write!(line, " lines_dropped={dropped}");
    }
    line.push('\n');
    line
}

/// What an event says.
#[derive(Default)]
struct Told {
    message: String,
    /// Each as ` key=value`. A value that could be taken for something else (spaces, quotes, nothing at all) stands in quotes.
    fields: String,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            escape(&mut self.message, value, false);
            return;
        }
        let quoted = value.is_empty() || value.contains([' ', '"', '=']);
        let _ = write!(self.fields, " {}=", field.name());
        if quoted {
            self.fields.push('"');
        }
        escape(&mut self.fields, value, quoted);
        if quoted {
            self.fields.push('"');
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Writes control characters escaped, and in quotes what would end them.
fn escape(out: &mut String, text: &str, quoted: bool) {
    for character in text.chars() {
        if character.is_control() || quoted && matches!(character, '"' | '\\') {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
}

/// Trouble that lasts, told once in a while.
#[derive(Debug, Default)]
pub struct Seldom(Option<Instant>);

impl Seldom {
    /// Whether it is to be told: it hasn't been within this time.
    pub fn is_due(&mut self, every: Duration) -> bool {
        let due = self.0.is_none_or(|at| at.elapsed() >= every);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

/// The lines, without their time, of what this thread tells meanwhile.
#[cfg(test)]
pub(crate) fn gathered(tell: impl FnOnce()) -> Vec<String> {
    static ALL: AtomicU8 = AtomicU8::new(rank(LogLevel::Debug));
    let (sender, lines) = crossbeam_channel::unbounded();
    let write = move |event: &Event<'_>| sender.send(text(event, 0)).unwrap();
    tracing::subscriber::with_default(Lines { level: &ALL, write }, tell);
    lines.try_iter().collect()
}

/// A moment in UTC as RFC 3339 writes it, to the millisecond.
pub fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut text = String::new();
    clock::write_rfc3339(&mut text, u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64, millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second) + Duration::from_millis(millis)
    }

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(rfc3339(at(0, 0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(at(951_782_400, 5)), "2000-02-29T00:00:00.005Z");
        assert_eq!(rfc3339(at(1_709_251_199, 999)), "2024-02-29T23:59:59.999Z");
        assert_eq!(rfc3339(at(1_795_485_784, 567)), "2026-11-24T02:03:04.567Z");
        assert_eq!(rfc3339(at(4_107_542_400, 0)), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn agrees_with_http_dates() {
        for day in 0..60_000u64 {
            let moment = at(day * 86_400, 0);
            let http = httpdate::fmt_http_date(moment);
            let ours = rfc3339(moment);
            assert_eq!(&ours[..4], &http[12..16], "{http}");
            assert_eq!(&ours[8..10], &http[5..7], "{http}");
        }
    }

    #[test]
    fn a_line_is_the_message_and_the_fields_in_their_order() {
        let peer: std::net::SocketAddr = "[::1]:80".parse().unwrap();
        let error = std::io::Error::other("it is \"gone\"");
        let nothing: Option<&str> = None;
        let lines = gathered(|| {
            tracing::warn!(%peer, %error, hash = format_args!("{:04x}", 10), "connection broke");
            tracing::info!(limit = ?Duration::from_secs(3), nothing, empty = "", query = "a=b", "for" = "1s", at = 7, well = true, "ready");
            tracing::error!("only words");
        });
        assert_eq!(lines[0], "warn  connection broke peer=[::1]:80 error=\"it is \\\"gone\\\"\" hash=000a\n");
        assert_eq!(lines[1], "info  ready limit=3s empty=\"\" query=\"a=b\" for=1s at=7 well=true\n");
        assert_eq!(lines[2], "error only words\n");
    }

    #[test]
    fn one_event_is_one_line() {
        let lines = gathered(|| tracing::warn!(name = "a\nb\x1b[2J", "strange {}", "c\rd"));
        assert_eq!(lines, ["warn  strange c\\rd name=a\\nb\\u{1b}[2J\n"]);
    }

    #[test]
    fn details_of_other_crates_are_not_asked_for() {
        assert!(concerns("ringway::worker::tick", Level::DEBUG) && concerns("h2::server", Level::ERROR));
        assert!(!concerns("ringway::worker::tick", Level::TRACE) && !concerns("h2::server", Level::WARN));
    }

    #[test]
    fn a_thread_may_write_so_many_lines_a_second() {
        let mut allowance = Allowance::default();
        for _ in 0..LINES_PER_SECOND {
            assert_eq!(allowance.take(7), Some(0));
        }
        assert_eq!(allowance.take(7), None);
        assert_eq!(allowance.take(7), None);
        assert_eq!(allowance.take(8), Some(2), "the next line that passes says how many were dropped");
        assert_eq!(allowance.take(8), Some(0));
    }

    #[test]
    fn levels_are_ordered() {
        assert!(rank(LogLevel::Error) < rank(LogLevel::Warn));
        assert!(rank(LogLevel::Warn) < rank(LogLevel::Info));
        assert!(rank(LogLevel::Info) < rank(LogLevel::Debug));
        assert!(OFF < rank(LogLevel::Error));
    }
}
