//! `chat.v1`: what goes over the wire, and how it is parsed and encoded.

mod command;
mod create;
pub(crate) mod error;
pub(crate) mod event;
mod fields;
pub(crate) mod frames;
mod id;
pub(crate) mod message;
pub(crate) mod text;

pub(crate) use command::{Command, Join, Malformed, Request, SendCommand};
pub use create::{Create, HistoryFrom};
pub use error::{Code, Error};
pub use event::{Member, MembersPage, RoomInfo, RoomsPage};
pub use frames::Frames;
pub use id::{MemberId, RoomId};
