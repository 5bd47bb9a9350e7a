//! Waking a thread at a moment, to the microsecond: the runtime's own timers come to the next millisecond.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use monoio::net::UnixStream;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

/// A kernel timer that a core waits on as on a socket.
pub struct Pace {
    timer: OwnedFd,
    /// The same for the runtime, which is asked only whether it can be read: so it is from when it has expired to when it is set again.
    watched: UnixStream,
}

impl Pace {
    /// A timer for the calling thread's engine.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new() -> io::Result<Pace> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Pace { watched: UnixStream::from_std(StdStream::from(timer.try_clone()?))?, timer })
    }

    /// Waits so long. Always lets other tasks run, even if the time is already over.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn wait(&self, time: Duration) -> io::Result<()> {
        // A time of zero would switch the timer off.
        let time = time.max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: time.subsec_nanos().into() },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.watched.readable(false).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway::net::{Engine, run_on};
    use std::time::Instant;

    #[test]
    fn it_waits_again_and_again_on_every_engine() {
        for engine in [Engine::UringDefer, Engine::Epoll] {
            let waits = run_on(&[engine], 64, async |_| {
                let pace = Pace::new().unwrap();
                let mut waits = Vec::new();
                for time in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(20)] {
                    let began = Instant::now();
                    pace.wait(time).await.unwrap();
                    waits.push((time, began.elapsed()));
                }
                waits
            });
            let waits = waits.unwrap();
            assert!(waits.iter().all(|(asked, got)| got >= asked && *got < Duration::from_secs(5)), "{engine:?}: {waits:?}");
        }
    }
}
