//! What a host may set about its connections.

use std::time::Duration;

/// Limits and times of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The largest message, in bytes of payload, and so also the largest frame. Over it the
    /// connection is closed with 1009 as soon as a frame header says so, before its payload is
    /// buffered. 64 KiB by default.
    pub message_bytes: usize,
    /// Silence of the peer after which it is sent a ping. 25 s by default.
    pub heartbeat: Duration,
    /// How long after that the peer may stay silent before it is closed with 4003. A message must
    /// also arrive within `heartbeat + pong_timeout` of its first byte. 10 s by default.
    pub pong_timeout: Duration,
    /// How long our own close waits for the peer's. 2 s by default.
    pub close_timeout: Duration,
    /// How long input is drained after the last byte was written, so that a reset does not
    /// overtake the close frame. 1 s by default.
    pub linger: Duration,
    /// Control frames and empty data frames in a second, over two seconds, that pass for an honest
    /// client's; over it the connection is closed with 1008. 500 by default.
    pub idle_frames: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            heartbeat: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
            linger: Duration::from_secs(1),
            idle_frames: 500,
        }
    }
}
