//! The private listener: one request a connection, served by the coordinator's thread.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::answers::Answers;
use super::pages::{PRIVATE, Response, metrics, private, respond};
use super::shared::Shared;
use super::{events, latency, purge, status};
use crate::cache::{Purge, Purged};
use crate::clock::Clock;
use crate::error::Reason;
use crate::exchange::Page;
use crate::http::{Method, RequestHead};
use crate::http1::{self, Limits};
use crate::metrics::text::Text;
use crate::net::{self, Acceptor, Deadlines, Link, Listening, Stopper, Stream};

/// Connections served at once; more are closed at once.
const CONNECTIONS: usize = 64;
/// For a whole request and its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that are read and thrown away behind a request, so that closing doesn't take back the answer.
const LEFTOVER: usize = 64 << 10;
/// The dashboard, all in one.
const DASHBOARD: &str = include_str!("dashboard.html");
/// Its media type, and that nobody may frame it; what else it may do is said in itself.
const HTML: &str = "text/html; charset=utf-8\r\nContent-Security-Policy: frame-ancestors 'none'";
/// How much is taken of a request.
const LIMITS: Limits = Limits { head: 8 << 10, headers: 64, uri: 2 << 10, chunk_extension: 0, trailers: 0 };
/// Wait after a failed accept, most often for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What the private listener's pages are made from.
pub struct Desk {
    /// Counters and states.
    pub shared: Arc<Shared>,
    /// Reloads the configuration and says how it went; each worker that is to serve by another one answers.
    pub reload: Box<dyn Fn() -> (Response, Answers<()>)>,
    /// Makes these unavailable in the caches of all workers.
    pub purge: Box<dyn Fn(Vec<Purge>) -> Answers<Purged>>,
    /// The clock of the deadlines.
    pub clock: Clock,
    /// Swept by whoever owns this thread.
    pub deadlines: Rc<Deadlines>,
}

/// Serves the private listener on this thread from here on; what ends that.
///
/// # Errors
/// What the kernel says about the listener.
pub fn serve(listening: Listening, desk: Desk) -> io::Result<Stopper> {
    let acceptor = Acceptor::new(listening)?;
    let stopper = acceptor.stopper();
    let (desk, open, readers) = (Rc::new(desk), Rc::new(Cell::new(0usize)), Rc::new(Cell::new(0usize)));
    net::spawn(async move {
        while let Some(accepted) = acceptor.next().await {
            match accepted {
                Ok(_) if open.get() >= CONNECTIONS => {}
                Ok((link, _)) => {
                    let (desk, open, readers) = (desk.clone(), open.clone(), readers.clone());
                    open.set(open.get() + 1);
                    net::spawn_apart(async move { converse(link, &desk, &readers).await }, move |result| {
                        if result.is_err() {
                            tracing::error!("a page of the private listener failed; this is a fault in the gateway");
                        }
                        open.set(open.get() - 1);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the private listener cannot accept");
                    net::pause(PAUSE).await;
                }
            }
        }
    });
    Ok(stopper)
}

/// One connection: a request, its answer, the end.
async fn converse(link: Link, desk: &Desk, readers: &Cell<usize>) {
    let timer = desk.deadlines.timer(&link);
    timer.close_at(desk.clock.now() + TIMEOUT);
    let (mut bytes, mut head) = (Vec::with_capacity(2048), RequestHead::default());
    let (answer, body) = loop {
        match http1::parse_request(&bytes, &LIMITS, &mut head) {
            // A page of anywhere, open in a browser on this host, could ask as well; browsers say where it is from.
            Ok(true) if head.method == Method::Post && head.header(&bytes, "origin").is_some() => {
                break (Response::text(403, "pages in browsers may not ask for this: their requests have an Origin\n"), true);
            }
            Ok(true) if head.method == Method::Post && head.path.of(&bytes) == b"/purge" => {
                break (purge::serve(&link, &head, bytes, desk).await, true);
            }
            Ok(true) if head.method == Method::Post && head.path.of(&bytes) == b"/reload" => break (reload(desk).await, true),
            Ok(true) if head.method == Method::Get && head.path.of(&bytes) == b"/events" => {
                if readers.get() < events::READERS {
                    return events::send(&link, &timer, desk, readers).await;
                }
                break (Response::text(503, format!("{} read events already, more can't: close a dashboard\n", events::READERS)), true);
            }
            Ok(true) => break (answer(&head, &bytes, desk), head.method != Method::Head),
            Ok(false) => {}
            Err(reason) => break (refuse(reason), true),
        }
        let (received, back) = link.recv(bytes).await;
        bytes = back;
        if !received.is_ok_and(|received| received > 0) {
            return;
        }
    };
    let (sent, back) = link.send(wire(&answer, body), 0).await;
    if sent.is_err() {
        return;
    }
    link.finish();
    let (mut bytes, mut left) = (back, LEFTOVER);
    while left > 0 {
        bytes.clear();
        let (received, back) = link.recv(bytes).await;
        bytes = back;
        match received {
            Ok(received) if received > 0 => left = left.saturating_sub(received),
            _ => return,
        }
    }
}

fn refuse(reason: Reason) -> Response {
    Response::text(reason.status(), format!("{}: {}\n", reason.code(), reason.explain()))
}

/// Reloads, and answers once all workers serve by what is new, so that whoever asked can rely on it.
async fn reload(desk: &Desk) -> Response {
    let (mut response, answers) = (desk.reload)();
    let late = answers.asked - answers.gather(desk.clock, |()| ()).await;
    if late > 0 {
        response.body.push_str(&format!("{late} of {} workers still serve by the configuration before: they are busy\n", answers.asked));
    }
    response
}

/// Decides what a request gets.
fn answer(head: &RequestHead, bytes: &[u8], desk: &Desk) -> Response {
    let path = std::str::from_utf8(head.path.of(bytes)).unwrap_or_default();
    let reading = matches!(head.method, Method::Get | Method::Head);
    match (private(path), path) {
        (Some(Page::Metrics), _) if reading && accepts_open_metrics(head, bytes) => metrics(&desk.shared, Text::open_metrics()),
        (Some(page), _) if reading => respond(page, &desk.shared),
        (Some(_), _) => Response::text(405, "this page can only be read: use GET\n"),
        (None, "/reload") => Response::text(405, "use POST to reload the configuration\n"),
        (None, "/purge") => Response::text(405, purge::USE),
        (None, "/latency") if reading => latency::page(if head.has_query { head.query.of(bytes) } else { b"" }, &desk.shared),
        (None, "/slow") if reading => latency::slow(&desk.shared),
        (None, "/status") if reading => Response::json(200, &status::value(&desk.shared)),
        (None, "/dashboard") if reading => Response { status: 200, content_type: HTML, body: DASHBOARD.to_owned() },
        (None, "/latency" | "/slow" | "/status" | "/dashboard" | "/events") => Response::text(405, "this page can only be read: use GET\n"),
        (None, "/") if reading => Response::text(200, index()),
        (None, _) => Response::text(404, format!("no such page. There are:\n{}", index())),
    }
}

/// Whether Prometheus asks for the newer format.
fn accepts_open_metrics(head: &RequestHead, bytes: &[u8]) -> bool {
    let mut accepted = head.fields.iter().filter(|field| field.name.of(bytes).eq_ignore_ascii_case(b"accept"));
    accepted.any(|field| memchr::memmem::find(field.value.of(bytes), b"application/openmetrics-text").is_some())
}

/// All there is, a line each.
fn index() -> String {
    let others = ["GET /dashboard", "GET /events", "GET /latency", "GET /slow", "GET /status", "POST /purge", "POST /reload"];
    PRIVATE.iter().map(|(path, _)| format!("GET {path}\n")).chain(others.map(|other| format!("{other}\n"))).collect()
}

/// The answer as bytes.
fn wire(response: &Response, body: bool) -> Vec<u8> {
    let Response { status, content_type, body: text } = response;
    let allow = match status {
        405 if text.starts_with("use POST") => "Allow: POST\r\n",
        405 => "Allow: GET, HEAD\r\n",
        _ => "",
    };
    let mut wire = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        phrase(*status),
        text.len()
    );
    if body {
        wire.push_str(text);
    }
    wire.into_bytes()
}

/// The reason phrase of the statuses that occur here.
const fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        503 => "Service Unavailable",
        400..=499 => "Bad Request",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, SocketAddr, TcpStream};
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::metrics::Registry;
    use crate::net::Engine;

    /// Serves while `talk` runs on another thread.
    fn serving<T: Send + 'static>(talk: impl FnOnce(SocketAddr) -> T + Send + 'static) -> T {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let talker = std::thread::spawn(move || talk(address));
        let engine = net::run_on(&[Engine::Epoll], 64, async |_| {
            let (clock, deadlines) = (Clock::start(), Rc::new(Deadlines::default()));
            let shared = Arc::new(Shared::new(Registry::new(1), String::new(), 1, UNIX_EPOCH));
            let reload = Box::new(|| (Response::text(422, "bad\n"), Answers { asked: 0, answers: crossbeam_channel::never() }));
            let purge = Box::new(|purges: Vec<Purge>| {
                let (reply, answers) = crossbeam_channel::bounded(1);
                let _ = reply.try_send(Purged { responses: purges.len(), complete: true });
                Answers { asked: 1, answers }
            });
            let listening = Listening { socket: listener, kept: false, tls: false };
            serve(listening, Desk { shared, reload, purge, clock, deadlines: deadlines.clone() }).unwrap();
            while !talker.is_finished() {
                deadlines.sweep(clock.now());
                net::pause(Duration::from_millis(2)).await;
            }
            talker
        });
        engine.unwrap().join().unwrap()
    }

    fn say(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn serves_each_page_and_the_index() {
        serving(|address| {
            for (path, _) in PRIVATE {
                let answer = say(address, &format!("GET {path}?q=1 HTTP/1.1\r\nHost: a\r\n\r\n"));
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
            }
            let index = say(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(index.contains("GET /upstreams\n") && index.ends_with("POST /reload\n"), "{index}");
            let missing = say(address, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(missing.starts_with("HTTP/1.1 404 Not Found\r\n") && missing.contains("GET /upstreams\n"), "{missing}");
        });
    }

    #[test]
    fn methods_matter() {
        serving(|address| {
            let answer = say(address, "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(answer.contains("\r\nContent-Length: 3\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
            let answer = say(address, "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
            assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
            let answer = say(address, "GET /reload HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nAllow: POST\r\n"), "{answer}");
            let answer = say(address, "POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 422 ") && answer.ends_with("\r\n\r\nbad\n"), "{answer}");
            for path in ["/reload", "/purge?prefix=x"] {
                let answer = say(address, &format!("POST {path} HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nContent-Length: 0\r\n\r\n"));
                assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.contains("Origin"), "{answer}");
            }
        });
    }

    #[test]
    fn what_is_no_request_is_refused_and_others_notice_nothing() {
        serving(|address| {
            let answer = say(address, "\u{1}\u{2}\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
            let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(9 << 10));
            assert!(say(address, &long).starts_with("HTTP/1.1 431 "), "{}", "a head over its limit");
            let left = TcpStream::connect(address).unwrap();
            left.shutdown(Shutdown::Both).unwrap();
            assert!(say(address, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("ok\n"));
        });
    }

    #[test]
    fn connections_beyond_the_limit_are_closed() {
        serving(|address| {
            let held: Vec<TcpStream> = (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
            let mut extra = TcpStream::connect(address).unwrap();
            assert!(matches!(extra.read(&mut [0]), Ok(0) | Err(_)));
            drop(held);
            let limit = std::time::Instant::now() + Duration::from_secs(10);
            let request = b"GET /livez HTTP/1.0\r\nHost: a\r\n\r\n";
            loop {
                let mut stream = TcpStream::connect(address).unwrap();
                let mut answer = String::new();
                if stream.write_all(request).is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.ends_with("ok\n") {
                    break;
                }
                assert!(std::time::Instant::now() < limit, "places are free again");
            }
        });
    }
}
