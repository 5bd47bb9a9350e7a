//! HTTP/2 as a server: frames by the `h2` crate, each stream's request served like one of HTTP/1.1 over a pipe within the core.
//!
//! ```text
//! socket <-> h2 <-> stream <-> lane: translated both ways <-> pipe <-> server::serve, as any client's connection
//! ```
//!
//! A connection has a task, and so has each end of a lane's pipe: what one wakes runs behind all that came with it, so that frames go out
//! together. A lane is kept for the next stream, so that neither tasks nor a connection to serve are made for each, and heads that come
//! again are recognised.

mod answer;
mod connection;
mod lane;
mod upload;

use std::time::Duration;

pub use connection::serve;

use crate::http2::{Pace, Rates};

/// What a connection's client may have of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Streams open at once.
    pub streams: u32,
    /// Bytes of one stream that are received before they are asked for.
    pub stream_window: u32,
    /// The same of all streams of a connection.
    pub connection_window: u32,
    /// Bytes of a frame's payload.
    pub frame: u32,
    /// Bytes of a head's list of fields, each counted with 32 more (RFC 9113 section 6.5.2).
    pub head: u32,
    /// Bytes of one stream's answer that wait to be sent.
    pub send_buffer: usize,
    /// Frames in a second.
    pub rates: Rates,
    /// Streams that may break the protocol before the connection ends (CVE-2025-8671).
    pub faults: usize,
    /// Streams of one connection; 0 is no limit.
    pub requests: u32,
    /// How long the client may take for what is sent to it; zero is for ever.
    pub write: Duration,
    /// How it is asked whether it is there, if it is.
    pub pace: Option<Pace>,
}

/// What happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It began: its preface has come.
    Began,
    /// A stream began.
    Stream,
    /// A stream was refused before anything was done for it.
    Refused,
    /// A stream was reset because the client broke the protocol with it.
    BrokenStream,
    /// The client ended a stream.
    ResetByClient,
    /// The gateway ended a stream before its answer was complete.
    ResetByGateway,
    /// The client was told to send no further streams on it.
    GoAway,
    /// It ended because of frames that cost the client nothing.
    Flood,
    /// It ended because the client said nothing, though it was asked.
    Silent,
    /// It ended because the client broke the protocol.
    Broken,
    /// Nothing has come on it for a while: it gives back the memory that it can do without.
    Rests,
}
