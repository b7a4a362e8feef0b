//! The limits and times that a host may set for its connections.

use std::time::Duration;

use chat_core::Limits;

/// Limits and times of a WebSocket.
///
/// ```
/// use std::time::Duration;
///
/// let config = chat_ws::Config::default()
///     .message_bytes(16 * 1024)
///     .heartbeat(Duration::from_secs(40))
///     .pong_timeout(Duration::from_secs(20));
/// ```
///
/// The fields are public to be read and to be set one by one; new ones may be added. The defaults
/// below are those of [`Config::default`]. [`service`](crate::service()) derives the first three
/// from the [`Limits`] of its chat instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The largest message, in bytes of payload, and so also the largest frame. 64 KiB by default.
    ///
    /// A larger one closes the connection with 1009 as soon as a frame header announces it, before
    /// its payload is buffered.
    pub message_bytes: usize,
    /// How long the peer may be silent before it is sent a ping. 25 s by default.
    pub heartbeat: Duration,
    /// How long the peer may stay silent after the ping before it is closed with 4003. 12.5 s by
    /// default.
    ///
    /// A message must also arrive within `heartbeat + pong_timeout` of its first byte.
    pub pong_timeout: Duration,
    /// How long a close by the server waits for the close frame of the peer. 2 s by default.
    pub close_timeout: Duration,
    /// How long the connection lingers after the server has answered a close or a violation. 1 s by
    /// default.
    ///
    /// Input is drained until the peer ends its half, so that a reset does not overtake the close
    /// frame.
    pub linger: Duration,
    /// How many control frames and empty data frames the peer may send per second, as an average
    /// over two seconds. 500 by default.
    ///
    /// A peer that sends more does not pass for an honest client, and is closed with 1008.
    pub idle_frames: u32,
}

impl Config {
    /// Sets [`message_bytes`](Self#structfield.message_bytes): the largest message, in bytes of
    /// payload. 64 KiB by default.
    #[must_use]
    pub fn message_bytes(mut self, message_bytes: usize) -> Self {
        self.message_bytes = message_bytes;
        self
    }

    /// Sets [`heartbeat`](Self#structfield.heartbeat): how long the peer may be silent before it is
    /// sent a ping. 25 s by default.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// Sets [`pong_timeout`](Self#structfield.pong_timeout): how long the peer may stay silent
    /// after the ping. 12.5 s by default.
    #[must_use]
    pub fn pong_timeout(mut self, pong_timeout: Duration) -> Self {
        self.pong_timeout = pong_timeout;
        self
    }

    /// Sets [`close_timeout`](Self#structfield.close_timeout): how long a close by the server waits
    /// for the close frame of the peer. 2 s by default.
    #[must_use]
    pub fn close_timeout(mut self, close_timeout: Duration) -> Self {
        self.close_timeout = close_timeout;
        self
    }

    /// Sets [`linger`](Self#structfield.linger): how long the connection lingers after the server
    /// has answered a close or a violation. 1 s by default.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sets [`idle_frames`](Self#structfield.idle_frames): how many control frames and empty data
    /// frames the peer may send per second. 500 by default.
    #[must_use]
    pub fn idle_frames(mut self, idle_frames: u32) -> Self {
        self.idle_frames = idle_frames;
        self
    }
}

impl From<&Limits> for Config {
    /// What the limits of an engine demand of its transport: their size of a frame, their
    /// heartbeat, and half of that as the pong timeout. The other fields have their defaults.
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
    /// The configuration that fits the default [`Limits`].
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}
