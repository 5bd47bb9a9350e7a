//! Accepting connections: each becomes a task that ends alone, even by a panic.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::introduced;
use super::secure::secure;
use crate::error::Reason;
use crate::metrics;
use crate::net::{self, Acceptor, Link, Stopper, Stream};
use crate::proxy::Core;
use crate::server::{self, Client};

/// Begins to accept; what ends it.
pub(super) fn start(core: &Rc<Core>, acceptors: Vec<Acceptor>) -> Vec<Stopper> {
    let left = Rc::new(Cell::new(acceptors.len()));
    let stoppers = acceptors.iter().map(Acceptor::stopper).collect();
    for acceptor in acceptors {
        let (core, left) = (core.clone(), left.clone());
        net::spawn(async move {
            accept(&core, acceptor).await;
            left.set(left.get() - 1);
            if left.get() == 0 {
                core.counters.accepting.set(0);
            }
        });
    }
    stoppers
}

async fn accept(core: &Rc<Core>, acceptor: Acceptor) {
    let mut told_at = None;
    while let Some(accepted) = acceptor.next().await {
        match accepted {
            Ok((link, peer)) => welcome(core, link, peer, acceptor.tls),
            Err(error) => {
                core.counters.accept_errors.add(1);
                let now = core.woke();
                if told_at.is_none_or(|at| now >= at + TELL_AGAIN) {
                    told_at = Some(now);
                    tracing::warn!(%error, remedy = remedy(&error), "connections can't be accepted and wait in the kernel");
                }
                // Out of descriptors, most often: others end meanwhile.
                net::pause(ACCEPT_PAUSE).await;
            }
        }
    }
    // What the kernel has completed by then would be reset with the listener.
    let tls = acceptor.tls;
    acceptor.close(|link, peer| welcome(core, link, peer, tls)).await;
}

fn welcome(core: &Rc<Core>, link: Link, peer: SocketAddr, tls: bool) {
    core.counters.accepted.add(1);
    let limit = u64::from(core.view.borrow().plan.config.limits.connections);
    if core.counters.connections.count() >= limit {
        core.counters.refusals.add(Reason::TooManyConnections as usize, 1);
        // A handshake would cost more than the connection that there is no place for.
        if !tls {
            let core = core.clone();
            net::spawn(async move { turn_away(&core, &link).await });
        }
        return;
    }
    core.counters.connections.add(1);
    let timer = core.deadlines.timer(&link);
    let client = Client {
        timer,
        link,
        peer,
        destination: None,
        http2: false,
        untold: None,
        secured: None,
        sent: Cell::new(0),
        received: Cell::new(0),
    };
    let core = core.clone();
    if introduced::is_due(&core, peer) {
        net::spawn(async move {
            if let Some(client) = introduced::wait(&core, client).await {
                attend(core, client, tls);
            }
        });
    } else {
        attend(core, client, tls);
    }
}

/// Serves a client.
fn attend(core: Rc<Core>, client: Client, tls: bool) {
    let (peer, of) = (client.peer, core.clone());
    let ended = move |result: Result<(), _>| {
        count_end(&of.counters, peer, result.is_err());
        if result.is_err() {
            of.waiters.wake_all();
        }
    };
    if tls {
        net::spawn_apart(secure_and_serve(core, client), ended);
    } else {
        net::spawn_apart(server::serve(core, client), ended);
    }
}

/// Serves a client once its handshake is done.
async fn secure_and_serve(core: Rc<Core>, client: Client) {
    if let Some(client) = Box::pin(secure(&core, client)).await {
        server::serve(core, client).await;
    }
}

fn count_end(counters: &metrics::Core, peer: SocketAddr, panicked: bool) {
    counters.connections.sub(1);
    if panicked {
        counters.panics.add(1);
        tracing::error!(%peer, "a connection's task ended by a panic");
    }
}

/// Says why, to a client that is one too many.
async fn turn_away(core: &Core, link: &Link) {
    let answer = refusal(Reason::TooManyConnections, "Retry-After: 1\r\n");
    let timer = core.deadlines.timer(link);
    timer.close_at(core.now() + Duration::from_secs(1));
    let _ = link.send(answer, 0).await;
    link.finish();
    let _ = link.recv(Vec::with_capacity(1024)).await;
}

/// An answer to a client that can't be served, with this header line besides.
pub(super) fn refusal(reason: Reason, line: &str) -> Vec<u8> {
    let status = match reason.status() {
        400 => "400 Bad Request",
        _ => "503 Service Unavailable",
    };
    let body = reason.text(status);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n{line}Connection: close\r\n\r\n"
    );
    (head + &body).into_bytes()
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::net::{Engine, run_on};

    #[test]
    fn a_panic_ends_one_connection_and_is_counted() {
        for engines in [&[Engine::UringDefer, Engine::UringCoop, Engine::Uring][..], &[Engine::Epoll]] {
            let listener = net::bind("127.0.0.1:0".parse().unwrap(), 16, false).unwrap();
            let address = listener.local_addr().unwrap();
            let counters = Rc::new(metrics::Core::default());
            // A connection that says so makes its task panic; others are sent back what they send.
            let serve = |link: Link| async move {
                loop {
                    let (received, buf) = link.recv(Vec::new()).await;
                    assert_ne!(buf, b"panic", "as asked");
                    if received.is_ok_and(|count| count == 0) || link.send(buf, 0).await.0.is_err() {
                        return;
                    }
                }
            };
            let clients = std::thread::spawn(move || {
                let connect = || {
                    let stream = TcpStream::connect(address).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
                    stream
                };
                let (mut bad, mut good) = (connect(), connect());
                let mut echo = |ask: &[u8; 2]| {
                    good.write_all(ask).unwrap();
                    let mut answer = [0; 2];
                    good.read_exact(&mut answer).unwrap();
                    assert_eq!(&answer, ask);
                };
                echo(b"ab");
                bad.write_all(b"panic").unwrap();
                assert_eq!(bad.read(&mut [0]).unwrap(), 0, "its connection is closed");
                echo(b"cd");
            });
            run_on(engines, 64, |_| async {
                let acceptor = Acceptor::new(net::Listening { socket: listener, kept: false, tls: false }).unwrap();
                let ended = Rc::new(std::cell::Cell::new((0, 0)));
                for _ in 0..2 {
                    let (link, peer) = acceptor.next().await.unwrap().unwrap();
                    counters.connections.add(1);
                    let (counters, ended) = (counters.clone(), ended.clone());
                    net::spawn_apart(serve(link), move |result| {
                        let panicked = result.is_err();
                        count_end(&counters, peer, panicked);
                        let (good, bad) = ended.get();
                        ended.set((good + usize::from(!panicked), bad + usize::from(panicked)));
                    });
                }
                while ended.get().0 + ended.get().1 < 2 {
                    net::pause(Duration::from_millis(1)).await;
                }
                assert_eq!(ended.get(), (1, 1));
            })
            .unwrap();
            clients.join().unwrap();
            assert_eq!((counters.panics.count(), counters.connections.count()), (1, 0));
        }
    }
}
