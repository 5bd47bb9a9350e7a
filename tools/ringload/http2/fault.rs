//! What can be wrong with what a target sends, in words.

use std::fmt;

/// Why bytes are no HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They don't begin with SETTINGS.
    Begin,
    /// A frame has a length that it can't have.
    Length,
    /// A head can't be decoded, is too large, or isn't sent in one piece.
    Head,
    /// A setting has a value that it can't have.
    Setting,
    /// More was granted than a window can hold, or nothing.
    Window,
    /// A frame is for a stream that nobody opened, or of a type that wasn't agreed on.
    Stream,
}

/// The name of an error code (section 7).
pub fn reason(code: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    NAMES.get(code as usize).map_or_else(|| format!("error {code}"), |name| (*name).to_owned())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Begin => "the target doesn't speak HTTP/2",
            Fault::Length => "a frame has a length that it can't have",
            Fault::Head => "a head can't be decoded, is too large, or isn't sent in one piece",
            Fault::Setting => "a setting has a value that it can't have",
            Fault::Window => "a window is opened too wide, or by nothing",
            Fault::Stream => "a frame is for a stream that nobody opened, or of a type that wasn't agreed on",
        })
    }
}
