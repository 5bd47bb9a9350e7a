//! A connection to an endpoint: a kept one, a new one, or a way through one that others use at the same time.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use super::attempt::key;
use super::core::{Core, Session, after};
use super::service::pace;
use crate::client::{Connection, Key, http2};
use crate::clock::Instant;
use crate::config::{Protocol, Size};
use crate::error::Reason;
use crate::exchange::{Attempt, Incoming, Plan, UpstreamPlan, View};
use crate::metrics::SILENT_ENDPOINT;
use crate::net::{self, Link, Stream, Timer};
use crate::proxy_protocol::{self, Ends};
use crate::server::Client;

impl Core {
    /// A way through an HTTP/2 connection, which may have to be opened.
    async fn lane(
        &self,
        plan: &Plan,
        upstream: &UpstreamPlan,
        key: Key,
        opening: impl Future<Output = io::Result<(Link, Timer)>>,
    ) -> io::Result<(Link, Timer, bool)> {
        let settings = http2::Settings {
            streams: upstream.settings.max_streams,
            stream_window: size(plan.config.http2.stream_window),
            connection_window: size(plan.config.http2.connection_window),
            write: plan.config.timeouts.body_idle.get(),
            pace: pace(upstream.settings.keep_alive.ping_interval, upstream.settings.keep_alive.ping_timeout),
            limits: upstream.head_limits,
        };
        let core = self.shared();
        let now = move || core.as_ref().map_or(Instant::ZERO, |core| core.woke());
        let counters = self.counters.clone();
        let on_silent = move || counters.http2_silent.add(SILENT_ENDPOINT, 1);
        let (link, opened) = self.multiplexed.lane(key, settings, now, on_silent, opening).await?;
        let timer = self.deadlines.timer(&link);
        Ok((link, timer, opened))
    }

    /// A kept connection to the endpoint, or a new one. `ends` is for whom, where endpoints are told by a PROXY protocol header: such a connection
    /// is a new one always, as it stands for this client.
    pub(super) async fn connection(
        &self,
        view: &View,
        attempt: &Attempt,
        deadline: Instant,
        ends: impl FnOnce() -> Option<Ends>,
    ) -> Result<(Rc<Connection>, bool), Reason> {
        let now = self.now();
        let plan = &view.plan;
        let key = key(attempt);
        let introduction = plan.upstreams[attempt.upstream].settings.proxy_protocol.version();
        if introduction.is_none()
            && let Some(connection) = self.pool.take(key, attempt.careful, now)
        {
            self.counters.upstream_reused.add(1);
            return Ok((connection, true));
        }
        let address = attempt.address.as_ref().ok_or(Reason::Unresolved)?;
        let upstream = &plan.upstreams[attempt.upstream];
        let patience = upstream.connect_timeout;
        let connecting = net::connect(address, |link| {
            let timer = self.deadlines.timer(link);
            timer.close_at(after(now, patience).min(deadline));
            timer
        });
        let opening = async {
            let (link, timer) = connecting.await?;
            if let Some(version) = introduction {
                let mut header = Vec::new();
                proxy_protocol::write(&mut header, version, ends().as_ref());
                // It fits into what the kernel takes of a new connection at once.
                link.send(header, 0).await.0.map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))?;
            }
            let Some((config, name)) = view.secured(attempt.upstream, attempt.endpoint) else { return Ok((link, timer)) };
            match net::secure_to(&link, config, name).await {
                Ok(link) => Ok((link, timer)),
                Err(_) if timer.expired() => Err(io::ErrorKind::TimedOut.into()),
                Err(error) => Err(io::Error::from(error)),
            }
        };
        let opened = match upstream.settings.protocol {
            Protocol::Http1 => Box::pin(opening).await.map(|(link, timer)| (link, timer, true)),
            Protocol::H2 => Box::pin(self.lane(plan, upstream, key, opening)).await,
        };
        self.woke();
        match opened {
            Ok((link, timer, fresh)) => {
                (if fresh { &self.counters.upstream_opened } else { &self.counters.upstream_reused }).add(1);
                Ok((Rc::new(Connection { timer, link, born: now, requests: Default::default() }), !fresh))
            }
            Err(error) => Err(match error.kind() {
                io::ErrorKind::TimedOut if self.now() >= deadline => Reason::RequestTimeout,
                io::ErrorKind::TimedOut => Reason::ConnectTimeout,
                io::ErrorKind::BrokenPipe => Reason::SendFailed,
                _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => Reason::OutOfDescriptors,
                _ => failed_to_open(&error),
            }),
        }
    }
}

/// Why a connection could not be opened.
#[cold]
fn failed_to_open(error: &io::Error) -> Reason {
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(net::Unsafe::Refused(error)) if net::is_untrusted(error) => Reason::CertificateRefused,
        Some(_) => Reason::TlsFailed,
        None => Reason::ConnectFailed,
    }
}

/// The client's connection, as endpoints are told of it. What only a header of a proxy says of the client has no port.
pub(super) fn ends(client: &Client, session: &Session, bytes: &[u8], plan: &Plan) -> Ends {
    let Client { peer, destination, link, .. } = client;
    let unknown = || SocketAddr::new(if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }, 0);
    let to = destination.as_deref().copied().or_else(|| link.local_address()).unwrap_or_else(unknown);
    let ip = Incoming { head: &session.head, bytes, peer: peer.ip(), secure: false, wall: 0 }.client(&plan.trusted);
    let port = if ip == peer.ip().to_canonical() { peer.port() } else { 0 };
    Ends { from: SocketAddr::new(ip, port), to }
}

/// A size that is limited to 32 bits.
fn size(size: Size) -> u32 {
    u32::try_from(size.get()).unwrap_or(u32::MAX)
}
