//! The tasks that are woken when something new can be read.

use std::task::Waker;

#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(not(loom))]
use parking_lot::RwLock;

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering};

#[cfg(loom)]
use loom_lock::RwLock;

/// The wakers of a room's connections, or of all connections of an engine.
///
/// A reader looks for news, [arms](WakerSet::arm) the set, looks once more, and sleeps. A publisher
/// appends, then calls [`notify_all`](WakerSet::notify_all); if nobody has armed the set since the
/// last notification, every reader is awake already and will look by itself. Whichever of the two
/// swaps comes second sees the other side's work: either the publisher wakes the reader, or the
/// reader finds the news. A publisher must not load before it swaps: it might see an unarmed set
/// while a reader, who has just armed it, still sees the old log.
///
/// That no wake is lost between waking and sleeping is the contract of [`Waker`]: a task that is
/// woken is polled once more afterwards, even if it is being polled at that moment. A reader that
/// has moved to another task must call [`set_waker`](WakerSet::set_waker) before it looks, because
/// a concurrent publisher may still wake the previous task. `loom_tests.rs` runs every
/// interleaving.
///
/// The wakers lie side by side, so a notification touches one place in memory per member: the
/// member's task.
pub(crate) struct WakerSet {
    /// Whether a reader may be asleep.
    armed: AtomicBool,
    slab: RwLock<Slab>,
}

#[derive(Default)]
struct Slab {
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
}

impl WakerSet {
    pub(crate) fn new() -> Self {
        Self {
            armed: AtomicBool::new(false),
            slab: RwLock::new(Slab::default()),
        }
    }

    /// Adds a waker and returns its slot, which stays valid until [`remove`](Self::remove).
    pub(crate) fn insert(&self, waker: Waker) -> u32 {
        let mut slab = self.slab.write();
        if let Some(slot) = slab.free.pop() {
            slab.wakers[slot as usize] = Some(waker);
            return slot;
        }
        slab.wakers.push(Some(waker));
        u32::try_from(slab.wakers.len() - 1).expect("fewer than 2^32 connections")
    }

    /// Replaces the waker in a slot.
    pub(crate) fn set_waker(&self, slot: u32, waker: Waker) {
        self.slab.write().wakers[slot as usize] = Some(waker);
    }

    pub(crate) fn remove(&self, slot: u32) {
        let mut slab = self.slab.write();
        slab.wakers[slot as usize] = None;
        slab.free.push(slot);
        if slab.free.len() == slab.wakers.len() {
            *slab = Slab::default();
        }
    }

    /// Announces that a reader is about to sleep. It must look for news once more before it does.
    pub(crate) fn arm(&self) {
        // Readers of one room share this cache line: do not write to it if it is armed already.
        if !self.armed.load(Ordering::Acquire) {
            self.armed.swap(true, Ordering::AcqRel);
        }
    }

    /// Wakes every reader, unless none has armed the set since the last notification.
    pub(crate) fn notify_all(&self) {
        if self.armed.swap(false, Ordering::AcqRel) {
            self.wake_all();
        }
    }

    /// Wakes every reader unconditionally.
    ///
    /// The wakers are cloned under the lock and used outside it, one chunk at a time: waking may be
    /// a system call, and a million sleepers must not need a vector of that size. A reader that
    /// joins in between looks for news anyway.
    pub(crate) fn wake_all(&self) {
        let mut wakers: Vec<Waker> = Vec::new();
        let mut from = 0;
        loop {
            let slab = self.slab.read();
            let to = slab.wakers.len().min(from + CHUNK);
            let chunk = slab.wakers.get(from..to).unwrap_or_default();
            wakers.reserve(chunk.len());
            wakers.extend(chunk.iter().flatten().cloned());
            let done = to == slab.wakers.len();
            drop(slab);
            wakers.drain(..).for_each(Waker::wake);
            if done {
                return;
            }
            from = to;
        }
    }
}

/// Wakers cloned at a time: 4 KiB.
const CHUNK: usize = 256;

/// loom's lock with `parking_lot`'s signatures.
#[cfg(loom)]
mod loom_lock {
    use loom::sync::{RwLockReadGuard, RwLockWriteGuard};

    pub(super) struct RwLock<T>(loom::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(super) fn new(value: T) -> Self {
            Self(loom::sync::RwLock::new(value))
        }

        pub(super) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap()
        }

        pub(super) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap()
        }
    }
}
