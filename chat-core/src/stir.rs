//! Telling a transport's wake from a room's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// The waker that a connection's transport is polled with: it notes that it was the transport, then wakes the task.
///
/// A task that only a room woke need not ask the transport for commands: a tenth of what a delivery costs in user space.
/// The same waker serves reading and writing, so that it does not matter whether a transport keeps one waker or two.
pub(crate) struct Stir {
    flag: Flag,
    task: Waker,
}

impl Stir {
    pub(crate) fn waker(flag: &Flag, task: &Waker) -> Waker {
        Waker::from(Arc::new(Self {
            flag: flag.clone(),
            task: task.clone(),
        }))
    }
}

impl Wake for Stir {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.flag.raise();
        self.task.wake_by_ref();
    }
}

/// Whether a connection's transport has woken it.
#[derive(Clone)]
pub(crate) struct Flag {
    block: Arc<Block>,
    n: u8,
}

impl Flag {
    pub(crate) fn raise(&self) {
        self.block[usize::from(self.n)].store(true, Ordering::Release);
    }

    /// Whether it was raised since the last time. What the transport wakes for after this is told the next time, for which it
    /// wakes the task again.
    pub(crate) fn take(&self) -> bool {
        let flag = &self.block[usize::from(self.n)];
        flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::AcqRel)
    }
}

/// The flags of all connections, side by side: each delivery looks at one, and a flag in a place of its own would be one wait
/// for memory more.
#[derive(Default)]
pub(crate) struct Flags {
    /// As many as there ever were connections at once; a byte for each is not given back.
    blocks: Mutex<Vec<Arc<Block>>>,
}

type Block = [AtomicBool; 64];

impl Flags {
    /// The flag of the connection in a slot, raised, as nothing was asked yet.
    pub(crate) fn of(&self, slot: u32) -> Flag {
        let (block, n) = (slot as usize / 64, (slot % 64) as u8);
        let mut blocks = self.blocks.lock();
        while blocks.len() <= block {
            blocks.push(Arc::new([const { AtomicBool::new(false) }; 64]));
        }
        let block = Arc::clone(&blocks[block]);
        drop(blocks);
        let flag = Flag { block, n };
        flag.raise();
        flag
    }
}
