//! What may become of connections and streams of HTTP/2.

/// Labels of `http2_resets`, in order of the constants that begin so.
pub(super) const HTTP2_RESETS: &[&str] = &["client", "gateway", "refused"];
/// The client ended a stream.
pub const RESET_BY_CLIENT: usize = 0;
/// The gateway did.
pub const RESET_BY_GATEWAY: usize = 1;
/// The gateway didn't take it.
pub const RESET_REFUSED: usize = 2;

/// Labels of `http2_errors`, in order of the constants that begin so.
pub(super) const HTTP2_ENDED: &[&str] = &["connection", "stream"];
/// The connection was ended.
pub const BROKEN_CONNECTION: usize = 0;
/// The stream was ended, and its connection went on.
pub const BROKEN_STREAM: usize = 1;

/// Labels of `http2_silent`, in order of the constants that begin so.
pub(super) const HTTP2_PEERS: &[&str] = &["client", "endpoint"];
/// A client.
pub const SILENT_CLIENT: usize = 0;
/// An endpoint.
pub const SILENT_ENDPOINT: usize = 1;
