//! One probe of one endpoint: connect, ask, read the status, all within its timeout.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::probe_http2;
use crate::address::Address;
use crate::clock::Instant;
use crate::config::{Config, HealthCheck, ProbeKind, Protocol};
use crate::error::Reason;
use crate::http::{Framing, Method, ResponseHead};
use crate::http1::{self, Limits};
use crate::http2::grpc;
use crate::net::{self, Deadlines, Link, Stream, Unsafe};
use crate::proxy_protocol::{self, Version};
use crate::tls;

/// What is taken of an answer. A health page that needs more is no health page.
pub(super) const LIMITS: Limits = Limits { head: 16 << 10, headers: 100, uri: 0, chunk_extension: 0, trailers: 0 };
/// Bytes of an answer's body that are read, so that the endpoint doesn't see its answer refused.
pub(super) const BODY: u64 = 64 << 10;

/// What is asked of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub address: Address,
    /// What TLS is spoken with, and the name that the endpoint's certificate must have, if it is.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The PROXY protocol header that comes first: the connection is the gateway's own.
    pub introduction: Option<Version>,
    pub timeout: Duration,
    pub protocol: Protocol,
    pub host: String,
    pub check: HealthCheck,
}

/// Why an endpoint isn't well.
#[derive(Debug)]
pub(super) enum Failure {
    Unreachable(io::Error),
    TimedOut(Duration),
    Unsafe(Unsafe),
    Closed,
    Broken(io::Error),
    Malformed(Reason),
    Status(u16),
    /// HTTP/2 itself broke.
    Http2(h2::Error),
    /// The call to ask for its health failed: with this status, for this reason.
    Call(u8, String),
    /// It says so.
    Unwell(&'static str),
    Panicked,
}

impl Failure {
    /// Writes it to the log. The one that took the endpoint out of service is what operators look for; the others are many.
    pub fn tell(&self, upstream: &str, endpoint: &str, took_down: bool) {
        if took_down {
            tracing::warn!(upstream, endpoint, error = %self, "probe failed");
        } else {
            tracing::debug!(upstream, endpoint, error = %self, "probe failed");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable(error) => write!(f, "cannot connect: {error}"),
            Failure::TimedOut(limit) => write!(f, "no answer within {limit:?}"),
            Failure::Unsafe(error) => write!(f, "TLS failed: {error}"),
            Failure::Closed => f.write_str("closed the connection without an answer"),
            Failure::Broken(error) => write!(f, "the connection broke: {error}"),
            Failure::Malformed(reason) => write!(f, "malformed answer: {}", reason.code()),
            Failure::Status(status) => write!(f, "status {status} is not an expected one"),
            Failure::Http2(error) => write!(f, "HTTP/2 failed: {error}"),
            Failure::Call(status, message) => {
                write!(f, "grpc-status {status} ({})", grpc::name(*status))?;
                if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
            }
            Failure::Unwell(state) => write!(f, "says {state}"),
            Failure::Panicked => f.write_str("the probe itself failed; this is a fault in the gateway"),
        }
    }
}

/// What endpoints with `https://` are probed with, by upstream.
pub(super) fn clients(config: &Config) -> HashMap<String, tls::Client> {
    let asked = config.upstreams.iter().filter(|upstream| upstream.is_secure());
    asked.filter_map(|upstream| Some((upstream.id.clone(), tls::Client::new(&upstream.tls, upstream.protocol).ok()?))).collect()
}

impl Ask {
    /// The request. One a connection: what is probed is also that the endpoint accepts connections.
    fn request(&self) -> Vec<u8> {
        let (HealthCheck { method, path, .. }, host) = (&self.check, &self.host);
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ringway-probe/{version}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        )
        .into_bytes()
    }

    /// What comes before it, and before TLS.
    fn front(&self) -> Vec<u8> {
        let mut front = Vec::new();
        if let Some(version) = self.introduction {
            proxy_protocol::write(&mut front, version, None);
        }
        front
    }

    /// Whether an answer's status is a good one.
    pub(super) fn judge(&self, status: u16) -> Result<(), Failure> {
        let expected = self.check.expected_status.iter().any(|range| (range.low..=range.high).contains(&status));
        if expected { Ok(()) } else { Err(Failure::Status(status)) }
    }
}

/// Probes an endpoint: whether it is well.
pub(super) async fn probe(ask: &Ask, deadlines: &Rc<Deadlines>, now: Instant) -> Result<(), Failure> {
    let connected = net::connect(&ask.address, |link| {
        let timer = deadlines.timer(link);
        timer.close_at(now + ask.timeout);
        timer
    });
    let (link, timer) = connected.await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Failure::TimedOut(ask.timeout),
        _ => Failure::Unreachable(error),
    })?;
    // Once the deadline has closed the connection, whatever an operation says is the deadline's doing.
    let asked = async {
        let mut front = ask.front();
        let link = match &ask.tls {
            Some((config, name)) => {
                link.send(std::mem::take(&mut front), 0).await.0.map_err(Failure::Broken)?;
                net::secure_to(&link, config.clone(), name.clone()).await.map_err(Failure::Unsafe)?
            }
            None => link,
        };
        match (ask.check.kind, ask.protocol) {
            (ProbeKind::Tcp, _) if front.is_empty() => Ok(()),
            (ProbeKind::Tcp, _) => link.send(front, 0).await.0.map(|_| ()).map_err(Failure::Broken),
            (ProbeKind::Http, Protocol::Http1) => http1(ask, link, front).await,
            (ProbeKind::Http, Protocol::H2) => probe_http2::http(ask, link).await,
            (ProbeKind::Grpc, _) => probe_http2::grpc(ask, link).await,
        }
    };
    asked.await.map_err(|failure| if timer.expired() { Failure::TimedOut(ask.timeout) } else { failure })
}

/// Asks by HTTP/1.1; `front` comes before it.
async fn http1(ask: &Ask, link: Link, front: Vec<u8>) -> Result<(), Failure> {
    let (sent, _) = link.send([front, ask.request()].concat(), 0).await;
    sent.map_err(Failure::Broken)?;
    let method = Method::from_bytes(ask.check.method.as_bytes());
    let mut head = ResponseHead::default();
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if http1::parse_response(&bytes, method, &LIMITS, &mut head).map_err(Failure::Malformed)? {
            if head.status >= 200 {
                break;
            }
            bytes.drain(..head.length);
            continue;
        }
        let (received, back) = link.recv(bytes).await;
        bytes = back;
        match received {
            Ok(0) => return Err(Failure::Closed),
            Ok(_) => {}
            Err(error) => return Err(Failure::Broken(error)),
        }
    }
    let status = head.status;
    if let Framing::Length(length) = head.framing
        && length <= BODY
    {
        let mut rest = length.saturating_sub((bytes.len() - head.length) as u64);
        while rest > 0 {
            bytes.clear();
            let (received, back) = link.recv(bytes).await;
            bytes = back;
            match received {
                Ok(received) if received > 0 => rest = rest.saturating_sub(received as u64),
                _ => break,
            }
        }
    }
    ask.judge(status)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::clock::Clock;
    use crate::config::StatusRange;
    use crate::net::Engine;

    /// An endpoint that accepts one connection and does this with it.
    fn endpoint(act: impl FnOnce(&mut TcpStream) + Send + 'static) -> Ask {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || act(&mut listener.accept().unwrap().0));
        Ask {
            address: Address::Tcp(address),
            tls: None,
            introduction: None,
            timeout: Duration::from_secs(20),
            protocol: Protocol::Http1,
            host: "users:81".into(),
            check: HealthCheck {
                path: "/up?x=1".into(),
                expected_status: vec![StatusRange { low: 200, high: 204 }],
                ..HealthCheck::default()
            },
        }
    }

    fn run(ask: &Ask) -> Result<(), Failure> {
        net::run_on(&[Engine::Epoll], 64, async |_| {
            let (clock, deadlines) = (Clock::start(), Rc::new(Deadlines::default()));
            let sweeper = deadlines.clone();
            net::spawn(async move {
                while Rc::strong_count(&sweeper) > 1 {
                    sweeper.sweep(clock.now());
                    net::pause(Duration::from_millis(5)).await;
                }
            });
            probe(ask, &deadlines, clock.now()).await
        })
        .unwrap()
    }

    /// Reads a request's head.
    fn head(stream: &mut TcpStream) -> String {
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        while !bytes.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        String::from_utf8(bytes).unwrap()
    }

    fn answering(answer: &'static str) -> Ask {
        endpoint(move |stream| {
            head(stream);
            stream.write_all(answer.as_bytes()).unwrap();
        })
    }

    #[test]
    fn asks_and_takes_an_expected_status() {
        let (tell, told) = std::sync::mpsc::channel();
        let ask = endpoint(move |stream| {
            tell.send(head(stream)).unwrap();
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").unwrap();
        });
        run(&ask).unwrap();
        let request = told.recv().unwrap();
        assert!(request.starts_with("GET /up?x=1 HTTP/1.1\r\nHost: users:81\r\n"), "{request}");
        assert!(request.contains("\r\nConnection: close\r\n"), "{request}");
    }

    #[test]
    fn takes_the_body_of_an_answer() {
        let (tell, told) = std::sync::mpsc::channel();
        let ask = endpoint(move |stream| {
            head(stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").unwrap();
            stream.write_all(b"all's ").unwrap();
            stream.write_all(b"wel").unwrap();
            tell.send(stream.read(&mut [0])).unwrap();
        });
        run(&ask).unwrap();
        assert_eq!(told.recv().unwrap().unwrap(), 0, "the connection is closed in order, not reset");
    }

    #[test]
    fn another_status_is_a_failure() {
        assert!(matches!(run(&answering("HTTP/1.1 503 Gone\r\nContent-Length: 0\r\n\r\n")), Err(Failure::Status(503))));
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        assert!(matches!(run(&answering("SSH-2.0-OpenSSH\r\n\r\n")), Err(Failure::Malformed(_))));
        assert!(matches!(run(&answering("HTTP/1.1 200 O")), Err(Failure::Closed)));
        let mut nobody = answering("");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        nobody.address = Address::Tcp(listener.local_addr().unwrap());
        drop(listener);
        assert!(matches!(run(&nobody), Err(Failure::Unreachable(_))));
    }

    #[test]
    fn silence_ends_with_the_timeout() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let mut ask = endpoint(move |stream| {
            head(stream);
            let _ = held.recv();
        });
        ask.timeout = Duration::from_millis(50);
        let result = run(&ask);
        assert!(matches!(result, Err(Failure::TimedOut(_))), "{result:?}");
        drop(hold);
    }
}
