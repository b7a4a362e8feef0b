//! What clients are told when the state of a room refuses an operation.

use std::time::Duration;

use crate::protocol::{Code, Error};

use super::state::Refusal;

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let (code, message) = match refusal {
            Refusal::Ended => (Code::RoomExpired, "This room has ended"),
            Refusal::Forgotten => (Code::RoomNotFound, "There is no such room"),
            Refusal::Banned { .. } => (Code::Banned, "You are banned from this room"),
            Refusal::PasswordRequired => (Code::PasswordRequired, "This room has a password"),
            Refusal::NicknameTaken => (
                Code::NicknameTaken,
                "Another member has this nickname, or one that looks like it",
            ),
            Refusal::NoFreeNickname => (
                Code::NicknameTaken,
                "No default nickname is free; please choose one",
            ),
            Refusal::Full => (Code::RoomFull, "All seats of this room are taken"),
            Refusal::NotJoined => (Code::NotJoined, "You have not joined this room"),
        };
        let mut error = Self::new(code, message);
        if let Refusal::Banned {
            wait_ms: Some(wait_ms),
        } = refusal
        {
            error.retry_after = Some(Duration::from_millis(wait_ms));
        }
        error
    }
}
