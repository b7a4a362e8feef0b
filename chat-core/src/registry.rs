//! Which rooms there are, which are listed, which have ended, and when each has something to do.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Now;
use crate::error::{Code, Error};
use crate::event::RoomsPage;
use crate::id::RoomId;
use crate::limits::Limits;
use crate::room::{Fate, Room};

/// All rooms of an engine.
pub(crate) struct Registry {
    rooms: DashMap<RoomId, Arc<Room>>,
    count: AtomicUsize,
    next_no: AtomicU64,
    /// By number, so newest last.
    listed: Mutex<BTreeMap<u64, Arc<Room>>>,
    ended: Mutex<Ended>,
    deadlines: Mutex<Deadlines>,
    /// Told when the earliest deadline has become earlier.
    pub(crate) sooner: Arc<Notify>,
    most: usize,
}

impl Registry {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            rooms: DashMap::new(),
            count: AtomicUsize::new(0),
            next_no: AtomicU64::new(1),
            listed: Mutex::default(),
            ended: Mutex::new(Ended::new(limits.ended_rooms, limits.ended_for)),
            deadlines: Mutex::default(),
            sooner: Arc::new(Notify::new()),
            most: limits.rooms,
        }
    }

    /// A room that lives.
    ///
    /// # Errors
    /// `room_not_found`, `room_expired`.
    pub(crate) fn find(&self, id: &RoomId, now: Instant) -> Result<Arc<Room>, Error> {
        if let Some(room) = self.rooms.get(id) {
            return Ok(Arc::clone(&room));
        }
        self.check_ended(id, now)?;
        Err(Error::new(Code::RoomNotFound, "There is no such room"))
    }

    pub(crate) fn check_ended(&self, id: &RoomId, now: Instant) -> Result<(), Error> {
        if self.ended.lock().contains(id, now) {
            return Err(Error::new(Code::RoomExpired, "This room has ended"));
        }
        Ok(())
    }

    /// Puts a room in. With `or_found` the one that has the id already is as good.
    ///
    /// # Errors
    /// `room_exists`; `unavailable` where there are too many.
    pub(crate) fn insert(
        &self,
        id: RoomId,
        or_found: bool,
        make: impl FnOnce(RoomId, u64) -> Room,
    ) -> Result<Arc<Room>, Error> {
        let room = match self.rooms.entry(id.clone()) {
            Entry::Occupied(found) if or_found => return Ok(Arc::clone(found.get())),
            Entry::Occupied(_) => {
                return Err(Error::new(Code::RoomExists, "There is a room of this id"));
            }
            Entry::Vacant(place) => {
                if self.count.fetch_add(1, Ordering::Relaxed) >= self.most {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                    return Err(Error::new(
                        Code::Unavailable,
                        "There are too many rooms; try again later",
                    ));
                }
                let room = Arc::new(make(id, self.next_no.fetch_add(1, Ordering::Relaxed)));
                // Before anybody finds it: who ends it takes it out of this list, too.
                if room.is_listed() {
                    self.listed.lock().insert(room.no, Arc::clone(&room));
                }
                place.insert(Arc::clone(&room));
                room
            }
        };
        self.reschedule(&room);
        Ok(room)
    }

    /// Takes an ended room out.
    pub(crate) fn remove(&self, room: &Room, fate: Fate, now: Instant) {
        if fate == Fate::Ended {
            self.ended.lock().insert(room.id.clone(), now);
        }
        if self
            .rooms
            .remove_if(&room.id, |_, other| other.no == room.no)
            .is_some()
        {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        self.listed.lock().remove(&room.no);
        self.deadlines.lock().set(room.no, None, None);
    }

    /// Listed rooms older than `cursor`, newest first.
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
        let cursor = page.last().filter(|_| more).map(|room| room.no.to_string());
        RoomsPage {
            rooms: page.iter().map(|room| room.info()).collect(),
            cursor,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Notes when a room has something to do next.
    pub(crate) fn reschedule(&self, room: &Arc<Room>) {
        let mut deadlines = self.deadlines.lock();
        let due = room.due();
        if deadlines.set(room.no, due, Some(room)) {
            self.sooner.notify_one();
        }
    }

    /// The earliest deadline of all.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines
            .lock()
            .queue
            .first_key_value()
            .map(|((at, _), _)| *at)
    }

    /// Lets every room that has something to do by now do it.
    pub(crate) fn tick(&self, now: Now) {
        loop {
            let room = {
                let mut deadlines = self.deadlines.lock();
                let Some(first) = deadlines
                    .queue
                    .first_entry()
                    .filter(|e| e.key().0 <= now.instant)
                else {
                    return;
                };
                let room = first.remove();
                deadlines.by_room.remove(&room.no);
                room
            };
            match room.tick(now) {
                Fate::Lives => self.reschedule(&room),
                fate => self.remove(&room, fate, now.instant),
            }
        }
    }
}

/// One ordered set for all rooms; each is in it at most once.
#[derive(Default)]
struct Deadlines {
    queue: BTreeMap<(Instant, u64), Arc<Room>>,
    by_room: HashMap<u64, Instant>,
}

impl Deadlines {
    /// True if the earliest deadline is now an earlier one.
    fn set(&mut self, no: u64, due: Option<Instant>, room: Option<&Arc<Room>>) -> bool {
        if self.by_room.get(&no).copied() == due {
            return false;
        }
        if let Some(old) = self.by_room.remove(&no) {
            self.queue.remove(&(old, no));
        }
        let (Some(due), Some(room)) = (due, room) else {
            return false;
        };
        let sooner = self
            .queue
            .first_key_value()
            .is_none_or(|((first, _), _)| due < *first);
        self.by_room.insert(no, due);
        self.queue.insert((due, no), Arc::clone(room));
        sooner
    }
}

/// The ids of rooms that ended lately, a bounded number of them.
struct Ended {
    order: VecDeque<(Instant, RoomId)>,
    until: HashMap<RoomId, Instant>,
    most: usize,
    remembered: Duration,
}

impl Ended {
    fn new(most: usize, remembered: Duration) -> Self {
        Self {
            order: VecDeque::new(),
            until: HashMap::new(),
            most,
            remembered,
        }
    }

    fn insert(&mut self, id: RoomId, now: Instant) {
        let until = now + self.remembered;
        self.until.insert(id.clone(), until);
        self.order.push_back((until, id));
        while self.order.len() > self.most || self.order.front().is_some_and(|(at, _)| *at <= now) {
            let Some((at, id)) = self.order.pop_front() else {
                break;
            };
            if self.until.get(&id) == Some(&at) {
                self.until.remove(&id);
            }
        }
    }

    fn contains(&self, id: &RoomId, now: Instant) -> bool {
        self.until.get(id).is_some_and(|until| *until > now)
    }
}
