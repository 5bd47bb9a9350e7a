//! An upgraded connection: bytes both ways, untouched, until both sides have finished. A direction in which small messages pass waits with a small
//! buffer of its own: waiting and receiving are one operation. Otherwise it holds a buffer of `runtime.buffer` while bytes pass, and none while it
//! is silent.

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use super::attempt::Answered;
use super::core::{Core, after};
use super::serve::Request;
use super::upload::beside_until;
use crate::client::Connection;
use crate::clock::Instant;
use crate::exchange::Exchange;
use crate::net::{Link, Moved, Stream, both};
use crate::server::{Client, Next};

impl Request<'_> {
    /// Relays an upgraded connection to its end; `early` came from the endpoint behind its head. As a request it is over with the switch: what it
    /// took until then is its response time. Its places below concurrency limits it keeps.
    pub(super) async fn switch(&mut self, exchange: &mut Exchange, answered: &mut Answered<'_>, early: Vec<u8>) -> Next {
        let (core, client) = (self.core, self.client);
        let view = exchange.view().clone();
        core.counters.upgrades.add(1);
        core.counters.upgraded.add(1);
        exchange.switched();
        core.woke();
        self.count(&view);
        // The protocol begins behind the request's body (RFC 9110 section 7.8).
        if let Some(upload) = answered.upload.as_mut().filter(|upload| upload.ended().is_none()) {
            let _ = beside_until(upload, pending::<()>(), |_| Some(())).await;
        }
        let whole = self.finish_upload(answered);
        let ahead = self.inbound.bytes().to_vec();
        core.buffers.give(std::mem::take(self.inbound).into_buf());
        core.buffers.give(std::mem::take(&mut answered.buf));
        if whole {
            tunnel(core, client, &answered.connection, early, ahead, view.plan.config.timeouts.upgrade_idle.get()).await;
        }
        core.counters.upgraded.sub(1);
        exchange.ended(None, core.now());
        Next::Close
    }
}

/// Relays until both directions have ended, or nothing has passed for `idle`. `early` came from the endpoint behind its head, `ahead` from the
/// client behind its request.
async fn tunnel(core: &Core, client: &Client, up: &Connection, early: Vec<u8>, ahead: Vec<u8>, idle: Duration) {
    // Both deadlines move at most once in so long, and are that much later: messages may come by the thousand.
    let move_at = Cell::new(Instant::ZERO);
    let touch = |now: Instant| {
        if now >= move_at.get() {
            move_at.set(now + TOUCH);
            let limit = after(now + TOUCH, idle);
            client.timer.close_upgraded_at(limit);
            up.timer.close_upgraded_at(limit);
        }
    };
    touch(core.woke());
    let to_endpoint = |bytes: u64| {
        core.counters.bytes_in.add(bytes);
        core.counters.upgraded_in.add(bytes);
        client.received.set(client.received.get() + bytes);
    };
    let to_client = |bytes: u64| {
        core.counters.bytes_out.add(bytes);
        core.counters.upgraded_out.add(bytes);
        client.sent.set(client.sent.get() + bytes);
    };
    both(copy(core, &client.link, &up.link, ahead, &touch, to_endpoint), copy(core, &up.link, &client.link, early, &touch, to_client))
        .await;
}

async fn copy(core: &Core, from: &Link, to: &Link, first: Vec<u8>, touch: &impl Fn(Instant), count: impl Fn(u64)) {
    let mut buf = first;
    loop {
        // What came with a head has a buffer of its own size.
        let full = buf.len() == buf.capacity() && buf.capacity() >= core.buffers.size();
        let last = buf.len();
        if last > 0 {
            count(last as u64);
            let (result, back) = to.send(buf, 0).await;
            buf = back;
            if result.is_err() {
                // Nobody reads any more: the other direction has no use either.
                from.abort();
                break;
            }
            touch(core.now());
            buf.clear();
        }
        let result;
        // Where a receive has filled its buffer, there is more to come at once.
        (result, buf) = if full { from.recv(buf).await } else { receive(core, from, buf, last).await };
        touch(core.woke());
        match result {
            Ok(0) => {
                to.finish();
                break;
            }
            Ok(_) => {}
            Err(_) => {
                to.abort();
                break;
            }
        }
    }
    core.buffers.give(buf);
}

/// Receives what comes next, holding little while nothing comes; `last` is how much came before, which tells what to expect.
async fn receive(core: &Core, from: &Link, mut buf: Vec<u8>, last: usize) -> Moved {
    if last >= SMALL || !from.is_socket() {
        core.buffers.give(buf);
        return match from.readable().await {
            Ok(()) => from.recv(core.buffers.take()).await,
            Err(error) => (Err(error), Vec::new()),
        };
    }
    if buf.capacity() != SMALL {
        core.buffers.give(buf);
        buf = Vec::with_capacity(SMALL);
    }
    let (result, buf) = from.recv(buf).await;
    if buf.len() < SMALL {
        return (result, buf);
    }
    let mut larger = core.buffers.take();
    larger.extend_from_slice(&buf);
    from.recv_more(&mut larger);
    (Ok(larger.len()), larger)
}

/// Bytes that a direction waits with: a message of chat or of a feed with its frame's head, most often.
const SMALL: usize = 512;
/// How seldom deadlines are moved.
const TOUCH: Duration = Duration::from_millis(100);
