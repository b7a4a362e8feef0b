//! When each room has something to do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::room::Room;

/// One ordered set for all rooms, in which each room is at most once. Times are milliseconds on the
/// monotonic time line.
///
/// Its lock is never held while the lock of a room is taken: a room's deadline is read without one.
pub(crate) struct Deadlines {
    queue: Mutex<Queue>,
    /// Notified when the earliest deadline has become earlier.
    sooner: Arc<Notify>,
}

#[derive(Default)]
struct Queue {
    by_time: BTreeMap<(u64, u64), Arc<Room>>,
    by_room: HashMap<u64, u64>,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        Self {
            queue: Mutex::default(),
            sooner: Arc::new(Notify::new()),
        }
    }

    /// Notified when the earliest deadline has become earlier.
    pub(crate) fn sooner(&self) -> Arc<Notify> {
        Arc::clone(&self.sooner)
    }

    /// Takes over the deadline that a room has now.
    ///
    /// It is read under the lock, so of two concurrent calls the later one writes the newer
    /// deadline.
    pub(crate) fn update(&self, room: &Arc<Room>) {
        let mut queue = self.queue.lock();
        let due = room.due();
        if queue.by_room.get(&room.number).copied() == due {
            return;
        }
        queue.remove(room.number);
        let Some(due) = due else {
            return;
        };
        let first = queue.by_time.first_key_value();
        let is_sooner = first.is_none_or(|((first, _), _)| due < *first);
        queue.by_room.insert(room.number, due);
        queue.by_time.insert((due, room.number), Arc::clone(room));
        drop(queue);
        if is_sooner {
            self.sooner.notify_one();
        }
    }

    pub(crate) fn remove(&self, room: &Room) {
        self.queue.lock().remove(room.number);
    }

    /// The earliest deadline of all rooms.
    pub(crate) fn next(&self) -> Option<u64> {
        let queue = self.queue.lock();
        queue.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out one room whose deadline has come at `now`.
    pub(crate) fn pop_due(&self, now: u64) -> Option<Arc<Room>> {
        let mut queue = self.queue.lock();
        let first = queue.by_time.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let room = first.remove();
        queue.by_room.remove(&room.number);
        Some(room)
    }
}

impl Queue {
    fn remove(&mut self, number: u64) {
        if let Some(at) = self.by_room.remove(&number) {
            self.by_time.remove(&(at, number));
        }
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        // The timekeeper finds that its engine is gone.
        self.sooner.notify_one();
    }
}
