//! Time, which the state machines are only ever told.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// The monotonic clock: every duration and deadline goes by it.
    pub(crate) instant: Instant,
    /// Milliseconds since the Unix epoch: what clients are shown.
    pub(crate) unix_ms: u64,
}

/// Where the driver takes the time from: tokio's clock, which tests can pause, and the system's calendar.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// The calendar of the machine.
    System,
    /// A calendar that starts at a given moment and goes on with tokio's clock, so that a run can be repeated.
    Fixed { start: Instant, unix_ms: u64 },
}

impl Clock {
    pub(crate) fn fixed(unix_ms: u64) -> Self {
        Self::Fixed {
            start: tokio::time::Instant::now().into_std(),
            unix_ms,
        }
    }

    pub(crate) fn now(&self) -> Now {
        let instant = tokio::time::Instant::now().into_std();
        let unix_ms = match self {
            Self::System => millis(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default(),
            ),
            Self::Fixed { start, unix_ms } => unix_ms + millis(instant - *start),
        };
        Now { instant, unix_ms }
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
