//! What is looked at without taking the lock of a room.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cursor::Cursor;

/// Three counters that tell readers whether there is something to deliver, and the room's next
/// deadline. All of them are written under the room's lock.
pub(super) struct Counters {
    /// The sequence number of the newest event.
    head: AtomicU64,
    /// Grows with every presence and typing event.
    ephemeral: AtomicU64,
    /// Grows whenever stays are ended by somebody else.
    removals: AtomicU64,
    /// When something is due next, on the monotonic time line, or [`NEVER`].
    due: AtomicU64,
}

impl Counters {
    pub(super) fn new(due: Option<u64>) -> Self {
        Self {
            head: AtomicU64::new(0),
            ephemeral: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            due: AtomicU64::new(due.unwrap_or(NEVER)),
        }
    }

    pub(super) fn due(&self) -> Option<u64> {
        Some(self.due.load(Ordering::Acquire)).filter(|due| *due != NEVER)
    }

    pub(super) fn set_due(&self, due: Option<u64>) {
        self.due.store(due.unwrap_or(NEVER), Ordering::Release);
    }

    pub(super) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    pub(super) fn ephemeral(&self) -> u64 {
        self.ephemeral.load(Ordering::Acquire)
    }

    pub(super) fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    pub(super) fn set_head(&self, seq: u64) {
        self.head.store(seq, Ordering::Release);
    }

    pub(super) fn count_ephemeral(&self) {
        self.ephemeral.fetch_add(1, Ordering::Release);
    }

    pub(super) fn count_removal(&self) {
        self.removals.fetch_add(1, Ordering::Release);
    }

    /// Whether there may be something to deliver to a cursor.
    pub(super) fn are_ahead_of(&self, cursor: &Cursor) -> bool {
        self.head() > cursor.seq && cursor.removal.is_none()
            || self.ephemeral() != cursor.ephemeral
            || self.removals() != cursor.removals
            || cursor.removal.is_some()
    }
}

/// A time that does not come.
const NEVER: u64 = u64::MAX;
