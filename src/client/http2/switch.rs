//! An upgrade that becomes a stream of another protocol (RFC 8441): shaken hands for in the terms of either side, then bytes both ways.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};

use super::connection::Shared;
use super::lane::{Ended, open};
use super::reply::{final_head, pass};
use super::request::data;
use crate::http::{Method, RequestHead};
use crate::http2::{connect_of, write_switched};
use crate::net::{Link, Stream};

/// Asks the endpoint to switch, as the request in `buf` says, and carries the protocol to its end.
pub(super) async fn switch(sender: SendRequest<Bytes>, shared: &Shared, far: &Link, buf: &mut Vec<u8>, head: &RequestHead) -> Ended {
    let Some((request, key)) = connect_of(head, buf, shared.secure.get()) else { return Ended::Unsupported };
    let protocol = head.header(buf, "upgrade").and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default().to_owned();
    buf.drain(..head.length);
    let Some(()) = unless_left(far, shared.greeted()).await else { return Ended::Early };
    if !sender.is_extended_connect_protocol_enabled() {
        return if shared.sender().is_some() { Ended::Unsupported } else { Ended::Broken };
    }
    let (response, mut send) = match open(sender, far, request, false).await {
        Ok(both) => both,
        Err(ended) => return ended,
    };
    let response = match unless_left(far, final_head(far, response, Method::Get)).await {
        None => return Ended::Early,
        Some(Err(ended)) => return ended,
        Some(Ok(response)) => response,
    };
    if !response.status().is_success() {
        let _ = send.send_data(Bytes::new(), true);
        let passed = unless_left(far, pass(far, response, Method::Get)).await;
        return if passed == Some(Ended::Broken) { Ended::Broken } else { Ended::Early };
    }
    let (head, body) = response.into_parts();
    let mut out = Vec::with_capacity(1024);
    if write_switched(&mut out, &head.headers, &protocol, key.as_ref()).is_err() {
        return Ended::Broken;
    }
    if far.send(out, 0).await.0.is_err() {
        return Ended::Early;
    }
    let (mut there, mut back) = (pin!(there(far, send, std::mem::take(buf))), pin!(back(far, body)));
    let (mut sent, mut received) = (false, false);
    poll_fn(|cx| {
        sent = sent || there.as_mut().poll(cx).is_ready();
        if !received && let Poll::Ready(whole) = back.as_mut().poll(cx) {
            received = true;
            if !whole {
                return Poll::Ready(Ended::Broken);
            }
        }
        if sent && received { Poll::Ready(Ended::Early) } else { Poll::Pending }
    })
    .await
}

/// Bytes from the pipe to the endpoint, of which `buf` has some.
async fn there(far: &Link, mut send: SendStream<Bytes>, mut buf: Vec<u8>) {
    loop {
        if !data(&mut send, &buf, false).await {
            return;
        }
        buf.clear();
        let received;
        (received, buf) = far.recv(buf).await;
        match received {
            Ok(0) if !far.is_left() => {
                let _ = send.send_data(Bytes::new(), true);
                return;
            }
            Ok(count) if count > 0 => {}
            _ => return send.send_reset(Reason::CANCEL),
        }
    }
}

/// Bytes from the endpoint into the pipe; whether they came to an end.
async fn back(far: &Link, mut body: RecvStream) -> bool {
    let mut buf = Vec::new();
    while let Some(piece) = poll_fn(|cx| body.poll_data(cx)).await {
        let Ok(piece) = piece else { return false };
        buf.extend_from_slice(&piece);
        let sent;
        (sent, buf) = far.send(buf, 0).await;
        if sent.is_err() {
            // Whoever reads has left; the endpoint is told as its stream is dropped.
            return true;
        }
        buf.clear();
        let _ = body.flow_control().release_capacity(piece.len());
    }
    far.finish();
    true
}

/// Does this, unless whoever asked leaves.
async fn unless_left<T>(far: &Link, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (pin!(work), pin!(far.left()));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Pending => left.as_mut().poll(cx).map(|()| None),
        ready => ready.map(Some),
    })
    .await
}
