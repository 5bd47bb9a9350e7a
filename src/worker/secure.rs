//! Handshakes of clients that come to the TLS listener: how many at once, for how long, and what became of them.

use std::rc::Rc;
use std::time::Duration;

use rustls::Error;

use crate::error::Reason;
use crate::metrics::{
    Gauge, TLS_CLOSED, TLS_FULL, TLS_INCOMPATIBLE, TLS_MALFORMED, TLS_NOT_TRUSTED, TLS_PLAIN, TLS_RESUMED, TLS_TIMEOUT, TLS_TOO_LARGE,
    TLS_TOO_MANY, TLS_UNTRUSTED,
};
use crate::net::{self, Stream, Unsafe};
use crate::proxy::Core;
use crate::server::{Client, Secured};
use crate::tls;

/// Makes a client's connection safe. `None` if that can't be: then it is over, and has been counted.
pub(super) async fn secure(core: &Core, mut client: Client) -> Option<Client> {
    let counters = &core.counters;
    let view = core.view.borrow().clone();
    let settings = &view.plan.config.tls;
    let server = view.plan.tls.as_ref().expect("certificates stay as long as there is a listener for them");
    if counters.tls_handshaking.count() >= u64::from(settings.handshakes) {
        counters.tls_handshakes.add(TLS_TOO_MANY, 1);
        return None;
    }
    let under_way = UnderWay::begin(&counters.tls_handshaking);
    let began = core.now();
    client.timer.close_at(began + settings.handshake_timeout.get());
    let secured = net::secure(&client.link, server.config.clone()).await;
    drop(under_way);
    let took = core.woke().since(began);
    let net::Failed { why: error, asked } = match secured {
        Ok(link) => {
            let agreed = link.agreed().unwrap_or_default();
            counters.tls_handshakes.add(if agreed.resumed { TLS_RESUMED } else { TLS_FULL }, 1);
            counters.tls_handshake_time.add(took);
            let subject = agreed.certificate.as_deref().map(|der| tls::facts(der).unwrap_or_default().subject);
            client.secured = Some(Rc::new(Secured { subject, http2: agreed.protocol.as_deref() == Some(tls::HTTP2) }));
            client.timer.clear();
            client.link = link;
            return Some(client);
        }
        Err(failed) => failed,
    };
    let result = if client.timer.expired() { TLS_TIMEOUT } else { sort(&error) };
    counters.tls_handshakes.add(result, 1);
    tracing::debug!(peer = %client.peer, asked, %error, "handshake failed");
    if result == TLS_PLAIN {
        counters.refusals.add(Reason::PlainHttp as usize, 1);
        say(core, &client, super::accept::refusal(Reason::PlainHttp, "")).await;
    } else if matches!(error, Unsafe::Refused(_)) {
        say(core, &client, Vec::new()).await;
    }
    None
}

/// A handshake under way, however it ends.
struct UnderWay<'a>(&'a Gauge);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a Gauge) -> Self {
        count.add(1);
        UnderWay(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

/// The last that a client hears, beside an alert that it may have been sent. It is given a moment to read that: closing at once could
/// take it away.
async fn say(core: &Core, client: &Client, bytes: Vec<u8>) {
    client.timer.close_at(core.now() + LINGER);
    let _ = client.link.send(bytes, 0).await;
    client.link.finish();
    let _ = client.link.recv(Vec::with_capacity(1024)).await;
}

/// Which of the results a failure is.
fn sort(error: &Unsafe) -> usize {
    match error {
        Unsafe::Plain => TLS_PLAIN,
        Unsafe::HelloTooLarge => TLS_TOO_LARGE,
        Unsafe::Broken(_) => TLS_CLOSED,
        Unsafe::Refused(error) if net::is_untrusted(error) => TLS_UNTRUSTED,
        Unsafe::Refused(Error::AlertReceived(_)) => TLS_NOT_TRUSTED,
        Unsafe::Refused(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => TLS_INCOMPATIBLE,
        Unsafe::Refused(_) => TLS_MALFORMED,
    }
}

/// How long a client that is refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);
