//! Time, which the state machines only receive as an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time of an operation on a room, in milliseconds on two time lines.
///
/// Deadlines and durations go by `monotonic_ms`, so that setting the wall clock moves none of them.
/// Users are shown `unix_ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Milliseconds on the engine's monotonic time line. It starts at the wall clock's time and
    /// advances with the monotonic clock.
    pub(crate) monotonic_ms: u64,
    /// Milliseconds since the Unix epoch, by the wall clock.
    pub(crate) unix_ms: u64,
}

impl Stamp {
    /// The later time on each of the two lines.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            monotonic_ms: self.monotonic_ms.max(other.monotonic_ms),
            unix_ms: self.unix_ms.max(other.unix_ms),
        }
    }
}

/// One reading of the clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// The monotonic clock, by which rate limits go.
    pub(crate) instant: Instant,
    /// The same moment for operations on rooms.
    pub(crate) stamp: Stamp,
}

/// Reads the time from tokio's clock, which tests can pause, and from the system's wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// The time on the monotonic time line at `start`.
    start_ms: u64,
    simulated: bool,
}

impl Clock {
    /// The clocks of the machine.
    pub(crate) fn system() -> Self {
        Self {
            start: tokio::time::Instant::now().into_std(),
            start_ms: system_unix_ms(),
            simulated: false,
        }
    }

    /// A wall clock that starts at `unix_ms` and advances with tokio's clock, so that a run can be
    /// repeated exactly.
    pub(crate) fn simulated(unix_ms: u64) -> Self {
        Self {
            start: tokio::time::Instant::now().into_std(),
            start_ms: unix_ms,
            simulated: true,
        }
    }

    pub(crate) fn now(&self) -> Now {
        let instant = tokio::time::Instant::now().into_std();
        let elapsed = instant.saturating_duration_since(self.start);
        let monotonic_ms = self.start_ms + millis(elapsed);
        let unix_ms = if self.simulated {
            monotonic_ms
        } else {
            system_unix_ms()
        };
        Now {
            instant,
            stamp: Stamp {
                monotonic_ms,
                unix_ms,
            },
        }
    }

    /// When the monotonic time line reaches `monotonic_ms`; at most a century ahead.
    pub(crate) fn instant_at(&self, monotonic_ms: u64) -> Instant {
        let after = Duration::from_millis(monotonic_ms.saturating_sub(self.start_ms));
        self.start + after.min(CENTURY)
    }
}

/// Whole milliseconds of a duration; the largest number where there are more.
pub(crate) fn millis(duration: Duration) -> u64 {
    let secs = duration.as_secs().saturating_mul(1000);
    secs.saturating_add(u64::from(duration.subsec_millis()))
}

fn system_unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    millis(since_epoch.unwrap_or_default())
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
