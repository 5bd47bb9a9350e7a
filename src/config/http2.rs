//! Settings of HTTP/2 towards clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Time};

/// HTTP/2 towards clients, on the same port as HTTP/1.1: a connection that begins with its preface (RFC 9113 section 3.4) speaks it. What a
/// client may cost is `max_streams` times what one request costs, `connection_window`, and `max_streams` times `send_buffer`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http2 {
    /// Whether it is spoken.
    pub enabled: bool,
    /// Streams, which are requests, open at once on a connection; more are refused.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_streams: u32,
    /// Bytes of one request's body that are received ahead; from `64KiB - 1B` (`65535B`) to `1GiB`.
    pub stream_window: Size,
    /// The same of all requests of a connection.
    pub connection_window: Size,
    /// Bytes of a frame; from `16KiB` to `1MiB`.
    pub max_frame: Size,
    /// Bytes of one answer that wait until the connection takes them; from `4KiB` to `16MiB`.
    pub send_buffer: Size,
    /// SETTINGS, PING, PRIORITY and unknown frames in a second; more end the connection.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub control_frames: u32,
    /// Streams that a client may reset in a second; more end the connection.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub resets: u32,
    /// Streams on which a client may break the protocol before its connection ends.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub stream_errors: u32,
    /// A client that is silent for so long while it has streams open is asked by a PING whether it is there; `0s` asks none.
    pub ping_interval: Time,
    /// For an answer, which anything is that comes; then the connection is closed.
    pub ping_timeout: Time,
}

impl Default for Http2 {
    fn default() -> Self {
        Http2 {
            enabled: true,
            max_streams: 128,
            stream_window: Size::from_bytes(128 << 10),
            connection_window: Size::from_bytes(1 << 20),
            max_frame: Size::from_bytes(16 << 10),
            send_buffer: Size::from_bytes(64 << 10),
            control_frames: 1_000,
            resets: 200,
            stream_errors: 256,
            ping_interval: Time::from_secs(60),
            ping_timeout: Time::from_secs(20),
        }
    }
}
