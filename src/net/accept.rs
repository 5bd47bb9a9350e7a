//! Listeners: one a core on the same address (SO_REUSEPORT), and accepting that never loses a connection.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

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
            Ok((stream, peer)) => Some(Ok((Link::new(stream), peer))),
            Err(_) if self.stop.0.borrow().is_none() => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Closes the port, and gives `welcome` the connections that the kernel completes until then. To be called once stopped.
    ///
    /// Closing a listener resets what the kernel has completed on it meanwhile, so no handshake begins any more, those under way
    /// are given time, and only then is it closed. A client that comes later asks again, and finds nobody.
    pub async fn close(self, mut welcome: impl FnMut(Link, SocketAddr)) {
        sys::refuse_handshakes(self.listener.as_raw_fd());
        self.take_completed(&mut welcome);
        super::pause(HANDSHAKE).await;
        self.take_completed(&mut welcome);
    }

    fn take_completed(&self, welcome: &mut impl FnMut(Link, SocketAddr)) {
        while let Some((stream, peer)) = sys::accept_now(self.listener.as_raw_fd()) {
            if stream.set_nonblocking(!ring::is_uring()).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                welcome(Link::new(stream), peer);
            }
        }
    }
}

/// How long a handshake under way may take when a port is closed.
const HANDSHAKE: Duration = Duration::from_millis(50);
