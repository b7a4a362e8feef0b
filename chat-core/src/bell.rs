//! The doorbell of a connection: rung by whoever has news for it.

use std::task::Waker;

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
/// The reader [arms](Bell::arm), then looks at its logs once more, then sleeps. A publisher appends, then rings. Whichever
/// of the two swaps comes second sees the other's work: the ringer finds the bell armed and wakes, or the reader finds the
/// news when it looks again. `tests/loom_bell.rs` runs every interleaving. Ringing must not look before it swaps: with
/// `if !rung.load()` in front, the ringer may see an old `true` while the reader, who has just armed, sees the old head.
#[derive(Debug)]
pub struct Bell {
    rung: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    /// A bell that is not armed: nobody sleeps yet.
    #[allow(
        clippy::new_without_default,
        reason = "loom's types have no const or default constructors"
    )]
    pub fn new() -> Self {
        Self {
            rung: AtomicBool::new(true),
            waker: Mutex::new(None),
        }
    }

    /// Rings. Gives the waker of a sleeper to whoever rang first; waking it is left to the caller, who may still hold a
    /// lock and must let go of it before.
    #[must_use = "the sleeper sleeps on until it is woken"]
    pub fn ring(&self) -> Option<Waker> {
        if self.rung.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.waker.lock().take()
    }

    /// Asks to be woken by the next ring. The caller must look at what it waits for once more before it sleeps.
    pub fn arm(&self, waker: &Waker) {
        let mut slot = self.waker.lock();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
        drop(slot);
        self.rung.swap(false, Ordering::AcqRel);
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
