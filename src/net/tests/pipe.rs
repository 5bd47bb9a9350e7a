//! Pipes end, wait and break off as sockets do.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Instant;
use crate::net::{Deadlines, Engine, Link, Stream, both, pipe, run_on, spawn};

fn on_a_core<F: Future<Output = ()> + 'static>(test: fn() -> F) {
    run_on(&[Engine::Epoll], 16, |_| test()).unwrap();
}

/// What comes until the stream ends, in pieces of at most `room` bytes.
async fn all(link: &Link, room: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let (result, buf) = link.recv(Vec::with_capacity(room)).await;
        if result? == 0 {
            return Ok(all);
        }
        all.extend_from_slice(&buf);
    }
}

#[test]
fn carries_every_byte_in_order_however_little_it_holds() {
    on_a_core(|| async {
        let bytes: Vec<u8> = (0..10_000u32).flat_map(u32::to_be_bytes).collect();
        for capacity in [1, 7, 4096, 1 << 20] {
            let (left, right) = pipe(capacity);
            let (bytes, shared) = (bytes.clone(), Rc::new(bytes.clone()));
            let send = async {
                assert_eq!(left.send(bytes.clone(), 5).await.0.unwrap(), bytes.len() - 5);
                left.send_shared(shared, 1..9).await.unwrap();
                left.finish();
            };
            let (got, ()) = both(all(&right, 100), send).await;
            assert!(got.unwrap() == [&bytes[5..], &bytes[1..9]].concat());
        }
    });
}

#[test]
fn holds_the_sender_back_once_it_is_full() {
    on_a_core(|| async {
        let (left, right) = pipe(10);
        let sent = Rc::new(Cell::new(false));
        let told = sent.clone();
        spawn(async move {
            left.send(vec![0; 11], 0).await.0.unwrap();
            told.set(true);
        });
        crate::net::pause(Duration::from_millis(5)).await;
        assert!(!sent.get());
        assert_eq!(right.recv(Vec::with_capacity(1)).await.0.unwrap(), 1);
        crate::net::pause(Duration::from_millis(5)).await;
        assert!(sent.get());
    });
}

#[test]
fn all_that_has_come_is_received_as_it_is() {
    on_a_core(|| async {
        let (left, right) = pipe(10);
        assert_eq!(left.push(b"0123456").unwrap(), 7);
        assert_eq!(left.push(b"789abc").unwrap(), 3, "as much as there is room for");
        assert_eq!(right.recv(Vec::with_capacity(4)).await.1, b"0123");
        assert_eq!(right.recv_all().await.unwrap(), b"456789");
        let (received, ()) = both(right.recv_all(), async { left.send(b"later".to_vec(), 0).await.0.map(|_| ()).unwrap() }).await;
        assert_eq!(received.unwrap(), b"later");
        left.finish();
        assert_eq!(right.recv_all().await.unwrap(), b"");
        drop(right);
        assert_eq!(left.push(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (left, right) = pipe(10);
        left.reset_on_close();
        drop(left);
        assert_eq!(right.recv_all().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn an_end_that_is_gone_is_seen_at_the_other() {
    on_a_core(|| async {
        let (left, right) = pipe(100);
        left.send(b"last".to_vec(), 0).await.0.unwrap();
        drop(left);
        assert_eq!(right.send(b"x".to_vec(), 0).await.0.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(all(&right, 100).await.unwrap(), b"last");
        let (left, right) = pipe(100);
        left.send(b"half".to_vec(), 0).await.0.unwrap();
        left.reset_on_close();
        drop(left);
        assert_eq!(right.recv(Vec::with_capacity(9)).await.1, b"half");
        assert_eq!(right.recv(Vec::with_capacity(9)).await.0.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn deadlines_end_what_they_would_end_of_a_socket() {
    on_a_core(|| async {
        let deadlines = Rc::<Deadlines>::default();
        let due = Instant::ZERO;
        let sweep_soon = || {
            let deadlines = deadlines.clone();
            spawn(async move {
                crate::net::pause(Duration::from_millis(2)).await;
                assert_eq!(deadlines.sweep(due), 1);
            });
        };
        let (left, right) = pipe(4);
        let timer = deadlines.timer(&right);
        timer.wake_at(due);
        sweep_soon();
        assert_eq!(right.recv_idle(Vec::new(), &timer).await.0.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(timer.expired());
        left.send(b"abcd".to_vec(), 0).await.0.unwrap();
        timer.wake_at(due);
        assert_eq!(deadlines.sweep(due), 1);
        assert_eq!(right.recv_idle(Vec::new(), &timer).await.1, b"abcd", "what is there is received");

        timer.hush_at(due);
        sweep_soon();
        assert_eq!(right.recv(Vec::new()).await.0.unwrap(), 0);
        right.send(b"late".to_vec(), 0).await.0.unwrap();
        timer.close_at(due);
        sweep_soon();
        assert_eq!(right.send(b"more".to_vec(), 0).await.0.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(all(&left, 100).await.unwrap(), b"late");
    });
}
