//! A request of the gateway's own to an upstream, over this core's connections: what a link of the chain asks of a service.

use std::rc::Rc;

use super::attempt::{Look, look};
use super::core::Core;
use super::source::Source;
use crate::client::{Connection, HeadError};
use crate::error::Reason;
use crate::exchange::{Side, View};
use crate::http::{Field, Framing, Method, ResponseHead};
use crate::http1::Limits;
use crate::middleware::{Fetch, Fetched};
use crate::net::Stream;

impl Core {
    /// The service's answer; `None` if there was none in time, or none that can be understood.
    pub(super) async fn fetch(&self, view: &Rc<View>, fetch: &Fetch) -> Option<Fetched> {
        let deadline = self.now() + fetch.timeout;
        // A kept connection may turn out closed: then it is asked once more.
        for _ in 0..2 {
            let side = Side::begin(view, &fetch.upstream, self.now(), self.draw())?;
            let (connection, reused) = match self.connection(&view.plan, &side.attempt, deadline, || None).await {
                Ok(connection) => connection,
                Err(reason) => {
                    side.ended(Err(reason), self.now());
                    return None;
                }
            };
            connection.timer.close_at(deadline);
            match self.exchange(&connection, &side, view, fetch).await {
                Err(HeadError::Closed { clean: true }) if reused && self.now() < deadline => {}
                Ok((fetched, clean)) => {
                    if clean {
                        connection.timer.clear();
                        self.give_back(&connection, &side.attempt, &view.plan);
                    }
                    side.ended(Ok(fetched.status), self.now());
                    return Some(fetched);
                }
                Err(error) => {
                    let reason = match error {
                        HeadError::Refused(reason) => reason,
                        HeadError::Expired => Reason::FirstByteTimeout,
                        HeadError::Closed { .. } => Reason::ClosedBeforeHead,
                    };
                    side.ended(Err(reason), self.now());
                    return None;
                }
            }
        }
        None
    }

    /// Sends the request and receives the whole answer; whether the connection is clean afterwards.
    async fn exchange(&self, connection: &Connection, side: &Side, view: &View, fetch: &Fetch) -> Result<(Fetched, bool), HeadError> {
        let Fetch { method, path, lines, body, .. } = fetch;
        let mut out = self.buffers.take();
        out.extend_from_slice(format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", side.host()).as_bytes());
        out.extend_from_slice(lines);
        if !body.is_empty() {
            out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        connection.requests.set(connection.requests.get() + 1);
        let (_, out) = connection.link.send(out, 0).await;
        self.woke();
        self.buffers.give(out);
        let limits = &view.plan.upstreams[side.attempt.upstream].head_limits;
        let mut head = ResponseHead::default();
        let mut buf = self.answer_head(connection, Method::from_bytes(method.as_bytes()), limits, &mut head).await?;
        let named = |field: &Field| (String::from_utf8_lossy(field.name.of(&buf)).into_owned(), field.value.of(&buf).to_vec());
        let headers = head.fields.iter().filter(|field| !field.hop).map(named).collect();
        let mut piece = buf.split_off(head.length);
        self.buffers.give(buf);
        let mut taken = Vec::new();
        let mut source = Source::new(head.framing, limits);
        let mut clean = head.connection.keep_alive && head.framing != Framing::UntilClose;
        loop {
            let got = source.take(&mut piece).map_err(HeadError::Refused)?;
            taken.extend_from_slice(&piece[..got.data]);
            if got.done {
                clean &= got.consumed == piece.len();
                break;
            }
            if taken.len() > BODY_MAX {
                break;
            }
            piece.clear();
            let (received, back) = connection.link.recv(piece).await;
            self.woke();
            piece = back;
            match received {
                Ok(0) if head.framing == Framing::UntilClose && !connection.timer.expired() => break,
                received => connection.received(received, 1)?,
            }
        }
        let whole = taken.len() <= BODY_MAX;
        Ok((Fetched { status: head.status, headers, body: whole.then_some(taken) }, clean && whole))
    }

    /// Receives the head of an answer, which is what its bytes begin with.
    pub(super) async fn answer_head(
        &self,
        connection: &Connection,
        method: Method,
        limits: &Limits,
        head: &mut ResponseHead,
    ) -> Result<Vec<u8>, HeadError> {
        let (mut buf, mut interims) = (self.buffers.take(), 0);
        loop {
            match look(&buf, (method, false), limits, head, &mut interims)? {
                Look::Complete => return Ok(buf),
                Look::Interim => drop(buf.drain(..head.length)),
                Look::More => {
                    let before = buf.len();
                    let (result, back) = connection.link.recv(buf).await;
                    buf = back;
                    self.woke();
                    connection.received(result, before)?;
                }
            }
        }
    }
}

/// Bytes of an answer's body.
const BODY_MAX: usize = 64 << 10;
