//! An embeddable, anonymous chat engine: rooms, members, history and recovery, over any transport.
//!
//! A room is a log, and a connection is a set of cursors over the logs of its rooms. An event is
//! encoded once, when it is appended, and every member is sent those same bytes. There is no queue
//! per connection: a slow reader's cursor falls off the ring, and the reader is told so (`gap`). A
//! client that comes back with the position that it last saw gets a cursor opened there. So live,
//! lagged, joined and recovered messages all take one way, in one order.
//!
//! This crate knows no socket, no HTTP and no database. `chat-ws` serves WebSockets, `chat-memory`
//! is a transport for tests.
//!
//! # A chat in a few lines
//!
//! ```
//! use chat_core::{Chat, Create};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), chat_core::Error> {
//! let chat = Chat::builder().open_rooms(true).build();
//!
//! // A room of the host's own, which has no end.
//! let lobby = chat.ensure_room("lobby").await?;
//! lobby.announce("Welcome!").await?;
//!
//! // A room as a visitor would make it.
//! let tea = chat.create(Create::default().title("Tea").capacity(10), None).await?;
//! println!("{} has {} seats", tea.title, tea.capacity);
//! # Ok(())
//! # }
//! ```
//!
//! Connections come from a [`Transport`]: any `Stream` of [`Incoming`] that is also a `Sink` of
//! [`Outgoing`]. The host admits a connection with the address of its peer, and spawns the future
//! that serves it:
//!
//! ```
//! # use chat_core::{Chat, Transport};
//! # use std::net::IpAddr;
//! fn connected(chat: &Chat, addr: IpAddr, transport: impl Transport + Send + 'static) {
//!     match chat.admit(Some(addr)) {
//!         Ok(ticket) => drop(tokio::spawn(ticket.serve(transport))),
//!         Err(refused) => println!("come back in {:?}", refused.retry_after()),
//!     }
//! }
//! ```
//!
//! # What else a host decides
//!
//! * [`Policy`]: who may create, join and send, with an example that refuses messages.
//! * [`Identities`]: tokens, with an example that asks a database. [`Identity::of_user`] and
//!   [`Ticket::identified`] connect the host's own users.
//! * [`Limits`]: every bound, its default, and what happens at it.
//! * [`RoomHandle`]: announcements, kicks, bans, the list of members, the end of a room.
//! * [`Transport`]: a transport of one's own, with an example over two channels.
//!
//! # Runtime
//!
//! The engine needs a tokio runtime with its timer enabled, of either flavour. Rooms expire in one
//! task that starts with the first connection or room, so [`Ticket::serve`], [`Chat::create`] and
//! [`Chat::ensure_room`] panic outside of such a runtime, rather than never letting a room end.
//! When the runtime ends, the next of these calls starts the task again in its own.
//!
//! # The path of a message
//!
//! ```text
//! socket A ─ transport ─▶ driver ─▶ dispatch ─▶ handlers ─▶ room ─▶ state.apply ─▶ log    append
//!                                                             └──▶ waker set   notify once per turn
//! socket B ◀─ transport ◀─ driver ◀─ session ◀──────────────────────────────────── log    read a chunk
//! ```
//!
//! One task per connection polls both directions. There is no second task, no channel, no callback,
//! and no system call under a lock.
//!
//! # Table of contents
//!
//! Each layer uses only those above it; `tests/layers.rs` checks that.
//!
//! | module | |
//! |---|---|
//! | `protocol` | `chat.v1`: ids, errors, commands, events, and their encoding |
//! | `wake` | which tasks are woken, model-checked with loom |
//! | `clock`, `rate` | time as an argument; rate limits |
//! | `identity`, `limits` | identities, tokens, nicknames, passwords; every bound |
//! | `policy` | what the host decides |
//! | `room` | `room::state` is the pure state machine, whose only writer is `State::apply`; `Room` is its shell with lock and wakers |
//! | `engine` | what all connections share: the registry of rooms, deadlines, rates |
//! | `connection` | one connection: driver, dispatch, handlers, session |
//! | `room_handle`, `chat` | what the host holds |

mod chat;
mod clock;
mod connection;
mod engine;
mod identity;
mod limits;
mod policy;
mod protocol;
mod rate;
mod room;
mod room_handle;
mod wake;

pub use async_trait::async_trait;

pub use chat::{Builder, Chat, Stats};
pub use connection::{Close, CloseCode, Connection, Incoming, Outgoing, Ticket, Transport};
pub use engine::AdmitError;
pub use identity::{Identities, Identity, SignedTokens};
pub use limits::Limits;
pub use policy::{Draft, Hooks, Policy};
pub use protocol::{
    Code, Create, Error, Frames, HistoryFrom, Member, MemberId, MembersPage, RoomId, RoomInfo,
    RoomsPage,
};
pub use rate::Quota;
pub use room_handle::RoomHandle;
