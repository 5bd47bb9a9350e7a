//! Answers that the gateway makes itself: refusals with their reason, and built-in pages.

use super::core::{Core, PageAnswer, Session, after};
use crate::error::Reason;
use crate::http::{Framing, Known, Method, RequestHead, Version, connection_line, kept_request_id, write_line, write_status};
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
}

impl Core {
    /// Answers with a refusal.
    pub(super) async fn refusal(
        &self,
        client: &Client,
        session: &Session,
        bytes: &[u8],
        reason: Reason,
        extra: &Extra,
        keep: bool,
    ) -> bool {
        let status = reason.status();
        // A head that wasn't understood says nothing about how to answer.
        let json = session.head.known(bytes, Known::Accept).is_some_and(|accept| contains(accept, b"json"));
        let id = kept_request_id(&session.head, bytes, &session.sender).unwrap_or(&session.id);
        let id = std::str::from_utf8(id).unwrap_or_default();
        let (kind, body) = if json {
            let problem = serde_json::json!({
                "type": "about:blank", "title": phrase(status), "status": status,
                "detail": reason.explain(), "reason": reason.code(), "request_id": id,
            });
            ("application/problem+json", format!("{problem}\n"))
        } else {
            let explanation = reason.explain();
            (
                "text/plain; charset=utf-8",
                format!("{status} {}: {explanation}\nreason: {}\nrequest id: {id}\n", phrase(status), reason.code()),
            )
        };
        let mut out = self.buffers.take();
        self.head(&mut out, status, kind, body.len(), session.head.version, keep);
        if self.view.borrow().plan.additions.request_id {
            write_line(&mut out, b"X-Request-ID", id.as_bytes());
        }
        let mut told = format!("ringway; error={}; details=\"{}\"", proxy_error(reason), reason.code());
        if let Some(upstream) = &extra.upstream {
            told.push_str(&format!("; next-hop=\"{upstream}\""));
        }
        write_line(&mut out, b"Proxy-Status", told.as_bytes());
        if let Some(seconds) = extra.retry_after {
            write_line(&mut out, b"Retry-After", seconds.to_string().as_bytes());
        }
        if let Some(allow) = &extra.allow {
            write_line(&mut out, b"Allow", allow.as_bytes());
        }
        self.finish(client, session, out, body.as_bytes()).await
    }

    /// Answers with a page.
    pub(super) async fn page(&self, client: &Client, session: &Session, page: PageAnswer, keep: bool) -> bool {
        let (status, kind, body) = page;
        let mut out = self.buffers.take();
        self.head(&mut out, status, kind, body.len(), session.head.version, keep);
        out.extend_from_slice(b"Cache-Control: no-store\r\n");
        self.finish(client, session, out, body.as_bytes()).await
    }

    fn head(&self, out: &mut Vec<u8>, status: u16, kind: &str, length: usize, version: Version, keep: bool) {
        write_status(out, status, phrase(status).as_bytes());
        out.extend_from_slice(&self.date.get());
        write_line(out, b"Content-Type", kind.as_bytes());
        write_line(out, b"Content-Length", length.to_string().as_bytes());
        out.extend_from_slice(connection_line(version, keep));
    }

    /// Ends the head, adds the body unless it was a HEAD request, and sends; says whether that went well.
    async fn finish(&self, client: &Client, session: &Session, mut out: Vec<u8>, body: &[u8]) -> bool {
        out.extend_from_slice(b"\r\n");
        if session.head.method != Method::Head {
            out.extend_from_slice(body);
        }
        client.timer.close_at(after(self.now(), self.timeouts().write.get()));
        let (result, out) = client.link.send(out, 0).await;
        self.counters.bytes_out.add(result.as_ref().map_or(0, |&sent| sent as u64));
        self.buffers.give(out);
        result.is_ok()
    }
}

/// Uses up a request that was answered without reading its body, where the body is there already; else the connection ends.
pub(super) fn skip(head: &RequestHead, inbound: &mut Inbound) -> bool {
    let body = match head.framing {
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
        Reason::SendFailed => "connection_terminated",
        Reason::SendTimeout => "connection_write_timeout",
        Reason::FirstByteTimeout | Reason::ResponseBodyTimeout => "connection_read_timeout",
        Reason::RequestTimeout => "http_response_timeout",
        Reason::ClosedBeforeHead | Reason::ClosedMidBody => "http_response_incomplete",
        Reason::ResponseHeadTooLarge => "http_response_header_section_size",
        Reason::BadResponseHead | Reason::BadResponseFraming | Reason::BadResponseBody => "http_protocol_error",
        Reason::UnexpectedUpgrade => "http_upgrade_failed",
        Reason::NoHealthyEndpoint => "destination_unavailable",
        Reason::EndpointsBusy | Reason::QueueFull | Reason::QueueTimeout => "connection_limit_reached",
        Reason::Draining | Reason::OutOfDescriptors | Reason::TooManyConnections | Reason::Internal => "proxy_internal_error",
        Reason::NoRoute => "destination_not_found",
        Reason::MethodNotAllowed | Reason::ConnectRefused => "http_request_denied",
        _ => "http_request_error",
    }
}

/// The reason phrase of a status the gateway answers with.
const fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
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
