//! An endpoint that is a closure over a raw socket, so that it can do what no server does.

use std::net::TcpListener;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{Message, Wire, until};

/// An endpoint.
pub struct Hostile {
    pub address: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Message>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    stop: AtomicBool,
    told: AtomicUsize,
}

/// One connection to it.
pub struct Peer {
    // Closed before it stops counting as open.
    wire: Wire,
    shared: Open,
}

/// An open connection, as long as this is held.
struct Open(Arc<Shared>);

impl Hostile {
    /// Does `serve` with each connection, which is closed after it.
    pub fn start(serve: impl Fn(&mut Peer) + Send + Sync + 'static) -> Hostile {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared::default());
        let (serve, accepted) = (Arc::new(serve), shared.clone());
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = accepted.clone();
                if shared.stop.load(SeqCst) {
                    return;
                }
                shared.open.fetch_add(1, SeqCst);
                shared.connections.fetch_add(1, SeqCst);
                let mut peer = Peer { wire: Wire::of(stream.unwrap()), shared: Open(shared) };
                let serve = serve.clone();
                std::thread::spawn(move || serve(&mut peer));
            }
        });
        Hostile { address, shared, accepting: Some(accepting) }
    }

    /// Answers each request with these bytes and keeps the connection.
    pub fn answering(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Hostile {
        Hostile::start(move |peer| {
            while peer.request().is_some() {
                if peer.try_send(&bytes).is_err() {
                    return;
                }
            }
        })
    }

    /// Answers the first request of each connection with these bytes and closes.
    pub fn answering_once(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Hostile {
        Hostile::start(move |peer| {
            if peer.request().is_some() {
                let _ = peer.try_send(&bytes);
            }
        })
    }

    /// The requests read so far.
    pub fn seen(&self) -> Vec<Message> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Forgets them.
    pub fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }

    /// The latest request read.
    pub fn last(&self) -> Message {
        self.shared.seen.lock().unwrap().last().expect("a request").clone()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// Lets one connection that waits to be told go on.
    pub fn tell(&self) {
        self.shared.told.fetch_add(1, SeqCst);
    }

    /// Waits until so many connections are open.
    #[track_caller]
    pub fn wait_open(&self, count: usize) {
        until("the endpoint's connections", || (self.shared.open.load(SeqCst) == count).then_some(()));
    }

    /// Waits until the other ends of its connections have heard that they are closed: that is later than the close while a process that another
    /// test starts still holds what it was forked with.
    #[track_caller]
    pub fn wait_closed(&self) {
        self.wait_open(0);
        let (_, port) = self.address.rsplit_once(':').expect("a port");
        let remote = format!(":{:04X}", port.parse::<u16>().expect("a number"));
        let is_established = |line: &str| {
            let mut words = line.split_ascii_whitespace().skip(2);
            words.next().is_some_and(|address| address.ends_with(&remote)) && words.next() == Some("01")
        };
        until("the other ends to hear", || {
            let sockets = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table of sockets");
            (!sockets.lines().any(is_established)).then_some(())
        });
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        drop(std::net::TcpStream::connect(&self.address));
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

impl Peer {
    /// The next request, whole; none if the connection ends before.
    pub fn request(&mut self) -> Option<Message> {
        let request = self.wire.try_message(true).ok()?;
        self.shared.0.seen.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Waits until the test says so.
    pub fn wait_told(&self) {
        let told = &self.shared.0.told;
        until("the test to tell", || told.fetch_update(SeqCst, SeqCst, |told| told.checked_sub(1)).ok());
    }

    /// The next request's head.
    pub fn head(&mut self) -> Option<Message> {
        let request = self.wire.try_message(false).ok()?;
        self.shared.0.seen.lock().unwrap().push(request.clone());
        Some(request)
    }
}

impl Deref for Peer {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}
