//! Listeners: one a core on the same address (SO_REUSEPORT), and accepting that never loses a connection.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use monoio::io::Canceller;
use monoio::net::{TcpListener, TcpStream};
use socket2::{Domain, Socket, Type};

use super::{Link, ring, sys};

/// Binds a listening socket that shares its address with the other cores'. TCP_NODELAY is inherited by what it accepts.
///
/// # Errors
/// What the kernel says, `ErrorKind::AddrInUse` above all.
pub fn bind(address: SocketAddr, backlog: u32, shared: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), None)?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Accepts connections until stopped. Its port is closed when it is dropped.
pub struct Acceptor {
    listener: TcpListener,
    stop: Stopper,
}

/// Ends an [`Acceptor`] from elsewhere.
#[derive(Clone)]
pub struct Stopper(Rc<RefCell<Option<Canceller>>>);

impl Stopper {
    /// Ends [`Acceptor::next`], for good.
    pub fn stop(&self) {
        if let Some(canceller) = self.0.borrow_mut().take() {
            canceller.cancel();
        }
    }
}

impl Acceptor {
    /// Takes a bound listener to this core.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(listener: StdListener) -> io::Result<Self> {
        listener.set_nonblocking(!ring::is_uring())?;
        let stop = Stopper(Rc::new(RefCell::new(Some(Canceller::new()))));
        Ok(Acceptor { listener: TcpListener::from_std(listener)?, stop })
    }

    /// What ends it. It keeps nothing open: a port that nobody accepts on would take connections and leave them waiting.
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// The next connection; `None` once stopped. A dropped accept would leak the connection it got, so this is ended
    /// only by [`Stopper::stop`].
    pub async fn next(&self) -> Option<io::Result<(Link, SocketAddr)>> {
        let handle = self.stop.0.borrow().as_ref()?.handle();
        let accepted = self.listener.cancelable_accept(handle).await;
        match accepted {
            Ok((stream, peer)) => Some(Ok((Link::tcp(stream), peer))),
            Err(_) if self.stop.0.borrow().is_none() => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Connections that the kernel has completed and nobody has accepted; to be asked once stopped.
    pub fn leftover(&self) -> Vec<(Link, SocketAddr)> {
        let mut found = Vec::new();
        while let Some((stream, peer)) = sys::accept_now(self.listener.as_raw_fd()) {
            if stream.set_nonblocking(!ring::is_uring()).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                found.push((Link::tcp(stream), peer));
            }
        }
        found
    }
}
