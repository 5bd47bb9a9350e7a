//! The scripted endpoint of tests and of the demo: does to each request what its path and query ask for.
//!
//! Its HTTP/1.1 is monoio-http's, so that the gateway is tested against a codec that is not its own; its clients are the gateway
//! and curl, never strangers. Clients that begin with HTTP/2's preface are spoken to in that.

mod answer;
mod grpc;
mod http2;
mod script;
mod secure;
mod upload;
mod websocket;

use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{ALLOW, EXPECT, HeaderValue, SERVER};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use monoio::io::stream::Stream;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::{TcpStream, UnixStream};
use monoio_http::common::request::RequestHead;
use monoio_http::h1::FramedRead;
use ringway::net::{self, Engine, Link, RingError};
use rustls::ServerConfig;
use serde_json::{Map, Value, json};

use answer::{Answer, Content, Then, write};
pub use script::help;
use script::{MILLION, Page, Reset, Script};
use secure::Secure;
use upload::{HeadDecoder, Received, Upload};

/// Submission queue entries of a thread's ring.
const ENTRIES: u32 = 256;
/// Wait after a failed accept, most often for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes taken and thrown away behind a refused request, so that closing doesn't take back the answer.
const LEFTOVER: usize = 1 << 20;

/// One endpoint, whatever number of listeners and threads it has.
pub struct Origin {
    name: String,
    log: bool,
    tls: Option<Arc<ServerConfig>>,
    well: AtomicBool,
    requests: AtomicU64,
    accepted: AtomicU64,
    open: AtomicU64,
    draws: AtomicU64,
}

/// A connection of a client.
pub trait Connection: AsyncReadRent + AsyncWriteRent + AsRawFd + 'static {
    /// The same as the gateway's engine sees it.
    ///
    /// # Errors
    /// What the kernel says.
    fn into_link(self) -> io::Result<Link>;
}

impl Connection for TcpStream {
    fn into_link(self) -> io::Result<Link> {
        Link::adopt(self.into_raw_fd())
    }
}

impl Connection for UnixStream {
    fn into_link(self) -> io::Result<Link> {
        Link::adopt(self.into_raw_fd())
    }
}

impl Origin {
    /// An endpoint of this name; with `log` it writes a line a request to standard error, with `tls` it speaks nothing but that.
    pub fn new(name: impl Into<String>, log: bool, tls: Option<Arc<ServerConfig>>) -> Self {
        let name = name.into();
        // Endpoints of different names begin at different points, so that they don't fail in step.
        let draws = AtomicU64::new(crc32fast::hash(name.as_bytes()).into());
        Origin {
            name,
            log,
            tls,
            well: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            draws,
        }
    }

    /// Whether this request is one of the fraction that fails. Evenly spread, not by chance: of each ten requests with a rate
    /// of 0.3 three fail.
    fn draw(&self, rate: u64) -> bool {
        let draw = self.draws.fetch_add(1, Relaxed);
        (draw + 1) * rate / MILLION > draw * rate / MILLION
    }

    /// What a script gets, once the request is received.
    fn answer(&self, script: &Script, request: &RequestHead, received: &Received) -> Answer {
        let text = |status, text: String| Answer { status, media: "text/plain; charset=utf-8", content: Content::Text(text.into()) };
        let json = |value: &Value| Answer {
            status: script.status,
            media: "application/json",
            content: Content::Text(format!("{value:#}\n").into()),
        };
        let (name, method, target) = (&self.name, &request.method, &request.uri);
        if script.fail > 0 && self.draw(script.fail) {
            return text(script.fail_status, format!("{name}: fails as told\n"));
        }
        if let Some(size) = script.size {
            return Answer { content: Content::Letters(size), ..text(script.status, String::new()) };
        }
        match script.page {
            Page::Greeting => text(script.status, format!("{name}: {method} {target}\n")),
            Page::Help => text(script.status, format!("{name}: {}", help())),
            Page::Mirror => Answer { status: script.status, media: "application/octet-stream", content: Content::Mirror },
            Page::Headers => text(script.status, fields(request).map(|(name, value)| format!("{name}: {value}\n")).collect()),
            Page::Echo if script.text => {
                let mut lines = format!("{method} {target} {:?}\n", request.version);
                lines.extend(fields(request).chain(received.trailers.clone()).map(|(name, value)| format!("{name}: {value}\n")));
                lines.push_str(&format!("\nendpoint={name} bytes={} crc32={:08x}\n", received.bytes(), received.sum()));
                text(script.status, lines)
            }
            Page::Echo => json(&json!({
                "endpoint": name,
                "method": method.as_str(),
                "target": target.to_string(),
                "version": format!("{:?}", request.version),
                "headers": grouped(fields(request)),
                "trailers": grouped(received.trailers.iter().cloned()),
                "body": { "bytes": received.bytes(), "crc32": format!("{:08x}", received.sum()) },
            })),
            Page::Count => json(&json!({
                "endpoint": name,
                "requests": self.requests.load(Relaxed),
                "connections": { "accepted": self.accepted.load(Relaxed), "open": self.open.load(Relaxed) },
            })),
            Page::Health if self.well.load(Relaxed) => text(script.status, format!("{name}: well\n")),
            Page::Health => text(StatusCode::SERVICE_UNAVAILABLE, format!("{name}: unwell, as told\n")),
            Page::Switch(_) if method != Method::POST => {
                text(StatusCode::METHOD_NOT_ALLOWED, format!("{name}: use POST to switch health\n"))
            }
            Page::Switch(well) => {
                self.well.store(well, Relaxed);
                text(script.status, format!("{name}: {}\n", if well { "well" } else { "unwell" }))
            }
        }
    }

    /// The fields of every answer.
    fn head(&self) -> HeaderMap {
        let name = HeaderValue::from_str(&self.name).unwrap_or(HeaderValue::from_static("unnamed"));
        [(SERVER, HeaderValue::from_static("ringorigin")), (HeaderName::from_static("x-endpoint"), name)].into_iter().collect()
    }

    /// Counts a request, and reads its script, or why it can't be understood.
    fn begin(&self, request: &RequestHead) -> (Script, Option<String>) {
        let (script, problem) = match Script::read(&request.uri) {
            Ok(script) => (script, None),
            Err(problem) => (Script::default(), Some(problem)),
        };
        if script.counts() {
            self.requests.fetch_add(1, Relaxed);
        }
        (script, problem)
    }

    /// The answer to a request that was received, with its fields.
    fn finished(&self, script: &Script, problem: Option<String>, request: &RequestHead, received: &Received) -> (Answer, HeaderMap) {
        let answer = match problem {
            None => self.answer(script, request, received),
            Some(problem) => Answer {
                status: StatusCode::BAD_REQUEST,
                media: "text/plain; charset=utf-8",
                content: Content::Text(format!("{}: {problem}\n\n{}", self.name, help()).into()),
            },
        };
        let mut fields = self.head();
        if answer.status == StatusCode::METHOD_NOT_ALLOWED {
            fields.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        self.note(request, answer.status.as_str());
        (answer, fields)
    }

    /// One request and its answer.
    async fn exchange<S: Connection>(
        &self,
        connection: &mut FramedRead<S, HeadDecoder>,
        request: &RequestHead,
        mut upload: Upload,
    ) -> io::Result<Then> {
        let (script, problem) = self.begin(request);
        if !script.early && upload.left() != Some(0) && request.headers.contains_key(EXPECT) {
            write(connection.get_mut(), Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n")).await?;
        }
        if !script.early && script.page != Page::Mirror {
            upload.finish(connection).await?;
        }
        if script.hang {
            self.note(request, "no answer");
            while connection.read(Vec::with_capacity(16 << 10)).await.0? > 0 {}
            return Ok(Then::Close);
        }
        if !script.delay.is_zero() {
            monoio::time::sleep(script.delay).await;
        }
        if script.reset == Some(Reset::Head) {
            self.note(request, "reset");
            return Ok(Then::Reset);
        }
        if script.switches()
            && let Some(key) = websocket::key(request)
        {
            self.note(request, "101");
            websocket::echo(connection, key).await?;
            return Ok(Then::Close);
        }
        let (answer, fields) = self.finished(&script, problem, request, &upload.received);
        let then = answer.send(connection, (request, &mut upload), &script, fields).await?;
        if then != Then::Reset {
            upload.finish(connection).await?;
        }
        Ok(then)
    }

    fn note(&self, request: &RequestHead, result: &str) {
        if self.log {
            eprintln!("{}: {} {} -> {result}", self.name, request.method, request.uri);
        }
    }

    /// A connection, by TLS or not.
    async fn greet<S: Connection>(self: &Arc<Self>, stream: S) {
        let Some(tls) = &self.tls else { return self.converse(stream).await };
        let Ok(link) = stream.into_link() else { return };
        match net::secure(&link, tls.clone()).await {
            Ok(link) => self.converse(Secure(link)).await,
            Err(failed) if self.log => eprintln!("{}: no TLS with a client: {}", self.name, failed.why),
            Err(_) => {}
        }
    }

    /// All requests of one connection.
    async fn converse<S: Connection>(self: &Arc<Self>, stream: S) {
        let fd = stream.as_raw_fd();
        let mut connection = FramedRead::new(stream, HeadDecoder::default());
        if connection.peek_data().await.is_ok_and(|bytes| http2::begins(bytes)) {
            let first = connection.read_buffer().to_vec();
            if let Ok(link) = connection.into_inner().into_link() {
                http2::serve(self.clone(), link, first).await;
            }
            return;
        }
        loop {
            let then = match connection.next().await {
                None => return,
                Some(Ok((request, framing))) => {
                    let upload = Upload::new(&request, framing);
                    self.exchange(&mut connection, &request, upload).await
                }
                Some(Err(error)) => Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
            };
            match then {
                Ok(Then::Keep) => {}
                Ok(Then::Close) => break,
                Ok(Then::Reset) => return net::reset_on_close(fd),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let text = format!("{}: this is no request that can be understood: {error}\n", self.name);
                    let answer = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
                    if write(connection.get_mut(), answer.into()).await.is_err() {
                        return;
                    }
                    break;
                }
                Err(_) => return,
            }
        }
        let mut left = LEFTOVER;
        if connection.get_mut().shutdown().await.is_ok() {
            while let Ok(read @ 1..) = connection.read(Vec::with_capacity(16 << 10)).await.0
                && left > 0
            {
                left = left.saturating_sub(read);
            }
        }
    }
}

/// Counts a connection as open until dropped, whatever ends it.
struct Open(Arc<Origin>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Serves all connections of a listener on this thread.
///
/// monoio-http's decoder panics on some heads (a name of more than 64 KB): that ends the one connection.
pub async fn serve<S: Connection, A>(mut listener: impl Stream<Item = io::Result<(S, A)>>, origin: Arc<Origin>) {
    while let Some(accepted) = listener.next().await {
        match accepted {
            Ok((stream, _)) => {
                origin.accepted.fetch_add(1, Relaxed);
                origin.open.fetch_add(1, Relaxed);
                let open = Open(origin.clone());
                net::spawn(async move {
                    let _ = AssertUnwindSafe(open.0.greet(stream)).catch_unwind().await;
                });
            }
            Err(error) => {
                eprintln!("{}: cannot accept: {error}", origin.name);
                net::pause(PAUSE).await;
            }
        }
    }
}

/// Serves a TCP listener on this thread, beside all else that runs on it; `nonblocking` is what [`run`] told.
///
/// # Errors
/// What the kernel says.
pub fn spawn_tcp(listener: TcpListener, nonblocking: bool, origin: Arc<Origin>) -> io::Result<()> {
    listener.set_nonblocking(nonblocking)?;
    net::spawn(serve(monoio::net::TcpListener::from_std(listener)?, origin));
    Ok(())
}

/// Runs endpoints on this thread for good. `start` spawns them, and is told whether listeners must be non-blocking.
///
/// # Errors
/// When the kernel grants neither io_uring nor epoll, or what `start` fails with.
pub fn run(start: impl FnOnce(bool) -> io::Result<()>) -> io::Result<()> {
    let engines = [Engine::UringDefer, Engine::UringCoop, Engine::Uring, Engine::Epoll];
    let main = async |engine| {
        start(engine == Engine::Epoll)?;
        pending().await
    };
    net::run_on(&engines, ENTRIES, main).map_err(|error: RingError| io::Error::other(error))?
}

/// A request's fields, as far as they are text.
fn fields(request: &RequestHead) -> impl Iterator<Item = (String, String)> {
    let fields: &HeaderMap = &request.headers;
    fields.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
}

/// Fields by name, each with all its values.
fn grouped(fields: impl Iterator<Item = (String, String)>) -> Value {
    let mut map = Map::new();
    for (name, value) in fields {
        if let Value::Array(values) = map.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
            values.push(value.into());
        }
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_evenly_spread() {
        for (rate, failing) in [(0, 0), (300_000, 30), (500_000, 50), (990_000, 99), (MILLION, 100)] {
            let origin = Origin::new("a", false, None);
            let failed: Vec<bool> = (0..100).map(|_| origin.draw(rate)).collect();
            assert_eq!(failed.iter().filter(|failed| **failed).count(), failing, "{rate}");
            let tens = failed.chunks(10).map(|ten| ten.iter().filter(|failed| **failed).count());
            assert!(rate != 300_000 || tens.into_iter().all(|failed| failed == 3));
        }
    }
}
