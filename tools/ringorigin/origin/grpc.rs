//! gRPC over HTTP/2: every call is answered with its own messages, whatever its path; health checks with how the endpoint is.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use h2::server::SendResponse;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, HeaderName, StatusCode};
use monoio_http::common::request::RequestHead;

use super::Origin;
use super::http2::{Body, response, send_data, wait};

/// The media type of calls and answers.
const MEDIA: &str = "application/grpc";
/// What gRPC's health checking protocol asks.
const CHECK: &str = "/grpc.health.v1.Health/Check";
const INVALID_ARGUMENT: u8 = 3;
const UNAVAILABLE: u8 = 14;

/// Whether a request is a call. gRPC-Web is another protocol.
pub fn is_call(request: &RequestHead) -> bool {
    let media = request.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    media.and_then(|media| media.strip_prefix(MEDIA.as_bytes())).is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Answers a call.
///
/// # Errors
/// When the stream or the connection ends.
pub async fn call(origin: &Origin, head: &RequestHead, mut body: Body, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (script, problem) = origin.begin(head);
    if !wait(&script, &mut respond).await? {
        return Ok(());
    }
    let mut status = script.grpc_status;
    if script.fail > 0 && origin.draw(script.fail) {
        status = if status == 0 { UNAVAILABLE } else { status };
    } else if problem.is_some() {
        status = INVALID_ARGUMENT;
    }
    origin.note(head, &format!("grpc-status {status}"));
    let mut fields = origin.head();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA));
    if status != 0 {
        // An answer of trailers only.
        fields.extend(trailers(status, problem.as_deref().unwrap_or("as told")));
        respond.send_response(response(StatusCode::OK, fields), true)?;
        return body.finish().await;
    }
    if head.uri.path() == CHECK {
        body.finish().await?;
        // A message of two bytes: field 1, a varint, is 1 for SERVING and 2 for NOT_SERVING.
        let message = [0, 0, 0, 0, 2, 8, if origin.well.load(Relaxed) { 1 } else { 2 }];
        let mut stream = respond.send_response(response(StatusCode::OK, fields), false)?;
        send_data(&mut stream, Bytes::copy_from_slice(&message), false).await?;
        return stream.send_trailers(trailers(0, ""));
    }
    let mut stream = respond.send_response(response(StatusCode::OK, fields), false)?;
    while let Some(piece) = body.next().await? {
        send_data(&mut stream, piece, false).await?;
    }
    stream.send_trailers(trailers(0, ""))
}

/// How a call ends.
fn trailers(status: u8, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(status)));
    if let Ok(message) = HeaderValue::from_str(message)
        && !message.is_empty()
    {
        trailers.insert(HeaderName::from_static("grpc-message"), message);
    }
    trailers
}
