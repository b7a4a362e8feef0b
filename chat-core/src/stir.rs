//! Telling a transport's wake from a room's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// The waker that a connection's transport is polled with: it notes that it was the transport, then wakes the task.
///
/// A task that only a room woke need not ask the transport for commands: a tenth of what a delivery costs in user space.
/// The same waker serves reading and writing, so that it does not matter whether a transport keeps one waker or two.
#[derive(Debug)]
pub(crate) struct Stir {
    stirred: AtomicBool,
    task: Mutex<Waker>,
}

impl Stir {
    /// One that is stirred: nothing was asked yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            stirred: AtomicBool::new(true),
            task: Mutex::new(Waker::noop().clone()),
        })
    }

    /// The task to wake from now on.
    pub(crate) fn follow(&self, task: &Waker) {
        self.task.lock().clone_from(task);
    }

    /// Whether the transport has woken the task since the last time. What it wakes for after this is told the next time, for
    /// which it wakes the task again.
    pub(crate) fn take(&self) -> bool {
        self.stirred.load(Ordering::Relaxed) && self.stirred.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Stir {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.stirred.store(true, Ordering::Release);
        let task = self.task.lock().clone();
        task.wake();
    }
}
