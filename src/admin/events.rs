//! `/events`: how all stands, once a second, as server-sent events (HTML standard, section 9.2), for as long as somebody listens; before the first, the
//! minute that has passed.

use std::cell::Cell;
use std::time::Duration;

use super::listener::Desk;
use super::status;
use crate::net::{self, Link, Stream, Timer};

/// Between two events.
const EVERY: Duration = Duration::from_secs(1);
/// For one of them to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\nretry: 2000\n\n";

/// Readers at once: they leave room on the private listener for whoever asks for a page.
pub(super) const READERS: usize = 16;

/// Sends events until the reader is gone, or takes none for five seconds; `readers` are those there are.
pub(super) async fn send(link: &Link, timer: &Timer, desk: &Desk, readers: &Cell<usize>) {
    readers.set(readers.get() + 1);
    stream(link, timer, desk).await;
    readers.set(readers.get() - 1);
}

async fn stream(link: &Link, timer: &Timer, desk: &Desk) {
    let mut bytes = HEAD.as_bytes().to_vec();
    bytes.extend_from_slice(format!("event: past\ndata: {}\n\n", status::past(&desk.shared)).as_bytes());
    loop {
        bytes.extend_from_slice(format!("data: {}\n\n", status::value(&desk.shared)).as_bytes());
        timer.close_at(desk.clock.now() + PATIENCE);
        let (sent, back) = link.send(bytes, 0).await;
        if sent.is_err() {
            return;
        }
        timer.clear();
        bytes = back;
        bytes.clear();
        net::pause(EVERY).await;
    }
}
