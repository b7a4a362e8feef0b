//! The bells of everybody in a room.

use std::sync::Arc;
use std::task::Waker;

use parking_lot::RwLock;

use crate::bell::Bell;

/// A slab of bells: a slot is an index that stays the same until it is given back.
#[derive(Default)]
pub(crate) struct Bells {
    slab: RwLock<Slab>,
}

#[derive(Default)]
struct Slab {
    slots: Vec<Option<Arc<Bell>>>,
    free: Vec<u32>,
}

impl Bells {
    pub(crate) fn add(&self, bell: Arc<Bell>) -> u32 {
        let mut slab = self.slab.write();
        if let Some(slot) = slab.free.pop() {
            slab.slots[slot as usize] = Some(bell);
            return slot;
        }
        slab.slots.push(Some(bell));
        u32::try_from(slab.slots.len() - 1).expect("fewer than 2^32 connections")
    }

    pub(crate) fn remove(&self, slot: u32) {
        let mut slab = self.slab.write();
        slab.slots[slot as usize] = None;
        slab.free.push(slot);
        if slab.free.len() == slab.slots.len() {
            *slab = Slab::default();
        }
    }

    /// Rings all. The wakers are gathered under the lock and used outside of it, a chunk at a time: waking may be a system
    /// call, and a million sleepers must not need a vector of their size. Who comes in between looks at the log anyway.
    pub(crate) fn ring(&self) {
        let mut wakers: Vec<Waker> = Vec::new();
        let mut from = 0;
        loop {
            let slab = self.slab.read();
            let to = slab.slots.len().min(from + CHUNK);
            let chunk = slab.slots.get(from..to).unwrap_or_default();
            wakers.reserve(chunk.len());
            wakers.extend(chunk.iter().flatten().filter_map(|bell| bell.ring()));
            let done = to == slab.slots.len();
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
