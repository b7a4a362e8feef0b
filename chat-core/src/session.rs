//! One connection's side of the engine: who it is, where it stands in its rooms, what it is about to be told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use smallvec::SmallVec;

use crate::chat::Engine;
use crate::clock::Now;
use crate::command::{Command, Malformed, Request};
use crate::error::{Code, Error};
use crate::event::Event;
use crate::frame::Frames;
use crate::identity::Identity;
use crate::names::Language;
use crate::outbox::Outbox;
use crate::rate::Bucket;
use crate::room::{Cursor, News, Room};
use crate::ticket::Ticket;
use crate::transport::{Close, CloseCode};

/// The state of a connection: a set of cursors. It does no I/O and knows no clock; the driver hands it what was received and
/// the time, and takes from it what is to be sent.
//
// First what a delivery touches; see `Connection`.
#[repr(C)]
pub(crate) struct Session {
    /// What is woken when there is news.
    pub(crate) task: Waker,
    pub(crate) outbox: Outbox,
    /// Where the next look for news begins, so that no room waits behind a busy one.
    next_room: usize,
    ending: Option<Box<Close>>,
    /// The ticket's, in reach.
    pub(crate) engine: Arc<Engine>,
    /// Most connections are in one room: its cursor lies here.
    pub(crate) rooms: SmallVec<[(Arc<Room>, Cursor); 1]>,
    pub(crate) ticket: Ticket,
    pub(crate) who: Option<Box<Who>>,
    bucket: Bucket,
    /// Its place among the connections of the engine.
    pub(crate) slot: u32,
    malformed: u8,
    excess: u8,
}

/// Who speaks, once it has said so.
pub(crate) struct Who {
    pub(crate) identity: Identity,
    /// The nickname of its own choice.
    pub(crate) nickname: Option<String>,
    pub(crate) language: Language,
}

/// A command that waits for something outside: a hash, or the host. Its output is the rest of the command.
pub(crate) struct Work {
    pub(crate) id: Option<u64>,
    pub(crate) rest: Pin<Box<dyn Future<Output = Rest> + Send>>,
}

/// The rest of a command, to be done with the session and the time at hand.
pub(crate) type Rest = Box<dyn FnOnce(&mut Session, Now) -> Outcome + Send>;

/// Done, to be continued, or refused.
pub(crate) type Outcome = Result<Option<Work>, Error>;

impl Session {
    pub(crate) fn new(ticket: Ticket) -> Self {
        let task = Waker::noop().clone();
        let engine = Arc::clone(&ticket.engine);
        let slot = engine.bells.add(task.clone());
        Self {
            engine,
            ticket,
            task,
            slot,
            who: None,
            rooms: SmallVec::new(),
            next_room: 0,
            outbox: Outbox::default(),
            bucket: Bucket::default(),
            malformed: 0,
            excess: 0,
            ending: None,
        }
    }

    /// Takes one message of the peer.
    pub(crate) fn receive(&mut self, text: &[u8], now: Now) -> Option<Work> {
        if self.ending.is_some() || self.is_draining() {
            return None;
        }
        let Request { id, command } = match Request::parse(text) {
            Ok(request) => request,
            Err(malformed) => {
                self.refuse_malformed(&malformed, now);
                return None;
            }
        };
        let is_hello = matches!(command, Command::Hello { .. });
        if self.who.is_none() && !is_hello && !self.greet(now) {
            return None;
        }
        let quota = self.engine.limits.commands;
        if let Err(wait) = self.bucket.take(quota, command.cost(), now.instant) {
            self.refuse_excess(
                id,
                &Error::rate_limited("Too many commands; wait a little", wait),
            );
            return None;
        }
        let greeting = is_hello && self.who.is_none();
        let outcome = self.obey(id, command, now);
        self.conclude(id, outcome, greeting)
    }

    /// Does the rest of a command.
    pub(crate) fn resume(&mut self, id: Option<u64>, rest: Rest, now: Now) -> Option<Work> {
        let outcome = rest(self, now);
        self.conclude(id, outcome, false)
    }

    /// Notes how a command ended. A refused `greeting` counts as malformed.
    fn conclude(&mut self, id: Option<u64>, outcome: Outcome, greeting: bool) -> Option<Work> {
        match outcome {
            Ok(None) => {
                self.malformed = 0;
                self.excess = 0;
            }
            Ok(work) => return work,
            Err(error) if error.code == Code::RateLimited => self.refuse_excess(id, &error),
            Err(error) => {
                self.excess = 0;
                self.outbox.push_error(id, &error);
                if greeting || error.code == Code::BadCommand {
                    self.count_malformed();
                }
            }
        }
        None
    }

    /// What is to be sent next, one buffer at a time; none when all is said.
    pub(crate) fn next(&mut self) -> Option<Frames> {
        if let Some(frames) = self.outbox.take() {
            return Some(frames);
        }
        let going = self.ending.is_none() && self.is_draining();
        if going {
            // What is acknowledged by another thread meanwhile is delivered first, too.
            self.rooms.iter().for_each(|(room, _)| room.let_finish());
        }
        for turn in 0..self.rooms.len() {
            let n = (self.next_room + turn) % self.rooms.len();
            let (room, cursor) = &mut self.rooms[n];
            if !room.has_news(cursor) {
                continue;
            }
            match room.read(cursor) {
                News::Nothing => {}
                News::Frames(frames) => {
                    self.next_room = n + 1;
                    return Some(frames);
                }
                News::Removed(removal) => {
                    let (room, cursor) = self.rooms.remove(n);
                    room.forget(&cursor);
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
        if going {
            let [spread] = self.engine.random();
            // Half a second to about five and a half: a thousand clients do not come back in the same instant.
            let reconnect_after_ms = 500 + u64::from(spread) * 20;
            self.outbox.push(&Event::Closing {
                reason: "The server is going away",
                reconnect_after_ms,
            });
            self.end(Close::new(CloseCode::AWAY, "going away"));
            return self.outbox.take();
        }
        None
    }

    /// Tells the others in its rooms that it has said something, if it has.
    pub(crate) fn ring(&mut self) {
        for (room, cursor) in &mut self.rooms {
            room.ring(cursor);
        }
    }

    /// Before its task sleeps: whether it may, as nothing has come in the meantime.
    pub(crate) fn rest(&self) -> bool {
        self.rooms.iter().all(|(room, cursor)| {
            room.rest();
            !room.has_news(cursor)
        })
    }

    /// The task to wake from now on.
    pub(crate) fn follow(&mut self, task: &Waker) {
        self.task.clone_from(task);
        self.engine.bells.follow(self.slot, task.clone());
        for (room, cursor) in &self.rooms {
            room.follow(cursor, task);
        }
    }

    /// Why the connection is to be closed when all is said.
    pub(crate) fn ending(&self) -> Option<&Close> {
        self.ending.as_deref()
    }

    pub(crate) fn end(&mut self, close: Close) {
        self.ending.get_or_insert_with(|| Box::new(close));
    }

    /// Whether no command should be read before some of what is to be sent is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.outbox.is_full()
    }

    /// The connection is gone: seats are held for their grace. May be called again.
    pub(crate) fn close(&mut self, now: Now) {
        self.ring();
        for (room, cursor) in self.rooms.drain(..) {
            room.leave(&cursor, false, now.instant);
            self.engine.registry.reschedule(&room);
        }
    }

    fn is_draining(&self) -> bool {
        self.engine.draining.load(Ordering::Acquire)
    }

    /// As if an empty `hello` had come first.
    pub(crate) fn greet(&mut self, now: Now) -> bool {
        match self.hello(None, None, None, None, now) {
            Ok(_) => true,
            Err(error) => {
                self.refuse_excess(None, &error);
                false
            }
        }
    }

    fn refuse_malformed(&mut self, malformed: &Malformed, now: Now) {
        if self.who.is_none() && !malformed.hello && !self.greet(now) {
            return;
        }
        let quota = self.engine.limits.commands;
        let _ = self.bucket.take(quota, 1, now.instant);
        self.outbox.push_error(malformed.id, &malformed.error);
        if matches!(malformed.error.code, Code::BadJson | Code::BadCommand) {
            self.count_malformed();
        }
    }

    fn count_malformed(&mut self) {
        self.malformed += 1;
        if self.malformed >= MOST_MALFORMED {
            self.end(Close::new(CloseCode::POLICY, "malformed commands"));
        }
    }

    fn refuse_excess(&mut self, id: Option<u64>, error: &Error) {
        self.outbox.push_error(id, error);
        self.excess += 1;
        if self.excess >= MOST_EXCESS {
            self.end(Close::new(CloseCode::POLICY, "far too many commands"));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.engine.bells.remove(self.slot);
    }
}

/// Malformed commands in a row that end a connection.
const MOST_MALFORMED: u8 = 10;
/// Commands refused in a row for coming too fast that end a connection.
const MOST_EXCESS: u8 = 100;
