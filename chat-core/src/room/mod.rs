//! Rooms: the pure [`state`], and around it the [`Room`] with its lock, counters and wakers.
//!
//! [`Room`] applies operations to the state, publishes their effects under the lock, and notifies
//! the members after it. A [`Cursor`] is one connection's position in a room. Presence and typing
//! are the part of a room that each node keeps for itself.

mod contents;
mod counters;
mod cursor;
mod joining;
mod pending_notifications;
mod presence;
mod recent;
mod refusal_error;
#[allow(
    clippy::module_inception,
    reason = "the main type of a folder has a file of its own"
)]
mod room;
pub(crate) mod state;
mod typing;

#[cfg(test)]
mod clock_jumps;
#[cfg(test)]
mod join_tests;

pub(crate) use cursor::{Cursor, Delivery};
pub(crate) use joining::{PasswordGate, Return};
pub(crate) use pending_notifications::PendingNotifications;
pub(crate) use room::Room;
