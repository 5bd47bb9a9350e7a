//! Idle connections of one core, last in first out for each endpoint.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::Connection;
use crate::clock::Instant;
use crate::net;

/// Which endpoint a connection leads to. A new generation of a slot is another endpoint, or another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The upstream's index on this core.
    pub upstream: u32,
    /// The endpoint's slot in its upstream.
    pub slot: u32,
    /// The slot's generation.
    pub generation: u32,
}

/// How long connections are kept. A zero is no limit, except for `connections`.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// Idle connections kept an endpoint.
    pub connections: usize,
    /// How long an idle one is kept.
    pub idle: Duration,
    /// Requests on one connection.
    pub requests: u32,
    /// Age at which a connection is closed.
    pub max_age: Duration,
}

struct Idle {
    connection: Rc<Connection>,
    generation: u32,
    until: Instant,
    since: Instant,
}

/// Idle connections, by upstream and slot.
#[derive(Default)]
pub struct Pool {
    upstreams: RefCell<Vec<Vec<Vec<Idle>>>>,
    count: Cell<usize>,
}

impl Pool {
    /// The connection given last for this endpoint that is still good. `careful`: make sure that it is, by a system call;
    /// one that was given more than ten milliseconds ago is looked at in any case.
    pub fn take(&self, key: Key, careful: bool, now: Instant) -> Option<Rc<Connection>> {
        let mut upstreams = self.upstreams.borrow_mut();
        let stack = upstreams.get_mut(key.upstream as usize)?.get_mut(key.slot as usize)?;
        while let Some(idle) = stack.pop() {
            self.count.set(self.count.get() - 1);
            let look = careful || now > idle.since + FRESH;
            let good = idle.generation == key.generation && now < idle.until && !(look && idle.connection.link.readable_now());
            if good {
                return Some(idle.connection);
            }
        }
        None
    }

    /// Keeps a connection whose last answer is complete and whose deadline is cleared, or drops it if the settings say so.
    pub fn give(&self, key: Key, connection: Rc<Connection>, keep: &KeepAlive, now: Instant) {
        let too_old = !keep.max_age.is_zero() && now >= connection.born + keep.max_age;
        let worn = keep.requests != 0 && connection.requests.get() >= keep.requests;
        if too_old || worn || connection.link.holds() {
            return;
        }
        let mut upstreams = self.upstreams.borrow_mut();
        let stack = slot(slot(&mut upstreams, key.upstream as usize), key.slot as usize);
        if stack.len() < keep.connections {
            let until = if keep.idle.is_zero() { Instant::MAX } else { now + keep.idle };
            stack.push(Idle { connection, generation: key.generation, until, since: now });
            self.count.set(self.count.get() + 1);
        }
    }

    /// Drops those kept too long and those that their endpoint closed or wrote to unasked.
    pub fn sweep(&self, now: Instant) {
        let mut fds = Vec::new();
        let mut upstreams = self.upstreams.borrow_mut();
        for stack in upstreams.iter_mut().flatten() {
            stack.retain(|idle| now < idle.until && (idle.connection.link.fd().is_some() || !idle.connection.link.readable_now()));
            fds.clear();
            // Poll passes over what is no descriptor.
            fds.extend(stack.iter().map(|idle| idle.connection.link.fd().unwrap_or(-1)));
            if fds.is_empty() {
                continue;
            }
            let mut stale = vec![false; fds.len()];
            if net::readable_at_once(&fds, |index| stale[index] = true) > 0 {
                let mut stale = stale.iter();
                // With TLS it may be a ticket, which is for nobody's answer.
                stack.retain(|idle| !(*stale.next().expect("one a connection") && idle.connection.link.readable_now()));
            }
        }
        self.count.set(upstreams.iter().flatten().map(Vec::len).sum());
    }

    /// Idle connections kept.
    pub fn len(&self) -> usize {
        self.count.get()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops all.
    pub fn clear(&self) {
        self.upstreams.borrow_mut().clear();
        self.count.set(0);
    }
}

/// A connection given so recently is taken without a look.
const FRESH: Duration = Duration::from_millis(10);

fn slot<T: Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize_with(index + 1, T::default);
    }
    &mut list[index]
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;
    use crate::address::Address;
    use crate::net::{Deadlines, Engine, run_on};

    const KEY: Key = Key { upstream: 2, slot: 1, generation: 7 };
    const KEEP: KeepAlive = KeepAlive { connections: 2, idle: Duration::from_secs(10), requests: 3, max_age: Duration::from_secs(60) };

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn on_each<F: Future<Output = ()>>(test: fn() -> F) {
        for engines in [&[Engine::UringDefer, Engine::UringCoop, Engine::Uring][..], &[Engine::Epoll]] {
            std::thread::scope(|scope| scope.spawn(|| run_on(engines, 64, |_| test()).unwrap()).join().unwrap());
        }
    }

    /// A connection opened at the beginning, and the endpoint's side of it.
    async fn open() -> (Rc<Connection>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let deadlines = Rc::<Deadlines>::default();
        let (link, timer) = net::connect(&Address::Tcp(listener.local_addr().unwrap()), |link| deadlines.timer(link)).await.unwrap();
        (Rc::new(Connection { timer, link, born: Instant::ZERO, requests: Cell::new(1) }), listener.accept().unwrap().0)
    }

    fn takes(pool: &Pool, careful: bool, now: Instant) -> Option<*const Connection> {
        pool.take(KEY, careful, now).map(|connection| Rc::as_ptr(&connection))
    }

    #[test]
    fn the_latest_is_taken_first_as_many_as_are_kept() {
        on_each(|| async {
            let pool = Pool::default();
            let (first, second, third) = (open().await, open().await, open().await);
            for (connection, _) in [&first, &second, &third] {
                pool.give(KEY, connection.clone(), &KEEP, at(0));
            }
            assert_eq!(pool.len(), 2);
            let other = Key { generation: 8, ..KEY };
            assert_eq!(takes(&pool, true, at(1)), Some(Rc::as_ptr(&second.0)));
            assert!(pool.take(other, true, at(1)).is_none(), "another endpoint in the same slot");
            assert!(pool.is_empty(), "what led to the old one is dropped");
        });
    }

    #[test]
    fn what_the_endpoint_closed_or_wrote_to_is_not_used() {
        on_each(|| async {
            let close: fn(&mut TcpStream) = |peer| peer.shutdown(Shutdown::Write).unwrap();
            let write: fn(&mut TcpStream) = |peer| peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            for spoil in [close, write] {
                let pool = Pool::default();
                let (good, (bad, mut peer)) = (open().await, open().await);
                let give = || {
                    pool.give(KEY, good.0.clone(), &KEEP, at(0));
                    pool.give(KEY, bad.clone(), &KEEP, at(0));
                };
                give();
                spoil(&mut peer);
                net::Stream::readable(&bad.link).await.unwrap();
                // A request that must not be repeated, at once; any other, later than ten milliseconds.
                for (careful, now) in [(true, at(0)), (false, at(11))] {
                    assert_eq!(takes(&pool, careful, now), Some(Rc::as_ptr(&good.0)));
                    assert!(pool.is_empty());
                    give();
                }
                pool.sweep(at(12));
                assert_eq!((pool.len(), takes(&pool, false, at(12))), (1, Some(Rc::as_ptr(&good.0))));
            }
        });
    }

    #[test]
    fn age_and_wear_end_a_connection() {
        on_each(|| async {
            let pool = Pool::default();
            let (connection, _peer) = open().await;
            let give = |now| pool.give(KEY, connection.clone(), &KEEP, now);
            give(at(0));
            assert_eq!(takes(&pool, false, at(10_000)), None, "idle too long");
            give(at(0));
            pool.sweep(at(9_999));
            assert_eq!(pool.len(), 1);
            pool.sweep(at(10_000));
            assert_eq!(pool.len(), 0);
            give(at(60_000));
            assert_eq!(pool.len(), 0, "too old");
            connection.requests.set(3);
            give(at(1));
            assert_eq!(pool.len(), 0, "worn");
            pool.give(KEY, connection.clone(), &KeepAlive { idle: Duration::ZERO, requests: 0, max_age: Duration::ZERO, ..KEEP }, at(1));
            assert!(takes(&pool, true, Instant::MAX - Duration::from_nanos(1)).is_some(), "zero is no limit");
        });
    }
}
