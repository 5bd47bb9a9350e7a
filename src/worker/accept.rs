//! Accepting connections: each becomes a task that ends alone, even by a panic.

use std::io;
use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;

use crate::log;
use crate::net::{self, Acceptor, Link, Stopper, Stream};
use crate::proxy::Core;
use crate::server::{self, Client};

/// Begins to accept.
pub(super) fn start(core: Rc<Core>, listener: TcpListener) -> io::Result<Stopper> {
    let acceptor = Acceptor::new(listener)?;
    let stopper = acceptor.stopper();
    net::spawn(async move {
        let mut told_at = None;
        while let Some(accepted) = acceptor.next().await {
            match accepted {
                Ok((link, peer)) => welcome(&core, link, peer),
                Err(error) => {
                    core.counters.accept_errors.add(1);
                    let now = core.woke();
                    if told_at.is_none_or(|at| now >= at + TELL_AGAIN) {
                        told_at = Some(now);
                        log::warn(format_args!(
                            "connections can't be accepted and wait in the kernel error=\"{error}\"; {}",
                            remedy(&error)
                        ));
                    }
                    // Out of descriptors, most often: others end meanwhile.
                    net::pause(ACCEPT_PAUSE).await;
                }
            }
        }
        // What the kernel has completed by then would be reset with the listener.
        acceptor.close(|link, peer| welcome(&core, link, peer)).await;
        core.counters.accepting.set(0);
    });
    Ok(stopper)
}

fn welcome(core: &Rc<Core>, link: Link, peer: std::net::SocketAddr) {
    core.counters.accepted.add(1);
    let limit = u64::from(core.view.borrow().plan.config.limits.connections);
    if core.counters.connections.count() >= limit {
        let core = core.clone();
        net::spawn(async move { turn_away(&core, &link).await });
        return;
    }
    core.counters.connections.add(1);
    let timer = core.deadlines.timer(link.fd());
    let client = Client { timer, link, peer };
    let core = core.clone();
    net::spawn(async move {
        let served = AssertUnwindSafe(server::serve(core.clone(), client)).catch_unwind().await;
        core.counters.connections.sub(1);
        if served.is_err() {
            core.counters.panics.add(1);
            core.waiters.wake_all();
            log::error(format_args!("a connection's task ended by a panic peer={peer}"));
        }
    });
}

/// Says why, to a client that is one too many.
async fn turn_away(core: &Core, link: &Link) {
    let reason = crate::error::Reason::TooManyConnections;
    core.counters.refusals.add(reason as usize, 1);
    let body = format!("503 Service Unavailable: {}\nreason: {}\n", reason.explain(), reason.code());
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let timer = core.deadlines.timer(link.fd());
    timer.close_at(core.now() + Duration::from_secs(1));
    let _ = link.send(answer.into_bytes(), 0).await;
    link.finish();
    let _ = link.recv(Vec::with_capacity(1024)).await;
}

/// What an operator can do about it.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => "raise the limit of open files (`ulimit -Hn`, LimitNOFILE= of the unit), or lower limits.connections",
        Some(libc::ENFILE) => "the machine is out of open files: raise fs.file-max",
        _ => "it is tried again and again",
    }
}

/// How long accepting rests after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the log tells of it while it lasts; each time is counted in `gateway_accept_errors_total`.
const TELL_AGAIN: Duration = Duration::from_secs(10);
