//! From received bytes to a handler: parsing, the quota, and what a refusal leads to.

use super::continuation::{CommandResult, Continuation, PendingCommand};
use super::handlers;
use super::hello::{Hello, hello};
use super::join;
use super::session::Session;
use super::transport::{Close, CloseCode};
use crate::clock::Now;
use crate::protocol::event::Event;
use crate::protocol::{Code, Command, Error, Malformed, Request};
use crate::room::PendingNotifications;

/// Handles one message of the peer. Returns the command if it has to wait.
pub(super) fn receive(
    session: &mut Session,
    text: &[u8],
    now: Now,
    pending: &mut PendingNotifications,
) -> Option<PendingCommand> {
    if !session.takes_commands() {
        return None;
    }
    let Request { id, command } = match Request::parse(text) {
        Ok(request) => request,
        Err(malformed) => {
            refuse_malformed(session, &malformed, now);
            return None;
        }
    };
    let is_hello = matches!(command, Command::Hello { .. });
    if session.visitor.is_none() && !is_hello && !ensure_hello(session, now) {
        return None;
    }
    let quota = session.engine.limits.commands;
    if let Err(wait) = session.bucket.take(quota, command.cost(), now.instant) {
        let error = Error::rate_limited("Too many commands; please wait a little", wait);
        refuse_rate_limited(session, id, &error);
        return None;
    }
    let result = dispatch(session, id, command, now, pending);
    finish(session, id, result)
}

/// Runs the rest of a command that has waited.
pub(super) fn resume(
    session: &mut Session,
    id: Option<u64>,
    continuation: Continuation,
    now: Now,
    pending: &mut PendingNotifications,
) -> Option<PendingCommand> {
    let result = continuation(session, now, pending);
    finish(session, id, result)
}

/// Acts as if an empty `hello` had come first, unless one has come. False if it is refused.
pub(super) fn ensure_hello(session: &mut Session, now: Now) -> bool {
    if session.visitor.is_some() {
        return true;
    }
    match hello(session, None, &Hello::default(), now) {
        Ok(_) => true,
        Err(error) => {
            refuse_rate_limited(session, None, &error);
            false
        }
    }
}

fn dispatch(
    session: &mut Session,
    id: Option<u64>,
    command: Command<'_>,
    now: Now,
    pending: &mut PendingNotifications,
) -> CommandResult {
    match command {
        Command::Hello {
            token,
            nickname,
            locale,
        } => {
            let fields = Hello {
                token,
                nickname,
                locale,
            };
            hello(session, id, &fields, now)
        }
        Command::Create(create) => handlers::create(session, id, create),
        Command::Rooms { cursor, limit } => {
            handlers::list_rooms(session, id, cursor.as_deref(), limit)
        }
        Command::Join(join) => join::join(session, id, join, now),
        Command::Leave { room } => handlers::leave(session, id, &room, now),
        Command::Send(send) => handlers::send(session, id, &send, now, pending),
        Command::History {
            room,
            before,
            limit,
        } => handlers::history(session, id, &room, before, limit),
        Command::Members {
            room,
            cursor,
            limit,
        } => handlers::members(session, id, &room, cursor.as_deref(), limit),
        Command::Nickname { nickname, room } => {
            handlers::rename(session, id, &nickname, room.as_ref(), now)
        }
        Command::Typing { room, active } => handlers::typing(session, id, &room, active, now),
        Command::Ping => {
            session.outbox.push(&Event::Pong { id });
            Ok(None)
        }
    }
}

/// Notes how a command ended, and replies if it was refused.
#[inline]
fn finish(session: &mut Session, id: Option<u64>, result: CommandResult) -> Option<PendingCommand> {
    match result {
        Ok(None) => {
            session.malformed = 0;
            session.rate_limited = 0;
        }
        Ok(waiting) => return waiting,
        Err(error) if error.code == Code::RateLimited => refuse_rate_limited(session, id, &error),
        Err(error) => {
            session.rate_limited = 0;
            session.outbox.push_error(id, &error);
            // Only a refused `hello` leaves the visitor unknown. It counts as malformed, unless it is
            // the host that failed.
            let host_failed = matches!(error.code, Code::Unavailable | Code::Internal);
            let refused_hello = session.visitor.is_none() && !host_failed;
            if refused_hello || error.code == Code::BadCommand {
                count_malformed(session);
            }
        }
    }
    None
}

fn refuse_malformed(session: &mut Session, malformed: &Malformed, now: Now) {
    if !malformed.hello && !ensure_hello(session, now) {
        return;
    }
    let quota = session.engine.limits.commands;
    let _ = session.bucket.take(quota, 1, now.instant);
    session.outbox.push_error(malformed.id, &malformed.error);
    if matches!(malformed.error.code, Code::BadJson | Code::BadCommand) {
        count_malformed(session);
    }
}

fn count_malformed(session: &mut Session) {
    session.malformed += 1;
    if session.malformed >= MAX_MALFORMED {
        session.end(Close::new(CloseCode::POLICY, "malformed commands"));
    }
}

fn refuse_rate_limited(session: &mut Session, id: Option<u64>, error: &Error) {
    session.outbox.push_error(id, error);
    session.rate_limited += 1;
    if session.rate_limited >= MAX_RATE_LIMITED {
        session.end(Close::new(CloseCode::RATE_LIMITED, "far too many commands"));
    }
}

/// Malformed commands in a row that end a connection.
const MAX_MALFORMED: u8 = 10;
/// Commands in a row refused with `rate_limited` that end a connection.
const MAX_RATE_LIMITED: u8 = 100;
