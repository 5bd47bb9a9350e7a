//! Requests of the gateway's own, from HTTP/1.1 as HTTP/2 says them.

use ::http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_KEY, TE};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, uri};
use h2::ext::Protocol;

use super::grpc::is_grpc;
use super::response::{again, is_of_connection};
use crate::http::{Field, Framing, Known, RequestHead, is_token};

/// Makes the requests of one connection, whose fields most often are those of the one before.
#[derive(Debug, Default)]
pub struct Requests {
    /// Where each request's head is parsed into, and no other's.
    pub head: RequestHead,
    fields: HeaderMap,
    /// Of which lines the fields were made (`Seen::lines`).
    lines: Option<u64>,
    authority: Option<uri::Authority>,
    target: Option<uri::PathAndQuery>,
    /// The names of what is different each time have been said.
    begun: bool,
}

impl Requests {
    /// The request whose head was parsed from `bytes` last; nothing, if HTTP/2 can't say it. Whether it goes over TLS.
    pub fn request(&mut self, bytes: &[u8], secure: bool) -> Option<Request<()>> {
        let (host, path) = (self.head.host.of(bytes), self.head.target.of(bytes));
        if self.authority.as_ref().is_none_or(|authority| authority.as_str().as_bytes() != host) {
            self.authority = Some(uri::Authority::try_from(host).ok()?);
        }
        if self.target.as_ref().is_none_or(|target| target.as_str().as_bytes() != path) {
            self.target = Some(uri::PathAndQuery::try_from(path).ok()?);
        }
        let mut target = uri::Parts::default();
        target.scheme = Some(if secure { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
        target.authority = self.authority.clone();
        target.path_and_query = self.target.clone();
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(self.head.method_name.of(bytes)).ok()?;
        *request.uri_mut() = Uri::from_parts(target).ok()?;
        self.say(bytes)?;
        *request.headers_mut() = self.fields.clone();
        self.begun = true;
        Some(request)
    }

    /// Makes the fields.
    fn say(&mut self, bytes: &[u8]) -> Option<()> {
        if self.lines == Some(self.head.seen.lines) {
            if let Some(id) = self.head.known(bytes, Known::XRequestId)
                && let Some(said) = self.fields.get_mut(&X_REQUEST_ID)
                && said.as_bytes() != id
            {
                *said = HeaderValue::from_bytes(id).ok()?;
                said.set_sensitive(true);
            }
            return Some(());
        }
        // Until all of them are.
        self.lines = None;
        let te = self.tells_te(bytes);
        let mut before = self.fields.iter_mut();
        let same = again(&mut before, said(&self.head), bytes, |field| value(field, bytes, self.begun))?
            && before.next().is_some_and(|(name, _)| name == TE) == te
            && before.next().is_none();
        if !same {
            self.fields.clear();
            for field in said(&self.head) {
                self.fields.try_append(HeaderName::from_bytes(field.name.of(bytes)).ok()?, value(field, bytes, self.begun)?).ok()?;
            }
            if te {
                self.fields.try_append(TE, HeaderValue::from_static("trailers")).ok()?;
            }
        }
        self.lines = Some(self.head.seen.lines);
        Some(())
    }

    /// Calls need it, whatever the client speaks.
    fn tells_te(&self, bytes: &[u8]) -> bool {
        self.head.te_trailers || is_grpc(&self.head, bytes)
    }
}

/// The request to switch to another protocol that an upgrade of HTTP/1.1 becomes (RFC 8441 section 4), and the key that its answer is to
/// prove to have seen, if it is a WebSocket's; nothing, if it can't be said.
pub fn connect_of(head: &RequestHead, bytes: &[u8], secure: bool) -> Option<(Request<()>, Option<HeaderValue>)> {
    // A stream of another protocol has none of HTTP's framing.
    if !matches!(head.framing, Framing::None | Framing::Length(0)) {
        return None;
    }
    let protocol = head.header(bytes, "upgrade").and_then(|protocol| std::str::from_utf8(protocol).ok()).filter(|name| is_token(name))?;
    let mut request = Requests { head: head.clone(), ..Requests::default() }.request(bytes, secure)?;
    request.headers_mut().remove(CONTENT_LENGTH);
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(Protocol::from(protocol));
    let key = request.headers_mut().remove(SEC_WEBSOCKET_KEY);
    Some((request, key))
}

/// What is said of a head's fields.
fn said(head: &RequestHead) -> impl Iterator<Item = &Field> {
    head.fields.iter().filter(|field| !field.hop && !is_of_connection(field.known) && !matches!(field.known, Known::Host | Known::Te))
}

/// A field's value. One that is different each time isn't to be looked for in the table of those that have been said, nor to fill it, which
/// HPACK has for what is sensitive (RFC 7541 section 7.1.3); the first time it is, for its name.
fn value(field: &Field, bytes: &[u8], begun: bool) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(field.value.of(bytes)).ok()?;
    value.set_sensitive(begun && matches!(field.known, Known::XRequestId | Known::Traceparent));
    Some(value)
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Limits, parse_request};

    fn id(from: u8) -> String {
        (from..from + 32).map(|byte| byte as char).collect()
    }

    #[test]
    fn a_request_is_the_same_whatever_was_before_it() {
        let mut requests = Requests::default();
        let (a, b) = (id(b'0'), id(b'1'));
        for (number, (line, host, fields)) in [
            ("POST /a?b", "one", format!("A: 1\r\nX-Request-Id: {a}\r\nB: 2\r\n")),
            ("POST /a?b", "one", format!("A: 1\r\nX-Request-Id: {b}\r\nB: 2\r\n")),
            ("PUT /long/path", "one", format!("A: 1\r\nX-Request-Id: {a}\r\nB: 2\r\n")),
            ("PUT /long/path", "two:80", format!("A: 1\r\nX-Request-Id: {b}\r\nB: 2\r\n")),
            ("PUT /long/path", "two:80", format!("A: 1\r\nX-Request-Id: {}\r\nC: 2\r\n", &a[..9])),
            ("PUT /long/path", "two:80", format!("A: 1\r\nX-Request-Id: {}\r\nC: 2\r\n", "a b c d e")),
            ("PUT /long/path", "two:80", format!("X-Request-Id: {a}\r\nX-Request-Id: {b}\r\nC: 2\r\n")),
            ("PUT /long/path", "two:80", format!("X-Request-Id: {b}\r\nX-Request-Id: {b}\r\nC: 2\r\n")),
            ("PUT /long/path", "two:80", format!("X-Request-Id: {a}\r\nX-Request-Id: {a}\r\nC: 2\r\n")),
            ("GET /", "two", format!("Connection: x-request-id\r\nX-Request-Id: {a}\r\nContent-Type: application/grpc\r\n")),
            ("GET /", "two", format!("Connection: x-request-id\r\nX-Request-Id: {b}\r\nContent-Type: application/grpc\r\n")),
            ("GET /", "two", "Content-Type: application/grpc\r\nTE: trailers\r\nX-Request-Id:\r\n".into()),
            ("GET /", "two", "Content-Type: application/json\r\n".into()),
            ("GET /", "two", "Content-Type: application/grpc\r\n".into()),
            ("GET /", "two", "Content-Type: application/json\r\nTE: trailers\r\n".into()),
            ("GET /a?b", "one", "A: 1\r\nB: 2\r\n".into()),
            ("PUT /", "one", "A: 1\r\nB: 3\r\n".into()),
            ("GET /", "two:80", "B: 3\r\nA: 1\r\n".into()),
        ]
        .into_iter()
        .enumerate()
        {
            let text = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\nbody\n");
            let (bytes, mut alone) = (text.as_bytes(), Requests::default());
            requests.head.take_id(bytes);
            assert!(parse_request(bytes, &Limits::default(), &mut requests.head).unwrap());
            assert!(parse_request(bytes, &Limits::default(), &mut alone.head).unwrap());
            assert_eq!(requests.head, alone.head, "{text}");
            let (among, alone) = (requests.request(bytes, false).unwrap(), alone.request(bytes, false).unwrap());
            assert_eq!((among.method(), among.uri(), among.headers()), (alone.method(), alone.uri(), alone.headers()), "{text}");
            assert_eq!(among.uri().authority().unwrap().as_str(), host);
            assert_eq!(among.headers().contains_key(TE), text.contains("TE: ") || text.contains("grpc"), "{text}");
            let ids = among.headers().get_all(X_REQUEST_ID);
            assert!(ids.iter().all(|id| id.is_sensitive() == (number > 0)), "{text}");
        }
    }

    #[test]
    fn heads_that_differ_in_their_id_alone_are_read_once() {
        let mut requests = Requests::default();
        for (path, from) in [("/a", b'0'), ("/a", b'1'), ("/a", b'2'), ("/long", b'0'), ("/long", b'3')] {
            let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {}\r\nVia: b\r\n\r\n", id(from));
            requests.head.take_id(text.as_bytes());
            assert!(parse_request(text.as_bytes(), &Limits::default(), &mut requests.head).unwrap());
            assert_eq!(requests.request(text.as_bytes(), true).unwrap().headers()["x-request-id"], id(from));
        }
        assert_eq!((requests.head.seen.heads, requests.head.seen.lines), (2, 1));
    }
}
