//! One thread's io_uring as a program that only pushes bytes uses it: operations go in, numbered results come out.
#![expect(unsafe_code, reason = "the ring takes raw pointers and gives raw descriptors")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, RawFd};

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};
use socket2::{Domain, SockAddr, Socket, Type};

/// The ring. Each operation carries a number that comes back with its result.
pub struct Ring(IoUring);

impl Ring {
    /// A ring with the flags that are fastest for one thread that both submits and waits.
    ///
    /// # Errors
    /// When the kernel refuses io_uring or these flags (they came with Linux 6.1).
    pub fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun().setup_cqsize(ENTRIES * 4);
        Ok(Ring(builder.build(ENTRIES)?))
    }

    /// Accepts one connection; the result is its descriptor.
    pub fn accept(&mut self, listener: RawFd, number: u64) -> io::Result<()> {
        let entry = opcode::Accept::new(types::Fd(listener), std::ptr::null_mut(), std::ptr::null_mut()).flags(libc::SOCK_CLOEXEC);
        self.push(entry.build().user_data(number))
    }

    /// Receives what there is, once there is something; the result is the count, 0 at the end. `into` must neither move nor be
    /// touched until then.
    pub fn recv(&mut self, from: RawFd, into: &mut [u8], number: u64) -> io::Result<()> {
        self.push(opcode::Recv::new(types::Fd(from), into.as_mut_ptr(), length(into)).build().user_data(number))
    }

    /// Sends all of `bytes`; fewer in the result means that the other side is gone. `bytes` must neither move nor change until then.
    pub fn send(&mut self, to: RawFd, bytes: &[u8], number: u64) -> io::Result<()> {
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        self.push(opcode::Send::new(types::Fd(to), bytes.as_ptr(), length(bytes)).flags(flags).build().user_data(number))
    }

    /// Starts what was asked for and waits for results: operations' numbers, and counts or negative error numbers.
    pub fn wait(&mut self, results: &mut Vec<(u64, i32)>) -> io::Result<()> {
        results.clear();
        match self.0.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => results.extend(self.0.completion().map(|entry| (entry.user_data(), entry.result()))),
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry) -> io::Result<()> {
        // SAFETY: the callers keep the buffer in `entry` in place until its result is back.
        while unsafe { self.0.submission().push(&entry) }.is_err() {
            self.0.submit()?;
        }
        Ok(())
    }
}

/// The connection that an accept's result stands for.
///
/// # Errors
/// When it stands for an error.
pub fn accepted(result: i32) -> io::Result<Socket> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
    let socket = unsafe { Socket::from_raw_fd(result) };
    if socket.domain()? != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}

/// A port of the loopback, or else the path of a Unix socket.
///
/// # Errors
/// When it is neither.
pub fn address(text: &str) -> io::Result<SockAddr> {
    text.parse().map_or_else(|_| SockAddr::unix(text), |port| Ok(SocketAddr::from(([127, 0, 0, 1], port)).into()))
}

/// Listens there.
///
/// # Errors
/// When the address is taken.
pub fn listen(address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Operations that are handed over at once.
const ENTRIES: u32 = 1024;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
