//! Telling a wake by the transport from a wake by a room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// The waker with which a connection polls its transport: it remembers that the transport called
/// it, then wakes the connection's task.
///
/// A task that only a room has woken need not poll its transport for commands, which would be a
/// tenth of the user-space cost of a delivery. The same waker serves reading and writing, so it
/// does not matter whether a transport keeps one waker or two.
pub(crate) struct TransportWaker {
    ready: AtomicBool,
    task: Waker,
}

impl TransportWaker {
    /// A waker that counts as called, because nothing has been polled with it yet.
    pub(crate) fn new(task: Waker) -> Arc<Self> {
        Arc::new(Self {
            ready: AtomicBool::new(true),
            task,
        })
    }

    /// Whether the transport has called the waker since the last call of this method. A later call
    /// by the transport wakes the task again.
    pub(crate) fn take_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && self.ready.swap(false, Ordering::AcqRel)
    }
}

impl Wake for TransportWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}
