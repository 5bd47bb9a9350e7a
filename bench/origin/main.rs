//! An endpoint that costs as little as one can: whatever is asked, it sends the same 1 KB from memory.

#[path = "../relay/ring.rs"]
mod ring;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use ring::Ring;

/// A connection: what has come of a request's head.
struct Visitor {
    socket: TcpStream,
    head: Box<[u8]>,
    filled: usize,
    answering: bool,
}

struct Origin {
    ring: Ring,
    listeners: Vec<TcpListener>,
    visitors: Vec<Option<Visitor>>,
    answer: Box<[u8]>,
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
        let visitor = self.visitors[place].insert(Visitor { socket, head: vec![0; HEAD].into(), filled: 0, answering: false });
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
        visitor.filled = if visitor.answering { 0 } else { visitor.filled + count };
        visitor.answering = visitor.head[..visitor.filled].ends_with(b"\r\n\r\n");
        if visitor.answering {
            self.ring.send(socket, &self.answer, place as u64)
        } else {
            self.ring.recv(socket, &mut visitor.head[visitor.filled..], place as u64)
        }
    }
}

/// The answer, as a server of static files would write its head.
fn answer() -> Box<[u8]> {
    let head = "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n\
                Content-Length: 1024\r\nConnection: keep-alive\r\n\r\n";
    let mut bytes = head.as_bytes().to_vec();
    bytes.resize(head.len() + BODY, b'x');
    bytes.into()
}

fn main() -> ExitCode {
    let ports: Option<Vec<u16>> = std::env::args().skip(1).map(|port| port.parse().ok()).collect();
    let Some(ports) = ports.filter(|ports| !ports.is_empty()) else {
        eprintln!("usage: origin PORT...");
        return ExitCode::from(2);
    };
    let run = || -> io::Result<()> {
        let listeners = ports.iter().map(|&port| ring::listen(port)).collect::<io::Result<_>>()?;
        Origin { ring: Ring::new()?, listeners, visitors: Vec::new(), answer: answer() }.run()
    };
    if let Err(error) = run() {
        eprintln!("origin: {error}");
    }
    ExitCode::FAILURE
}

/// Numbers from here on are accepts, one for each listener.
const ACCEPT: u64 = 1 << 32;
/// Bytes of a request's head that are taken; a longer one leaves no room to receive into, which ends the connection.
const HEAD: usize = 8192;
/// Bytes of the answer's body.
const BODY: usize = 1024;
