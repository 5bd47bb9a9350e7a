//! Probes over HTTP/2: a request for a path, or a call of gRPC's health protocol.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use ::http::header::{CONTENT_TYPE, TE, USER_AGENT};
use ::http::{HeaderMap, Method, Request, Uri, uri};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};

use super::probe::{Ask, BODY, Failure, LIMITS};
use crate::error::Reason;
use crate::http2::grpc;
use crate::http2::health::{self, Serving};
use crate::net::{Link, Polled};

/// An answer, as far as a probe takes it.
struct Answer {
    status: u16,
    fields: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

/// Asks for the path.
pub(super) async fn http(ask: &Ask, link: Link) -> Result<(), Failure> {
    let method = Method::from_bytes(ask.check.method.as_bytes()).map_err(|_| Failure::Malformed(Reason::BadMethod))?;
    let answer = exchange(link, request(ask, method, &ask.check.path)?, Bytes::new()).await?;
    ask.judge(answer.status)
}

/// Asks for the service's health.
pub(super) async fn grpc(ask: &Ask, link: Link) -> Result<(), Failure> {
    let mut request = request(ask, Method::POST, health::CHECK)?;
    let fields = request.headers_mut();
    fields.insert(CONTENT_TYPE, "application/grpc".parse().expect("a value"));
    fields.insert(TE, "trailers".parse().expect("a value"));
    let limit = ask.timeout.as_millis().min(TIMEOUT_MAX);
    fields.insert("grpc-timeout", format!("{limit}m").parse().expect("a value"));
    let answer = exchange(link, request, health::question(&ask.check.service).into()).await?;
    if answer.status != 200 {
        return Err(Failure::Status(answer.status));
    }
    let field = |name| answer.trailers.get(name).or_else(|| answer.fields.get(name));
    match field("grpc-status").map(|status| grpc::parse_status(status.as_bytes())) {
        None => Err(Failure::Malformed(Reason::BadResponseHead)),
        Some(0) => match health::answer(&answer.body) {
            Some(Serving::Serving) => Ok(()),
            Some(other) => Err(Failure::Unwell(other.name())),
            None => Err(Failure::Malformed(Reason::BadResponseFraming)),
        },
        Some(status) => {
            let message = field("grpc-message").map(|message| String::from_utf8_lossy(message.as_bytes()).into_owned());
            Err(Failure::Call(status, message.unwrap_or_default()))
        }
    }
}

fn request(ask: &Ask, method: Method, path: &str) -> Result<Request<()>, Failure> {
    let mut target = uri::Parts::default();
    target.scheme = Some(if ask.tls.is_some() { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
    target.authority = Some(ask.host.parse().map_err(|_| Failure::Malformed(Reason::BadHost))?);
    target.path_and_query = Some(path.parse().map_err(|_| Failure::Malformed(Reason::BadTarget))?);
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_parts(target).map_err(|_| Failure::Malformed(Reason::BadTarget))?;
    let agent = concat!("ringway-probe/", env!("CARGO_PKG_VERSION"));
    request.headers_mut().insert(USER_AGENT, agent.parse().expect("a value"));
    Ok(request)
}

/// Asks this on a connection of its own, which it closes in order.
async fn exchange(link: Link, request: Request<()>, body: Bytes) -> Result<Answer, Failure> {
    let io = Polled::new(link, Vec::new(), Box::new(|_| ()));
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(LIMITS.head as u32);
    let (sender, connection) = builder.handshake(io).await.map_err(Failure::Http2)?;
    let (mut asking, mut connection) = (pin!(asked(sender, request, body)), pin!(connection));
    let mut answer = None;
    poll_fn(|cx| {
        if answer.is_none()
            && let Poll::Ready(result) = asking.as_mut().poll(cx)
        {
            answer = Some(result);
        }
        // It ends once nobody has a use for it. A stream learns of an end before that by itself, once it is asked again.
        match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(answer.take().unwrap_or(ended.map(|()| None))),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
    .map_err(Failure::Http2)?
    .ok_or(Failure::Closed)
}

async fn asked(mut sender: SendRequest<Bytes>, request: Request<()>, body: Bytes) -> Result<Option<Answer>, h2::Error> {
    poll_fn(|cx| sender.poll_ready(cx)).await?;
    let (response, mut send) = sender.send_request(request, body.is_empty())?;
    drop(sender);
    if !body.is_empty() {
        // It is shorter than any window.
        send.send_data(body, true)?;
    }
    let (head, mut received) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = poll_fn(|cx| received.poll_data(cx)).await {
        let piece = piece?;
        received.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
        if body.len() as u64 > BODY {
            return Ok(Some(Answer { status: head.status.as_u16(), fields: head.headers, body, trailers: HeaderMap::new() }));
        }
    }
    let trailers = poll_fn(|cx| received.poll_trailers(cx)).await?;
    Ok(Some(Answer { status: head.status.as_u16(), fields: head.headers, body, trailers: trailers.unwrap_or_default() }))
}

/// Milliseconds that `grpc-timeout` can say.
const TIMEOUT_MAX: u128 = 99_999_999;
