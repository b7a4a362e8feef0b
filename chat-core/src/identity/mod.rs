//! Who somebody is, without an account: secret identities, tokens, nicknames, passwords of rooms.

pub(crate) mod default_nickname;
#[allow(
    clippy::module_inception,
    reason = "the main type of a folder has a file of its own"
)]
mod identity;
mod mac;
pub(crate) mod nickname;
pub(crate) mod password;
mod tokens;

pub use identity::Identity;
pub use tokens::{Identities, SignedTokens};

pub(crate) use mac::mac;
