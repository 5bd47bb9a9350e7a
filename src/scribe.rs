//! The access log's thread: takes the cores' records over, makes lines of them and writes these. No core ever waits for it: where it
//! can't keep up, a core has no empty buffer left, and drops and counts.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::access::{Batch, Lines, Record};
use crate::proxy::Scribe;
use crate::{log, metrics};

/// A core's side: empty buffers come, full ones go.
pub struct Desk {
    core: usize,
    empty: Receiver<Vec<u8>>,
    full: Sender<Message>,
}

/// The thread, to those who govern it.
pub struct Handle {
    full: Sender<Message>,
    reopen: Arc<AtomicBool>,
}

enum Message {
    Batch(usize, Batch),
    Flush(Sender<()>),
}

impl Scribe for Desk {
    fn buffer(&self) -> Option<Vec<u8>> {
        self.empty.try_recv().ok()
    }

    fn take(&self, batch: Batch) -> Option<Batch> {
        match self.full.try_send(Message::Batch(self.core, batch)).err()?.into_inner() {
            Message::Batch(_, batch) => Some(batch),
            Message::Flush(_) => None,
        }
    }
}

impl Handle {
    /// Files are opened anew within a second, and before the next line, when this signal comes: what they were may have been renamed.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn reopen_on(&self, signal: i32) -> io::Result<()> {
        signal_hook::flag::register(signal, self.reopen.clone()).map(drop)
    }

    /// Waits until what was handed over is written, at most for a second.
    pub fn flush(&self) {
        let (done, wait) = bounded(1);
        let limit = Duration::from_secs(1);
        if self.full.send_timeout(Message::Flush(done), limit).is_ok() {
            let _ = wait.recv_timeout(limit);
        }
    }
}

/// Starts the thread, with a desk for each core.
///
/// # Errors
/// When the process has no thread left.
pub fn start(cores: usize, counters: Arc<metrics::AccessLog>) -> io::Result<(Vec<Desk>, Handle)> {
    let (full, batches) = bounded(cores * BUFFERS + MESSAGES);
    let (mut desks, mut returns) = (Vec::new(), Vec::new());
    for core in 0..cores {
        let (back, empty) = bounded(BUFFERS);
        // The one a core writes into is its own.
        for _ in 1..BUFFERS {
            let _ = back.try_send(Vec::with_capacity(BUFFER));
        }
        desks.push(Desk { core, empty, full: full.clone() });
        returns.push(back);
    }
    let reopen = Arc::new(AtomicBool::new(false));
    let writer = Writer { returns, counters, outputs: Vec::new(), lines: Lines::default(), reopen: reopen.clone() };
    std::thread::Builder::new().name("access-log".into()).spawn(move || writer.run(&batches))?;
    Ok((desks, Handle { full, reopen }))
}

struct Writer {
    returns: Vec<Sender<Vec<u8>>>,
    counters: Arc<metrics::AccessLog>,
    outputs: Vec<(String, Output)>,
    lines: Lines,
    reopen: Arc<AtomicBool>,
}

/// Where lines go.
#[derive(Default)]
struct Output {
    file: Option<File>,
    lines: Vec<u8>,
    /// How many they are.
    count: u64,
    /// The last line that was written has no end.
    torn: bool,
    told: log::Seldom,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let message = messages.recv_timeout(LOOK);
            if self.reopen.swap(false, SeqCst) {
                self.reopen();
            }
            match message {
                Ok(Message::Batch(core, batch)) => {
                    self.write(&batch);
                    let mut buffer = batch.records;
                    buffer.clear();
                    let _ = self.returns[core].try_send(buffer);
                }
                Ok(Message::Flush(done)) => drop(done.try_send(())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn reopen(&mut self) {
        for (path, output) in self.outputs.iter_mut().filter(|(_, output)| output.file.is_some()) {
            output.file = None;
            if let Err(error) = open(&mut output.file, path) {
                output.complain(path, &error);
            }
        }
    }

    fn write(&mut self, batch: &Batch) {
        let mut records = &batch.records[..];
        // Where each log's lines go, found once a batch.
        let mut places = [None; 256];
        while let Some(record) = Record::decode(&mut records) {
            let Some(log) = batch.names.logs.get(usize::from(record.log)) else { continue };
            let place = *places[usize::from(record.log)].get_or_insert_with(|| place(&mut self.outputs, &log.path));
            let output = &mut self.outputs[place].1;
            self.lines.write(&mut output.lines, &batch.names, &record);
            output.count += 1;
        }
        for (path, output) in &mut self.outputs {
            if output.lines.is_empty() {
                continue;
            }
            let (written, result) = output.put(path);
            self.counters.written.add(written);
            self.counters.failed.add(output.count - written);
            output.lines.clear();
            output.count = 0;
            if let Err(error) = result {
                output.complain(path, &error);
            }
        }
    }
}

impl Output {
    /// Writes all lines; how many are written whole.
    fn put(&mut self, path: &str) -> (u64, io::Result<()>) {
        if self.torn {
            self.lines.insert(0, b'\n');
        }
        let torn = u64::from(std::mem::take(&mut self.torn));
        let (sent, result) = match path {
            "stdout" => send(&mut io::stdout().lock(), &self.lines),
            "stderr" => send(&mut io::stderr().lock(), &self.lines),
            _ => match open(&mut self.file, path) {
                Ok(file) => send(file, &self.lines),
                Err(error) => (0, Err(error)),
            },
        };
        if result.is_err() {
            // Opened anew for the next lines.
            self.file = None;
            self.torn = if sent == 0 { torn > 0 } else { self.lines[sent - 1] != b'\n' };
        }
        let written = if result.is_ok() { self.count } else { ends(&self.lines[..sent]).saturating_sub(torn) };
        (written, result)
    }

    /// Says that lines are lost, once in a while.
    fn complain(&mut self, path: &str, error: &io::Error) {
        if self.told.is_due(TELL_AGAIN) {
            tracing::warn!(path, %error, "lines of the access log can't be written and are lost");
        }
    }
}

/// The output of this path, made if there is none.
fn place(outputs: &mut Vec<(String, Output)>, path: &str) -> usize {
    outputs.iter().position(|(known, _)| known == path).unwrap_or_else(|| {
        outputs.push((path.to_owned(), Output::default()));
        outputs.len() - 1
    })
}

/// How many lines end in these bytes.
fn ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// The file, opened unless it is.
fn open<'a>(file: &'a mut Option<File>, path: &str) -> io::Result<&'a mut File> {
    match file {
        Some(file) => Ok(file),
        None => Ok(file.insert(OpenOptions::new().create(true).append(true).open(path)?)),
    }
}

/// Writes as much as can be; how much that is.
fn send(to: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut sent = 0;
    while sent < bytes.len() {
        match to.write(&bytes[sent..]) {
            Ok(0) => return (sent, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (sent, Err(error)),
        }
    }
    (sent, to.flush())
}

/// Bytes of a buffer, and buffers a core has: about 400 records each.
pub const BUFFER: usize = 128 << 10;
const BUFFERS: usize = 4;
/// Messages besides batches that may wait.
const MESSAGES: usize = 8;
/// How often it looks whether files are to be opened anew while there is nothing to write.
const LOOK: Duration = Duration::from_secs(1);
/// How often the log tells of lost lines while it lasts; each is counted in `gateway_access_log_failed_total`.
const TELL_AGAIN: Duration = Duration::from_secs(10);
