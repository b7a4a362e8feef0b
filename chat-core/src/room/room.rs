//! A room as its connections share it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::RwLock;

use crate::clock::Now;
use crate::identity::nickname::Nickname;
use crate::limits::Limits;
use crate::protocol::error;
use crate::protocol::message::Content;
use crate::protocol::{Error, Frames, MemberId, MembersPage, RoomId, RoomInfo};
use crate::wake::WakerSet;

use super::contents::{Contents, Local};
use super::counters::Counters;
use super::cursor::{Cursor, Delivery};
use super::joining::{Joined, PasswordGate, Return};
use super::state::{
    Detach, Effects, Lifecycle, Operation, Position, Refusal, Retention, Seated, SendMessage,
    Settings, State, Tick,
};

/// A room.
///
/// Everything that is decided together lies behind one lock, so a join, a kick and a send have one
/// serial order. A sleeping reader sees by three counters outside the lock whether there is
/// something to deliver. Members are notified after the lock is released.
pub(crate) struct Room {
    counters: Counters,
    pub(crate) id: RoomId,
    /// Distinguishes this room from an earlier one of the same id; grows in the order of creation.
    pub(crate) number: u64,
    pub(crate) epoch: Box<str>,
    wakers: WakerSet,
    contents: RwLock<Contents>,
}

/// Whether the members of a room are yet to be notified; to be handed to
/// [`PendingNotifications`](super::PendingNotifications).
#[must_use = "members sleep until they are notified"]
pub(crate) struct NotifyLater(pub(super) bool);

impl Room {
    pub(crate) fn new(
        id: RoomId,
        number: u64,
        epoch: String,
        settings: Settings,
        limits: &Limits,
        now: Now,
    ) -> Self {
        let retention = Retention {
            events: limits.log_events,
            bytes: limits.log_bytes,
        };
        let state = State::new(id.clone(), settings, retention, now.stamp);
        let contents = Contents {
            state,
            local: Local::new(limits),
        };
        Self {
            counters: Counters::new(contents.due()),
            id,
            number,
            epoch: epoch.into(),
            wakers: WakerSet::new(),
            contents: RwLock::new(contents),
        }
    }

    /// Applies an operation, and notifies the members of its effects.
    pub(crate) fn apply<O: Operation>(
        &self,
        now: Now,
        operation: O,
    ) -> Result<O::Outcome, Refusal> {
        self.change(now, |contents| contents.state.apply(now.stamp, operation))
    }

    /// Does what is due.
    pub(crate) fn tick(&self, now: Now) -> Lifecycle {
        self.change(now, |contents| {
            let (_, effects) = contents.state.apply(now.stamp, Tick);
            (contents.state.lifecycle(), effects)
        })
    }

    /// Changes the room under its lock, and notifies the members after that. Every change goes
    /// through here, but for sends, whose notification waits for the end of the turn.
    fn change<R>(&self, now: Now, change: impl FnOnce(&mut Contents) -> (R, Effects)) -> R {
        let (result, notify) = self.change_without_notifying(now, change);
        if notify {
            self.notify_all();
        }
        result
    }

    /// Changes the room under its lock. The caller must notify the members if the second value is
    /// true.
    #[must_use]
    #[inline]
    fn change_without_notifying<R>(
        &self,
        now: Now,
        change: impl FnOnce(&mut Contents) -> (R, Effects),
    ) -> (R, bool) {
        let mut contents = self.contents.write();
        let (result, effects) = change(&mut contents);
        let notify = contents.publish(effects, &self.counters, now.stamp);
        (result, notify)
    }

    pub(super) fn notify_all(&self) {
        self.wakers.notify_all();
    }

    /// When [`tick`](Self::tick) has something to do next, on the monotonic time line. No lock is
    /// taken.
    pub(crate) fn due(&self) -> Option<u64> {
        self.counters.due()
    }

    pub(crate) fn info(&self) -> RoomInfo {
        self.contents.read().state.info()
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.contents.read().state.settings().listed
    }

    /// Whether a visitor may come, and what they must know.
    pub(crate) fn password_gate(&self, id: MemberId, now: Now) -> Result<PasswordGate, Refusal> {
        let contents = self.contents.read();
        contents.state.check_entry(id, now.stamp)?;
        Ok(PasswordGate {
            password: contents.state.password_for(id).cloned(),
            has_seat: contents.state.roster().seat(id).is_some(),
        })
    }

    /// The second half of a join, after the [`Join`](super::state::Join) operation has given the
    /// member a seat: a cursor, and a view of the room as of that operation. Ended by
    /// [`detach`](Self::detach).
    pub(crate) fn attach(
        &self,
        seated: Seated,
        back: &Return<'_>,
        max_page: usize,
        waker: &Waker,
    ) -> Joined {
        let contents = self.contents.read();
        let recovery = contents.recovery(&self.epoch, &seated, back, max_page);
        // The stay may be over already; then the first look must find that out.
        let stays = contents.state.check_stay(seated.member.id, seated.ordinal);
        let removals = match stays {
            Ok(()) => self.counters.removals(),
            Err(_) => NEVER_SEEN,
        };
        let page = contents.members(None, max_page);
        let roster_member = contents.state.roster().member(seated.member.id);
        Joined {
            info: contents.state.info(),
            seq: seated.seq,
            recovered: recovery.recovered,
            messages: recovery.messages,
            cursor: Cursor {
                seq: recovery.seq,
                ephemeral: self.counters.ephemeral(),
                removals,
                removal: None,
                member: seated.member.id,
                slot: self.wakers.insert(waker.clone()),
                ordinal: seated.ordinal,
                presence: page.version,
                typing: contents.local.typing.newest(),
            },
            page,
            // Another connection of the member may have renamed them meanwhile.
            you: roster_member.unwrap_or(seated.member),
        }
    }

    /// Ends one connection's stay. With the last one their member leaves: at once if they `left`,
    /// after the room's grace otherwise.
    pub(crate) fn detach(&self, cursor: &Cursor, left: bool, now: Now) {
        self.release(cursor);
        let detach = Detach {
            member: cursor.member,
            ordinal: cursor.ordinal,
            left,
        };
        // A connection can always be detached.
        let _ = self.apply(now, detach);
    }

    /// Lets go of a connection whose stay was ended by somebody else.
    pub(crate) fn release(&self, cursor: &Cursor) {
        self.wakers.remove(cursor.slot);
    }

    /// A connection has moved to another task.
    pub(crate) fn set_waker(&self, cursor: &Cursor, waker: &Waker) {
        self.wakers.set_waker(cursor.slot, waker.clone());
    }

    /// Sends a member's message. The members are yet to be notified: once for all messages of a
    /// turn.
    pub(crate) fn send(
        &self,
        cursor: &Cursor,
        content: Content<'_>,
        key: Option<&str>,
        draining: &AtomicBool,
        now: Now,
    ) -> (Result<Position, Error>, NotifyLater) {
        let message = SendMessage {
            member: cursor.member,
            ordinal: cursor.ordinal,
            content,
            key,
        };
        let (outcome, notify) = self.change_without_notifying(now, |Contents { state, local }| {
            // Checked under the lock, so that whoever has seen the drain and then had the lock
            // knows that nothing more is appended.
            if draining.load(Ordering::Acquire) {
                if let Err(refusal) = state.check_stay(cursor.member, cursor.ordinal) {
                    return (Some(Err(refusal)), Effects::default());
                }
                let known = key.and_then(|key| state.find_key(cursor.member, key));
                return (known.map(Ok), Effects::default());
            }
            let (outcome, effects) = state.apply(now.stamp, message);
            if effects.appended {
                local.typing.stop(cursor.member);
            }
            (Some(outcome), effects)
        });
        let outcome = match outcome {
            Some(outcome) => outcome.map_err(Error::from),
            None => Err(error::going_away()),
        };
        (outcome, NotifyLater(notify))
    }

    /// The event that the member has sent with this key, if it is still remembered.
    pub(crate) fn find_key(&self, cursor: &Cursor, key: &str) -> Option<Position> {
        self.contents.read().state.find_key(cursor.member, key)
    }

    /// Whether a member may take this nickname.
    pub(crate) fn check_rename(&self, cursor: &Cursor, nickname: &Nickname) -> Result<(), Refusal> {
        self.contents.read().check_rename(cursor, nickname)
    }

    /// Tells the other members that a member types, or has stopped. Repetitions are left out, and
    /// so is everything in rooms of more than `max_members`.
    pub(crate) fn set_typing(&self, cursor: &Cursor, active: bool, max_members: usize, now: Now) {
        self.change(now, |contents| {
            let ephemeral = contents.set_typing(cursor, active, max_members, now.stamp);
            let effects = Effects {
                ephemeral,
                ..Effects::default()
            };
            ((), effects)
        });
    }

    /// Waits until every send that has begun is finished.
    pub(crate) fn barrier(&self) {
        drop(self.contents.read());
    }

    /// Whether there may be something to deliver. No lock is taken.
    pub(crate) fn has_delivery(&self, cursor: &Cursor) -> bool {
        self.counters.are_ahead_of(cursor)
    }

    /// Announces that a connection is about to sleep. It may only if
    /// [`has_delivery`](Self::has_delivery) is false after this.
    pub(crate) fn arm(&self) {
        self.wakers.arm();
    }

    /// What a connection is sent next, about 16 KiB at a time.
    pub(crate) fn read(&self, cursor: &mut Cursor) -> Delivery {
        if self.counters.removals() != cursor.removals {
            let contents = self.contents.read();
            cursor.removals = self.counters.removals();
            cursor.removal = contents.removal(cursor).map(Box::new);
        }
        let head = self.counters.head();
        let until = cursor.removal.as_ref().map_or(head, |removal| removal.seq);
        if until > cursor.seq {
            return Delivery::Frames(self.read_log(cursor, until));
        }
        if let Some(removal) = cursor.removal.take() {
            return Delivery::Removed(removal);
        }
        if self.counters.ephemeral() != cursor.ephemeral
            && let Some(frames) = self.read_ephemeral(cursor)
        {
            return Delivery::Frames(frames);
        }
        Delivery::Nothing
    }

    fn read_log(&self, cursor: &mut Cursor, until: u64) -> Frames {
        let mut contents = self.contents.read();
        if contents.state.log().is_open() {
            drop(contents);
            self.contents.write().state.seal_log();
            contents = self.contents.read();
        }
        contents.read_log(&self.epoch, cursor, until)
    }

    fn read_ephemeral(&self, cursor: &mut Cursor) -> Option<Frames> {
        let contents = self.contents.read();
        cursor.ephemeral = self.counters.ephemeral();
        contents.local.read(cursor)
    }

    /// The messages before `before`, oldest first, and whether there are more.
    pub(crate) fn history(
        &self,
        cursor: &Cursor,
        before: Option<u64>,
        limit: usize,
    ) -> (Vec<Frames>, bool) {
        self.contents.read().history(cursor.member, before, limit)
    }

    /// A page of the members after an ordinal.
    pub(crate) fn members(&self, after: Option<u64>, limit: usize) -> MembersPage {
        self.contents.read().members(after, limit)
    }
}

/// A value that the counter of removals never has.
const NEVER_SEEN: u64 = u64::MAX;
