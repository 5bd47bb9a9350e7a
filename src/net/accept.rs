//! Listeners: one a core on the same address (SO_REUSEPORT), and accepting that never loses a connection.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
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

/// A listening socket.
#[derive(Debug)]
pub struct Listening {
    /// The socket.
    pub socket: StdListener,
    /// Whether somebody outside keeps it open: what waits on it is theirs once this process accepts no more.
    pub kept: bool,
    /// Whether TLS is spoken on it.
    pub tls: bool,
}

impl Listening {
    /// Another descriptor for the same socket and its queue.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn duplicate(&self) -> io::Result<Listening> {
        Ok(Listening { socket: self.socket.try_clone()?, kept: self.kept, tls: self.tls })
    }
}

/// Takes a listening TCP socket over that this process was started with.
///
/// # Errors
/// When it is none, or not open.
pub fn adopt_listener(fd: RawFd) -> io::Result<StdListener> {
    let socket = Socket::from(sys::adopt(fd)?);
    let internet = socket.local_addr()?.as_socket().is_some();
    if !internet || socket.r#type()? != Type::STREAM || !socket.is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening TCP socket"));
    }
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// Accepts connections until stopped. Its port is closed when it is dropped, unless the socket is open elsewhere too.
pub struct Acceptor {
    listener: TcpListener,
    /// Whether TLS is spoken on it.
    pub tls: bool,
    stop: Stopper,
    /// The listener as what can be waited for, once it had to be.
    watch: OnceCell<TcpStream>,
}

/// Ends an [`Acceptor`] from elsewhere.
#[derive(Clone)]
pub struct Stopper {
    canceller: Rc<RefCell<Option<Canceller>>>,
    kept: Rc<Cell<bool>>,
}

impl Stopper {
    /// Ends [`Acceptor::next`], for good.
    pub fn stop(&self) {
        if let Some(canceller) = self.canceller.borrow_mut().take() {
            canceller.cancel();
        }
    }

    /// The same, leaving what waits to be accepted to others that have the socket.
    pub fn hand_over(&self) {
        self.kept.set(true);
        self.stop();
    }
}

impl Acceptor {
    /// Takes a bound listener to this core.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(listening: Listening) -> io::Result<Self> {
        let Listening { socket, kept, tls } = listening;
        // A ring does with either; whoever shares the socket may not.
        if !ring::is_uring() {
            socket.set_nonblocking(true)?;
        }
        let stop = Stopper { canceller: Rc::new(RefCell::new(Some(Canceller::new()))), kept: Rc::new(Cell::new(kept)) };
        Ok(Acceptor { listener: TcpListener::from_std(socket)?, tls, stop, watch: OnceCell::new() })
    }

    /// What ends it. It keeps nothing open: a port that nobody accepts on would take connections and leave them waiting.
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// The next connection; `None` once stopped. A dropped accept would leak the connection it got, so this is ended
    /// only by [`Stopper::stop`].
    pub async fn next(&self) -> Option<io::Result<(Link, SocketAddr)>> {
        loop {
            let handle = self.stop.canceller.borrow().as_ref()?.handle();
            match self.listener.cancelable_accept(handle).await {
                Ok((stream, peer)) => return Some(Ok((Link::new(stream), peer))),
                Err(_) if self.stop.canceller.borrow().is_none() => return None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(error) = self.wait().await {
                        return Some(Err(error));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Waits for a connection, or for a while. A ring waits for one while it accepts, unless a process on epoll shares the socket or
    /// has made it: then it is non-blocking, for all of them.
    async fn wait(&self) -> io::Result<()> {
        let watch = match self.watch.get() {
            Some(watch) => watch,
            None => {
                let stream = TcpStream::from_std(sys::duplicate(self.listener.as_raw_fd())?)?;
                self.watch.get_or_init(|| stream)
            }
        };
        select(pin!(watch.readable(true)), pin!(super::pause(HANDSHAKE))).await;
        Ok(())
    }

    /// Closes the port, and gives `welcome` the connections that the kernel completes until then. To be called once stopped. A socket
    /// that others keep is left to them.
    ///
    /// Closing a listener resets what the kernel has completed on it meanwhile, so no handshake begins any more, those under way
    /// are given time, and only then is it closed. A client that comes later asks again, and finds nobody.
    pub async fn close(self, mut welcome: impl FnMut(Link, SocketAddr)) {
        if self.stop.kept.get() {
            return self.leave(&mut welcome).await;
        }
        sys::refuse_handshakes(self.listener.as_raw_fd());
        self.take_completed(&mut welcome);
        super::pause(HANDSHAKE).await;
        self.take_completed(&mut welcome);
    }

    /// Takes what nobody was woken for. Of all who wait for a connection of the same socket the kernel wakes one; if that is one who has
    /// just ended to wait, the connection would stay in the queue until the next one comes.
    async fn leave(&self, welcome: &mut impl FnMut(Link, SocketAddr)) {
        for _ in 0..LOOKS {
            if !sys::readable_now(self.listener.as_raw_fd()) {
                return;
            }
            let canceller = Canceller::new();
            let mut accept = pin!(self.listener.cancelable_accept(canceller.handle()));
            let accepted = match select(accept.as_mut(), pin!(super::pause(LOOK))).await {
                Either::Left((accepted, _)) => accepted,
                // Another process was quicker.
                Either::Right(_) => {
                    canceller.cancel();
                    accept.await
                }
            };
            if let Ok((stream, peer)) = accepted {
                welcome(Link::new(stream), peer);
            }
        }
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

/// How often who leaves a socket to others looks whether something was left, while there always is: then the others are awake. And how
/// long it then waits for it.
const LOOKS: usize = 64;
const LOOK: Duration = Duration::from_millis(1);
/// How long a handshake under way may take when a port is closed; and how soon a stop is noticed by who waits without accepting.
const HANDSHAKE: Duration = Duration::from_millis(50);
