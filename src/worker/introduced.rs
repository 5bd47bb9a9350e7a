//! Connections that a trusted proxy introduces by a PROXY protocol header: nothing of one is served before it is known whose it is.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::error::Reason;
use crate::log::Seldom;
use crate::net::{Front, recv_front};
use crate::proxy::{Core, after};
use crate::proxy_protocol::{self, Ends};
use crate::server::Client;

/// Whether a connection from there begins with a header.
pub(super) fn is_due(core: &Core, peer: SocketAddr) -> bool {
    let plan = &core.view.borrow().plan;
    plan.config.listener.proxy_protocol && plan.trusts(peer.ip().to_canonical())
}

/// Takes the header: the connection is its client's then. `None` if it didn't come, which closes the connection; who closes one without a word,
/// as balancers do to see whether somebody listens, is blamed for nothing.
pub(super) async fn wait(core: &Rc<Core>, mut client: Client) -> Option<Client> {
    let limit = core.view.borrow().plan.config.timeouts.read.get();
    let deadline = after(core.now(), limit);
    client.timer.hush_idle_at(deadline);
    let parse = |bytes: &[u8]| proxy_protocol::parse(bytes).map(|header| header.map(|header| (header.ends, header.length)));
    let front = recv_front(&client.link, parse).await;
    let now = core.woke();
    let reason = match front {
        Front::Complete(ends) => {
            if let Some(Ends { from, to }) = ends {
                client.peer = from;
                client.destination = Some(Box::new(to));
            }
            return Some(client);
        }
        Front::Refused(_) => Some(Reason::BadProxyHeader),
        Front::Ended { .. } if client.timer.expired() => (now >= deadline).then_some(Reason::ProxyHeaderTimeout),
        Front::Ended { clean } => (!clean).then_some(Reason::BadProxyHeader),
    };
    core.counters.connections.sub(1);
    if let Some(reason) = reason {
        core.counters.refusals.add(reason as usize, 1);
        if TOLD.with_borrow_mut(|told| told.is_due(TELL_AGAIN)) {
            tracing::warn!(peer = %client.peer, reason = reason.code(), "a trusted proxy's connection is closed: it sent no PROXY protocol header that can be read");
        }
    }
    None
}

thread_local! {
    static TOLD: RefCell<Seldom> = RefCell::default();
}

/// How often a core tells of it while it lasts; each time is counted in `gateway_refusals_total`.
const TELL_AGAIN: Duration = Duration::from_secs(10);
