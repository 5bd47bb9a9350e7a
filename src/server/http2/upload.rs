//! A stream's body on its way into the pipe. The client is let send on only for what the pipe has taken.

use std::future::poll_fn;

use bytes::Bytes;
use h2::RecvStream;

use crate::http1::write::{write_chunk, write_last_chunk};
use crate::http2::{Body, write_fields};
use crate::net::{Link, Stream};

/// Passes the body on, of which `first` has come; whether the client sent all of it. What the pipe doesn't take any more is left to its other end to explain.
pub(super) async fn upload(near: &Link, mut body: RecvStream, first: Bytes, framing: Body) -> bool {
    let mut buf = Vec::new();
    let mut piece = first;
    loop {
        if !piece.is_empty() {
            match framing {
                Body::Chunked => write_chunk(&mut buf, &piece),
                _ => buf.extend_from_slice(&piece),
            }
            let sent;
            (sent, buf) = near.send(buf, 0).await;
            if sent.is_err() {
                return true;
            }
            buf.clear();
        }
        let _ = body.flow_control().release_capacity(piece.len());
        piece = match poll_fn(|cx| body.poll_data(cx)).await {
            Some(Ok(piece)) => piece,
            Some(Err(_)) => return false,
            None => break,
        };
    }
    let Ok(trailers) = poll_fn(|cx| body.poll_trailers(cx)).await else { return false };
    if framing == Body::Chunked {
        let mut lines = Vec::new();
        if trailers.is_some_and(|trailers| write_fields(&mut lines, &trailers).is_err()) {
            return false;
        }
        write_last_chunk(&mut buf, &lines);
        let _ = near.send(buf, 0).await;
    } else if framing == Body::Switched {
        near.finish();
    }
    true
}
