//! Settings of threads, io_uring and buffers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Size;

/// What moves the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// io_uring where the kernel allows it, else epoll.
    #[default]
    Auto,
    /// io_uring, or refuse to start.
    IoUring,
    /// epoll.
    Epoll,
}

/// Threads and io_uring. Changes need a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Runtime {
    /// What moves the bytes.
    pub driver: Driver,
    /// Worker threads; 0 is one for each core the process may use.
    #[schemars(range(max = 1024))]
    pub workers: usize,
    /// Whether each worker is pinned to its core.
    pub pin: bool,
    /// Submission queue entries of each worker's ring, a power of two from 64 to 32768; the completion queue has four times as many.
    #[schemars(range(min = 64, max = 32768))]
    pub ring_entries: u32,
    /// Threads that check passwords (`auth`), which takes long on purpose.
    #[schemars(range(min = 1, max = 64))]
    pub password_threads: usize,
    /// Window of each direction of a connection: bytes read at once and held in the gateway; from `4KiB` to `1MiB`.
    pub buffer: Size,
    /// The same for a body that is longer than that, from `4KiB` to `1MiB`; less than `buffer` counts as that.
    pub body_buffer: Size,
}

impl Default for Runtime {
    fn default() -> Self {
        Runtime {
            driver: Driver::Auto,
            workers: 0,
            pin: true,
            ring_entries: 4096,
            password_threads: 1,
            buffer: Size::from_bytes(16 << 10),
            body_buffer: Size::from_bytes(128 << 10),
        }
    }
}
