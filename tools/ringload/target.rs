//! What is asked of whom: URLs, and the bytes of their requests.

use std::net::IpAddr;

use crate::http2::hpack::{self, Block};

/// An `http://`, `https://`, `ws://` or `wss://` URL, as far as a request needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The host as written, an IPv6 address without its brackets.
    pub host: String,
    /// The port; if none is written 80, or 443 with TLS.
    pub port: u16,
    /// Whether it is asked by TLS.
    pub tls: bool,
    /// Whether it is a WebSocket's.
    pub websocket: bool,
    /// What the `Host` field says.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// A request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// All its bytes in HTTP/1.1.
    pub bytes: Vec<u8>,
    /// Its head in HTTP/2.
    pub block: Block,
    /// Whether it is a HEAD, whose answer has no body.
    pub is_head: bool,
}

/// What requests have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The method, unless the line of a file of URLs has its own.
    pub method: String,
    /// Header fields, in order.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether each request has a connection of its own.
    pub closes: bool,
}

/// Who asks, unless told otherwise.
const AGENT: &str = concat!("ringload/", env!("CARGO_PKG_VERSION"));

impl Url {
    /// What it begins with.
    pub fn scheme(&self) -> &'static str {
        match (self.websocket, self.tls) {
            (false, false) => "http",
            (false, true) => "https",
            (true, false) => "ws",
            (true, true) => "wss",
        }
    }

    /// Reads a URL; one without a scheme is taken for `http://`.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read(text: &str) -> Result<Url, String> {
        let wrong = |what: &str| format!("`{text}` {what}");
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (websocket, tls) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, false),
            "https" => (false, true),
            "ws" => (true, false),
            "wss" => (true, true),
            _ => return Err(wrong(&format!("begins with {scheme}://, and only http, https, ws and wss can be asked"))),
        };
        let usual = if tls { "443" } else { "80" };
        let rest = rest.split('#').next().unwrap_or(rest);
        if rest.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(wrong("has spaces or other characters that a URL writes as %XX"));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(wrong("has a user name in it; give it by --header 'Authorization: ...'"));
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some(usual))),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, Some(usual)),
            },
        };
        let port = port.and_then(|port| port.parse().ok()).filter(|port| *port > 0).ok_or_else(|| wrong("has no valid port"))?;
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Url { host: host.to_owned(), port, tls, websocket, authority: authority.to_owned(), path })
    }
}

impl Message {
    /// The request for a URL.
    pub fn request(&self, method: &str, url: &Url) -> Request {
        let mut head = self.head(method, url, if self.closes { &[("Connection", "close")] } else { &[] });
        if !self.body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            field_line(&mut head, "Content-Length", &self.body.len().to_string());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        Request { bytes, block: Block::default(), is_head: method == "HEAD" }
    }

    /// What asks for a WebSocket at a URL (RFC 6455, section 4.1), but for the key and the end of the head.
    pub fn upgrade(&self, url: &Url) -> Request {
        let head = self.head("GET", url, &[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]);
        Request { bytes: head.into_bytes(), block: Block::default(), is_head: false }
    }

    /// The requests for these methods and URLs in HTTP/2, with a length of their body or not.
    pub fn streams(&self, asked: &[(String, Url)], length: Option<usize>) -> Vec<Request> {
        let own = |name: &str| self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
        let authority = own("host").unwrap_or_else(|| asked[0].1.authority.clone());
        let mut shared = vec![(":authority".to_owned(), authority)];
        if own("user-agent").is_none() {
            shared.push(("user-agent".to_owned(), AGENT.to_owned()));
        }
        let fields = self.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
        shared.extend(fields.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
        let request = |(method, url): &(String, Url)| {
            let pseudo = [(":method", method.as_str()), (":scheme", url.scheme()), (":path", url.path.as_str())];
            let length = length.filter(|length| *length > 0 || matches!(method.as_str(), "POST" | "PUT" | "PATCH"));
            let length = length.map(|length| length.to_string());
            let own: Vec<(&str, &str)> = length.iter().map(|length| ("content-length", length.as_str())).collect();
            Request { bytes: Vec::new(), block: hpack::block(&pseudo, &shared, &own), is_head: method == "HEAD" }
        };
        asked.iter().map(request).collect()
    }

    /// A head without its end, with the fields that each has, these, and those that were asked for.
    fn head(&self, method: &str, url: &Url, fields: &[(&str, &str)]) -> String {
        let has = |name: &str| self.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
        let mut head = format!("{method} {} HTTP/1.1\r\n", url.path);
        if !has("host") {
            field_line(&mut head, "Host", &url.authority);
        }
        if !has("user-agent") {
            field_line(&mut head, "User-Agent", AGENT);
        }
        fields.iter().for_each(|(name, value)| field_line(&mut head, name, value));
        self.fields.iter().for_each(|(name, value)| field_line(&mut head, name, value));
        head
    }

    /// Methods and URLs of a file: a URL a line, a method in front of it if it isn't the usual one; empty lines and those with `#` in front
    /// don't count. All have to go to one host and port.
    ///
    /// # Errors
    /// A sentence about what is wrong, with the line.
    pub fn requests(&self, file: &str) -> Result<Vec<(String, Url)>, String> {
        let (mut first, mut requests) = (None::<Url>, Vec::new());
        for (number, line) in file.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (method, url) = match line.split_once([' ', '\t']) {
                Some((method, url)) => (token(method).map_err(|problem| format!("line {number}: {problem}"))?, url.trim()),
                None => (self.method.as_str(), line),
            };
            let url = Url::read(url).map_err(|problem| format!("line {number}: {problem}"))?;
            let first = first.get_or_insert_with(|| url.clone());
            if url.websocket {
                return Err(format!("line {number}: a WebSocket's URL can't be asked in turn with others"));
            }
            if (&first.host, first.port, first.tls) != (&url.host, url.port, url.tls) {
                let (scheme, authority) = (first.scheme(), &first.authority);
                return Err(format!("line {number}: all URLs have to go to one host and port, {scheme}://{authority}"));
            }
            requests.push((method.to_owned(), url));
        }
        if requests.is_empty() { Err("there is no URL in it".to_owned()) } else { Ok(requests) }
    }
}

fn field_line(head: &mut String, name: &str, value: &str) {
    [name, ": ", value, "\r\n"].into_iter().for_each(|part| head.push_str(part));
}

/// A method or a field's name (RFC 9110, section 5.6.2).
///
/// # Errors
/// A sentence that it is none.
pub fn token(text: &str) -> Result<&str, String> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(valid) { Err(format!("`{text}` is no name that HTTP knows")) } else { Ok(text) }
}

/// Reads `NAME: VALUE`.
///
/// # Errors
/// A sentence about what is wrong; also for fields that say where a message ends, as ringload says that itself.
pub fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("`{text}` is no header: write 'NAME: VALUE'"))?;
    let value = value.trim();
    if value.bytes().any(|byte| byte != b'\t' && (byte < b' ' || byte == 0x7f)) {
        return Err(format!("`{text}` has control characters in it"));
    }
    let name = token(name)?;
    if ["content-length", "transfer-encoding", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err(format!("ringload sets {name} itself; see --body and --no-keep-alive"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Whether an address is this machine's own, so that nobody else gets the load.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message { method: "GET".into(), ..Message::default() }
    }

    #[test]
    fn urls_are_read() {
        let read = |text| Url::read(text).map(|url| (url.host, url.port, url.authority, url.path)).unwrap();
        let of = |host: &str, port, authority: &str, path: &str| (host.to_owned(), port, authority.to_owned(), path.to_owned());
        assert_eq!(read("http://localhost:8080/a?b=c#d"), of("localhost", 8080, "localhost:8080", "/a?b=c"));
        assert_eq!(read("HTTP://a"), of("a", 80, "a", "/"));
        assert_eq!(read("127.0.0.1:9?q"), of("127.0.0.1", 9, "127.0.0.1:9", "/?q"));
        assert_eq!(read("http://[::1]:9001/x"), of("::1", 9001, "[::1]:9001", "/x"));
        assert_eq!(read("http://[::1]"), of("::1", 80, "[::1]", "/"));
        assert_eq!(read("https://a"), of("a", 443, "a", "/"));
        assert_eq!(read("WSS://a/b"), of("a", 443, "a", "/b"));
        for (text, scheme) in [("a", "http"), ("http://a", "http"), ("https://a", "https"), ("ws://a", "ws"), ("wss://a", "wss")] {
            assert_eq!(Url::read(text).unwrap().scheme(), scheme);
        }
        for wrong in ["", "ftp://a/", "http://", "http:///a", "a:b", "a:0", "a:70000", "http://[::1]9/", "http://u@a/", "a/b c", "a/ä"] {
            assert!(Url::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn requests_are_written() {
        let url = Url::read("http://a:9/b?c").unwrap();
        let agent = concat!("User-Agent: ringload/", env!("CARGO_PKG_VERSION"), "\r\n");
        let written = |message: &Message, method: &str| String::from_utf8(message.request(method, &url).bytes).unwrap();
        assert_eq!(written(&message(), "GET"), format!("GET /b?c HTTP/1.1\r\nHost: a:9\r\n{agent}\r\n"));
        let own = Message {
            fields: vec![("HOST".into(), "x".into()), ("user-agent".into(), "y".into())],
            body: b"12".to_vec(),
            closes: true,
            ..message()
        };
        let text = "PUT /b?c HTTP/1.1\r\nConnection: close\r\nHOST: x\r\nuser-agent: y\r\nContent-Length: 2\r\n\r\n12";
        assert_eq!(written(&own, "PUT"), text);
        assert!(written(&message(), "POST").contains("Content-Length: 0\r\n"));
        assert!(message().request("HEAD", &url).is_head);
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nHOST: x\r\nuser-agent: y\r\n";
        assert_eq!(String::from_utf8(own.upgrade(&url).bytes).unwrap(), format!("GET /b?c HTTP/1.1\r\n{upgrade}"));
    }

    #[test]
    fn files_of_urls_are_read() {
        let requests = message().requests("# first\nhttp://a:9/b\n\n  HEAD a:9/c\n").unwrap();
        let told: Vec<_> = requests.iter().map(|(method, url)| (method.as_str(), url.port, url.path.as_str())).collect();
        assert_eq!(told, [("GET", 9, "/b"), ("HEAD", 9, "/c")]);
        for (wrong, told) in [
            ("", "no URL"),
            ("a\nb", "line 2: all URLs"),
            ("a\n\nG@T a", "line 3"),
            ("ftp://a", "line 1"),
            ("http://a:9\nhttps://a:9", "line 2"),
            ("ws://a", "line 1: a WebSocket"),
        ] {
            let problem = message().requests(wrong).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }

    #[test]
    fn fields_are_read() {
        assert_eq!(field("X-A:  b: c "), Ok(("X-A".into(), "b: c".into())));
        for wrong in ["a", ": b", "a b: c", "a: b\r\nc: d", "Content-Length: 3", "connection: close"] {
            assert!(field(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn loopback_is_known() {
        for (text, own) in [("127.8.9.1", true), ("::1", true), ("::ffff:127.0.0.1", true), ("10.0.0.1", false), ("0.0.0.0", false)] {
            assert_eq!(is_loopback(text.parse().unwrap()), own, "{text}");
        }
    }
}
