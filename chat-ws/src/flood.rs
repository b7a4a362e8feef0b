//! A limit on frames that cost work and say nothing.

use std::time::Duration;

use tokio::time::Instant;

/// Counts control frames and empty data frames in windows of two seconds.
///
/// Their payloads hardly count against a limit of bytes: 16 KiB hold 2700 empty pings.
pub(crate) struct Flood {
    since: Instant,
    frames: u32,
}

impl Flood {
    const WINDOW: Duration = Duration::from_secs(2);

    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            frames: 0,
        }
    }

    /// Adds `frames`; false once there were more in this window than `per_second` allows.
    pub(crate) fn allows(&mut self, frames: u32, per_second: u32, now: Instant) -> bool {
        if frames == 0 {
            return true;
        }
        if now.duration_since(self.since) >= Self::WINDOW {
            *self = Self::new(now);
        }
        self.frames = self.frames.saturating_add(frames);
        self.frames <= per_second.saturating_mul(Self::WINDOW.as_secs() as u32)
    }
}
