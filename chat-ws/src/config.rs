//! What a host may set about its connections.

use std::time::Duration;

use chat_core::Limits;

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
    /// also arrive within `heartbeat + pong_timeout` of its first byte. 12.5 s by default.
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

impl From<&Limits> for Config {
    /// What a transport of this engine has to keep to: its size of messages, its heartbeat, half of
    /// that for the answer.
    fn from(limits: &Limits) -> Self {
        Self {
            message_bytes: limits.frame_bytes,
            heartbeat: limits.heartbeat,
            pong_timeout: limits.heartbeat / 2,
            close_timeout: Duration::from_secs(2),
            linger: Duration::from_secs(1),
            idle_frames: 500,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}
