//! What both sides say before the first request, where a protocol has that.

use std::io;

use ringway::net::{Link, Stream};

use crate::connection::Unopened;
use crate::http2::Session;
use crate::protocol::{Protocol, Speech};
use crate::response::head_length;
use crate::tally::{Failure, Outcome};
use crate::websocket::{Refusal, Socket, accepted, key};
use crate::worker::Worker;

/// Why there is no HTTP/2 by TLS.
pub const NO_HTTP2: &str = "the target doesn't offer HTTP/2 in its TLS handshake (ALPN)";

/// Agrees on what is spoken. Bytes behind the other's greeting are left in `bytes`.
///
/// # Errors
/// When the connection fails, or the target doesn't agree.
pub async fn greet(worker: &Worker, link: &Link, bytes: &mut Vec<u8>) -> Result<Protocol, Unopened> {
    bytes.clear();
    match &worker.plan.speech {
        Speech::Http1 => Ok(Protocol::Http1(None)),
        Speech::Http2(calls, _) => begin(worker, link, bytes, *calls).await.map(|session| Protocol::Http2(Box::new(session))),
        Speech::WebSocket(_) => upgrade(worker, link, bytes).await.map(Protocol::WebSocket),
    }
}

async fn begin(worker: &Worker, link: &Link, bytes: &mut Vec<u8>, calls: bool) -> Result<Session, Unopened> {
    if let Some(agreed) = link.agreed()
        && agreed.protocol.as_deref() != Some(b"h2")
    {
        return Err(refused(NO_HTTP2.to_owned()));
    }
    let (mut session, mut preface) = (Session::new(calls), Vec::new());
    session.write_owed(b"", &mut preface);
    send(worker, link, preface).await?;
    while !session.has_begun() {
        receive(worker, link, bytes).await?;
        let used = session.take(bytes, |_, _| ()).map_err(|fault| refused(fault.to_string()))?;
        bytes.drain(..used);
    }
    Ok(session)
}

async fn upgrade(worker: &Worker, link: &Link, bytes: &mut Vec<u8>) -> Result<Socket, Unopened> {
    let (high, low) = (worker.draw(), worker.draw());
    let key = key(u128::from(high) << 64 | u128::from(low));
    let mut request = worker.plan.requests[0].bytes.clone();
    request.extend_from_slice(format!("Sec-WebSocket-Key: {key}\r\n\r\n").as_bytes());
    send(worker, link, request).await?;
    let length = loop {
        receive(worker, link, bytes).await?;
        if let Some(length) = head_length(bytes).map_err(|fault| refused(format!("malformed answer: {fault}")))? {
            break length;
        }
    };
    accepted(&bytes[..length], &key).map_err(|refusal| match refusal {
        Refusal::Status(status) => Unopened(Outcome::Answer(status), Some(format!("the target refused a WebSocket with status {status}"))),
        Refusal::Wrong(why) => refused(why.to_owned()),
    })?;
    bytes.drain(..length);
    Ok(Socket::new(low))
}

fn refused(why: String) -> Unopened {
    Unopened(Outcome::Failure(Failure::Connect), Some(why))
}

async fn send(worker: &Worker, link: &Link, bytes: Vec<u8>) -> io::Result<()> {
    let sent = link.send(bytes, 0).await.0?;
    worker.tally.borrow_mut().sent_bytes += sent as u64;
    Ok(())
}

/// Receives some bytes behind those that there are.
async fn receive(worker: &Worker, link: &Link, bytes: &mut Vec<u8>) -> io::Result<()> {
    let (result, received) = link.recv(std::mem::take(bytes)).await;
    *bytes = received;
    match result? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the target closed the connection")),
        count => {
            worker.tally.borrow_mut().received_bytes += count as u64;
            Ok(())
        }
    }
}
