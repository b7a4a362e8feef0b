//! What each command does, but for `hello` and `join`.

use std::sync::Arc;

use super::continuation::{CommandResult, PendingCommand};
use super::hello::{normalise, visitor};
use super::session::Session;
use crate::clock::Now;
use crate::policy::Draft;
use crate::protocol::event::{Event, PresenceList, parse_cursor};
use crate::protocol::message::{Content, Sent};
use crate::protocol::{Create, Error, RoomId, SendCommand, text};
use crate::room::state::{Refusal, Rename};
use crate::room::{Delivery, PendingNotifications};

pub(super) fn create(session: &mut Session, id: Option<u64>, create: Create) -> CommandResult {
    let engine = Arc::clone(&session.engine);
    let (creator, address) = (visitor(session).identity, session.ticket.address);
    Ok(Some(PendingCommand::new(id, async move {
        let created = engine.create(create, Some(creator), address).await;
        move |session: &mut Session, _, _: &mut _| {
            session.outbox.push(&Event::Created {
                id,
                room: &created?.info(),
            });
            Ok(None)
        }
    })))
}

pub(super) fn list_rooms(
    session: &mut Session,
    id: Option<u64>,
    cursor: Option<&str>,
    limit: Option<u64>,
) -> CommandResult {
    let cursor = cursor.map(parse_cursor).transpose()?;
    let page = session.engine.registry.list(cursor, page(session, limit));
    session.outbox.push(&Event::Rooms { id, page: &page });
    Ok(None)
}

pub(super) fn leave(
    session: &mut Session,
    id: Option<u64>,
    room: &RoomId,
    now: Now,
) -> CommandResult {
    let n = find(session, room.as_str())?;
    let (room, mut cursor) = session.rooms.remove(n);
    // What was sent before the leave is delivered before `left`. A connection that has been slow
    // for long gets as much of it as fits.
    while !session.outbox.is_full()
        && let Delivery::Frames(frames) = room.read(&mut cursor)
    {
        session.outbox.push_frames(&frames);
    }
    room.detach(&cursor, true, now);
    session.engine.registry.deadlines.update(&room);
    session.outbox.push(&Event::Left { id, room: &room.id });
    Ok(None)
}

pub(super) fn send(
    session: &mut Session,
    id: Option<u64>,
    send: &SendCommand<'_>,
    now: Now,
    pending: &mut PendingNotifications,
) -> CommandResult {
    let n = find(session, &send.room)?;
    check_content(session, send.content())?;
    let key = send.key.as_deref();
    if session.engine.policy.hooks().send && !is_repeat(session, n, key) {
        return Ok(Some(ask_to_send(session, id, send, n)));
    }
    publish(session, id, n, send.content(), key, now, pending)
}

/// Lets the host decide first.
fn ask_to_send(
    session: &Session,
    id: Option<u64>,
    send: &SendCommand<'_>,
    n: usize,
) -> PendingCommand {
    let engine = Arc::clone(&session.engine);
    let (room, cursor) = &session.rooms[n];
    let room = room.id.clone();
    let mut draft = Draft::new(cursor.member, send.content());
    let key = send.key.as_deref().map(str::to_owned);
    let identity = visitor(session).identity;
    PendingCommand::new(id, async move {
        let allowed = engine.policy.send(&identity, &room, &mut draft).await;
        move |session: &mut Session, now, pending: &mut PendingNotifications| {
            allowed?;
            check_content(session, draft.content())?;
            let n = find(session, room.as_str())?;
            let key = key.as_deref();
            publish(session, id, n, draft.content(), key, now, pending)
        }
    })
}

fn publish(
    session: &mut Session,
    id: Option<u64>,
    n: usize,
    content: Content<'_>,
    key: Option<&str>,
    now: Now,
    pending: &mut PendingNotifications,
) -> CommandResult {
    let (room, cursor) = &session.rooms[n];
    let draining = &session.engine.connections.draining;
    let (position, notify) = room.send(cursor, content, key, draining, now);
    pending.add(room, notify);
    let position = position?;
    session.outbox.push_sent(&Sent {
        id,
        room: &room.id,
        seq: position.seq,
        at: position.at,
        key,
    });
    Ok(None)
}

fn check_content(session: &Session, content: Content<'_>) -> Result<(), Error> {
    let limits = &session.engine.limits;
    text::check_text(content.text, limits.text_bytes)?;
    match content.data {
        Some(data) => text::check_data(data.get(), limits.data_bytes),
        None => Ok(()),
    }
}

/// Whether this idempotency key is already used, so that the send is a repeat.
fn is_repeat(session: &Session, n: usize, key: Option<&str>) -> bool {
    let (room, cursor) = &session.rooms[n];
    key.is_some_and(|key| room.find_key(cursor, key).is_some())
}

pub(super) fn history(
    session: &mut Session,
    id: Option<u64>,
    room: &RoomId,
    before: Option<u64>,
    limit: Option<u64>,
) -> CommandResult {
    let (room, cursor) = &session.rooms[find(session, room.as_str())?];
    let (messages, more) = room.history(cursor, before, page(session, limit));
    let event = Event::History {
        id,
        room: &room.id,
        more,
    };
    session.outbox.push_with_messages(&event, &messages);
    Ok(None)
}

pub(super) fn members(
    session: &mut Session,
    id: Option<u64>,
    room: &RoomId,
    cursor: Option<&str>,
    limit: Option<u64>,
) -> CommandResult {
    let (room, _) = &session.rooms[find(session, room.as_str())?];
    let after = cursor.map(parse_cursor).transpose()?;
    let page = room.members(after, page(session, limit));
    session.outbox.push(&Event::Members {
        id,
        room: &room.id,
        presence: PresenceList::from(&page),
        cursor: page.cursor.as_deref(),
    });
    Ok(None)
}

/// Changes the nickname in all rooms or in none: what was changed before a refusal is changed back.
pub(super) fn rename(
    session: &mut Session,
    id: Option<u64>,
    nickname: &str,
    room: Option<&RoomId>,
    now: Now,
) -> CommandResult {
    let only = room.map(|room| find(session, room.as_str())).transpose()?;
    let nickname = normalise(session, nickname)?;
    let rooms = match only {
        Some(n) => &session.rooms[n..=n],
        None => &session.rooms[..],
    };
    for (room, cursor) in rooms {
        room.check_rename(cursor, &nickname)?;
    }
    let mut changed = Vec::with_capacity(rooms.len());
    let mut refusal = None::<Refusal>;
    for (room, cursor) in rooms {
        let rename = |nickname| Rename {
            member: cursor.member,
            ordinal: cursor.ordinal,
            nickname,
        };
        match room.apply(now, rename(&nickname)) {
            Ok(before) => changed.push((room, cursor, before)),
            Err(refused) => {
                refusal = Some(refused);
                break;
            }
        }
    }
    for (room, cursor, before) in changed {
        if let (Some(_), Some(before)) = (refusal, before) {
            let rename = Rename {
                member: cursor.member,
                ordinal: cursor.ordinal,
                nickname: &before,
            };
            // Fails if the stay is over, or somebody has taken the old nickname in this moment.
            let _ = room.apply(now, rename);
        }
        session.engine.registry.deadlines.update(room);
    }
    if let Some(refusal) = refusal {
        return Err(refusal.into());
    }
    session.outbox.push(&Event::Renamed {
        id,
        nickname: &nickname.text,
    });
    if only.is_none()
        && let Some(visitor) = &mut session.visitor
    {
        visitor.nickname = Some(nickname);
    }
    Ok(None)
}

pub(super) fn typing(
    session: &mut Session,
    id: Option<u64>,
    room: &RoomId,
    active: bool,
    now: Now,
) -> CommandResult {
    let (room, cursor) = &session.rooms[find(session, room.as_str())?];
    let max_members = session.engine.limits.presence_members;
    room.set_typing(cursor, active, max_members, now);
    if let Some(id) = id {
        session.outbox.push(&Event::Ok { id });
    }
    Ok(None)
}

/// The index of a room that the connection has joined.
fn find(session: &Session, room: &str) -> Result<usize, Error> {
    let mut rooms = session.rooms.iter();
    rooms
        .position(|(joined, _)| joined.id.as_str() == room)
        .ok_or_else(|| Refusal::NotJoined.into())
}

/// The size of a page that a client has asked for.
fn page(session: &Session, limit: Option<u64>) -> usize {
    let max = session.engine.limits.page;
    let asked = limit.map_or(DEFAULT_PAGE, |limit| limit.min(max as u64) as usize);
    asked.min(max)
}

const DEFAULT_PAGE: usize = 50;
