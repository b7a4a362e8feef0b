//! One connection's side of the engine: who it is, its position in each of its rooms, and what it
//! is sent next.

use std::sync::Arc;
use std::task::Waker;

use smallvec::SmallVec;

use super::outbox::Outbox;
use super::ticket::Ticket;
use super::transport::{Close, CloseCode};
use crate::clock::Now;
use crate::engine::Engine;
use crate::identity::Identity;
use crate::identity::default_nickname::Language;
use crate::identity::nickname::Nickname;
use crate::protocol::Frames;
use crate::protocol::event::Event;
use crate::rate::Bucket;
use crate::room::{Cursor, Delivery, Room};

/// The state of a connection: a set of cursors. It does no I/O and knows no clock. The driver hands
/// it what was received and the time, and takes from it what is to be sent.
pub(super) struct Session {
    pub(super) engine: Arc<Engine>,
    pub(super) ticket: Ticket,
    pub(super) visitor: Option<Box<Visitor>>,
    /// Most connections are in one room, so its cursor lies here.
    pub(super) rooms: SmallVec<[(Arc<Room>, Cursor); 1]>,
    /// Where the next look for deliveries starts, so that no room waits behind a busy one.
    next_room: usize,
    pub(super) outbox: Outbox,
    ending: Option<Box<Close>>,
    /// What is woken when there is something to deliver.
    pub(super) task: Waker,
    /// The connection's slot in the engine's waker set.
    slot: u32,
    pub(super) bucket: Bucket,
    /// Malformed commands in a row.
    pub(super) malformed: u8,
    /// Commands in a row that were refused with `rate_limited`.
    pub(super) rate_limited: u8,
}

/// Who is connected, once that is known.
pub(super) struct Visitor {
    pub(super) identity: Identity,
    /// The nickname of their own choice.
    pub(super) nickname: Option<Nickname>,
    pub(super) language: Language,
}

impl Session {
    pub(super) fn new(ticket: Ticket) -> Self {
        let task = Waker::noop().clone();
        let engine = Arc::clone(&ticket.engine);
        let slot = engine.connections.wakers.insert(task.clone());
        Self {
            engine,
            ticket,
            visitor: None,
            rooms: SmallVec::new(),
            next_room: 0,
            outbox: Outbox::default(),
            ending: None,
            task,
            slot,
            bucket: Bucket::default(),
            malformed: 0,
            rate_limited: 0,
        }
    }

    pub(super) fn now(&self) -> Now {
        self.engine.clock.now()
    }

    /// What is to be sent next, one buffer at a time; `None` if there is nothing.
    pub(super) fn next(&mut self) -> Option<Frames> {
        if let Some(frames) = self.outbox.take() {
            return Some(frames);
        }
        let going_away = self.ending.is_none() && self.is_draining();
        if going_away {
            // What other threads acknowledge at this moment is delivered before the goodbye, too.
            self.rooms.iter().for_each(|(room, _)| room.barrier());
        }
        if let Some(frames) = self.next_of_rooms() {
            return Some(frames);
        }
        if going_away {
            self.say_goodbye();
        }
        self.outbox.take()
    }

    fn next_of_rooms(&mut self) -> Option<Frames> {
        for turn in 0..self.rooms.len() {
            let n = (self.next_room + turn) % self.rooms.len();
            let (room, cursor) = &mut self.rooms[n];
            if !room.has_delivery(cursor) {
                continue;
            }
            match room.read(cursor) {
                Delivery::Nothing => {}
                Delivery::Frames(frames) => {
                    self.next_room = n + 1;
                    return Some(frames);
                }
                Delivery::Removed(removal) => {
                    let (room, cursor) = self.rooms.remove(n);
                    room.release(&cursor);
                    self.outbox.push(&Event::Removed {
                        room: &room.id,
                        reason: removal.reason,
                        text: removal.text.as_deref(),
                        until: removal.until,
                    });
                    return self.outbox.take();
                }
            }
        }
        None
    }

    fn say_goodbye(&mut self) {
        let [spread] = self.engine.random();
        // Between half a second and about five and a half, so that a thousand clients do not come
        // back at the same instant.
        let reconnect_after_ms = 500 + u64::from(spread) * 20;
        self.outbox.push(&Event::Closing {
            reason: "The server is going away",
            reconnect_after_ms,
        });
        self.end(Close::new(CloseCode::GOING_AWAY, "going away"));
    }

    /// Called before the task sleeps; false if something arrived meanwhile.
    pub(super) fn prepare_to_sleep(&self) -> bool {
        self.rooms.iter().all(|(room, cursor)| {
            room.arm();
            !room.has_delivery(cursor)
        })
    }

    /// The task that is to be woken from now on.
    pub(super) fn set_waker(&mut self, task: &Waker) {
        self.task.clone_from(task);
        let wakers = &self.engine.connections.wakers;
        wakers.set_waker(self.slot, task.clone());
        for (room, cursor) in &self.rooms {
            room.set_waker(cursor, task);
        }
    }

    /// Why the connection is to be closed once everything is sent.
    pub(super) fn ending(&self) -> Option<&Close> {
        self.ending.as_deref()
    }

    /// Closes the connection once everything is sent. The first reason counts.
    pub(super) fn end(&mut self, close: Close) {
        self.ending.get_or_insert_with(|| Box::new(close));
    }

    /// Whether commands are still carried out.
    pub(super) fn takes_commands(&self) -> bool {
        self.ending.is_none() && !self.is_draining()
    }

    /// Whether no command should be read before some of the replies are sent.
    pub(super) fn is_full(&self) -> bool {
        self.outbox.is_full()
    }

    /// The connection is gone: its members' seats are held for their grace. May be called again.
    pub(super) fn close(&mut self, now: Now) {
        for (room, cursor) in self.rooms.drain(..) {
            room.detach(&cursor, false, now);
            self.engine.registry.deadlines.update(&room);
        }
    }

    fn is_draining(&self) -> bool {
        self.engine.connections.is_draining()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.engine.connections.wakers.remove(self.slot);
    }
}
