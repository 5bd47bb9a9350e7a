//! The engine under a core: an io_uring with the flags that suit it, else plainer ones, else epoll.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

/// What moves a core's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// io_uring, completions collected when the core waits (`DEFER_TASKRUN`): the fastest.
    UringDefer,
    /// io_uring without interrupting the core (`COOP_TASKRUN`).
    UringCoop,
    /// io_uring with default flags.
    Uring,
    /// epoll.
    Epoll,
}

impl Engine {
    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::UringDefer => "io_uring (DEFER_TASKRUN)",
            Engine::UringCoop => "io_uring (COOP_TASKRUN)",
            Engine::Uring => "io_uring",
            Engine::Epoll => "epoll",
        }
    }
}

/// No engine of the wanted kind could be had.
#[derive(Debug)]
pub struct RingError(io::Error);

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "io_uring can't be used here ({}): the kernel, a container's seccomp profile or kernel.io_uring_disabled refuses it; \
             set runtime.driver to \"auto\" or \"epoll\"",
            self.0
        )
    }
}

impl std::error::Error for RingError {}

thread_local! {
    static URING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread's engine is an io_uring.
pub(super) fn is_uring() -> bool {
    URING.get()
}

fn flags(engine: Engine, entries: u32) -> io_uring::Builder {
    let mut flags = io_uring::IoUring::builder();
    flags.setup_cqsize(entries * 4);
    if matches!(engine, Engine::UringDefer) {
        flags.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun();
    }
    if matches!(engine, Engine::UringCoop) {
        flags.setup_coop_taskrun();
    }
    flags
}

/// Tries whether a process may have an io_uring at all, before anything depends on it.
///
/// # Errors
/// When the kernel refuses.
pub fn try_uring(entries: u32) -> Result<(), RingError> {
    flags(Engine::Uring, entries).build(entries).map(drop).map_err(RingError)
}

/// Runs a core on this thread until `main` ends, on the best engine among `engines` that the kernel grants.
///
/// # Errors
/// When none could be had.
pub fn run_on<F: Future>(engines: &[Engine], entries: u32, main: impl FnOnce(Engine) -> F) -> Result<F::Output, RingError> {
    let mut refused = io::Error::from(io::ErrorKind::Unsupported);
    for &engine in engines {
        if engine == Engine::Epoll {
            match RuntimeBuilder::<LegacyDriver>::new().with_entries(entries).enable_timer().build() {
                Ok(mut runtime) => {
                    URING.set(false);
                    return Ok(runtime.block_on(main(engine)));
                }
                Err(error) => refused = error,
            }
        } else {
            let ring = RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).uring_builder(flags(engine, entries));
            match ring.enable_timer().build() {
                Ok(mut runtime) => {
                    URING.set(true);
                    return Ok(runtime.block_on(main(engine)));
                }
                Err(error) => refused = error,
            }
        }
    }
    Err(RingError(refused))
}
