//! A request of the gateway's own to an upstream, over this core's connections: what a link of the chain asks of a service.

use std::rc::Rc;

use super::core::Core;
use crate::client::{Connection, HeadError, read_head};
use crate::error::Reason;
use crate::exchange::{Side, View};
use crate::http::{Field, Framing, Method, ResponseHead};
use crate::http1::Chunked;
use crate::middleware::{Fetch, Fetched};
use crate::net::Stream;

impl Core {
    /// The service's answer; `None` if there was none in time, or none that can be understood.
    pub(super) async fn fetch(&self, view: &Rc<View>, fetch: &Fetch) -> Option<Fetched> {
        let deadline = self.now() + fetch.timeout;
        // A kept connection may turn out closed: then it is asked once more.
        for _ in 0..2 {
            let side = Side::begin(view, &fetch.upstream, self.now(), self.draw())?;
            let (connection, reused) = match self.connection(&view.plan, &side.attempt, deadline).await {
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
        let (_, mut buf) = connection.link.send(out, 0).await;
        self.woke();
        buf.clear();
        let limits = &view.plan.upstreams[side.attempt.upstream].head_limits;
        let mut head = ResponseHead::default();
        let mut interims = 0;
        loop {
            if read_head(&buf, Method::from_bytes(method.as_bytes()), limits, &mut head)? {
                if head.status >= 200 {
                    break;
                }
                interims += 1;
                if head.status == 101 || interims > INTERIM_MAX {
                    return Err(HeadError::Refused(Reason::BadResponseHead));
                }
                buf.drain(..head.length);
                continue;
            }
            let before = buf.len();
            let (received, back) = connection.link.recv(buf).await;
            self.woke();
            buf = back;
            connection.received(received, before)?;
        }
        let named = |field: &Field| (String::from_utf8_lossy(field.name.of(&buf)).into_owned(), field.value.of(&buf).to_vec());
        let headers = head.fields.iter().filter(|field| !field.hop).map(named).collect();
        let mut piece = buf.split_off(head.length);
        self.buffers.give(buf);
        let mut taken = Vec::new();
        let (mut chunked, mut left) = (None, u64::MAX);
        match head.framing {
            Framing::None => left = 0,
            Framing::Length(length) => left = length,
            Framing::Chunked => chunked = Some(Chunked::new(limits)),
            Framing::UntilClose => {}
        }
        let mut clean = head.connection.keep_alive && head.framing != Framing::UntilClose;
        loop {
            match &mut chunked {
                Some(decoder) => {
                    let decoded = decoder.decode(&mut piece).map_err(HeadError::Refused)?;
                    taken.extend_from_slice(&piece[..decoded.data]);
                    if decoded.done {
                        clean &= decoded.consumed == piece.len();
                        break;
                    }
                }
                None => {
                    let count = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    taken.extend_from_slice(&piece[..count]);
                    clean &= count == piece.len();
                    left -= count as u64;
                    if left == 0 {
                        break;
                    }
                }
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
}

/// Bytes of an answer's body.
const BODY_MAX: usize = 64 << 10;
/// Interim answers before it.
const INTERIM_MAX: u32 = 16;
