//! The limit that a proxy on io_uring can reach here: bytes are passed on as they come, and nothing is read in them.
//!
//! A connection is two pipes, one each way, and a pipe has one operation in flight: a receive, then a send of what it brought.
//! Each client has an upstream connection of its own, kept as long as the client's.

mod ring;

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;

use ring::Ring;
use socket2::{SockAddr, Socket, Type};

/// One direction of a connection.
struct Pipe {
    from: RawFd,
    to: RawFd,
    buffer: Box<[u8]>,
    /// Bytes being sent; 0 while receiving.
    sending: usize,
}

/// A client, its upstream connection, and the pipes between them: requests, responses.
struct Connection {
    sockets: [Socket; 2],
    pipes: [Pipe; 2],
    ended: usize,
}

struct Relay {
    ring: Ring,
    listener: Socket,
    upstreams: Vec<SockAddr>,
    turn: usize,
    connections: Vec<Option<Connection>>,
}

impl Relay {
    fn run(&mut self) -> io::Result<()> {
        self.ring.accept(self.listener.as_raw_fd(), ACCEPT)?;
        let mut results = Vec::new();
        loop {
            self.ring.wait(&mut results)?;
            for &(number, result) in &results {
                if number == ACCEPT { self.on_accept(result)? } else { self.on_pipe(number as usize, result)? }
            }
        }
    }

    fn on_accept(&mut self, result: i32) -> io::Result<()> {
        self.ring.accept(self.listener.as_raw_fd(), ACCEPT)?;
        let client = ring::accepted(result)?;
        self.turn = (self.turn + 1) % self.upstreams.len();
        let address = &self.upstreams[self.turn];
        let upstream = Socket::new(address.domain(), Type::STREAM, None)?;
        upstream.connect(address)?;
        if !address.is_unix() {
            upstream.set_tcp_nodelay(true)?;
        }
        let (down, up) = (client.as_raw_fd(), upstream.as_raw_fd());
        let pipe = |from, to| Pipe { from, to, buffer: vec![0; BUFFER].into(), sending: 0 };
        let place = self.connections.iter().position(Option::is_none).unwrap_or(self.connections.len());
        if place == self.connections.len() {
            self.connections.push(None);
        }
        let connection =
            self.connections[place].insert(Connection { sockets: [client, upstream], pipes: [pipe(down, up), pipe(up, down)], ended: 0 });
        for (side, pipe) in connection.pipes.iter_mut().enumerate() {
            self.ring.recv(pipe.from, &mut pipe.buffer, (place * 2 + side) as u64)?;
        }
        Ok(())
    }

    fn on_pipe(&mut self, number: usize, result: i32) -> io::Result<()> {
        let place = number / 2;
        let Some(connection) = &mut self.connections[place] else { return Ok(()) };
        let pipe = &mut connection.pipes[number % 2];
        let count = usize::try_from(result).unwrap_or(0);
        if count > 0 && pipe.sending == 0 {
            pipe.sending = count;
            return self.ring.send(pipe.to, &pipe.buffer[..count], number as u64);
        }
        if count > 0 && pipe.sending == count {
            pipe.sending = 0;
            return self.ring.recv(pipe.from, &mut pipe.buffer, number as u64);
        }
        // One direction is over, so both are; the other pipe's operation ends by the shutdown.
        connection.ended += 1;
        for socket in &connection.sockets {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        if connection.ended == connection.pipes.len() {
            self.connections[place] = None;
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let addresses: io::Result<Vec<SockAddr>> = std::env::args().skip(1).map(|text| ring::address(&text)).collect();
    let Some((address, upstreams)) = addresses.as_ref().ok().and_then(|all| all.split_first()).filter(|(_, rest)| !rest.is_empty()) else {
        eprintln!("usage: relay ADDRESS UPSTREAM... (each a port of the loopback or the path of a Unix socket)");
        return ExitCode::from(2);
    };
    let run = || -> io::Result<()> {
        let listener = ring::listen(address)?;
        Relay { ring: Ring::new()?, listener, upstreams: upstreams.to_vec(), turn: 0, connections: Vec::new() }.run()
    };
    if let Err(error) = run() {
        eprintln!("relay: {error}");
    }
    ExitCode::FAILURE
}

/// The number of the operation that accepts.
const ACCEPT: u64 = u64::MAX;
/// Bytes of a pipe's buffer.
const BUFFER: usize = 64 << 10;
