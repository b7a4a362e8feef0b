//! What a room is, as a deterministic state machine.
//!
//! [`State::apply`] is the only writer. Nothing in this folder knows a lock, a waker, a clock, a
//! random number, a Unicode table or the host: whatever needs one of these comes with the
//! operation. So the same operations give the same state wherever and whenever they are applied,
//! which is what a journal and several nodes need.
//!
//! Each operation is a struct that implements [`Operation`]: [`Join`], [`Grant`], [`Detach`],
//! [`SendMessage`], [`Announce`], [`Rename`], [`Remove`], [`Unban`], [`Close`], and [`Tick`], which
//! does nothing but what is due.

mod access;
mod admission;
mod announcing;
mod departure;
mod effects;
mod ending;
mod keys;
mod lifecycle;
mod log;
mod naming;
mod nickname_index;
mod refusal;
mod removal;
mod roster;
mod sending;
mod settings;
#[allow(
    clippy::module_inception,
    reason = "the main type of a folder has a file of its own"
)]
mod state;
mod tick;

#[cfg(test)]
mod digest;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub(crate) use admission::{Grant, Join, JoinNickname, Seated};
pub(crate) use announcing::Announce;
pub(crate) use departure::Detach;
pub(crate) use effects::{Effects, Removal, RosterChange};
pub(crate) use ending::Close;
pub(crate) use lifecycle::Lifecycle;
pub(crate) use log::Position;
pub(crate) use naming::Rename;
pub(crate) use refusal::Refusal;
pub(crate) use removal::{BanLength, Remove, Removed, Unban};
pub(crate) use roster::Roster;
pub(crate) use sending::SendMessage;
pub(crate) use settings::{RoomPassword, Settings};
pub(crate) use state::{Operation, Retention, State};
pub(crate) use tick::Tick;
