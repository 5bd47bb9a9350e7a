//! Log lines on standard error: leveled, one a cold event, written by their own thread so that no worker waits for a slow reader.
//!
//! `2026-11-24T02:03:04.567Z info  upstream endpoint is up endpoint=users/a`. Each thread may write so many lines a second; those
//! beyond are dropped and counted, and the next line that passes says how many.

use std::cell::Cell;
use std::fmt;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded};

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

/// Sets what is written; `None` is nothing at all.
pub fn configure(level: Option<LogLevel>) {
    LEVEL.store(level.map_or(OFF, rank), Relaxed);
}

/// Whether lines of this level are written: ask before gathering what a line needs.
#[inline]
pub fn enabled(level: LogLevel) -> bool {
    rank(level) <= LEVEL.load(Relaxed)
}

/// Lines that were dropped so far because there were too many.
pub fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

/// Starts the writer; before that, lines are written by who has them.
pub fn start() -> std::io::Result<()> {
    let (sender, receiver) = bounded(QUEUE);
    if WRITER.set(sender).is_ok() {
        std::thread::Builder::new().name("log".into()).spawn(move || drain(&receiver))?;
    }
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

/// Writes a line: a sentence without a full stop, then `key=value` pairs.
pub fn write(level: LogLevel, message: fmt::Arguments<'_>) {
    if !enabled(level) {
        return;
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut allowance = ALLOWANCE.get();
    let taken = allowance.take(second);
    ALLOWANCE.set(allowance);
    let Some(dropped) = taken else {
        DROPPED.fetch_add(1, Relaxed);
        return;
    };
    let line = format_line(now, level, message, dropped);
    match WRITER.get() {
        None => put(&line),
        Some(writer) => {
            if writer.try_send(Entry::Line(line)).is_err() {
                DROPPED.fetch_add(1, Relaxed);
            }
        }
    }
}

/// A line as it is written. Line ends and control characters within it are shown escaped: one event is one line.
fn format_line(now: SystemTime, level: LogLevel, message: fmt::Arguments<'_>, dropped: u64) -> String {
    let name = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn ",
        LogLevel::Info => "info ",
        LogLevel::Debug => "debug",
    };
    let message = message.to_string();
    let mut line = format!("{} {name} ", rfc3339(now));
    for character in message.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    if dropped > 0 {
        line.push_str(&format!(" lines_dropped={dropped}"));
    }
    line.push('\n');
    line
}

/// Something that stops the gateway or one of its parts.
pub fn error(message: fmt::Arguments<'_>) {
    write(LogLevel::Error, message);
}

/// Something an operator should look at.
pub fn warn(message: fmt::Arguments<'_>) {
    write(LogLevel::Warn, message);
}

/// Trouble that lasts, told once in a while.
#[derive(Debug, Default)]
pub struct Seldom(Option<Instant>);

impl Seldom {
    /// [`warn`], unless it has within this time.
    pub fn warn(&mut self, every: Duration, message: fmt::Arguments<'_>) {
        if self.0.is_none_or(|at| at.elapsed() >= every) {
            self.0 = Some(Instant::now());
            warn(message);
        }
    }
}

/// Something changed.
pub fn info(message: fmt::Arguments<'_>) {
    write(LogLevel::Info, message);
}

/// A detail.
pub fn debug(message: fmt::Arguments<'_>) {
    write(LogLevel::Debug, message);
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
    fn one_event_is_one_line() {
        let line = format_line(at(0, 0), LogLevel::Warn, format_args!("strange name={}", "a\nb\x1b[2J"), 3);
        assert_eq!(line, "1970-01-01T00:00:00.000Z warn  strange name=a\\nb\\u{1b}[2J lines_dropped=3\n");
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
