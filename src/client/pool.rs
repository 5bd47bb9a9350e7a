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
    /// one that was given more than a millisecond ago is looked at in any case.
    pub fn take(&self, key: Key, careful: bool, now: Instant) -> Option<Rc<Connection>> {
        let mut upstreams = self.upstreams.borrow_mut();
        let stack = upstreams.get_mut(key.upstream as usize)?.get_mut(key.slot as usize)?;
        while let Some(idle) = stack.pop() {
            self.count.set(self.count.get() - 1);
            let look = careful || now.since(idle.since) > Duration::from_millis(1);
            let good = idle.generation == key.generation && now < idle.until && !(look && net::readable_now(idle.connection.link.fd()));
            if good {
                return Some(idle.connection);
            }
        }
        None
    }

    /// Keeps a connection whose last answer is complete, or drops it if the settings say so.
    pub fn give(&self, key: Key, connection: Rc<Connection>, keep: &KeepAlive, now: Instant) {
        let too_old = !keep.max_age.is_zero() && now.since(connection.born) >= keep.max_age;
        let worn = keep.requests != 0 && connection.requests.get() >= keep.requests;
        if too_old || worn {
            return;
        }
        connection.timer.clear();
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
            stack.retain(|idle| now < idle.until);
            fds.clear();
            fds.extend(stack.iter().map(|idle| idle.connection.link.fd()));
            if fds.is_empty() {
                continue;
            }
            let mut stale = vec![false; fds.len()];
            if net::readable_at_once(&fds, |index| stale[index] = true) > 0 {
                let mut stale = stale.iter();
                stack.retain(|_| !stale.next().expect("one a connection"));
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

fn slot<T: Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize_with(index + 1, T::default);
    }
    &mut list[index]
}
