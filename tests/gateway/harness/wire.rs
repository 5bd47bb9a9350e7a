//! A raw connection, from either side, and reading messages off it without the gateway's own code.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::BOUND;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
}

/// A message as it came.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The head, up to and with its empty line.
    pub head: String,
    /// The decoded body.
    pub body: Vec<u8>,
    /// Trailer lines of a chunked body.
    pub trailers: String,
}

/// A raw connection.
pub struct Wire {
    stream: TcpStream,
    buf: Vec<u8>,
}

/// A plain request.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// A request with a body of this length, whole before its first byte is sent: making a large one can take longer than a pause may.
pub fn post(length: usize) -> Vec<u8> {
    let mut request = format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    request.resize(request.len() + length, b'x');
    request
}

impl Message {
    /// The first line.
    pub fn start(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub fn status(&self) -> u16 {
        self.start().split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("a status line: {self:?}"))
    }

    pub fn method(&self) -> &str {
        self.start().split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.start().split(' ').nth(1).unwrap_or_default()
    }

    /// The values of all fields of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The value of the only field of this name.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} is there {} times: {}", all.len(), self.head);
        all.first().copied()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer that switches this request's connection to a WebSocket (RFC 6455 section 4.2.2).
    #[track_caller]
    pub fn switch(&self) -> String {
        let accept = ringway::http::websocket_accept(self.field("sec-websocket-key").expect("a key").as_bytes());
        format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
    }

    /// The gateway's reason for a refusal.
    pub fn reason(&self) -> &str {
        self.text().lines().find_map(|line| line.strip_prefix("reason: ")).unwrap_or_else(|| panic!("no reason given: {self:?}"))
    }

    /// Status and reason.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status(), self.reason())
    }

    fn says(&self, name: &str, value: &str) -> bool {
        self.all(name).iter().any(|found| found.eq_ignore_ascii_case(value))
    }
}

impl Wire {
    pub fn connect(address: &str) -> Wire {
        Wire::of(TcpStream::connect(address).unwrap_or_else(|error| panic!("connect to {address}: {error}")))
    }

    pub fn of(stream: TcpStream) -> Wire {
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_write_timeout(Some(BOUND)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, buf: Vec::new() }
    }

    /// A second handle of the same connection, to be used on another thread: one writes, one reads.
    pub fn split(&self) -> Wire {
        Wire { stream: self.stream.try_clone().unwrap(), buf: Vec::new() }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Wire {
        self.try_send(bytes).unwrap();
        self
    }

    /// Sends to a peer that may have left.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The port at this end.
    pub fn port(&self) -> u16 {
        self.stream.local_addr().unwrap().port()
    }

    /// Sends and reads one answer.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).message()
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Makes the close that follows a reset.
    pub fn reset_on_close(&self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Closes so that the peer sees a reset.
    pub fn reset(self) {
        self.reset_on_close();
    }

    /// One message, whose body ends as its head says.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        self.try_message(true).unwrap_or_else(|(cut, end)| panic!("a whole message, but {end:?} after {cut:?}"))
    }

    /// The same of which these bytes have been taken already.
    #[track_caller]
    pub fn message_after(&mut self, begun: Vec<u8>) -> Message {
        self.buf.splice(..0, begun);
        self.message()
    }

    /// One answer without body, to HEAD.
    #[track_caller]
    pub fn bodiless(&mut self) -> Message {
        self.try_message(false).unwrap_or_else(|(cut, end)| panic!("a whole head, but {end:?} after {cut:?}"))
    }

    /// One message; else what came of it and how the connection ended.
    pub fn try_message(&mut self, with_body: bool) -> Result<Message, (Message, End)> {
        let mut message = Message::default();
        match self.line_by_line(&mut message, with_body) {
            Ok(()) => Ok(message),
            Err(end) => Err((message, end)),
        }
    }

    fn line_by_line(&mut self, message: &mut Message, with_body: bool) -> Result<(), End> {
        while !message.head.ends_with("\r\n\r\n") {
            message.head += &self.line()?;
        }
        let response = message.start().starts_with("HTTP/");
        if !with_body || response && matches!(message.status(), 100..200 | 204 | 304) {
            return Ok(());
        }
        if message.says("transfer-encoding", "chunked") {
            while self.try_chunk(&mut message.body)? {}
            loop {
                match self.line()?.as_str() {
                    "\r\n" => return Ok(()),
                    line => message.trailers += line,
                }
            }
        }
        match message.field("content-length").map(|length| length.parse().unwrap()) {
            Some(length) => self.take(length, &mut message.body),
            None if response => {
                let (rest, end) = self.rest();
                message.body.extend_from_slice(&rest);
                if end == End::Closed { Ok(()) } else { Err(end) }
            }
            None => Ok(()),
        }
    }

    /// All that comes until the connection ends, and how it ends.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.fill() {
                return (std::mem::take(&mut self.buf), end);
            }
        }
    }

    /// The connection ends in order, without another byte.
    #[track_caller]
    pub fn assert_closed(&mut self) {
        let (rest, end) = self.rest();
        assert!(rest.is_empty() && end == End::Closed, "{end:?} after {:?}", rest.escape_ascii().to_string());
    }

    /// So many bytes.
    #[track_caller]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.take(count, &mut bytes).unwrap_or_else(|end| panic!("{count} bytes, but {end:?} after {}", bytes.len()));
        bytes
    }

    /// Takes so many bytes and keeps none, as fast as they come.
    #[track_caller]
    pub fn skip(&mut self, count: usize) {
        let mut left = count;
        while left > self.buf.len() {
            left -= self.buf.len();
            self.buf.clear();
            self.fill().unwrap_or_else(|end| panic!("{left} bytes more of {count}, but {end:?}"));
        }
        self.buf.drain(..left);
    }

    /// The next chunk of a body; nothing if it is the last.
    #[track_caller]
    pub fn chunk(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.try_chunk(&mut bytes).unwrap_or_else(|end| panic!("a chunk, but {end:?} after {}", bytes.escape_ascii()));
        bytes
    }

    /// Takes a chunk; whether it wasn't the last.
    fn try_chunk(&mut self, to: &mut Vec<u8>) -> Result<bool, End> {
        let line = self.line()?;
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|_| panic!("a chunk's size: {line:?}"));
        self.take(size, to)?;
        if size > 0 {
            assert_eq!(self.line()?, "\r\n", "the end of a chunk");
        }
        Ok(size > 0)
    }

    /// Whatever comes next; nothing once the connection has ended.
    pub fn piece(&mut self) -> Vec<u8> {
        if self.buf.is_empty() {
            let _ = self.fill();
        }
        std::mem::take(&mut self.buf)
    }

    fn take(&mut self, count: usize, to: &mut Vec<u8>) -> Result<(), End> {
        let wanted = to.len() + count;
        loop {
            let part = self.buf.len().min(wanted - to.len());
            to.extend(self.buf.drain(..part));
            if to.len() == wanted {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// A line with its line end, which must be a whole one.
    fn line(&mut self) -> Result<String, End> {
        loop {
            if let Some(at) = self.buf.iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&self.buf.drain(..=at).collect::<Vec<_>>()).into_owned();
                assert!(line.ends_with("\r\n"), "a bare line feed: {line:?}");
                return Ok(line);
            }
            self.fill()?;
        }
    }

    #[track_caller]
    fn fill(&mut self) -> Result<(), End> {
        let mut piece = [0; 64 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(End::Closed),
            Ok(count) => {
                self.buf.extend_from_slice(&piece[..count]);
                Ok(())
            }
            // A wait with a time limit may end early, and isn't begun again by the kernel (signal(7)).
            Err(error) if error.kind() == ErrorKind::Interrupted => self.fill(),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Err(End::Reset),
            Err(error) => panic!("nothing came in {BOUND:?}: {error}; before it: {}", self.buf.escape_ascii()),
        }
    }
}
