//! A client's connection: cold while it waits without a buffer, warm while requests follow each other.
//!
//! ```text
//! accept -> warm -- a second without a request --> cold -- readable --> warm
//!            |  \-- head complete -> Service::serve -> Next::KeepAlive: next head
//!            \-- refused, Next::Close, the client left, a deadline --> closed, lingering where bytes may be unread
//! ```

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::{Inbound, http2};
use crate::clock::Instant;
use crate::error::Reason;
use crate::http::RequestHead;
use crate::http1;
use crate::http2::is_preface;
use crate::net::{Deadlines, Link, Stream, Timer};

/// A client's connection. The timer goes before the descriptor it may shut down.
pub struct Client {
    /// Its deadline.
    pub timer: Timer,
    /// Its bytes.
    pub link: Link,
    /// Its address, as far as a proxy in front told it by the PROXY protocol.
    pub peer: SocketAddr,
    /// It is a stream of HTTP/2.
    pub http2: bool,
    /// Why a stream's request can't be said in HTTP/1.1: what has come in its place is none.
    pub untold: Option<Rc<Cell<Option<Reason>>>>,
    /// The address it connected to, where a proxy in front told that, or the link isn't the client's own socket.
    pub destination: Option<Box<SocketAddr>>,
    /// What is known of it by TLS, if the connection has that.
    pub secured: Option<Rc<Secured>>,
    /// Bytes that were sent to it.
    pub sent: Cell<u64>,
    /// Bytes of bodies that were received from it, besides those that came with a head.
    pub received: Cell<u64>,
}

/// What is known of a client by TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secured {
    /// Whom its certificate is for, which was verified; `None` if it has shown none.
    pub subject: Option<String>,
    /// HTTP/2 was agreed on (ALPN), so that nothing else is understood.
    pub http2: bool,
}

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It carries the next request.
    KeepAlive,
    /// It is closed at once.
    Close,
    /// It is closed once the client has read the answer: it may still be sending.
    Linger,
}

/// How long a connection waits, for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For a request's head from its first byte; for the first request from the accept.
    pub read: Duration,
    /// For the next request.
    pub idle: Duration,
}

/// What is done with requests.
pub trait Service: 'static {
    /// What one warm spell of a connection works with: the sender's description, parsed heads.
    type Session;

    /// The present moment, as of the last wake-up.
    fn now(&self) -> Instant;
    /// Something was waited for: reads the clock.
    fn woke(&self) -> Instant;
    /// How long to wait.
    fn timing(&self) -> Timing;
    /// The limits of a head.
    fn limits(&self) -> http1::Limits;
    /// Connections open on this core, this one included.
    fn connections(&self) -> u64;
    /// Connections are to end after the request under way.
    fn draining(&self) -> bool;
    /// Answers are the last of their connections.
    fn leaving(&self) -> bool;
    /// Where deadlines are set.
    fn deadlines(&self) -> &Rc<Deadlines>;
    /// A number by chance.
    fn draw(&self) -> u64;
    /// What HTTP/2 connections may have; `None` if there are to be none.
    fn http2(&self) -> Option<http2::Settings>;
    /// Something happened on an HTTP/2 connection.
    fn on_http2(&self, event: http2::Event);
    /// A buffer to receive into.
    fn take_buffer(&self) -> Vec<u8>;
    /// Gives a buffer back.
    fn give_buffer(&self, buf: Vec<u8>);
    /// Begins a warm spell.
    fn begin(&self, client: &Client) -> Self::Session;
    /// Ends a warm spell; `cold` if the connection stays, and waits without a buffer.
    fn end(&self, session: Self::Session, cold: bool);
    /// The session's request head, which the next request is parsed into.
    fn head<'a>(&self, session: &'a mut Self::Session) -> &'a mut RequestHead;
    /// Serves the request whose head is parsed and whose bytes are at the front of `inbound`; uses up head and body.
    fn serve(&self, client: &Client, session: &mut Self::Session, inbound: &mut Inbound) -> impl Future<Output = Next>;
    /// Answers a request that can't be understood.
    fn refuse(&self, client: &Client, session: &mut Self::Session, reason: Reason) -> impl Future<Output = Next>;
}

enum Spell {
    Cold,
    Closed,
    /// It speaks HTTP/2, and this has come of it.
    Http2(Box<(http2::Settings, Vec<u8>)>),
}

/// Serves a connection until it is closed. A block, as an `async fn` would hold its arguments twice.
#[allow(clippy::manual_async_fn)]
pub fn serve<S: Service>(service: Rc<S>, client: Client) -> impl Future<Output = ()> {
    async move {
        if let Some(settings) = agreed(&*service, &client) {
            return Box::pin(http2::serve(service, client, settings, Vec::new())).await;
        }
        let mut first = true;
        loop {
            // Boxed, so that a connection that waits keeps none of it.
            match Box::pin(warm(&*service, &client, first)).await {
                Spell::Closed => return,
                Spell::Cold => {}
                Spell::Http2(begun) => {
                    let (settings, first) = *begun;
                    return Box::pin(http2::serve(service, client, settings, first)).await;
                }
            }
            first = false;
            if service.draining() {
                return;
            }
            let idle = service.timing().idle;
            client.timer.close_idle_at(if idle.is_zero() { Instant::MAX - Duration::from_nanos(1) } else { service.now() + idle });
            if client.link.readable().await.is_err() || client.timer.expired() {
                return;
            }
            service.woke();
        }
    }
}

/// How HTTP/2 is spoken, if that was agreed on before the first byte.
fn agreed<S: Service>(service: &S, client: &Client) -> Option<http2::Settings> {
    let is = !client.http2 && client.secured.as_ref().is_some_and(|secured| secured.http2);
    if is { service.http2() } else { None }
}

async fn warm<S: Service>(service: &S, client: &Client, first: bool) -> Spell {
    let mut session = service.begin(client);
    let mut inbound = Inbound::new(service.take_buffer());
    let spell = requests(service, client, &mut session, &mut inbound, first).await;
    service.give_buffer(inbound.into_buf());
    service.end(session, matches!(spell, Spell::Cold));
    spell
}

async fn requests<S: Service>(service: &S, client: &Client, session: &mut S::Session, inbound: &mut Inbound, mut first: bool) -> Spell {
    let mut begins = first && !client.http2;
    loop {
        if inbound.bytes().is_empty() {
            // Draining too: what the client has sent already is served, and who sends nothing is ended with all that are idle.
            let buf = inbound.lend(RECEIVE_MIN);
            let (result, buf) = match if first { None } else { cools_at(service) } {
                None => {
                    let Timing { read, idle } = service.timing();
                    client.timer.hush_idle_at(service.now() + or_forever(if first { read } else { idle }));
                    client.link.recv(buf).await
                }
                Some(at) => {
                    client.timer.wake_at(at);
                    client.link.recv_idle(buf, &client.timer).await
                }
            };
            inbound.restore(buf);
            service.woke();
            match result {
                Ok(received) if received > 0 => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Spell::Cold,
                _ => return Spell::Closed,
            }
        }
        first = false;
        let next = match read_head(service, client, session, inbound).await {
            Ok(true) => {
                // What limits the wait for a request doesn't limit the answer to it.
                client.timer.clear();
                service.serve(client, session, inbound).await
            }
            Ok(false) => return Spell::Closed,
            Err(Reason::BadVersion)
                if begins
                    && is_preface(inbound.bytes())
                    && let Some(settings) = service.http2() =>
            {
                return Spell::Http2(Box::new((settings, inbound.bytes().to_vec())));
            }
            Err(reason) => {
                let reason = if begins && inbound.bytes().starts_with(TLS) { Reason::TlsToPlain } else { reason };
                let untold = client.untold.as_ref().and_then(|untold| untold.take());
                Box::pin(service.refuse(client, session, untold.unwrap_or(reason))).await
            }
        };
        match next {
            Next::KeepAlive => begins = false,
            Next::Close => return Spell::Closed,
            Next::Linger => {
                Box::pin(linger(service, client)).await;
                return Spell::Closed;
            }
        }
    }
}

/// When a connection that waits gives its buffer back; `None` if it may keep it.
pub(super) fn cools_at<S: Service>(service: &S) -> Option<Instant> {
    (service.connections() > WARM_ALWAYS).then(|| service.now() + WARM)
}

/// Parses a head, receiving more as needed. `Ok(false)`: the client left in the middle of it.
async fn read_head<S: Service>(service: &S, client: &Client, session: &mut S::Session, inbound: &mut Inbound) -> Result<bool, Reason> {
    let limits = service.limits();
    let mut waiting = false;
    loop {
        if http1::parse_request(inbound.bytes(), &limits, service.head(session))? {
            return Ok(true);
        }
        if !waiting {
            waiting = true;
            client.timer.hush_at(service.now() + or_forever(service.timing().read));
        }
        let (result, buf) = client.link.recv(inbound.lend(RECEIVE_MIN)).await;
        inbound.restore(buf);
        service.woke();
        match result {
            Ok(received) if received > 0 => {}
            _ if client.timer.expired() => return Err(Reason::HeadTimeout),
            _ => return Ok(false),
        }
    }
}

/// Closing while the client still sends would reset the connection and could take the answer away from it: says that
/// nothing more comes, then reads what comes for a while (RFC 9112 section 9.6).
async fn linger<S: Service>(service: &S, client: &Client) {
    client.link.finish();
    client.timer.close_at(service.now() + LINGER);
    let mut buf = service.take_buffer();
    let mut left = LINGER_BYTES;
    loop {
        buf.clear();
        let (result, back) = client.link.recv(buf).await;
        buf = back;
        match result {
            Ok(received) if received > 0 && received < left => left -= received,
            _ => break,
        }
    }
    service.give_buffer(buf);
}

pub(super) fn or_forever(limit: Duration) -> Duration {
    if limit.is_zero() { Duration::from_secs(u32::MAX as u64) } else { limit }
}

/// How long a connection keeps its buffer after a request, if there are many.
const WARM: Duration = Duration::from_secs(1);
/// So few connections of a core may keep their buffers while they wait: a receive that may have to be ended early costs about
/// 600 instructions more.
const WARM_ALWAYS: u64 = 128;
/// Room a receive needs at least, in bytes.
const RECEIVE_MIN: usize = 4096;
/// What a TLS handshake begins with: its type, and the version's first byte (RFC 8446 section 5.1).
const TLS: &[u8] = &[22, 3];
/// How long, and for how many bytes, a closed connection is read.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;
