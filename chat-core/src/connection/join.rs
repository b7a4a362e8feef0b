//! The steps of a join: the room, its password, and the seat.

use std::sync::Arc;

use super::continuation::{CommandResult, PendingCommand};
use super::hello::{normalise, visitor};
use super::session::Session;
use crate::clock::Now;
use crate::engine::{AttemptSource, Lookup};
use crate::identity::default_nickname;
use crate::identity::nickname::Nickname;
use crate::identity::password::MAX_PASSWORD_BYTES;
use crate::protocol::event::{Event, PresenceList};
use crate::protocol::{Code, Create, Error, Join as JoinCommand};
use crate::room::state::{Join, JoinNickname, Refusal, Seated, Settings};
use crate::room::{PasswordGate, Return, Room};

/// Step one: the room, which may have to be made, and what the host says.
pub(super) fn join(
    session: &mut Session,
    id: Option<u64>,
    join: JoinCommand,
    now: Now,
) -> CommandResult {
    if session.rooms.iter().any(|(room, _)| room.id == join.room) {
        let message = "You have joined this room already";
        return Err(Error::new(Code::AlreadyJoined, message));
    }
    if session.rooms.len() >= session.engine.limits.rooms_per_connection {
        let message = "You have joined as many rooms as you may";
        return Err(Error::new(Code::TooManyRooms, message));
    }
    let engine = &session.engine;
    let is_missing = match engine.lookup(&join.room, now) {
        Lookup::Missing if may_make(session, &join) => true,
        found => {
            found.live()?;
            false
        }
    };
    let hooks = engine.policy.hooks();
    let asks_host = hooks.join || hooks.create && is_missing;
    if !asks_host {
        let settings =
            is_missing.then(|| engine.default_settings(&Create::default(), String::new()));
        return check_password(session, id, join, settings, now);
    }
    let (engine, identity) = (Arc::clone(engine), visitor(session).identity);
    Ok(Some(PendingCommand::new(id, async move {
        let settings = async {
            let mut settings = None;
            if is_missing {
                settings = Some(engine.open_room_settings(&join.room, &identity).await?);
            }
            engine.policy.join(&identity, &join.room).await?;
            Ok(settings)
        };
        let settings: Result<Option<Settings>, Error> = settings.await;
        move |session: &mut Session, now, _: &mut _| {
            check_password(session, id, join, settings?, now)
        }
    })))
}

/// Whether this join may make its room. What was protected never comes back unprotected: who gives
/// a password, or was there before and knows that there was one, means the old room and no new one.
fn may_make(session: &Session, join: &JoinCommand) -> bool {
    session.engine.open_rooms && join.create && join.password.is_none() && !join.room.is_protected()
}

/// Step two: the password, if the room asks this visitor for one. With `settings` the room is made
/// first.
fn check_password(
    session: &mut Session,
    id: Option<u64>,
    join: JoinCommand,
    settings: Option<Settings>,
    now: Now,
) -> CommandResult {
    let engine = Arc::clone(&session.engine);
    let (identity, address) = (visitor(session).identity, session.ticket.address);
    let room = match settings {
        Some(settings) => {
            engine.create_open_room(join.room.clone(), settings, identity, address, now)?
        }
        None => engine.lookup(&join.room, now).live()?,
    };
    let PasswordGate { password, has_seat } =
        room.password_gate(identity.member_in(&room.id), now)?;
    let Some(expected) = password else {
        return admit(session, id, &join, &room, has_seat, None, now);
    };
    let Some(password) = join.password.clone() else {
        return Err(Refusal::PasswordRequired.into());
    };
    let source = address.map_or(AttemptSource::Identity(identity), AttemptSource::Address);
    let attempts = &engine.rates.passwords;
    attempts.charge(&room.id, source, now.instant)?;
    let wrong = || Error::new(Code::WrongPassword, "The password is wrong");
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(wrong());
    }
    Ok(Some(PendingCommand::new(id, async move {
        let is_right = engine.hashers.verify(password, expected.hash).await;
        if !matches!(is_right, Ok(false)) {
            engine.rates.passwords.refund(&room.id, source);
        }
        move |session: &mut Session, now, _: &mut _| {
            if !is_right? {
                return Err(wrong());
            }
            admit(
                session,
                id,
                &join,
                &room,
                has_seat,
                Some(expected.version),
                now,
            )
        }
    })))
}

/// Step three: the room decides, in one operation, and the connection gets its cursor.
fn admit(
    session: &mut Session,
    id: Option<u64>,
    join: &JoinCommand,
    room: &Arc<Room>,
    has_seat: bool,
    verified: Option<u64>,
    now: Now,
) -> CommandResult {
    let engine = Arc::clone(&session.engine);
    let given = join.nickname.as_deref();
    let given = given.map(|nickname| normalise(session, nickname));
    let given = given.transpose()?;
    let nickname = given.as_ref().or(visitor(session).nickname.as_ref());
    let seated = match nickname {
        Some(nickname) => take_seat(session, room, JoinNickname::Chosen(nickname), verified, now)?,
        None => take_seat_with_default_nickname(session, room, has_seat, verified, now)?,
    };
    engine.registry.deadlines.update(room);
    let since = join.since.as_ref();
    let back = Return {
        since: since.map(|(epoch, seq)| (epoch.as_str(), *seq)),
        history: join.history,
    };
    let joined = room.attach(seated, &back, engine.limits.page, &session.task);
    let event = Event::Joined {
        id,
        room: &joined.info,
        you: &joined.you,
        presence: PresenceList::from(&joined.page),
        epoch: &room.epoch,
        seq: joined.seq,
        recovered: joined.recovered,
    };
    session.outbox.push_with_messages(&event, &joined.messages);
    session.rooms.push((Arc::clone(room), joined.cursor));
    Ok(None)
}

/// Tries default nicknames until one is free, a few at a time, because their skeletons are
/// expensive.
fn take_seat_with_default_nickname(
    session: &Session,
    room: &Room,
    has_seat: bool,
    verified: Option<u64>,
    now: Now,
) -> Result<Seated, Refusal> {
    let visitor = visitor(session);
    let member = visitor.identity.member_in(&room.id);
    // A seat keeps its nickname, so nothing is generated for it at first.
    let skipped = usize::from(!has_seat);
    for attempts in [0..0, 0..1, 1..8, 8..64].into_iter().skip(skipped) {
        let candidates: Vec<Nickname> =
            default_nickname::candidates(visitor.language, member, attempts).collect();
        let nickname = JoinNickname::FirstFreeOf(&candidates);
        match take_seat(session, room, nickname, verified, now) {
            Err(Refusal::NoFreeNickname) => {}
            result => return result,
        }
    }
    Err(Refusal::NoFreeNickname)
}

fn take_seat(
    session: &Session,
    room: &Room,
    nickname: JoinNickname<'_>,
    verified: Option<u64>,
    now: Now,
) -> Result<Seated, Refusal> {
    let join = Join {
        member: visitor(session).identity.member_in(&room.id),
        nickname,
        verified,
    };
    room.apply(now, join)
}
