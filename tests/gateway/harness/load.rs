//! Clients that ask and ask while something happens to the gateway, and count what they lose.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;

use super::{Gateway, Wire, get, until};

/// Clients that ask until told to stop: half of them keep their connections, the others make one for each request.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicUsize,
    refused: AtomicUsize,
}

impl Load {
    pub fn start(gateway: &Gateway, target: &str) -> Load {
        let shared = Arc::new(Shared::default());
        let threads = (0..6).map(|number| {
            let (shared, address, target) = (shared.clone(), gateway.address.clone(), target.to_owned());
            std::thread::spawn(move || ask_on(&shared, &address, &target, number % 2 == 0))
        });
        Load { threads: threads.collect(), shared }
    }

    /// Waits for so many more answers.
    #[track_caller]
    pub fn wait(&self, more: usize) {
        let goal = self.shared.answered.load(SeqCst) + more;
        until("answers", || (self.shared.answered.load(SeqCst) >= goal).then_some(()));
    }

    /// Stops asking; how many answers there were. Whatever was lost fails the test.
    #[track_caller]
    pub fn stop(self) -> usize {
        self.shared.stop.store(true, SeqCst);
        let shared = self.shared.clone();
        let answered = self.join();
        assert_eq!(shared.refused.load(SeqCst), 0, "the port was closed");
        answered
    }

    /// Waits until all clients have been turned away by a closed port.
    #[track_caller]
    pub fn join(self) -> usize {
        for thread in self.threads {
            thread.join().expect("no request is lost");
        }
        self.shared.answered.load(SeqCst)
    }
}

fn ask_on(shared: &Shared, address: &str, target: &str, keep: bool) {
    let mut kept: Option<Wire> = None;
    while !shared.stop.load(SeqCst) {
        let mut client = match kept.take() {
            Some(client) => client,
            // Refused before anything was asked: the port is closed, and another instance would take over.
            None => match TcpStream::connect(address) {
                Ok(stream) => Wire::of(stream),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
                    shared.refused.fetch_add(1, SeqCst);
                    return;
                }
            },
        };
        let request = if keep { get(target) } else { get(target).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n") };
        let answer = client.ask(request);
        assert_eq!((answer.status(), answer.body.len()), (200, 1000), "{answer:?}");
        shared.answered.fetch_add(1, SeqCst);
        match answer.field("connection") {
            Some("close") => client.assert_closed(),
            _ if keep => kept = Some(client),
            _ => panic!("a close that isn't announced: {answer:?}"),
        }
    }
}
