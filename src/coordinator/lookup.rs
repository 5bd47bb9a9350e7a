//! Looking up host names: on a thread of its own, because the system's resolver waits.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crossbeam_channel::{Receiver, Sender, bounded};

/// Names that wait for their look-up, and answers that wait to be taken.
const QUEUE: usize = 1024;

/// A host name's addresses, sorted and each once; never empty.
pub(super) type Addresses = io::Result<Vec<SocketAddr>>;

/// The thread that looks names up, seen from the coordinator. `T` says what a look-up is for.
pub(super) struct Lookups<T> {
    asks: Sender<(T, String, u16)>,
    answers: Receiver<(T, Addresses)>,
}

impl<T: Send + 'static> Lookups<T> {
    /// Starts the thread; it ends when this is dropped. `resolve` may wait.
    ///
    /// # Errors
    /// When the process may have no further thread.
    pub fn start(resolve: impl Fn(&str, u16) -> Addresses + Send + 'static) -> io::Result<Self> {
        let (asks, todo) = bounded::<(T, String, u16)>(QUEUE);
        let (done, answers) = bounded(QUEUE);
        std::thread::Builder::new().name("lookup".into()).spawn(move || {
            for (purpose, host, port) in todo {
                if done.send((purpose, resolve(&host, port))).is_err() {
                    return;
                }
            }
        })?;
        Ok(Lookups { asks, answers })
    }

    /// Asks for a name's addresses; `false` if too many wait already.
    pub fn ask(&self, purpose: T, host: String, port: u16) -> bool {
        self.asks.try_send((purpose, host, port)).is_ok()
    }

    /// An answer that has come.
    pub fn take(&self) -> Option<(T, Addresses)> {
        self.answers.try_recv().ok()
    }
}

/// Asks the system's resolver.
pub(super) fn system(host: &str, port: u16) -> Addresses {
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() { Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn answers_come_with_what_they_are_for() {
        let lookups = Lookups::start(|host, port| match host {
            "a" => Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
        .unwrap();
        assert!(lookups.ask("first", "a".into(), 80) && lookups.ask("second", "b".into(), 81));
        let mut answers = Vec::new();
        let limit = Instant::now() + Duration::from_secs(10);
        while answers.len() < 2 && Instant::now() < limit {
            answers.extend(lookups.take());
            std::thread::yield_now();
        }
        let [(first, a), (second, b)] = answers.try_into().expect("two answers");
        assert_eq!((first, a.unwrap()), ("first", vec!["127.0.0.1:80".parse().unwrap()]));
        assert_eq!((second, b.unwrap_err().kind()), ("second", io::ErrorKind::NotFound));
    }

    #[test]
    fn the_system_knows_itself() {
        let addresses = system("localhost", 8080).unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 8080));
        assert!(addresses.is_sorted());
    }
}
