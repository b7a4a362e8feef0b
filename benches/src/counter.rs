//! Counting deliveries.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Deliveries of one room, by all its members.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicUsize>);

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

impl Counter {
    /// Notes events that a member has got; their bytes are looked at so that no compiler leaves them out.
    pub fn add(&self, events: usize, bytes: usize) {
        BYTES.set(BYTES.get().wrapping_add(bytes));
        self.0.fetch_add(events, Ordering::Relaxed);
    }

    /// Lets other tasks run until `events` more are delivered than at the last time.
    pub async fn reach(&self, events: usize) {
        while self.0.load(Ordering::Relaxed) < events {
            tokio::task::yield_now().await;
        }
        self.0.fetch_sub(events, Ordering::Relaxed);
    }
}
