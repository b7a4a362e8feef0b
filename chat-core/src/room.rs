//! A room: one log, one roster, and every decision about them in one step.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use serde_json::value::RawValue;

use crate::bells::Bells;
use crate::clock::{Now, millis};
use crate::command::HistoryFrom;
use crate::error::{Code, Error};
use crate::event::{Event, Member, Reason, RoomInfo};
use crate::frame::{self, Frames};
use crate::id::{MemberId, RoomId};
use crate::limits::Limits;
use crate::log::{Log, Place};
use crate::message::{Author, Content, Message};
use crate::names::{self, Language};
use crate::password::Password;
use crate::presence::Presence;
use crate::roster::{Ban, Roster};

/// A room.
///
/// Everything that is decided together stands behind one lock, so a join, a kick and a send have one serial order. What a
/// sleeping reader looks at to see whether there is news are three counters beside it. Bells are rung after the lock is let go.
pub(crate) struct Room {
    /// The newest sequence number.
    head: AtomicU64,
    /// Grows with every presence and typing event.
    fleeting: AtomicU64,
    /// Grows whenever somebody is taken out.
    removals: AtomicU64,
    pub(crate) id: RoomId,
    /// Tells this room from an earlier one of the same id; grows in the order of creation.
    pub(crate) no: u64,
    epoch: Box<str>,
    bells: Bells,
    state: RwLock<State>,
}

/// What a room is made with.
pub(crate) struct Settings {
    pub(crate) title: String,
    pub(crate) capacity: u32,
    pub(crate) password: Option<Arc<Password>>,
    /// Zero is no end.
    pub(crate) ttl: Duration,
    pub(crate) grace: Duration,
    pub(crate) history_from: HistoryFrom,
    pub(crate) listed: bool,
    /// Made by the host: stays when it is empty.
    pub(crate) kept: bool,
}

struct State {
    log: Log,
    roster: Roster,
    presence: Presence,
    typing: Typing,
    settings: Settings,
    created_at: u64,
    expires: Option<(Instant, u64)>,
    idle: Duration,
    /// Since when nobody has a seat.
    empty_since: Option<Instant>,
    ended: Option<Removal>,
    /// Stays that were ended by somebody else, by ordinal.
    evicted: VecDeque<(u64, Removal)>,
}

/// Why and where a stay ended: events up to `seq` are still delivered.
#[derive(Clone, Debug)]
pub(crate) struct Removal {
    pub(crate) reason: Reason,
    pub(crate) text: Option<Arc<str>>,
    pub(crate) until: Option<u64>,
    seq: u64,
}

/// Who wants in.
pub(crate) struct Entry<'a> {
    pub(crate) id: MemberId,
    /// A normalised nickname of the visitor's own choice.
    pub(crate) nickname: Option<&'a str>,
    pub(crate) language: Language,
    /// The password that was given and found right.
    pub(crate) verified: Option<&'a Arc<Password>>,
    pub(crate) since: Option<(&'a str, u64)>,
    pub(crate) history: Option<u64>,
    pub(crate) task: &'a Waker,
}

/// What a visitor meets at the door.
pub(crate) enum Door {
    Open,
    Locked(Arc<Password>),
}

/// Somebody let in: what it is told, and its cursor.
pub(crate) struct Joined {
    pub(crate) info: RoomInfo,
    pub(crate) you: Member,
    pub(crate) version: u64,
    pub(crate) count: usize,
    pub(crate) members: Vec<Member>,
    pub(crate) seq: u64,
    pub(crate) recovered: bool,
    pub(crate) messages: Vec<Frames>,
    pub(crate) cursor: Cursor,
}

/// One connection's place in one room: up to where it was served.
//
// First what a delivery touches; see `Connection`.
#[repr(C)]
pub(crate) struct Cursor {
    seq: u64,
    fleeting: u64,
    removals: u64,
    removal: Option<Box<Removal>>,
    /// Whether something was said for which the bells have not been rung.
    unrung: bool,
    pub(crate) member: MemberId,
    slot: u32,
    ordinal: u64,
    version: u64,
    typing: u64,
}

/// What a cursor reads next.
pub(crate) enum News {
    /// Events to deliver, after a gap if there is one.
    Frames(Frames),
    Removed(Box<Removal>),
    Nothing,
}

/// What has become of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lives,
    /// Its id is remembered.
    Ended,
    /// It was empty for long; its id is free.
    Forgotten,
}

impl Room {
    pub(crate) fn new(
        id: RoomId,
        no: u64,
        epoch: String,
        settings: Settings,
        limits: &Limits,
        now: Now,
    ) -> Self {
        let ttl = settings.ttl;
        let expires = (!ttl.is_zero()).then(|| {
            let at = now.unix_ms.saturating_add(ttl.as_millis() as u64);
            (
                now.instant
                    .checked_add(ttl)
                    .unwrap_or(now.instant + FOREVER),
                at,
            )
        });
        Self {
            head: AtomicU64::new(0),
            fleeting: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            id,
            no,
            epoch: epoch.into(),
            bells: Bells::new(),
            state: RwLock::new(State {
                log: Log::new(limits.log_events, limits.log_bytes),
                roster: Roster::default(),
                presence: Presence::new(limits.presence_window, limits.presence_members),
                typing: Typing::default(),
                settings,
                created_at: now.unix_ms,
                expires,
                idle: limits.room_idle,
                empty_since: Some(now.instant),
                ended: None,
                evicted: VecDeque::new(),
            }),
        }
    }

    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    pub(crate) fn info(&self) -> RoomInfo {
        self.state.read().info(&self.id)
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.state.read().settings.listed
    }

    /// The first half of admission: exists, not expired, not banned, let in already or the password that is asked for.
    pub(crate) fn door(&self, id: MemberId, now: Now) -> Result<Door, Error> {
        let state = self.state.read();
        state.check_open(now)?;
        state.check_ban(id, now)?;
        Ok(match &state.settings.password {
            Some(password) if !state.is_admitted(id) => Door::Locked(Arc::clone(password)),
            _ => Door::Open,
        })
    }

    /// Admission in one step: exists → not expired → not banned → let in already, or the right password → nickname →
    /// capacity → seat → position.
    pub(crate) fn join(
        &self,
        entry: &Entry<'_>,
        limits: &Limits,
        now: Now,
    ) -> Result<Joined, Error> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let id = entry.id;
        state.check_open(now)?;
        state.check_ban(id, now)?;
        if let Some(password) = &state.settings.password
            && !state.is_admitted(id)
            && !entry
                .verified
                .is_some_and(|verified| Arc::ptr_eq(verified, password))
        {
            return Err(Error::new(
                Code::PasswordRequired,
                "This room has a password",
            ));
        }
        let seated = state.roster.seat(id).map(|seat| Arc::clone(&seat.nickname));
        if let Some(nickname) = entry.nickname
            && state.roster.nicknames.is_taken(nickname, id)
        {
            return Err(taken());
        }
        let capacity = state.settings.capacity as usize;
        if seated.is_none() && capacity != 0 && state.roster.len() >= capacity {
            return Err(Error::new(
                Code::RoomFull,
                "All seats of this room are taken",
            ));
        }
        let newest = state.log.newest();
        let news = match seated {
            None => {
                let nickname = match entry.nickname {
                    Some(nickname) => nickname.to_owned(),
                    None => state.free_nickname(id, entry.language)?,
                };
                let first_seq = state.roster.first_seq(id).unwrap_or(newest);
                state.roster.sit(id, &nickname, first_seq);
                if state.settings.password.is_some()
                    || state.settings.history_from == HistoryFrom::Join
                {
                    state.roster.grant(id, Some(first_seq));
                }
                state.empty_since = None;
                state
                    .presence
                    .change(&self.id, &state.roster, id, None, now.instant)
            }
            Some(before) => {
                state.roster.attach(id);
                match entry.nickname {
                    Some(nickname) if *nickname != *before => {
                        state.roster.rename(id, nickname);
                        state.presence.change(
                            &self.id,
                            &state.roster,
                            id,
                            Some(before),
                            now.instant,
                        )
                    }
                    _ => false,
                }
            }
        };
        if news {
            self.fleeting.fetch_add(1, Ordering::Release);
        }
        let seat = state.roster.seat(id).expect("just seated");
        let (ordinal, first_seq) = (seat.ordinal, state.visible_from(id));
        let recovered = entry.since.is_some_and(|(epoch, seq)| {
            *epoch == *self.epoch && state.log.can_resume(seq) && seq >= first_seq
        });
        let asked = match (entry.since, entry.history) {
            _ if recovered => 0,
            (_, Some(asked)) => asked.min(limits.page as u64),
            (Some(_), None) => 50,
            (None, None) => 0,
        };
        let from = (newest + 1).saturating_sub(asked).max(first_seq + 1);
        let (version, count) = state.presence.version();
        let joined = Joined {
            info: state.info(&self.id),
            you: state.roster.member(id).expect("just seated"),
            version,
            count,
            members: state.presence.list(&state.roster, None, limits.page).0,
            seq: newest,
            recovered,
            messages: state.log.frames(from..newest + 1).collect(),
            cursor: Cursor {
                member: id,
                ordinal,
                slot: self.bells.add(entry.task.clone()),
                seq: entry
                    .since
                    .filter(|_| recovered)
                    .map_or(newest, |(_, seq)| seq),
                version,
                typing: state.typing.newest,
                fleeting: self.fleeting.load(Ordering::Relaxed),
                removals: self.removals.load(Ordering::Relaxed),
                removal: None,
                unrung: false,
            },
        };
        drop(guard);
        if news {
            self.bells.ring();
        }
        Ok(joined)
    }

    /// Ends one connection's stay. With its last connection a member goes: at once if it said so, after its grace otherwise.
    pub(crate) fn leave(&self, cursor: &Cursor, said_so: bool, now: Instant) {
        self.bells.remove(cursor.slot);
        let mut guard = self.state.write();
        let state = &mut *guard;
        let id = cursor.member;
        if state
            .roster
            .seat(id)
            .is_none_or(|seat| seat.ordinal != cursor.ordinal)
            || !state.roster.detach(id)
        {
            return;
        }
        let grace = state.settings.grace;
        let news = if said_so || grace.is_zero() || state.ended.is_some() {
            self.stand(state, id, now)
        } else {
            state.roster.hold(id, now + grace);
            false
        };
        drop(guard);
        if news {
            self.bells.ring();
        }
    }

    /// A connection is another task's from now on.
    pub(crate) fn follow(&self, cursor: &Cursor, task: &Waker) {
        self.bells.follow(cursor.slot, task.clone());
    }

    /// Lets go of a connection whose stay was ended by somebody else.
    pub(crate) fn forget(&self, cursor: &Cursor) {
        self.bells.remove(cursor.slot);
    }

    /// Appends a message of a member: the way of a message from its socket ends here, and that to the sockets begins. The caller
    /// [rings](Self::ring) before it waits for anything.
    pub(crate) fn send(
        &self,
        cursor: &mut Cursor,
        content: Content<'_>,
        key: Option<&str>,
        draining: &AtomicBool,
        now: Now,
    ) -> Result<Place, Error> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let id = cursor.member;
        let seat = state.roster.stay(id, cursor.ordinal);
        let seat = seat
            .filter(|_| state.ended.is_none())
            .ok_or_else(not_joined)?;
        if let Some(place) = key.and_then(|key| state.log.find_key(id, key)) {
            return Ok(place);
        }
        // Asked under the lock, so that whoever has seen the drain and had the lock knows that nothing more comes.
        if draining.load(Ordering::Acquire) {
            let message = "The server is going away";
            return Err(Error::new(Code::Unavailable, message));
        }
        let from = Author {
            id,
            nickname: &seat.nickname,
        };
        let key = key.map(|key| (id, key));
        let place = state
            .log
            .append(now.unix_ms, key, |Place { seq, at }, out| {
                let message = Message {
                    room: &self.id,
                    seq,
                    from,
                    text: content.text,
                    at,
                    reply_to: content.reply_to,
                    data: content.data,
                };
                frame::push_with(out, |out| message.write(out));
            });
        state.typing.said(id);
        self.head.store(place.seq, Ordering::Release);
        cursor.unrung = true;
        Ok(place)
    }

    /// Wakes whoever sleeps, if this cursor's connection has [sent](Self::send) something since the last time. Once for all
    /// commands of a turn: each ring looks at every member.
    pub(crate) fn ring(&self, cursor: &mut Cursor) {
        if std::mem::take(&mut cursor.unrung) {
            self.bells.ring();
        }
    }

    /// Where an earlier `send` with this key stands, if it is retained.
    pub(crate) fn find_key(&self, cursor: &Cursor, key: &str) -> Option<Place> {
        self.state.read().log.find_key(cursor.member, key)
    }

    /// Appends a notice of the host.
    pub(crate) fn announce(
        &self,
        text: &str,
        data: Option<&RawValue>,
        now: Now,
    ) -> Result<Place, Error> {
        let mut state = self.state.write();
        state.check_open(now)?;
        let place = state
            .log
            .append(now.unix_ms, None, |Place { seq, at }, out| {
                let notice = Event::Notice {
                    room: &self.id,
                    seq,
                    text,
                    at,
                    data,
                };
                frame::push(out, &notice);
            });
        self.head.store(place.seq, Ordering::Release);
        drop(state);
        self.bells.ring();
        Ok(place)
    }

    /// Waits for who is sending just now: a lock's time.
    pub(crate) fn let_finish(&self) {
        drop(self.state.read());
    }

    /// Whether a cursor may have something to read. No lock is taken.
    pub(crate) fn has_news(&self, cursor: &Cursor) -> bool {
        self.head.load(Ordering::Acquire) > cursor.seq && cursor.removal.is_none()
            || self.fleeting.load(Ordering::Acquire) != cursor.fleeting
            || self.removals.load(Ordering::Acquire) != cursor.removals
            || cursor.removal.is_some()
    }

    /// A cursor's connection is about to sleep, unless [`has_news`](Self::has_news) after this.
    pub(crate) fn rest(&self) {
        self.bells.rest();
    }

    /// Reads what comes next for a cursor: about 16 KiB at the most.
    pub(crate) fn read(&self, cursor: &mut Cursor) -> News {
        if self.removals.load(Ordering::Acquire) != cursor.removals {
            let state = self.state.read();
            cursor.removals = self.removals.load(Ordering::Acquire);
            cursor.removal = state.removal(cursor).map(Box::new);
        }
        let head = self.head.load(Ordering::Acquire);
        let until = cursor.removal.as_ref().map_or(head, |removal| removal.seq);
        if until > cursor.seq {
            return News::Frames(self.read_log(cursor, until));
        }
        if let Some(removal) = cursor.removal.take() {
            return News::Removed(removal);
        }
        if self.fleeting.load(Ordering::Acquire) != cursor.fleeting
            && let Some(frames) = self.read_fleeting(cursor)
        {
            return News::Frames(frames);
        }
        News::Nothing
    }

    fn read_log(&self, cursor: &mut Cursor, until: u64) -> Frames {
        let mut state = self.state.read();
        if state.log.is_open() {
            drop(state);
            self.state.write().log.seal();
            state = self.state.read();
        }
        let reading = state.log.read(cursor.seq, until);
        cursor.seq = reading.position;
        let Some(gap) = reading.gap else {
            return reading.frames;
        };
        // Told together with what comes after it, so that no client sees one without the other.
        let mut out = Vec::new();
        let (from, to) = (gap.start, gap.end - 1);
        frame::push(
            &mut out,
            &Event::Gap {
                room: &self.id,
                epoch: &self.epoch,
                from,
                to,
            },
        );
        out.extend_from_slice(reading.frames.as_bytes());
        Frames::from_pushed(out)
    }

    fn read_fleeting(&self, cursor: &mut Cursor) -> Option<Frames> {
        let state = self.state.read();
        cursor.fleeting = self.fleeting.load(Ordering::Acquire);
        let presence = state.presence.after(cursor.version);
        let typing = state.typing.after(cursor.typing, cursor.member);
        let all: Vec<&Frames> = presence.chain(typing).collect();
        cursor.version = state.presence.version().0;
        cursor.typing = state.typing.newest;
        match all[..] {
            [] => None,
            [one] => Some(one.clone()),
            _ => Some(Frames::concat(all.into_iter())),
        }
    }

    /// The messages before `before`, oldest first, and whether there are more.
    pub(crate) fn history(
        &self,
        cursor: &Cursor,
        before: Option<u64>,
        limit: usize,
    ) -> (Vec<Frames>, bool) {
        let state = self.state.read();
        let end = before
            .map_or(u64::MAX, |before| before)
            .min(state.log.newest() + 1);
        let oldest = state
            .log
            .oldest()
            .max(state.visible_from(cursor.member) + 1);
        let start = end.saturating_sub(limit as u64).max(oldest);
        (
            state.log.frames(start..end.max(start)).collect(),
            start > oldest && end > oldest,
        )
    }

    /// A page of the members: version, count, members, where the next page begins.
    pub(crate) fn members(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> (u64, usize, Vec<Member>, Option<u64>) {
        let state = self.state.read();
        let (version, count) = state.presence.version();
        let (members, next) = state.presence.list(&state.roster, after, limit);
        (version, count, members, next)
    }

    /// Whether a member may take this nickname.
    pub(crate) fn check_rename(&self, cursor: &Cursor, nickname: &str) -> Result<(), Error> {
        let state = self.state.read();
        state.check_stay(cursor)?;
        if state.roster.nicknames.is_taken(nickname, cursor.member) {
            Err(taken())
        } else {
            Ok(())
        }
    }

    /// Gives a member another nickname, and gives back the one before.
    pub(crate) fn rename(
        &self,
        cursor: &Cursor,
        nickname: &str,
        now: Instant,
    ) -> Result<Arc<str>, Error> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        state.check_stay(cursor)?;
        let id = cursor.member;
        if state.roster.nicknames.is_taken(nickname, id) {
            return Err(taken());
        }
        let seat = state.roster.seat(id).ok_or_else(not_joined)?;
        let before = Arc::clone(&seat.nickname);
        if *before == *nickname {
            return Ok(before);
        }
        state.roster.rename(id, nickname);
        let was = Some(Arc::clone(&before));
        let news = state.presence.change(&self.id, &state.roster, id, was, now);
        if news {
            self.fleeting.fetch_add(1, Ordering::Release);
        }
        drop(guard);
        if news {
            self.bells.ring();
        }
        Ok(before)
    }

    /// Tells the others that a member types, or no longer does. Repeats, and rooms too large for names, are left out.
    pub(crate) fn typing(&self, cursor: &Cursor, active: bool, most: usize, now: Instant) {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let id = cursor.member;
        if state.check_stay(cursor).is_err() || state.roster.len() > most {
            return;
        }
        let Some(member) = state.roster.member(id) else {
            return;
        };
        if !state.typing.change(id, active, now) {
            return;
        }
        let event = Event::Typing {
            room: &self.id,
            member: &member,
            active,
        };
        state.typing.push(id, Frames::encode(&event));
        self.fleeting.fetch_add(1, Ordering::Release);
        drop(guard);
        self.bells.ring();
    }

    /// Lets an identity in for good, whatever the password.
    pub(crate) fn grant(&self, id: MemberId) {
        self.state.write().roster.grant(id, None);
    }

    /// Takes a member out; with `banned_for` it may not come back before that time is over, if it ends.
    pub(crate) fn remove(
        &self,
        id: MemberId,
        text: Option<&str>,
        banned_for: Option<Duration>,
        now: Now,
    ) -> bool {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let ban = banned_for.map(|time| Ban {
            until: now.instant.checked_add(time),
        });
        if let Some(ban) = ban {
            state.roster.ban(id, ban);
        }
        let Some(ordinal) = state.roster.seat(id).map(|seat| seat.ordinal) else {
            return false;
        };
        let reason = if ban.is_some() {
            Reason::Banned
        } else {
            Reason::Kicked
        };
        let until = ban.and_then(|ban| ban.until);
        let removal = Removal {
            reason,
            text: text.map(Arc::from),
            until: until.map(|until| now.unix_ms + millis(until - now.instant)),
            seq: state.log.newest(),
        };
        if state.evicted.len() == MOST_EVICTED {
            state.evicted.pop_front();
        }
        state.evicted.push_back((ordinal, removal));
        self.stand(state, id, now.instant);
        self.removals.fetch_add(1, Ordering::Release);
        drop(guard);
        self.bells.ring();
        true
    }

    pub(crate) fn unban(&self, id: MemberId) {
        self.state.write().roster.unban(id);
    }

    /// Ends the room for everybody in it.
    pub(crate) fn end(&self, reason: Reason, text: Option<&str>) {
        let mut state = self.state.write();
        state.end(reason, text);
        self.removals.fetch_add(1, Ordering::Release);
        drop(state);
        self.bells.ring();
    }

    /// Does whatever is due.
    pub(crate) fn tick(&self, now: Now) -> Fate {
        let mut guard = self.state.write();
        let state = &mut *guard;
        if state.ended.is_some() {
            return Fate::Ended;
        }
        let mut news = false;
        let fate = if state.expires.is_some_and(|(at, _)| at <= now.instant) {
            state.end(Reason::Expired, None);
            self.removals.fetch_add(1, Ordering::Release);
            news = true;
            Fate::Ended
        } else {
            while let Some(id) = state.roster.next_gone(now.instant) {
                news |= self.stand(state, id, now.instant);
            }
            if state.presence.tick(&self.id, &state.roster, now.instant) {
                self.fleeting.fetch_add(1, Ordering::Release);
                news = true;
            }
            if state.forgotten_at().is_some_and(|at| at <= now.instant) {
                // Whoever still holds this room finds it ended, and looks for a new one.
                state.end(Reason::Closed, None);
                Fate::Forgotten
            } else {
                Fate::Lives
            }
        };
        drop(guard);
        if news {
            self.bells.ring();
        }
        fate
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn due(&self) -> Option<Instant> {
        let state = self.state.read();
        if state.ended.is_some() {
            return None;
        }
        let expires = state.expires.map(|(at, _)| at);
        [
            expires,
            state.roster.next_leave(),
            state.presence.due(),
            state.forgotten_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Takes a seat away; true if there is news for the members.
    fn stand(&self, state: &mut State, id: MemberId, now: Instant) -> bool {
        let Some(seat) = state.roster.stand(id) else {
            return false;
        };
        state.typing.said(id);
        if state.roster.len() == 0 {
            state.empty_since = Some(now);
        }
        let news = state
            .presence
            .change(&self.id, &state.roster, id, Some(seat.nickname), now);
        if news {
            self.fleeting.fetch_add(1, Ordering::Release);
        }
        news
    }
}

impl State {
    fn info(&self, id: &RoomId) -> RoomInfo {
        RoomInfo {
            id: id.clone(),
            title: self.settings.title.clone(),
            capacity: self.settings.capacity,
            count: self.roster.len(),
            has_password: self.settings.password.is_some(),
            created_at: self.created_at,
            expires_at: self.expires.map(|(_, at)| at),
        }
    }

    fn check_open(&self, now: Now) -> Result<(), Error> {
        if self.ended.is_some() || self.expires.is_some_and(|(at, _)| at <= now.instant) {
            return Err(Error::new(Code::RoomExpired, "This room has ended"));
        }
        Ok(())
    }

    fn check_ban(&self, id: MemberId, now: Now) -> Result<(), Error> {
        let Some(ban) = self.roster.ban_of(id, now.instant) else {
            return Ok(());
        };
        let mut error = Error::new(Code::Banned, "You are banned from this room");
        error.retry_after = ban.until.map(|until| until - now.instant);
        Err(error)
    }

    /// Whether a connection's stay goes on.
    fn check_stay(&self, cursor: &Cursor) -> Result<(), Error> {
        let seat = self.roster.stay(cursor.member, cursor.ordinal);
        if seat.is_some() && self.ended.is_none() {
            Ok(())
        } else {
            Err(not_joined())
        }
    }

    fn is_admitted(&self, id: MemberId) -> bool {
        self.roster.seat(id).is_some() || self.roster.has_grant(id)
    }

    /// Members see what comes after this position.
    fn visible_from(&self, id: MemberId) -> u64 {
        match self.settings.history_from {
            HistoryFrom::All => 0,
            HistoryFrom::Join => self.roster.first_seq(id).unwrap_or(u64::MAX - 1),
        }
    }

    /// A default nickname that nobody has. The first try is the same whenever the member comes back.
    fn free_nickname(&self, id: MemberId, language: Language) -> Result<String, Error> {
        let [seed @ .., _, _, _, _, _, _, _] = id.0;
        (0..64)
            .map(|attempt| {
                names::nickname(
                    language,
                    mix(u64::from_le_bytes(seed), attempt),
                    attempt / 4,
                )
            })
            .find(|nickname| !self.roster.nicknames.is_taken(nickname, id))
            .ok_or_else(|| {
                Error::new(
                    Code::NicknameTaken,
                    "No default nickname is free; choose one",
                )
            })
    }

    fn removal(&self, cursor: &Cursor) -> Option<Removal> {
        if let Some((_, removal)) = self
            .evicted
            .iter()
            .find(|(ordinal, _)| *ordinal == cursor.ordinal)
        {
            return Some(removal.clone());
        }
        if self.ended.is_some() {
            return self.ended.clone();
        }
        let stays = self.roster.stay(cursor.member, cursor.ordinal).is_some();
        (!stays).then_some(Removal {
            reason: Reason::Kicked,
            text: None,
            until: None,
            seq: cursor.seq,
        })
    }

    fn end(&mut self, reason: Reason, text: Option<&str>) {
        let seq = self.log.newest();
        self.ended = Some(Removal {
            reason,
            text: text.map(Arc::from),
            until: None,
            seq,
        });
    }

    fn forgotten_at(&self) -> Option<Instant> {
        let goes = self.expires.is_none() && !self.settings.kept;
        self.empty_since
            .filter(|_| goes)
            .map(|since| since + self.idle)
    }
}

/// Who types: the state of which the latest counts.
#[derive(Default)]
struct Typing {
    newest: u64,
    tail: VecDeque<(u64, MemberId, Frames)>,
    active: HashMap<MemberId, Instant>,
}

impl Typing {
    /// Notes a change; false if it says nothing new.
    fn change(&mut self, id: MemberId, active: bool, now: Instant) -> bool {
        if !active {
            return self.active.remove(&id).is_some();
        }
        let repeat = self
            .active
            .get(&id)
            .is_some_and(|at| now - *at < TYPING_REPEAT);
        if !repeat {
            self.active.insert(id, now);
        }
        !repeat
    }

    /// What was typed is said, or its author gone.
    fn said(&mut self, id: MemberId) {
        if !self.active.is_empty() {
            self.active.remove(&id);
        }
    }

    fn push(&mut self, id: MemberId, frames: Frames) {
        self.newest += 1;
        if self.tail.len() == TYPING_TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back((self.newest, id, frames));
    }

    fn after(&self, position: u64, me: MemberId) -> impl Iterator<Item = &Frames> {
        let from = self.tail.partition_point(|(n, ..)| *n <= position);
        self.tail
            .range(from..)
            .filter(move |(_, id, _)| *id != me)
            .map(|(.., frames)| frames)
    }
}

fn taken() -> Error {
    Error::new(
        Code::NicknameTaken,
        "Somebody here has this nickname, or one that looks like it",
    )
}

pub(crate) fn not_joined() -> Error {
    Error::new(Code::NotJoined, "You are not in this room")
}

/// Another number for each attempt (the finaliser of SplitMix64).
fn mix(seed: u64, attempt: u32) -> u64 {
    let mut z = seed.wrapping_add(u64::from(attempt).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Removals remembered for connections that have not noticed yet.
const MOST_EVICTED: usize = 1024;
/// A member that still types says so again after this.
const TYPING_REPEAT: Duration = Duration::from_secs(3);
const TYPING_TAIL: usize = 32;
/// A time to live that overflows the clock ends in a century.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
