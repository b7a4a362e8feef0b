//! What each command does.

use std::sync::Arc;

use crate::chat::{LONGEST_PASSWORD, parse_cursor};
use crate::clock::{Now, millis};
use crate::command::{Command, Create, Join, Send};
use crate::error::{Code, Error};
use crate::event::{Event, PresenceList, WelcomeLimits};
use crate::hooks;
use crate::id::RoomId;
use crate::identity::{Identity, TOKEN_TTL};
use crate::message::{Content, Sent};
use crate::names::{self, Language};
use crate::nickname;
use crate::password::Password;
use crate::policy::{Draft, Policy};
use crate::room::{Door, Entry, Joined, News, Room, not_joined};
use crate::session::{Outcome, Rest, Session, Who, Work};
use crate::text;
use crate::tries::Origin;

impl Session {
    pub(crate) fn obey(&mut self, id: Option<u64>, command: Command<'_>, now: Now) -> Outcome {
        match command {
            Command::Hello {
                token,
                nickname,
                locale,
            } => self.hello(
                id,
                token.as_deref(),
                nickname.as_deref(),
                locale.as_deref(),
                now,
            ),
            Command::Create(create) => self.create(id, create),
            Command::Rooms { cursor, limit } => self.list_rooms(id, cursor.as_deref(), limit),
            Command::Join(join) => self.join(id, join, now),
            Command::Leave { room } => self.leave(id, &room, now),
            Command::Send(send) => self.send(id, &send, now),
            Command::History {
                room,
                before,
                limit,
            } => self.history(id, &room, before, limit),
            Command::Members {
                room,
                cursor,
                limit,
            } => self.members(id, &room, cursor.as_deref(), limit),
            Command::Nickname { nickname, room } => self.rename(id, &nickname, room.as_ref(), now),
            Command::Typing { room, active } => self.typing(id, &room, active, now),
            Command::Ping => {
                self.outbox.push(&Event::Pong { id });
                Ok(None)
            }
        }
    }

    pub(crate) fn hello(
        &mut self,
        id: Option<u64>,
        token: Option<&str>,
        nickname: Option<&str>,
        locale: Option<&str>,
        now: Now,
    ) -> Outcome {
        if self.who.is_some() {
            return Err(Error::new(
                Code::AlreadyIdentified,
                "You have said hello already",
            ));
        }
        let engine = Arc::clone(&self.engine);
        let nickname = nickname
            .map(|nickname| self.normalise(nickname))
            .transpose()?;
        let identity = match (self.ticket.identity, token) {
            (Some(identity), _) => identity,
            (None, Some(token)) => engine.identities.resume(token, now.unix_ms)?,
            (None, None) => {
                if let Some(address) = self.ticket.address {
                    let taken = engine
                        .rates
                        .identities_per_address
                        .take(address, 1, now.instant);
                    taken.map_err(|wait| {
                        Error::rate_limited("Too many newcomers from your address", wait)
                    })?;
                }
                Identity::from_bits(engine.random())
            }
        };
        let language = locale.map(Language::of_locale).unwrap_or_default();
        let proposal = match &nickname {
            Some(nickname) => nickname.clone(),
            None => names::nickname(language, u64::from_le_bytes(engine.random()), 0),
        };
        let expires_at = now.unix_ms + millis(TOKEN_TTL);
        let limits = &engine.limits;
        self.outbox.push(&Event::Welcome {
            id,
            protocol: 1,
            nickname: &proposal,
            token: &engine.identities.issue(&identity, expires_at),
            expires_at,
            limits: WelcomeLimits {
                text_bytes: limits.text_bytes,
                data_bytes: limits.data_bytes,
                frame_bytes: limits.frame_bytes,
                rooms_per_connection: limits.rooms_per_connection,
                nickname_chars: limits.nickname_chars,
                title_chars: limits.title_chars,
                history: limits.page,
            },
            heartbeat_ms: millis(limits.heartbeat),
        });
        self.who = Some(Box::new(Who {
            identity,
            nickname,
            language,
        }));
        Ok(None)
    }

    fn create(&mut self, id: Option<u64>, create: Create) -> Outcome {
        let (engine, who) = (Arc::clone(&self.engine), self.identity());
        let address = self.ticket.address;
        Ok(Some(Work::new(id, async move {
            let made = engine.create(create, Some(who), address).await;
            move |session: &mut Self, _| {
                session.outbox.push(&Event::Created {
                    id,
                    room: &made?.info(),
                });
                Ok(None)
            }
        })))
    }

    fn list_rooms(&mut self, id: Option<u64>, cursor: Option<&str>, limit: Option<u64>) -> Outcome {
        let cursor = cursor.map(parse_cursor).transpose()?;
        let page = self.engine.registry.list(cursor, self.page(limit));
        self.outbox.push(&Event::Rooms { id, page: &page });
        Ok(None)
    }

    /// Step one of a join: the room, which may have to be made, and what the host says.
    fn join(&mut self, id: Option<u64>, join: Join, now: Now) -> Outcome {
        if self.find(join.room.as_str()).is_ok() {
            return Err(Error::new(
                Code::AlreadyJoined,
                "You are in this room already",
            ));
        }
        if self.rooms.len() >= self.engine.limits.rooms_per_connection {
            return Err(Error::new(
                Code::TooManyRooms,
                "You are in as many rooms as you may be",
            ));
        }
        let engine = Arc::clone(&self.engine);
        let who = self.identity();
        let missing = match engine.registry.find(&join.room, now.instant) {
            Ok(_) => false,
            Err(error) if error.code == Code::RoomNotFound && engine.open_rooms => true,
            Err(error) => return Err(error),
        };
        let Some(policy) = engine.policy.clone() else {
            return self.knock(id, join, missing, now);
        };
        Ok(Some(Work::new(id, async move {
            let timeout = engine.limits.policy_timeout;
            let mut allowed = Ok(());
            if missing {
                let mut create = Create {
                    room: Some(join.room.clone()),
                    ..Create::default()
                };
                allowed = hooks::guard(policy.create(Some(&who), &mut create), timeout).await;
            }
            if allowed.is_ok() {
                allowed = hooks::guard(policy.join(&who, &join.room), timeout).await;
            }
            move |session: &mut Self, now| {
                allowed?;
                session.knock(id, join, missing, now)
            }
        })))
    }

    /// Step two: the door, and the password if it is locked.
    fn knock(&mut self, id: Option<u64>, join: Join, missing: bool, now: Now) -> Outcome {
        let engine = Arc::clone(&self.engine);
        let who = self.identity();
        let room = if missing {
            engine.create_open(join.room.clone(), who, self.ticket.address, now)?
        } else {
            engine.registry.find(&join.room, now.instant)?
        };
        let lock = match room.door(who.member_in(&room.id), now)? {
            Door::Open => return self.enter(id, &join, &room, None, now),
            Door::Locked(lock) => lock,
        };
        let Some(password) = join.password.clone() else {
            return Err(Error::new(
                Code::PasswordRequired,
                "This room has a password",
            ));
        };
        let origin = self
            .ticket
            .address
            .map_or(Origin::Identity(who), Origin::Address);
        engine
            .rates
            .passwords
            .begin(&room.id, origin, now.instant)?;
        let wrong = || Error::new(Code::WrongPassword, "This is not the password");
        if password.len() > LONGEST_PASSWORD {
            return Err(wrong());
        }
        Ok(Some(Work::new(id, async move {
            let right = engine.hashers.verify(password, Arc::clone(&lock)).await;
            if !matches!(right, Ok(false)) {
                engine.rates.passwords.right(&room.id, origin);
            }
            move |session: &mut Self, now| {
                if !right? {
                    return Err(wrong());
                }
                session.enter(id, &join, &room, Some(&lock), now)
            }
        })))
    }

    /// Step three: the room decides, at once and for all.
    fn enter(
        &mut self,
        id: Option<u64>,
        join: &Join,
        room: &Arc<Room>,
        verified: Option<&Arc<Password>>,
        now: Now,
    ) -> Outcome {
        let engine = Arc::clone(&self.engine);
        let nickname = match &join.nickname {
            Some(nickname) => Some(self.normalise(nickname)?),
            None => self.who().nickname.clone(),
        };
        let entry = Entry {
            id: self.identity().member_in(&room.id),
            nickname: nickname.as_deref(),
            language: self.who().language,
            verified,
            since: join
                .since
                .as_ref()
                .map(|(epoch, seq)| (epoch.as_str(), *seq)),
            history: join.history,
            task: &self.task,
        };
        let joined = room.join(&entry, &engine.limits, now)?;
        engine.registry.reschedule(room);
        let Joined {
            info,
            you,
            version,
            count,
            members,
            seq,
            recovered,
            messages,
            cursor,
        } = joined;
        let event = Event::Joined {
            id,
            room: &info,
            you: &you,
            presence: PresenceList {
                version,
                count,
                members: &members,
            },
            epoch: room.epoch(),
            seq,
            recovered,
        };
        self.outbox.push_with_messages(&event, &messages);
        self.rooms.push((Arc::clone(room), cursor));
        Ok(None)
    }

    fn leave(&mut self, id: Option<u64>, room: &RoomId, now: Now) -> Outcome {
        let n = self.find(room.as_str())?;
        self.ring();
        let (room, mut cursor) = self.rooms.remove(n);
        // What was said before it left is told before `left`; of what it did not take for long, as much as fits.
        while !self.outbox.is_full()
            && let News::Frames(frames) = room.read(&mut cursor)
        {
            self.outbox.push_frames(&frames);
        }
        room.leave(&cursor, true, now.instant);
        self.engine.registry.reschedule(&room);
        self.outbox.push(&Event::Left { id, room: &room.id });
        Ok(None)
    }

    fn send(&mut self, id: Option<u64>, send: &Send<'_>, now: Now) -> Outcome {
        let n = self.find(&send.room)?;
        self.check_content(send.content())?;
        let key = send.key.as_deref();
        match &self.engine.policy {
            Some(policy) if !self.has_said(n, key) => self.ask_to_send(id, send, n, policy),
            _ => self.publish(id, n, send.content(), key, now),
        }
    }

    /// Lets the host decide first.
    fn ask_to_send(
        &self,
        id: Option<u64>,
        send: &Send<'_>,
        n: usize,
        policy: &Arc<dyn Policy>,
    ) -> Outcome {
        let policy = Arc::clone(policy);
        let timeout = self.engine.limits.policy_timeout;
        let (room, cursor) = &self.rooms[n];
        let name = room.id.clone();
        let mut draft = Draft::new(cursor.member, send.content());
        let key = send.key.as_deref().map(str::to_owned);
        let who = self.identity();
        Ok(Some(Work::new(id, async move {
            let allowed = hooks::guard(policy.send(&who, &name, &mut draft), timeout).await;
            move |session: &mut Self, now| {
                allowed?;
                session.check_content(draft.content())?;
                let n = session.find(name.as_str())?;
                session.publish(id, n, draft.content(), key.as_deref(), now)
            }
        })))
    }

    fn publish(
        &mut self,
        id: Option<u64>,
        n: usize,
        content: Content<'_>,
        key: Option<&str>,
        now: Now,
    ) -> Outcome {
        let (room, cursor) = &mut self.rooms[n];
        let draining = &self.engine.draining;
        let place = room.send(cursor, content, key, draining, now)?;
        self.outbox.push_sent(&Sent {
            id,
            room: &room.id,
            seq: place.seq,
            at: place.at,
            key,
        });
        Ok(None)
    }

    fn check_content(&self, content: Content<'_>) -> Result<(), Error> {
        let limits = &self.engine.limits;
        text::check_text(content.text, limits.text_bytes)?;
        match content.data {
            Some(data) => text::check_data(data.get(), limits.data_bytes),
            None => Ok(()),
        }
    }

    /// Whether a key was used before, so that nothing new is said with it.
    fn has_said(&self, n: usize, key: Option<&str>) -> bool {
        let (room, cursor) = &self.rooms[n];
        key.is_some_and(|key| room.find_key(cursor, key).is_some())
    }

    fn history(
        &mut self,
        id: Option<u64>,
        room: &RoomId,
        before: Option<u64>,
        limit: Option<u64>,
    ) -> Outcome {
        let (room, cursor) = &self.rooms[self.find(room.as_str())?];
        let (messages, more) = room.history(cursor, before, self.page(limit));
        let event = Event::History {
            id,
            room: &room.id,
            more,
        };
        self.outbox.push_with_messages(&event, &messages);
        Ok(None)
    }

    fn members(
        &mut self,
        id: Option<u64>,
        room: &RoomId,
        cursor: Option<&str>,
        limit: Option<u64>,
    ) -> Outcome {
        let (room, _) = &self.rooms[self.find(room.as_str())?];
        let after = cursor.map(parse_cursor).transpose()?;
        let (version, count, members, next) = room.members(after, self.page(limit));
        let presence = PresenceList {
            version,
            count,
            members: &members,
        };
        let cursor = next.map(|next| next.to_string());
        self.outbox.push(&Event::Members {
            id,
            room: &room.id,
            presence,
            cursor,
        });
        Ok(None)
    }

    /// In all rooms or in none: what was changed before a refusal is changed back.
    fn rename(
        &mut self,
        id: Option<u64>,
        nickname: &str,
        room: Option<&RoomId>,
        now: Now,
    ) -> Outcome {
        let only = room.map(|room| self.find(room.as_str())).transpose()?;
        let nickname = self.normalise(nickname)?;
        let rooms = match only {
            Some(n) => &self.rooms[n..=n],
            None => &self.rooms[..],
        };
        for (room, cursor) in rooms {
            room.check_rename(cursor, &nickname)?;
        }
        let mut changed = Vec::with_capacity(rooms.len());
        let mut refusal = None;
        for (room, cursor) in rooms {
            match room.rename(cursor, &nickname, now.instant) {
                Ok(before) => changed.push((room, cursor, before)),
                Err(error) => {
                    refusal = Some(error);
                    break;
                }
            }
        }
        if refusal.is_some() {
            for (room, cursor, before) in &changed {
                let _ = room.rename(cursor, before, now.instant);
            }
        }
        for (room, ..) in changed {
            self.engine.registry.reschedule(room);
        }
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        self.outbox.push(&Event::Renamed {
            id,
            nickname: &nickname,
        });
        if only.is_none() {
            self.who_mut().nickname = Some(nickname);
        }
        Ok(None)
    }

    fn typing(&mut self, id: Option<u64>, room: &RoomId, active: bool, now: Now) -> Outcome {
        let (room, cursor) = &self.rooms[self.find(room.as_str())?];
        room.typing(
            cursor,
            active,
            self.engine.limits.presence_members,
            now.instant,
        );
        if let Some(id) = id {
            self.outbox.push(&Event::Ok { id });
        }
        Ok(None)
    }

    fn find(&self, room: &str) -> Result<usize, Error> {
        self.rooms
            .iter()
            .position(|(joined, _)| joined.id.as_str() == room)
            .ok_or_else(not_joined)
    }

    fn page(&self, limit: Option<u64>) -> usize {
        let most = self.engine.limits.page;
        limit
            .map_or(DEFAULT_PAGE, |limit| limit.min(most as u64) as usize)
            .min(most)
    }

    fn normalise(&self, nickname: &str) -> Result<String, Error> {
        nickname::normalise(nickname, self.engine.limits.nickname_chars)
    }

    fn who(&self) -> &Who {
        self.who.as_ref().expect("commands come after hello")
    }

    fn who_mut(&mut self) -> &mut Who {
        self.who.as_mut().expect("commands come after hello")
    }

    fn identity(&self) -> Identity {
        self.who().identity
    }
}

impl Work {
    fn new<F, R>(id: Option<u64>, wait: F) -> Self
    where
        F: Future<Output = R> + std::marker::Send + 'static,
        R: FnOnce(&mut Session, Now) -> Outcome + std::marker::Send + 'static,
    {
        Self {
            id,
            rest: Box::pin(async move { Box::new(wait.await) as Rest }),
        }
    }
}

const DEFAULT_PAGE: usize = 50;
