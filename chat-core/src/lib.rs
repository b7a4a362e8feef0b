//! An anonymous chat engine: a room is a log, a connection is a set of cursors over the logs of its rooms.
//!
//! ```text
//! socket A ─ transport ─▶ serve ─▶ session ─▶ room ─▶ log     append
//!                                               └──▶ bells    ring ─ ─ ─ ─ wake
//! socket B ◀─ transport ◀─ serve ◀─ session ◀──────── log     read a batch, let go of the lock, flush once
//! ```
//!
//! An event is encoded once, when it is appended, and every member is sent those same bytes. There is no queue per
//! connection: a slow reader's cursor falls off the ring, and it is told so (`gap`). Somebody who comes back with the position
//! it last saw gets a cursor opened there, so live, lagged, joined and recovered messages take one way, in one order.
//!
//! This crate knows no socket, no HTTP and no database. A [`Transport`] is any `Stream` of [`Incoming`] with a `Sink` of
//! [`Outgoing`]; [`Ticket::serve`] makes a future of it that lives as long as the connection.
//!
//! Read it in this order: `id`, `frame`, `event`, `message`, `command`, `log`, `bells`, `roster`, `presence`, `room`, `registry`,
//! `session`, `commands`, `serve`.

mod bells;
mod chat;
mod clock;
#[cfg(test)]
mod clock_jumps;
mod command;
mod commands;
mod error;
mod event;
mod frame;
mod hooks;
mod id;
mod identity;
mod limits;
mod log;
mod message;
mod names;
mod nickname;
mod outbox;
mod password;
mod policy;
mod presence;
#[cfg(test)]
mod protocol_doc;
mod rate;
mod registry;
mod room;
mod roster;
mod serve;
mod session;
mod stir;
mod text;
mod ticket;
mod timekeeper;
mod transport;
mod tries;

pub use chat::{Builder, Chat, RoomHandle, Stats};
pub use command::{Create, HistoryFrom};
pub use error::{Code, Error};
pub use event::{Member, RoomInfo, RoomsPage};
pub use frame::Frames;
pub use id::{MemberId, RoomId};
pub use identity::{Identities, Identity, SignedTokens};
pub use limits::Limits;
pub use policy::{Draft, Policy};
pub use rate::Quota;
pub use serve::Connection;
pub use ticket::{Busy, Ticket};
pub use transport::{Close, CloseCode, Incoming, Outgoing, Transport};

/// The parts that `tests/loom_bells.rs` checks.
#[doc(hidden)]
pub mod loom_parts {
    pub use crate::bells::Bells;
}
