//! An upgraded connection: bytes both ways, untouched, until both sides have finished.

use std::rc::Rc;
use std::time::Duration;

use super::core::{Core, after};
use crate::client::Connection;
use crate::net::{Stream, both};
use crate::server::Client;

/// Relays until both directions have ended, or nothing has passed for `idle`. `early` came from the endpoint behind its head,
/// `ahead` from the client behind its request.
pub(super) async fn tunnel(core: &Core, client: &Client, up: Rc<Connection>, early: Vec<u8>, ahead: Vec<u8>, idle: Duration) {
    let touch = || {
        let limit = after(core.woke(), idle);
        client.timer.close_at(limit);
        up.timer.close_at(limit);
    };
    touch();
    both(
        copy(core, &client.link, &up.link, ahead, &touch, |bytes| core.counters.bytes_in.add(bytes)),
        copy(core, &up.link, &client.link, early, &touch, |bytes| core.counters.bytes_out.add(bytes)),
    )
    .await;
}

async fn copy(core: &Core, from: &impl Stream, to: &impl Stream, first: Vec<u8>, touch: &impl Fn(), count: impl Fn(u64)) {
    let mut buf = core.buffers.take();
    buf.extend_from_slice(&first);
    loop {
        if !buf.is_empty() {
            count(buf.len() as u64);
            let (result, back) = to.send(buf, 0).await;
            buf = back;
            if result.is_err() {
                // Nobody reads any more: the other direction has no use either.
                from.abort();
                break;
            }
            touch();
            buf.clear();
        }
        let (result, back) = from.recv(buf).await;
        buf = back;
        touch();
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
