//! Looks back: what the files say of a window in the past.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::files::{Tag, list};
use crate::latency::{Phase, empty};

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Of this route only.
    pub route: Option<String>,
    /// Of this upstream only.
    pub upstream: Option<String>,
    /// Which phase.
    pub phase: Phase,
    /// When the window begins, in seconds since 1970; without it, it ends with the last second there is.
    pub from: Option<f64>,
    /// How long it is, in seconds.
    pub window: f64,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// All times in the window, in microseconds, as exact as they were recorded.
    pub histogram: Histogram<u64>,
    /// The window, from its begin to its end.
    pub window: (SystemTime, SystemTime),
    /// From the first to the last second that the files know, if they know any.
    pub known: Option<(SystemTime, SystemTime)>,
    /// Lines that can't be read, most likely cut by a crash.
    pub unreadable: u64,
}

/// Looks it up in a directory's files. A second belongs to the window in which it begins.
///
/// # Errors
/// When the directory or a file can't be read.
pub fn look(directory: &Path, question: &Question) -> io::Result<Found> {
    let (mut intervals, mut unreadable) = (Vec::new(), 0);
    let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
    for path in list(directory)? {
        // A line that was cut ends the crate's reading, so it gets them one by one.
        for line in fs::read(path)?.split_inclusive(|&byte| byte == b'\n') {
            match IntervalLogIterator::new(line).next() {
                Some(Ok(LogEntry::Interval(interval))) => {
                    let from = interval.start_timestamp().as_secs_f64();
                    (first, last) = (first.min(from), last.max(from));
                    let Some(tag) = interval.tag().and_then(|tag| Tag::read(tag.as_str())) else { continue };
                    let wanted = tag.phase == question.phase
                        && question.route.as_ref().is_none_or(|route| *route == tag.route)
                        && question.upstream.as_ref().is_none_or(|upstream| *upstream == tag.upstream);
                    if wanted {
                        intervals.push((from, interval.encoded_histogram().to_owned()));
                    }
                }
                Some(Err(_)) => unreadable += 1,
                _ => {}
            }
        }
    }
    let from = question.from.unwrap_or((last + 1.0 - question.window).max(0.0));
    let mut histogram = empty();
    for (_, encoded) in intervals.iter().filter(|(at, _)| (from..from + question.window).contains(at)) {
        let read = STANDARD.decode(encoded).ok().and_then(|bytes| Deserializer::new().deserialize::<u64, _>(&mut bytes.as_slice()).ok());
        match read {
            Some(read) => histogram.add(&read).map_err(io::Error::other)?,
            None => unreadable += 1,
        }
    }
    let at = |seconds: f64| UNIX_EPOCH + Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let known = (first <= last).then(|| (at(first), at(last + 1.0)));
    Ok(Found { histogram, window: (at(from), at(from + question.window)), known, unreadable })
}

#[cfg(test)]
mod tests {
    use super::super::files::{Files, Interval};
    use super::*;

    fn directory(name: &str) -> std::path::PathBuf {
        let directory = std::env::temp_dir().join(format!("ringway-flight-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        directory
    }

    fn second(route: &str, micros: impl IntoIterator<Item = u64>) -> Interval {
        let mut histogram = empty();
        micros.into_iter().for_each(|micros| histogram.record(micros).unwrap());
        Interval { tag: Tag { route: route.into(), upstream: "u/1, b".into(), phase: Phase::Total }, histogram }
    }

    fn question(from: Option<f64>, window: f64) -> Question {
        Question { route: None, upstream: None, phase: Phase::Total, from, window }
    }

    #[test]
    fn any_window_is_what_its_seconds_were() {
        let directory = directory("window");
        let mut files = Files::open(&directory, 1 << 20).unwrap();
        for number in 0..100u64 {
            let intervals = [second("a", [number * 1000 + 17, 5]), second("b é", [7])];
            files.add(UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number), &intervals).unwrap();
        }
        let found = look(&directory, &Question { route: Some("a".into()), ..question(Some(1_700_000_030.0), 30.0) }).unwrap();
        let mut expected = empty();
        (30..60).for_each(|number| expected.record(number * 1000 + 17).and_then(|()| expected.record(5)).unwrap());
        assert_eq!(found.histogram, expected);
        assert_eq!(found.known.map(|(_, end)| end), Some(UNIX_EPOCH + Duration::from_secs(1_700_000_100)));
        let last = look(&directory, &question(None, 10.0)).unwrap();
        assert_eq!((last.histogram.len(), last.unreadable), (30, 0));
        let other = Question { route: Some("b é".into()), upstream: Some("u/1, b".into()), ..question(None, 60.0) };
        assert_eq!(look(&directory, &other).unwrap().histogram.len(), 60);
        assert_eq!(look(&directory, &Question { phase: Phase::Queue, ..other }).unwrap().histogram.len(), 0);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_ring_is_bounded_and_the_oldest_go_first() {
        let (directory, size) = (directory("ring"), 64 << 10);
        let mut files = Files::open(&directory, size).unwrap();
        for number in 0..3000u64 {
            files.add(UNIX_EPOCH + Duration::from_secs(1_900_000_000 + number), &[second("a", [number * 13])]).unwrap();
        }
        let bytes: u64 = list(&directory).unwrap().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!((size / 2..=size).contains(&bytes), "{bytes}");
        let last = look(&directory, &question(None, 100.0)).unwrap();
        assert_eq!(last.histogram.len(), 100, "the latest are there");
        let (first, _) = last.known.unwrap();
        assert!(first > UNIX_EPOCH + Duration::from_secs(1_900_001_000), "{first:?}");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_line_that_a_crash_has_cut_costs_that_line() {
        let directory = directory("cut");
        let mut files = Files::open(&directory, 1 << 20).unwrap();
        files.add(UNIX_EPOCH + Duration::from_secs(1_700_000_000), &[second("a", [1])]).unwrap();
        files.add(UNIX_EPOCH + Duration::from_secs(1_700_000_001), &[second("a", [1])]).unwrap();
        drop(files);
        let path = list(&directory).unwrap().remove(0);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
        let mut files = Files::open(&directory, 1 << 20).unwrap();
        files.add(UNIX_EPOCH + Duration::from_secs(1_700_000_002), &[second("a", [1])]).unwrap();
        let found = look(&directory, &question(None, 60.0)).unwrap();
        assert_eq!((found.histogram.len(), found.unreadable), (2, 1));
        assert!(look(&directory.join("nowhere"), &question(None, 1.0)).is_err());
        fs::remove_dir_all(directory).unwrap();
    }
}
