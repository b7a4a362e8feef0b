//! Waking everybody in a room.

use std::task::Waker;

#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(not(loom))]
use parking_lot::RwLock;

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering};

#[cfg(loom)]
use loom_lock::RwLock;

/// Whom to wake: the task of each connection in a room, or of each that there is.
///
/// A reader looks at its logs, says that it will [rest](Bells::rest), looks once more, and sleeps. A publisher appends, then
/// [rings](Bells::ring); if nobody has said so since the last ring, all are awake already and come to read by themselves.
/// Whichever of the two swaps comes second sees the other's work: the ringer wakes the reader, or the reader finds the news.
/// Ringing must not look before it swaps: it might see that nobody rests while a reader, who has just said so, sees the log as
/// it was.
///
/// That a wake is not lost between ringer and sleeper is the contract of [`Waker`]: who is woken is polled once more after
/// that, even if it is being polled just now. A reader that has moved to another task tells the bells before it looks: who
/// rings meanwhile may wake the task before. `tests/loom_bells.rs` runs every interleaving.
///
/// The wakers stand side by side, so that ringing touches one place in memory for each member, which is its task's.
pub struct Bells {
    /// Whether somebody may sleep.
    resting: AtomicBool,
    slab: RwLock<Slab>,
}

#[derive(Default)]
struct Slab {
    tasks: Vec<Option<Waker>>,
    free: Vec<u32>,
}

impl Bells {
    /// Bells of nobody.
    #[allow(
        clippy::new_without_default,
        reason = "loom's locks have no default constructor"
    )]
    pub fn new() -> Self {
        Self {
            resting: AtomicBool::new(false),
            slab: RwLock::new(Slab::default()),
        }
    }

    /// One more task to wake; its slot stays the same until it is given back.
    pub fn add(&self, task: Waker) -> u32 {
        let mut slab = self.slab.write();
        if let Some(slot) = slab.free.pop() {
            slab.tasks[slot as usize] = Some(task);
            return slot;
        }
        slab.tasks.push(Some(task));
        u32::try_from(slab.tasks.len() - 1).expect("fewer than 2^32 connections")
    }

    /// Another task in a slot.
    pub fn follow(&self, slot: u32, task: Waker) {
        self.slab.write().tasks[slot as usize] = Some(task);
    }

    pub(crate) fn remove(&self, slot: u32) {
        let mut slab = self.slab.write();
        slab.tasks[slot as usize] = None;
        slab.free.push(slot);
        if slab.free.len() == slab.tasks.len() {
            *slab = Slab::default();
        }
    }

    /// Somebody is about to sleep; it must look at its logs once more before it does.
    pub fn rest(&self) {
        // Members in step find that another has said so: readers of one room share this line of memory.
        if !self.resting.load(Ordering::Acquire) {
            self.resting.swap(true, Ordering::AcqRel);
        }
    }

    /// Wakes all, unless nobody sleeps.
    pub fn ring(&self) {
        if self.resting.swap(false, Ordering::AcqRel) {
            self.wake_all();
        }
    }

    /// Wakes all. The wakers are gathered under the lock and used outside of it, a chunk at a time: waking may be a system
    /// call, and a million sleepers must not need a vector of their size. Who comes in between looks at the log anyway.
    pub(crate) fn wake_all(&self) {
        let mut wakers: Vec<Waker> = Vec::new();
        let mut from = 0;
        loop {
            let slab = self.slab.read();
            let to = slab.tasks.len().min(from + CHUNK);
            let chunk = slab.tasks.get(from..to).unwrap_or_default();
            wakers.reserve(chunk.len());
            wakers.extend(chunk.iter().flatten().cloned());
            let done = to == slab.tasks.len();
            drop(slab);
            wakers.drain(..).for_each(Waker::wake);
            if done {
                return;
            }
            from = to;
        }
    }
}

/// 4 KiB of wakers.
const CHUNK: usize = 256;

/// loom's lock with parking_lot's signatures.
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
