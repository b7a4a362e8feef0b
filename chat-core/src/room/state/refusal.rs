//! Why the state of a room refuses an operation.

/// Why an operation was refused. It changed nothing but what was due anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The room has ended.
    Ended,
    /// Nobody was in the room for a long time, and its id is free again.
    Forgotten,
    /// The member is banned, for so many milliseconds if the ban ends.
    Banned { wait_ms: Option<u64> },
    /// The current password was not verified.
    PasswordRequired,
    /// Another member has this nickname, or one that looks like it.
    NicknameTaken,
    /// None of the offered default nicknames is free.
    NoFreeNickname,
    /// All seats are taken.
    Full,
    /// The stay is over.
    NotJoined,
}
