//! Spans on their way to a collector, by OTLP over HTTP (opentelemetry-proto 1.x, JSON encoding): gathered and sent by a thread of its own. What
//! doesn't fit into the queue, or what the collector doesn't take, is dropped and counted: no request waits for it.

mod spans;

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::config;
use crate::log;
use crate::metrics::Spans;
use crate::proxy::Traced;

/// Requests that wait to be sent at most.
const QUEUE: usize = 4096;
/// Requests sent at once at most.
const BATCH: usize = 512;
/// How long the first of them waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// For the collector to take them.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the log tells that it doesn't, while that lasts.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The thread, until [`Exporter::finish`]. Nothing in its queue means that it is to end.
pub struct Exporter {
    queue: Sender<Option<Traced>>,
    thread: thread::JoinHandle<()>,
}

impl Exporter {
    /// Takes requests that were traced; says whether there was room.
    pub fn desk(&self) -> impl Fn(Traced) -> bool + Send + 'static {
        let queue = self.queue.clone();
        move |traced| queue.try_send(Some(traced)).is_ok()
    }

    /// Sends what there is, and ends.
    pub fn finish(self) {
        if self.queue.send_timeout(None, PATIENCE).is_ok() {
            // A panic of its own was printed already.
            let _ = self.thread.join();
        }
    }
}

/// Starts it, if there is a collector.
///
/// # Errors
/// When there can be no thread.
pub fn start(settings: &config::Tracing, counters: Arc<Spans>) -> io::Result<Option<Exporter>> {
    let Some((host, path)) = settings.collector() else { return Ok(None) };
    let (host, path, service) = (host.to_owned(), path.to_owned(), settings.service_name.clone());
    let (queue, traced) = bounded(QUEUE);
    let thread = thread::Builder::new().name("otlp".into()).spawn(move || {
        let (mut told, mut last) = (log::Seldom::default(), false);
        while !last {
            let batch;
            (batch, last) = gather(&traced);
            if batch.is_empty() {
                continue;
            }
            let spans = batch.iter().map(Traced::spans).sum::<u64>();
            match post(&host, &path, &spans::json(&service, &batch).to_string()) {
                Ok(()) => counters.sent.add(spans),
                Err(error) => {
                    counters.failed.add(spans);
                    if told.is_due(TELL_AGAIN) {
                        tracing::warn!(collector = %host, %error, "spans can't be sent and are lost");
                    }
                }
            }
        }
    })?;
    Ok(Some(Exporter { queue, thread }))
}

/// What has come a second after the first, and whether that was all.
fn gather(traced: &Receiver<Option<Traced>>) -> (Vec<Traced>, bool) {
    let Ok(Some(first)) = traced.recv() else { return (Vec::new(), true) };
    let mut batch = vec![first];
    let until = Instant::now() + GATHER;
    while batch.len() < BATCH {
        match traced.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Some(more)) => batch.push(more),
            Err(RecvTimeoutError::Timeout) => break,
            Ok(None) | Err(RecvTimeoutError::Disconnected) => return (batch, true),
        }
    }
    (batch, false)
}

fn post(host: &str, path: &str, body: &str) -> io::Result<()> {
    let address = host.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    if status.starts_with(b"HTTP/1.") && status[9] == b'2' {
        return Ok(());
    }
    Err(io::Error::other(format!("the collector answers {}", String::from_utf8_lossy(&status))))
}
