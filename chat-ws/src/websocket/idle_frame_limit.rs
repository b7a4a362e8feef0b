//! A limit on frames that cost work and carry nothing.

use std::time::Duration;

use tokio::time::Instant;

/// Counts control frames and empty data frames in windows of two seconds.
///
/// A limit of bytes would hardly notice them: 16 KiB hold 2700 empty pings.
pub(super) struct IdleFrameLimit {
    window_start: Instant,
    frames: u32,
}

impl IdleFrameLimit {
    const WINDOW: Duration = Duration::from_secs(2);

    pub(super) fn new(now: Instant) -> Self {
        Self {
            window_start: now,
            frames: 0,
        }
    }

    /// Counts `frames`. False if this window now has more than `per_second` allows.
    pub(super) fn allows(&mut self, frames: u32, per_second: u32, now: Instant) -> bool {
        if frames == 0 {
            return true;
        }
        if now.duration_since(self.window_start) >= Self::WINDOW {
            *self = Self::new(now);
        }
        self.frames = self.frames.saturating_add(frames);
        self.frames <= per_second.saturating_mul(Self::WINDOW.as_secs() as u32)
    }
}
