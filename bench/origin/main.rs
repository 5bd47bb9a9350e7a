//! An endpoint that costs as little as one can: whatever is asked, it sends the same answer from memory.

#[path = "../relay/ring.rs"]
mod ring;

use std::io;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use ring::Ring;
use socket2::{SockAddr, Socket};

/// A connection: what has come of a request's head, and what is missing of its body.
struct Visitor {
    socket: Socket,
    head: Box<[u8]>,
    filled: usize,
    missing: usize,
    answering: bool,
}

struct Origin {
    ring: Ring,
    listeners: Vec<Socket>,
    visitors: Vec<Option<Visitor>>,
    answer: Box<[u8]>,
    /// Bytes of the body of each POST.
    upload: usize,
}

impl Visitor {
    /// Takes note of `count` bytes received; whether the request is whole.
    fn is_whole(&mut self, count: usize, upload: usize) -> bool {
        if self.missing > 0 {
            self.missing = self.missing.saturating_sub(count);
            return self.missing == 0;
        }
        self.filled += count;
        let received = &self.head[..self.filled];
        if upload == 0 || !received.starts_with(b"POST") {
            return received.ends_with(b"\r\n\r\n");
        }
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
        self.missing = (end + 4 + upload).saturating_sub(self.filled);
        self.filled = 0;
        self.missing == 0
    }
}

impl Origin {
    fn run(&mut self) -> io::Result<()> {
        for (index, listener) in self.listeners.iter().enumerate() {
            self.ring.accept(listener.as_raw_fd(), ACCEPT + index as u64)?;
        }
        let mut results = Vec::new();
        loop {
            self.ring.wait(&mut results)?;
            for &(number, result) in &results {
                if number >= ACCEPT { self.on_accept(number, result)? } else { self.on_visitor(number as usize, result)? }
            }
        }
    }

    fn on_accept(&mut self, number: u64, result: i32) -> io::Result<()> {
        self.ring.accept(self.listeners[(number - ACCEPT) as usize].as_raw_fd(), number)?;
        let socket = ring::accepted(result)?;
        let place = self.visitors.iter().position(Option::is_none).unwrap_or(self.visitors.len());
        if place == self.visitors.len() {
            self.visitors.push(None);
        }
        let visitor = self.visitors[place].insert(Visitor { socket, head: vec![0; HEAD].into(), filled: 0, missing: 0, answering: false });
        self.ring.recv(visitor.socket.as_raw_fd(), &mut visitor.head, place as u64)
    }

    fn on_visitor(&mut self, place: usize, result: i32) -> io::Result<()> {
        let Some(visitor) = &mut self.visitors[place] else { return Ok(()) };
        let socket = visitor.socket.as_raw_fd();
        let count = usize::try_from(result).unwrap_or(0);
        let good = if visitor.answering { count == self.answer.len() } else { count > 0 };
        if !good {
            self.visitors[place] = None;
            return Ok(());
        }
        visitor.answering = !visitor.answering && visitor.is_whole(count, self.upload);
        if visitor.answering {
            visitor.filled = 0;
            self.ring.send(socket, &self.answer, place as u64)
        } else {
            self.ring.recv(socket, &mut visitor.head[visitor.filled..], place as u64)
        }
    }
}

/// The answer with a body of so many bytes, as a server of static files would write its head.
fn answer(body: usize) -> Box<[u8]> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n\
         Content-Length: {body}\r\nConnection: keep-alive\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + body, b'x');
    bytes.into()
}

/// Bytes of an answer's body, of a POST's body, and where to listen.
fn arguments() -> Option<(usize, usize, Vec<SockAddr>)> {
    let mut all = std::env::args().skip(1);
    let (body, upload) = (all.next()?.parse().ok()?, all.next()?.parse().ok()?);
    let addresses: Vec<_> = all.map(|text| ring::address(&text)).collect::<io::Result<_>>().ok()?;
    (!addresses.is_empty()).then_some((body, upload, addresses))
}

fn main() -> ExitCode {
    let Some((body, upload, addresses)) = arguments() else {
        eprintln!("usage: origin ANSWER_BYTES POST_BYTES ADDRESS... (each a port of the loopback or the path of a Unix socket)");
        return ExitCode::from(2);
    };
    let run = || -> io::Result<()> {
        let listeners = addresses.iter().map(ring::listen).collect::<io::Result<_>>()?;
        Origin { ring: Ring::new()?, listeners, visitors: Vec::new(), answer: answer(body), upload }.run()
    };
    if let Err(error) = run() {
        eprintln!("origin: {error}");
    }
    ExitCode::FAILURE
}

/// Numbers from here on are accepts, one for each listener.
const ACCEPT: u64 = 1 << 32;
/// Bytes that are taken at once; a longer head leaves no room to receive into, which ends the connection.
const HEAD: usize = 64 << 10;
