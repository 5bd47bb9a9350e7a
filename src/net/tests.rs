//! The runtime's traps, each shown on both engines: a wait that is ended loses no byte, a listener that is stopped no connection, an
//! expired deadline ends what it is meant to end, a bell wakes an idle core.

mod pipe;
mod tls;

use std::cell::Cell;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;
use crate::address::Address;
use crate::clock::{Clock, Instant};

/// Each engine, or the next that an older kernel has.
const ENGINES: [&[Engine]; 4] =
    [&[Engine::UringDefer, Engine::UringCoop, Engine::Uring], &[Engine::UringCoop, Engine::Uring], &[Engine::Uring], &[Engine::Epoll]];
/// Longer than anything here takes, so that a fault fails the test and doesn't hang it.
const BOUND: Duration = Duration::from_secs(20);
/// A moment that is over, and one after it.
const DUE: Instant = Instant::ZERO;
const LATER: Instant = Instant::from_nanos(1);

/// Runs a test on a core of each engine.
pub(super) fn on_each<F: Future<Output = ()> + 'static>(test: fn() -> F) {
    for engines in ENGINES {
        let (ended, end) = mpsc::channel();
        let core = std::thread::spawn(move || {
            run_on(engines, 64, |_| test()).expect("the kernel has this engine");
            let _ = ended.send(());
        });
        assert_ne!(end.recv_timeout(BOUND), Err(mpsc::RecvTimeoutError::Timeout), "hangs on {engines:?}");
        core.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

fn listen() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    (listener, address)
}

/// A connection, its deadline, and the peer's side of it.
pub(super) async fn pair(deadlines: &Rc<Deadlines>) -> (Timer, Link, TcpStream) {
    let (listener, address) = listen();
    let (link, timer) = connect(&address, |link| deadlines.timer(link)).await.unwrap();
    let peer = listener.accept().unwrap().0;
    peer.set_read_timeout(Some(BOUND)).unwrap();
    peer.set_nodelay(true).unwrap();
    (timer, link, peer)
}

/// Waits for threads without holding up the core.
async fn joined<T>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    while threads.iter().any(|thread| !thread.is_finished()) {
        pause(Duration::from_millis(1)).await;
    }
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn ending_an_idle_receive_loses_no_byte() {
    const ROUNDS: usize = 500;
    on_each(|| async {
        let deadlines = Rc::<Deadlines>::default();
        let (timer, link, mut peer) = pair(&deadlines).await;
        let (bell, doorbell) = Bell::new().unwrap();
        let swept = deadlines.clone();
        spawn(async move { doorbell.answer(|| assert!(swept.sweep(LATER) < 2)).await.unwrap() });
        let got = Arc::new(AtomicUsize::new(0));
        let sender = std::thread::spawn({
            let got = got.clone();
            move || {
                for round in 0..ROUNDS {
                    let send = |peer: &mut TcpStream| peer.write_all(&(round as u64).to_be_bytes()).unwrap();
                    // The bell a little before the bytes, or a little after.
                    let spin = || (0..(round % 100) * 20).for_each(|_| std::hint::spin_loop());
                    if round % 2 == 0 {
                        bell.ring();
                        spin();
                        send(&mut peer);
                    } else {
                        send(&mut peer);
                        spin();
                        bell.ring();
                    }
                    while got.load(SeqCst) < (round + 1) * 8 {
                        std::thread::yield_now();
                    }
                }
            }
        });
        let (mut all, mut ended) = (Vec::with_capacity(ROUNDS * 8), 0);
        while all.len() < ROUNDS * 8 {
            timer.wake_at(DUE);
            let before = all.len();
            let (result, buf) = link.recv_idle(all, &timer).await;
            all = buf;
            match result {
                Ok(received) => assert!(received > 0 && all.len() == before + received),
                Err(error) => {
                    assert!(error.kind() == ErrorKind::TimedOut && all.len() == before && timer.expired(), "{error}");
                    ended += 1;
                }
            }
            got.store(all.len(), SeqCst);
        }
        joined(vec![sender]).await;
        let sent: Vec<u8> = (0..ROUNDS as u64).flat_map(u64::to_be_bytes).collect();
        assert!(all == sent, "what was sent, in order");
        assert!(ended > ROUNDS / 10, "only {ended} receives were ended: no race was tried");
    });
}

#[test]
fn what_comes_in_the_moment_that_ends_a_receive_is_kept() {
    on_each(|| async {
        let deadlines = Rc::<Deadlines>::default();
        let (timer, link, mut peer) = pair(&deadlines).await;
        for round in 0..50u64 {
            timer.wake_at(DUE);
            let end = async {
                pause(Duration::from_millis(1)).await;
                // The kernel has the bytes, and this core doesn't know it yet.
                peer.write_all(&round.to_be_bytes()).unwrap();
                assert_eq!(deadlines.sweep(LATER), 1);
            };
            let ((result, mut buf), ()) = both(link.recv_idle(Vec::new(), &timer), end).await;
            if let Err(error) = result {
                assert_eq!((error.kind(), buf.len()), (ErrorKind::TimedOut, 0));
                buf = link.recv(buf).await.1;
            }
            assert_eq!(buf, round.to_be_bytes());
        }
    });
}

/// Sockets of this process and port that are open, or that nobody has closed after the peer has: all but those in TIME_WAIT.
fn open_on(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1].ends_with(&local) && row[3] != "06").count()
}

/// Waits until none is.
async fn none_open(ports: &[u16]) {
    while ports.iter().any(|&port| open_on(port) > 0) {
        pause(Duration::from_millis(5)).await;
    }
}

#[test]
fn stopping_an_acceptor_loses_no_connection_and_leaks_none() {
    const ACCEPTORS: usize = 16;
    /// Connects until nobody listens any more; whoever is connected is greeted.
    fn storm(address: SocketAddr) -> usize {
        let mut greeted = 0;
        loop {
            match TcpStream::connect(address) {
                Ok(mut stream) => {
                    stream.set_read_timeout(Some(BOUND)).unwrap();
                    let mut hello = [0];
                    stream.read_exact(&mut hello).expect("every connection is served");
                    greeted += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                    return greeted;
                }
            }
        }
    }
    on_each(|| async {
        let accepted = Rc::new(Cell::new(0));
        let (mut ports, mut clients) = (Vec::new(), Vec::new());
        for number in 0..ACCEPTORS {
            let listener = bind("127.0.0.1:0".parse().unwrap(), 128, true).unwrap();
            let address = listener.local_addr().unwrap();
            ports.push(address.port());
            clients.extend((0..3).map(|_| std::thread::spawn(move || storm(address))));
            let acceptor = Acceptor::new(super::Listening { socket: listener, kept: false, tls: false }).unwrap();
            let (stopper, accepted) = (acceptor.stopper(), accepted.clone());
            let welcome = move |link: Link, _| {
                accepted.set(accepted.get() + 1);
                spawn(async move { drop(link.send(b"x".to_vec(), 0).await) });
            };
            let mut count = 0;
            spawn(async move {
                while let Some(connection) = acceptor.next().await {
                    let (link, peer) = connection.unwrap();
                    welcome(link, peer);
                    count += 1;
                    if count == 10 + number * 3 {
                        // While the next accept is under way, and others connect.
                        let stopper = stopper.clone();
                        spawn(async move { stopper.stop() });
                    }
                }
                acceptor.close(welcome).await;
            });
        }
        let greeted: usize = joined(clients).await.into_iter().sum();
        assert_eq!(greeted, accepted.get());
        assert!(greeted >= ACCEPTORS * 10);
        none_open(&ports).await;
    });
}

#[test]
fn what_comes_in_the_moment_of_the_stop_is_accepted() {
    on_each(|| async {
        let mut ports = Vec::new();
        for _ in 0..5 {
            let listener = bind("127.0.0.1:0".parse().unwrap(), 128, true).unwrap();
            let address = listener.local_addr().unwrap();
            ports.push(address.port());
            let acceptor = Acceptor::new(super::Listening { socket: listener, kept: false, tls: false }).unwrap();
            let stopper = acceptor.stopper();
            let stop = async {
                pause(Duration::from_millis(1)).await;
                // The kernel has the connection, and this core doesn't know it yet.
                let client = TcpStream::connect(address).unwrap();
                stopper.stop();
                client
            };
            let accepted = async {
                let mut links = Vec::new();
                while let Some(connection) = acceptor.next().await {
                    links.push(connection.unwrap().0);
                }
                acceptor.close(|link, _| links.push(link)).await;
                links.len()
            };
            assert_eq!(both(accepted, stop).await.0, 1);
        }
        none_open(&ports).await;
    });
}

#[test]
fn a_bell_wakes_an_idle_core_and_the_last_one_dropped_is_the_end() {
    on_each(|| async {
        let (bell, doorbell) = Bell::new().unwrap();
        let (heard, answers) = mpsc::channel();
        let ringer = std::thread::spawn(move || {
            let mut waits: Vec<Duration> = (0..100)
                .map(|_| {
                    let rung = std::time::Instant::now();
                    bell.ring();
                    answers.recv_timeout(BOUND).expect("the core wakes");
                    rung.elapsed()
                })
                .collect();
            waits.sort();
            waits[50]
        });
        // Nothing else wakes this core.
        doorbell.answer(|| heard.send(()).unwrap()).await.unwrap();
        let median = ringer.join().unwrap();
        assert!(median < Duration::from_millis(20), "half of the rings took longer than {median:?}");
    });
}

#[test]
fn many_rings_are_one_and_never_wait() {
    on_each(|| async {
        let (bell, doorbell) = Bell::new().unwrap();
        let other = bell.clone();
        (0..10_000).for_each(|_| bell.ring());
        drop(bell);
        other.ring();
        drop(other);
        let mut answered = 0;
        doorbell.answer(|| answered += 1).await.unwrap();
        assert!((1..100).contains(&answered), "answered {answered} times");
    });
}

#[test]
fn hushing_ends_a_receive_and_leaves_what_has_come_and_sending() {
    on_each(|| async {
        let deadlines = Rc::<Deadlines>::default();
        let (timer, link, mut peer) = pair(&deadlines).await;
        // Under way when the time is over.
        timer.hush_at(DUE);
        let ((result, _), swept) = both(link.recv(Vec::new()), async { deadlines.sweep(LATER) }).await;
        assert_eq!((result.unwrap(), swept, timer.expired()), (0, 1, true));
        assert_eq!(link.send(b"answer".to_vec(), 0).await.0.unwrap(), 6);
        let mut answer = [0; 6];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
        // Come before it.
        let (timer, link, mut peer) = pair(&deadlines).await;
        peer.write_all(b"early").unwrap();
        link.readable().await.unwrap();
        timer.hush_at(DUE);
        assert_eq!((deadlines.sweep(LATER), deadlines.sweep(LATER)), (1, 0));
        let (result, buf) = link.recv(Vec::new()).await;
        assert_eq!((result.unwrap(), &buf[..]), (5, &b"early"[..]));
        assert_eq!(link.recv(buf).await.0.unwrap(), 0);
    });
}

#[test]
fn closing_ends_both_directions() {
    on_each(|| async {
        let deadlines = Rc::<Deadlines>::default();
        let (timer, link, mut peer) = pair(&deadlines).await;
        timer.close_at(DUE);
        let swept = async {
            pause(Duration::from_millis(5)).await;
            deadlines.sweep(LATER)
        };
        // More than the kernel takes: the peer doesn't read.
        let moves = both(link.recv(Vec::new()), link.send(vec![0; 64 << 20], 0));
        let (((received, _), (sent, _)), swept) = both(moves, swept).await;
        assert_eq!((received.unwrap_or(0), swept, timer.expired()), (0, 1, true));
        sent.expect_err("the peer has not taken all");
        let peer = std::thread::spawn(move || peer.read_to_end(&mut Vec::new()));
        drop((timer, link));
        let _ = joined(vec![peer]).await.remove(0);
    });
}

#[test]
fn connecting_ends_in_time() {
    on_each(|| async {
        let deadlines = Rc::<Deadlines>::default();
        let clock = Clock::start();
        // A full queue of a listener that accepts nothing: further connections hang.
        let (listener, address) = listen();
        socket2::SockRef::from(&listener).listen(0).unwrap();
        let Address::Tcp(to) = address else { unreachable!() };
        let mut held = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&to, Duration::from_millis(50)) {
            held.push(stream);
        }
        let swept = deadlines.clone();
        spawn(async move {
            while swept.sweep(clock.now()) == 0 {
                pause(Duration::from_millis(1)).await;
            }
        });
        let limit = Duration::from_millis(30);
        let begun = clock.now();
        let connected = connect(&address, |link| {
            let timer = deadlines.timer(link);
            timer.close_at(begun + limit);
            timer
        });
        let error = connected.await.err().expect("nobody accepts");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!((limit..BOUND).contains(&clock.now().since(begun)));
        // Its place in the table is free again, and nobody else's deadline.
        assert_eq!(deadlines.sweep(Instant::MAX - Duration::from_nanos(1)), 0);
        let refused = connect(&Address::Tcp("127.0.0.1:1".parse().unwrap()), |link| deadlines.timer(link)).await;
        assert_eq!(refused.err().expect("nobody listens").kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn draining_ends_those_that_wait_for_a_next_message_alone() {
    on_each(|| async {
        let deadlines = Rc::<Deadlines>::default();
        type Set = fn(&Timer, Instant);
        let ways: [(Set, bool); 6] = [
            (Timer::wake_at, true),
            (Timer::hush_idle_at, true),
            (Timer::close_idle_at, true),
            (Timer::hush_at, false),
            (Timer::close_at, false),
            (|timer, at| (timer.wake_at(at), timer.clear()).1, false),
        ];
        let mut pairs = Vec::new();
        for (set, _) in ways {
            let pair = pair(&deadlines).await;
            set(&pair.0, LATER);
            pairs.push(pair);
        }
        assert_eq!(deadlines.end_idle(), 3);
        for ((timer, ..), (_, idle)) in pairs.iter().zip(ways) {
            assert_eq!(timer.expired(), idle);
        }
    });
}
