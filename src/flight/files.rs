//! A ring of files, each an HdrHistogram interval log (version 1.3 of its format), the oldest of which make room.
//!
//! A line is an interval of one series and phase, named by its tag: `route/upstream/phase`, in which what a tag can't hold is escaped
//! by percent. Values are microseconds; the third column, the greatest, is milliseconds, as HdrHistogram's tools expect.

use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

use crate::http::unescaped;
use crate::latency::{Phase, v2};
use crate::log::rfc3339;

/// Files that the ring consists of.
const FILES: u64 = 16;
/// How their names begin and end.
const NAME: (&str, &str) = ("ringway-", ".hlog");

/// What an interval is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The route's id.
    pub route: String,
    /// The upstream's id.
    pub upstream: String,
    /// The phase.
    pub phase: Phase,
}

/// What came of one series and phase in an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// Of what.
    pub tag: Tag,
    /// Times, in microseconds.
    pub histogram: Histogram<u64>,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.route, &self.upstream] {
            for byte in part.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' | b'*' => f.write_char(char::from(byte))?,
                    _ => write!(f, "%{byte:02X}")?,
                }
            }
            f.write_char('/')?;
        }
        f.write_str(self.phase.name())
    }
}

impl Tag {
    /// What it was written of; `None` if this is none.
    pub fn read(text: &str) -> Option<Tag> {
        let mut parts = text.split('/');
        let mut part = || parts.next();
        let name = |part: &str| String::from_utf8(unescaped(part.as_bytes())).ok();
        let tag = Tag { route: name(part()?)?, upstream: name(part()?)?, phase: Phase::named(part()?)? };
        parts.next().is_none().then_some(tag)
    }
}

/// The files of a directory.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    /// Bytes of one file.
    size: u64,
    /// The one that is written, and its bytes.
    file: Option<(File, u64)>,
}

impl Files {
    /// Those of this directory, which is made if there is none; they take so many bytes at most.
    ///
    /// # Errors
    /// When the directory can't be made or written.
    pub fn open(directory: &Path, size: u64) -> io::Result<Self> {
        let wrong = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
        fs::create_dir_all(directory).map_err(wrong)?;
        let mut files = Files { directory: directory.to_owned(), size: size / FILES, file: None };
        files.begin(SystemTime::now()).map_err(wrong)?;
        Ok(files)
    }

    /// Adds what came in the second from `from` on.
    ///
    /// # Errors
    /// What writing says; the next call begins a new file.
    pub fn add(&mut self, from: SystemTime, second: &[Interval]) -> io::Result<()> {
        if second.is_empty() {
            return Ok(());
        }
        let since = from.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut lines = String::new();
        for Interval { tag, histogram } in second {
            let most = histogram.max() as f64 / 1000.0;
            // Writing to a string can't fail.
            let _ = writeln!(lines, "Tag={tag},{since:.3},1.000,{most:.3},{}", v2(histogram));
        }
        if self.file.as_ref().is_none_or(|(_, length)| length + lines.len() as u64 > self.size) {
            self.begin(from)?;
        }
        let Some((file, length)) = &mut self.file else { return Ok(()) };
        let written = file.write_all(lines.as_bytes());
        *length += lines.len() as u64;
        if written.is_err() {
            self.file = None;
        }
        written
    }

    /// Begins a file; the oldest go.
    fn begin(&mut self, now: SystemTime) -> io::Result<()> {
        let mut known = list(&self.directory)?;
        let keep = known.len().min(FILES as usize - 1);
        for old in known.drain(..known.len() - keep) {
            fs::remove_file(old)?;
        }
        let at = rfc3339(now);
        let path = self.directory.join(format!("{}{}{}", NAME.0, at.replace(':', "-"), NAME.1));
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let header = format!(
            "#[Histogram log format version 1.3]\n#[Ringway: tags are route/upstream/phase, values microseconds]\n\
             #[StartTime: {since:.3} (seconds since epoch), {at}]\n#[BaseTime: 0.000 (seconds since epoch)]\n\
             \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
        );
        file.write_all(header.as_bytes())?;
        self.file = Some((file, header.len() as u64));
        Ok(())
    }
}

/// The ring's files, the oldest first.
///
/// # Errors
/// When the directory can't be read.
pub(super) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(NAME.0) && name.ends_with(NAME.1) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
