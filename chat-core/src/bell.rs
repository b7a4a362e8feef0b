//! The doorbell of a connection: rung by whoever has news for it, stirred by its own transport.

use std::sync::Arc;
use std::task::{Wake, Waker};

#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(not(loom))]
use parking_lot::Mutex;

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering};

#[cfg(loom)]
use loom_mutex::Mutex;

/// One per connection, for as long as it lives.
///
/// The reader says which task to wake ([`follow`](Bell::follow)), [arms](Bell::arm), then looks at its logs once more, then
/// sleeps. A publisher appends, then rings. Whichever of the two swaps comes second sees the other's work: the ringer finds
/// the bell armed and wakes, or the reader finds the news when it looks again. `tests/loom_bell.rs` runs every interleaving.
/// Ringing must not look before it swaps: with `if !rung.load()` in front, the ringer may see an old `true` while the reader,
/// who has just armed, sees the old head.
///
/// As a [`Waker`] it is what the transport is polled with, for reading and writing alike: it notes that it was the transport,
/// then wakes the same task. A task that only the bell woke need not ask its transport for commands: a tenth of what a
/// delivery costs in user space.
#[derive(Debug)]
pub struct Bell {
    rung: AtomicBool,
    stirred: AtomicBool,
    task: Mutex<Waker>,
}

impl Bell {
    /// A bell that is not armed, as nobody sleeps yet, and stirred, as nothing was asked yet.
    #[allow(
        clippy::new_without_default,
        reason = "loom's types have no const or default constructors"
    )]
    pub fn new() -> Self {
        Self {
            rung: AtomicBool::new(true),
            stirred: AtomicBool::new(true),
            task: Mutex::new(Waker::noop().clone()),
        }
    }

    /// The task to wake from now on. The caller must look at what it waits for after this: who rings at the same time may
    /// wake the task before.
    pub fn follow(&self, task: &Waker) {
        self.task.lock().clone_from(task);
    }

    /// Rings. Gives the waker of a sleeper to whoever rang first; waking it is left to the caller, who may still hold a
    /// lock and must let go of it before.
    #[must_use = "the sleeper sleeps on until it is woken"]
    pub fn ring(&self) -> Option<Waker> {
        if self.rung.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(self.task.lock().clone())
    }

    /// Asks to be woken by the next ring. The caller must look at what it waits for once more before it sleeps.
    pub fn arm(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }

    /// Whether the transport has woken the task since the last time. What it wakes for after this is told the next time, for
    /// which it wakes the task again.
    pub(crate) fn take_stir(&self) -> bool {
        self.stirred.load(Ordering::Relaxed) && self.stirred.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.stirred.store(true, Ordering::Release);
        let task = self.task.lock().clone();
        task.wake();
    }
}

/// loom's mutex with parking_lot's signature.
#[cfg(loom)]
mod loom_mutex {
    #[derive(Debug)]
    pub(super) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(super) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(super) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}
