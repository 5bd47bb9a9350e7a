//! Answers that the gateway makes itself: refusals with their reason, and built-in pages.

use super::core::{Core, PageAnswer, Session, after};
use crate::error::Reason;
use crate::http::{Edits, Framing, Known, Method, RequestHead, connection_line, kept_request_id, write_line, write_status};
use crate::http2::{grpc, web};
use crate::net::Stream;
use crate::server::{Client, Inbound, Next};

/// What a refusal says besides its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extra {
    /// Seconds after which it's worth trying again.
    pub retry_after: Option<u32>,
    /// The `Allow` header of a 405.
    pub allow: Option<String>,
    /// Who is asked: the upstream's id, if it came to that.
    pub upstream: Option<String>,
    /// Further header lines, each with its line end.
    pub lines: Vec<u8>,
}

/// An answer that the gateway makes itself.
pub(super) struct Own<'a> {
    /// Its status.
    pub status: u16,
    /// Header lines besides those of framing and connection, each with its line end.
    pub lines: &'a [u8],
    /// The whole body.
    pub body: &'a [u8],
    /// What it gets on its way, as the answers of endpoints do.
    pub edits: &'a Edits,
    /// The client's connection stays open.
    pub keep: bool,
}

impl Core {
    /// Answers with a refusal.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn refusal(
        &self,
        client: &Client,
        session: &Session,
        bytes: &[u8],
        reason: Reason,
        extra: &Extra,
        edits: &Edits,
        keep: bool,
    ) -> bool {
        let status = reason.status();
        // A head that wasn't understood says nothing about how to answer.
        let json = session.head.known(bytes, Known::Accept).is_some_and(|accept| contains(accept, b"json"));
        let id = kept_request_id(&session.head, bytes, session.sender.trusted).unwrap_or(session.scratch.id.as_bytes());
        let id = std::str::from_utf8(id).unwrap_or_default();
        let web = web::Form::wanted(&session.head, bytes).map(|form| form.kind(b"+proto"));
        let (kind, body) = if session.grpc {
            (web.as_deref().map_or("application/grpc", |kind| std::str::from_utf8(kind).unwrap_or_default()), String::new())
        } else if json {
            let problem = serde_json::json!({
                "type": "about:blank", "title": phrase(status), "status": status,
                "detail": reason.explain(), "reason": reason.code(), "request_id": id,
            });
            ("application/problem+json", format!("{problem}\n"))
        } else {
            let text = reason.text(format_args!("{status} {}", phrase(status)));
            ("text/plain; charset=utf-8", format!("{text}request id: {id}\n"))
        };
        let mut lines = Vec::new();
        write_line(&mut lines, b"Content-Type", kind.as_bytes());
        if self.view.borrow().plan.additions.request_id {
            write_line(&mut lines, b"X-Request-ID", id.as_bytes());
        }
        let mut told = format!("ringway; error={}; details=\"{}\"", proxy_error(reason), reason.code());
        if let Some(upstream) = &extra.upstream {
            told.push_str(&format!("; next-hop=\"{upstream}\""));
        }
        write_line(&mut lines, b"Proxy-Status", told.as_bytes());
        if let Some(seconds) = extra.retry_after {
            write_line(&mut lines, b"Retry-After", seconds.to_string().as_bytes());
        }
        if let Some(allow) = &extra.allow {
            write_line(&mut lines, b"Allow", allow.as_bytes());
        }
        if session.grpc {
            write_line(&mut lines, b"grpc-status", grpc::status(reason).to_string().as_bytes());
            let text = format!("{} (reason: {}, request id: {id})", reason.explain(), reason.code());
            write_line(&mut lines, b"grpc-message", grpc::message(&text).as_bytes());
        }
        lines.extend_from_slice(&extra.lines);
        // What was refused is told by trailers alone.
        let status = if session.grpc { 200 } else { status };
        self.own(client, session, &Own { status, lines: &lines, body: body.as_bytes(), edits, keep }).await
    }

    /// Answers with a page.
    pub(super) async fn page(&self, client: &Client, session: &Session, page: PageAnswer, keep: bool) -> bool {
        let (status, kind, body) = page;
        let lines = format!("Content-Type: {kind}\r\nCache-Control: no-store\r\n");
        let own = Own { status, lines: lines.as_bytes(), body: body.as_bytes(), edits: &Edits::default(), keep };
        self.own(client, session, &own).await
    }

    /// Sends an answer of the gateway's own, without its body if the request was HEAD; says whether that went well.
    pub(super) async fn own(&self, client: &Client, session: &Session, own: &Own<'_>) -> bool {
        let changes = &session.scratch.notes.response;
        let mut out = self.buffers.take();
        write_status(&mut out, own.status, phrase(own.status).as_bytes());
        out.extend_from_slice(&self.date.get());
        for line in own.lines.split_inclusive(|&byte| byte == b'\n') {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            if !own.edits.drops(name) && !changes.drops(name) {
                out.extend_from_slice(line);
            }
        }
        // RFC 9110 section 8.6: these have none.
        if own.status != 204 && own.status != 304 {
            write_line(&mut out, b"Content-Length", own.body.len().to_string().as_bytes());
        }
        out.extend_from_slice(connection_line(session.head.version, own.keep));
        out.extend_from_slice(changes.lines());
        out.extend_from_slice(own.edits.tail());
        if session.head.method != Method::Head {
            out.extend_from_slice(own.body);
        }
        client.timer.close_at(after(self.now(), self.timeouts().write.get()));
        let (result, out) = client.link.send(out, 0).await;
        let sent = result.as_ref().map_or(0, |&sent| sent as u64);
        self.counters.bytes_out.add(sent);
        client.sent.set(client.sent.get() + sent);
        self.buffers.give(out);
        result.is_ok()
    }
}

/// Uses up a request that was answered without reading its body, where the body is there already; else the connection ends.
pub(super) fn skip(head: &RequestHead, inbound: &mut Inbound) -> bool {
    let body = match head.framing {
        _ if inbound.is_bodiless() => Some(0),
        Framing::None => Some(0),
        Framing::Length(length) => usize::try_from(length).ok(),
        _ => None,
    };
    let there = body.and_then(|body| body.checked_add(head.length)).filter(|&all| all <= inbound.bytes().len());
    if let Some(all) = there {
        inbound.consume(all);
    }
    there.is_some()
}

/// What becomes of the connection after an answer of the gateway's own.
pub(super) const fn afterwards(sent: bool, keep: bool) -> Next {
    match (sent, keep) {
        (false, _) => Next::Close,
        (true, true) => Next::KeepAlive,
        (true, false) => Next::Linger,
    }
}

/// The error type of RFC 9209 section 2.3 that says the same.
const fn proxy_error(reason: Reason) -> &'static str {
    match reason {
        Reason::Unresolved => "dns_error",
        Reason::ConnectFailed => "connection_refused",
        Reason::ConnectTimeout => "connection_timeout",
        Reason::SendFailed | Reason::StreamRefused => "connection_terminated",
        Reason::SendTimeout => "connection_write_timeout",
        Reason::FirstByteTimeout | Reason::ResponseBodyTimeout => "connection_read_timeout",
        Reason::RequestTimeout => "http_response_timeout",
        Reason::ClosedBeforeHead | Reason::ClosedMidBody => "http_response_incomplete",
        Reason::ResponseHeadTooLarge => "http_response_header_section_size",
        Reason::BadResponseHead | Reason::BadResponseFraming | Reason::BadResponseBody | Reason::BadAnswerJson => "http_protocol_error",
        Reason::AnswerTooLarge => "http_response_body_size",
        Reason::UnexpectedUpgrade | Reason::UpgradeUnsupported => "http_upgrade_failed",
        Reason::NoHealthyEndpoint => "destination_unavailable",
        Reason::EndpointsBusy | Reason::QueueFull | Reason::QueueTimeout => "connection_limit_reached",
        Reason::Draining | Reason::OutOfDescriptors | Reason::TooManyConnections | Reason::Internal => "proxy_internal_error",
        Reason::NoRoute => "destination_not_found",
        Reason::MethodNotAllowed
        | Reason::ConnectRefused
        | Reason::IpDenied
        | Reason::CorsRefused
        | Reason::RateLimited
        | Reason::AuthForbidden => "http_request_denied",
        _ => "http_request_error",
    }
}

/// The reason phrase of a status.
fn phrase(status: u16) -> &'static str {
    // Not registered, but what nginx and others call it.
    if status == 499 {
        return "Client Closed Request";
    }
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_phrase() {
        for &reason in Reason::ALL {
            assert_ne!(phrase(reason.status()), "Error", "{}", reason.code());
        }
    }
}
