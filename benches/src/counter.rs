//! Counting deliveries.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The deliveries to all members of one room.
#[derive(Clone, Default, Debug)]
pub struct Counter(Arc<AtomicUsize>);

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

impl Counter {
    /// Counts events that a member has received. Their bytes are summed, so that the compiler
    /// cannot leave them out.
    pub fn add(&self, events: usize, bytes: usize) {
        BYTES.set(BYTES.get().wrapping_add(bytes));
        self.0.fetch_add(events, Ordering::Relaxed);
    }

    /// Lets other tasks run until `events` more have been delivered than at the last call.
    pub async fn wait_for(&self, events: usize) {
        while self.0.load(Ordering::Relaxed) < events {
            tokio::task::yield_now().await;
        }
        self.0.fetch_sub(events, Ordering::Relaxed);
    }
}
