//! Which rooms there are, which of them are listed, and which have ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;

use super::deadlines::Deadlines;
use super::ended_rooms::EndedRooms;
use crate::clock::Now;
use crate::limits::Limits;
use crate::protocol::{Code, Error, RoomId, RoomsPage};
use crate::room::Room;
use crate::room::state::Lifecycle;

/// All rooms of an engine.
pub(crate) struct Registry {
    rooms: DashMap<RoomId, Arc<Room>>,
    count: AtomicUsize,
    max: usize,
    next_number: AtomicU64,
    /// By number, so the newest is last.
    listed: Mutex<BTreeMap<u64, Arc<Room>>>,
    ended: Mutex<EndedRooms>,
    pub(crate) deadlines: Deadlines,
}

/// What there is under an id.
pub(crate) enum Lookup {
    Live(Arc<Room>),
    /// A room that has ended, which is still remembered.
    Ended,
    Missing,
}

impl Lookup {
    /// The room, if it lives.
    ///
    /// # Errors
    /// `room_expired`, `room_not_found`.
    pub(crate) fn live(self) -> Result<Arc<Room>, Error> {
        match self {
            Self::Live(room) => Ok(room),
            Self::Ended => Err(Error::new(Code::RoomExpired, "This room has ended")),
            Self::Missing => Err(Error::new(Code::RoomNotFound, "There is no such room")),
        }
    }
}

impl Registry {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            rooms: DashMap::new(),
            count: AtomicUsize::new(0),
            max: limits.rooms,
            next_number: AtomicU64::new(1),
            listed: Mutex::default(),
            ended: Mutex::new(EndedRooms::new(limits.ended_rooms, limits.ended_for)),
            deadlines: Deadlines::new(),
        }
    }

    /// What there is under an id at this time. A room that is due is brought up to date before, so
    /// it does not matter whether the timekeeper was there already.
    pub(crate) fn lookup(&self, id: &RoomId, now: Now) -> Lookup {
        let room = self.rooms.get(id).map(|room| Arc::clone(&room));
        if let Some(room) = room {
            let is_due = room.due().is_some_and(|due| due <= now.stamp.monotonic_ms);
            if !is_due || self.bring_up_to_date(&room, now) == Lifecycle::Live {
                return Lookup::Live(room);
            }
        }
        if self.ended.lock().contains(id, now.stamp.monotonic_ms) {
            Lookup::Ended
        } else {
            Lookup::Missing
        }
    }

    /// Inserts a room, unless there is one under its id already. Returns the room under the id, and
    /// whether it is the new one.
    ///
    /// # Errors
    /// `unavailable` if there are too many rooms.
    pub(crate) fn insert(
        &self,
        id: RoomId,
        make: impl FnOnce(RoomId, u64) -> Room,
    ) -> Result<(Arc<Room>, bool), Error> {
        let room = match self.rooms.entry(id.clone()) {
            Entry::Occupied(found) => return Ok((Arc::clone(found.get()), false)),
            Entry::Vacant(entry) => {
                if self.count.fetch_add(1, Ordering::Relaxed) >= self.max {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                    return Err(Error::new(
                        Code::Unavailable,
                        "There are too many rooms; please try again later",
                    ));
                }
                let number = self.next_number.fetch_add(1, Ordering::Relaxed);
                let room = Arc::new(make(id, number));
                // Before anybody can find the room: whoever ends it takes it out of this list, too.
                if room.is_listed() {
                    self.listed.lock().insert(number, Arc::clone(&room));
                }
                entry.insert(Arc::clone(&room));
                room
            }
        };
        self.deadlines.update(&room);
        Ok((room, true))
    }

    /// Does what is due in one room, and takes it out if it has ended.
    pub(crate) fn bring_up_to_date(&self, room: &Arc<Room>, now: Now) -> Lifecycle {
        let lifecycle = room.tick(now);
        match lifecycle {
            Lifecycle::Live => self.deadlines.update(room),
            Lifecycle::Ended | Lifecycle::Forgotten => self.remove(room, lifecycle, now),
        }
        lifecycle
    }

    /// Does what is due in all rooms.
    pub(crate) fn tick(&self, now: Now) {
        while let Some(room) = self.deadlines.pop_due(now.stamp.monotonic_ms) {
            self.bring_up_to_date(&room, now);
        }
    }

    /// Takes out a room that has ended. May be called again by each member who leaves it late.
    fn remove(&self, room: &Room, lifecycle: Lifecycle, now: Now) {
        self.deadlines.remove(room);
        let entry = self.rooms.get(&room.id).map(|entry| entry.number);
        if entry != Some(room.number) {
            return;
        }
        if lifecycle == Lifecycle::Ended {
            // Before it is taken out, so that nobody finds nothing in between.
            let mut ended = self.ended.lock();
            ended.insert(room.id.clone(), now.stamp.monotonic_ms);
        }
        let is_this_one = |_: &RoomId, other: &Arc<Room>| other.number == room.number;
        if self.rooms.remove_if(&room.id, is_this_one).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        self.listed.lock().remove(&room.number);
    }

    /// Listed rooms that are older than `cursor`, newest first.
    pub(crate) fn list(&self, cursor: Option<u64>, limit: usize) -> RoomsPage {
        let listed = self.listed.lock();
        let mut older = listed.range(..cursor.unwrap_or(u64::MAX)).rev();
        let page: Vec<Arc<Room>> = older
            .by_ref()
            .take(limit)
            .map(|(_, room)| Arc::clone(room))
            .collect();
        let more = older.next().is_some();
        drop(listed);
        let last = page.last().filter(|_| more);
        let cursor = last.map(|room| room.number.to_string());
        RoomsPage {
            rooms: page.iter().map(|room| room.info()).collect(),
            cursor,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}
