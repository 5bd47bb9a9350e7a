//! System calls without a safe wrapper. Each `unsafe` block says why it is sound.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::rc::Rc;

use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::Split;
use socket2::{SockFilter, SockRef};

/// Runs `work` on a descriptor its caller holds open for the time of the call.
fn with<T>(fd: RawFd, work: impl FnOnce(SockRef<'_>) -> T) -> T {
    // SAFETY: every caller is a method of the value that owns the descriptor, or of a timer that lives shorter than it.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    work(SockRef::from(&fd))
}

/// Takes a descriptor over that this process was started with, by the number it was told; no child inherits it any more.
///
/// # Errors
/// When it isn't open.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD takes numbers only, and says whether the descriptor is open.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and whoever started this process has given it for nothing but this.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has a child of this process get these descriptors, by the same numbers, and beside its standard streams no other: accepted
/// connections, which a ring can't make close themselves, would stay open in it. They must be open when it is started.
pub fn pass_only(command: &mut Command, fds: Vec<RawFd>) {
    let pass = move || {
        let checked = |result: libc::c_long| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        // SAFETY: both calls take numbers only, and concern the child's own table of descriptors.
        unsafe {
            checked(libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC))?;
            fds.iter().try_for_each(|&fd| checked(libc::fcntl(fd, libc::F_SETFD, 0).into()))
        }
    };
    // SAFETY: between fork and exec it makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(pass) };
}

/// Another descriptor for the same socket.
pub(super) fn duplicate(fd: RawFd) -> io::Result<std::net::TcpStream> {
    with(fd, |socket| socket.try_clone()).map(Into::into)
}

/// Ends one or both directions; operations under way return. A socket that isn't connected any more is no error.
pub(super) fn shutdown(fd: RawFd, how: Shutdown) {
    let _ = with(fd, |socket| socket.shutdown(how));
}

/// Makes the next close of this socket a reset; the descriptor must be open.
pub fn reset_on_close(fd: RawFd) {
    let _ = with(fd, |socket| socket.set_linger(Some(std::time::Duration::ZERO)));
}

/// Makes a listener's socket drop packets that would begin a handshake; others pass. Where the kernel doesn't allow it, nothing is
/// changed.
pub(super) fn refuse_handshakes(listener: RawFd) {
    // The byte of the TCP header that holds SYN (2) and ACK (16): only the first packet of a handshake has SYN without ACK.
    let filter = [
        SockFilter::new((libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, 0, 0, 13),
        SockFilter::new((libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16, 0, 0, 0x12),
        SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 1, 0x02),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX),
    ];
    let _ = with(listener, |socket| socket.attach_filter(&filter));
}

/// A connection that a listener has ready, without waiting for one.
pub(super) fn accept_now(listener: RawFd) -> Option<(std::net::TcpStream, std::net::SocketAddr)> {
    with(listener, |listener| {
        listener.set_nonblocking(true).ok()?;
        let (socket, peer) = listener.accept().ok()?;
        Some((socket.into(), peer.as_socket()?))
    })
}

/// The socket's pending error.
pub(super) fn take_error(fd: RawFd) -> io::Result<Option<io::Error>> {
    with(fd, |socket| socket.take_error())
}

/// Whether there is something to receive, the end of the stream included, without waiting.
pub(super) fn readable_now(fd: RawFd) -> bool {
    readable_at_once(&[fd], |_| ()) > 0
}

/// Receives what a socket has that is readable, without waiting, into the buffer's spare capacity.
pub(super) fn recv_ready(fd: RawFd, buf: &mut Vec<u8>) -> io::Result<usize> {
    buf.resize(buf.capacity(), 0);
    let received = with(fd, |socket| (&*socket).read(buf));
    buf.truncate(received.as_ref().copied().unwrap_or(0));
    received
}

/// Sends what the socket takes without waiting; how many bytes that was.
pub(super) fn send_now(fd: RawFd, bytes: &[u8]) -> usize {
    with(fd, |socket| socket.send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)).unwrap_or(0)
}

/// Tells of each of many descriptors that has something to receive, in one system call, without waiting; returns how many.
pub fn readable_at_once(fds: &[RawFd], mut on_readable: impl FnMut(usize)) -> usize {
    let mut small = [libc::pollfd { fd: -1, events: libc::POLLIN | libc::POLLRDHUP, revents: 0 }; 1];
    let mut large = Vec::new();
    let polls: &mut [libc::pollfd] = if let [fd] = fds {
        small[0].fd = *fd;
        &mut small
    } else {
        large.extend(fds.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN | libc::POLLRDHUP, revents: 0 }));
        &mut large
    };
    // SAFETY: the pointer and length are those of one exclusively borrowed slice.
    let ready = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, 0) };
    if ready > 0 {
        for (index, poll) in polls.iter().enumerate() {
            if poll.revents != 0 {
                on_readable(index);
            }
        }
    }
    usize::try_from(ready).unwrap_or(0)
}

/// Receives what there is without waiting, by these flags besides.
pub(super) fn recv_now(fd: RawFd, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the pointer and length are those of one exclusively borrowed slice.
    let received = unsafe { libc::recv(fd, buf.as_mut_ptr().cast(), buf.len(), libc::MSG_DONTWAIT | flags) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Receives what a socket has at once into the buffer's spare capacity.
pub(super) fn recv_more(fd: RawFd, buf: &mut Vec<u8>) {
    let spare = buf.spare_capacity_mut();
    // SAFETY: the pointer and length are those of one exclusively borrowed slice.
    let received = unsafe { libc::recv(fd, spare.as_mut_ptr().cast(), spare.len(), libc::MSG_DONTWAIT) };
    if let Ok(received) = usize::try_from(received) {
        // SAFETY: the kernel has written so many bytes there.
        unsafe { buf.set_len(buf.len() + received) };
    }
}

/// The socket's own address, if it is one of the Internet.
pub(super) fn local_address(fd: RawFd) -> Option<std::net::SocketAddr> {
    with(fd, |socket| socket.local_addr().ok()?.as_socket())
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
pub fn set_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a live, properly typed value.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
            libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        }
    }
    limit.rlim_cur
}

/// One direction of a stream that is used in both at once. monoio's own halves do the same, but its writing half shuts the socket
/// down when dropped.
#[allow(clippy::mut_from_ref)]
pub(super) fn half<T: Split>(stream: &Rc<UnsafeCell<T>>) -> &mut T {
    // SAFETY: `Split` is the stream's promise that its read and write operations don't touch each other's state, and a `Link`
    // has one operation in each direction at a time, on this one thread.
    unsafe { &mut *stream.get() }
}

/// A buffer to receive into behind what it holds. monoio's own slices carry two bounds along, which costs some 100 instructions a request.
pub(super) struct Spare(pub(super) Vec<u8>);

impl Spare {
    /// Over this buffer; one that is full grows.
    #[inline]
    pub(super) fn of(mut buf: Vec<u8>) -> Spare {
        if buf.capacity() == buf.len() {
            buf.reserve(buf.len().max(1024));
        }
        Spare(buf)
    }
}

// SAFETY: the pointer and length are those of the vector's spare capacity, which stays where it is when the vector is moved.
unsafe impl IoBufMut for Spare {
    #[inline]
    fn write_ptr(&mut self) -> *mut u8 {
        self.0.spare_capacity_mut().as_mut_ptr().cast()
    }

    #[inline]
    fn bytes_total(&mut self) -> usize {
        self.0.capacity() - self.0.len()
    }

    #[inline]
    unsafe fn set_init(&mut self, received: usize) {
        // SAFETY: the caller has had so many bytes written at `write_ptr`.
        unsafe { self.0.set_len(self.0.len() + received) }
    }
}

/// A buffer whose bytes from `from` on are to be sent.
pub(super) struct Rest {
    pub(super) buf: Vec<u8>,
    pub(super) from: usize,
}

// SAFETY: the pointer and length are those of a part of the vector, which stays where it is when the vector is moved.
unsafe impl IoBuf for Rest {
    #[inline]
    fn read_ptr(&self) -> *const u8 {
        self.buf[self.from..].as_ptr()
    }

    #[inline]
    fn bytes_init(&self) -> usize {
        self.buf.len() - self.from
    }
}
