//! A stream's body on its way into the pipe. The client is let send on only for what the pipe has taken.

use std::future::poll_fn;

use bytes::Bytes;
use h2::RecvStream;

use crate::http1::write::{CHUNK_PREFIX_MAX, LAST_CHUNK_SIZE, LINE_END, chunk_prefix};
use crate::http2::{Body, write_fields};
use crate::net::{Link, Stream};

/// Passes the body on, of which `first` has come; whether the client sent all of it. What the pipe doesn't take any more is left to its other end to explain.
pub(super) async fn upload(near: &Link, mut body: RecvStream, first: Bytes, framing: Body) -> bool {
    let mut buf = Vec::new();
    let mut piece = first;
    loop {
        if !piece.is_empty() {
            put(&mut buf, &piece, framing);
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
        buf.extend_from_slice(LAST_CHUNK_SIZE);
        if trailers.is_some_and(|trailers| write_fields(&mut buf, &trailers).is_err()) {
            return false;
        }
        buf.extend_from_slice(LINE_END);
        let _ = near.send(buf, 0).await;
    } else if framing == Body::Switched {
        near.finish();
    }
    true
}

fn put(buf: &mut Vec<u8>, piece: &Bytes, framing: Body) {
    if framing != Body::Chunked {
        buf.extend_from_slice(piece);
        return;
    }
    buf.extend_from_slice(chunk_prefix(piece.len(), &mut [0; CHUNK_PREFIX_MAX]));
    buf.extend_from_slice(piece);
    buf.extend_from_slice(LINE_END);
}
