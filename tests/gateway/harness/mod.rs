//! What the tests are made of: processes that end with their test, raw connections, waiting for conditions.

mod authority;
mod gateway;
mod hostile;
pub mod http2;
mod load;
mod origin;
mod wire;

use std::time::{Duration, Instant};

use serde_json::json;

pub use authority::{Authority, Pair};
pub use gateway::{Gateway, config, directory, up};
pub use hostile::{Hostile, Peer};
pub use http2::{Frames, Http2, Http2Origin};
pub use load::Load;
pub use origin::{Nginx, Origin, run};
pub use wire::{End, Message, Wire, get, post};

/// Longer than anything here takes, so that a fault fails the test and doesn't hang it.
pub const BOUND: Duration = Duration::from_secs(15);

/// What moves the bytes: io_uring where the kernel has it, and epoll.
pub const DRIVERS: [&str; 2] = ["auto", "epoll"];

/// Does `test` with a gateway on each driver before this endpoint.
pub fn each_driver(endpoint: &str, test: impl Fn(Gateway)) {
    for driver in DRIVERS {
        test(Gateway::with(endpoint, json!({ "runtime": { "driver": driver, "workers": 1 } })));
    }
}

/// Asks again and again until there is an answer.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + BOUND;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < limit, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a number has stayed the same for a while; returns it. On a busy machine time alone says little, so it is read often too.
#[track_caller]
pub fn settled(mut read: impl FnMut() -> f64) -> f64 {
    let (mut last, mut since, mut times) = (read(), Instant::now(), 0);
    until("a number that settles", || {
        let current = read();
        if current != last {
            (last, since, times) = (current, Instant::now(), 0);
        }
        times += 1;
        (since.elapsed() > Duration::from_millis(300) && times > 20).then_some(last)
    })
}

/// Does something on several threads at once and waits for all.
pub fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|index| {
                scope.spawn({
                    let work = &work;
                    move || work(index)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
