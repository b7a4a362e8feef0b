//! The names of things: rooms, and members in them.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};

use crate::error::{Code, Error};

/// The id of a room: 1 to 64 of `A-Z a-z 0-9 _ -`, case-sensitive. Cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(Arc<str>);

impl RoomId {
    /// Checks the syntax.
    ///
    /// # Errors
    /// `bad_room`.
    pub fn new(id: &str) -> Result<Self, Error> {
        Self::check(id)?;
        Ok(Self(id.into()))
    }

    /// Checks the syntax of what need not be kept.
    pub(crate) fn check(id: &str) -> Result<(), Error> {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=64).contains(&id.len()) && id.bytes().all(letter) {
            return Ok(());
        }
        Err(Error::new(
            Code::BadRoom,
            "A room id is 1 to 64 of A-Z a-z 0-9 _ -",
        ))
    }

    /// An id that nobody can guess, from 120 random bits.
    pub(crate) fn from_random(bits: [u8; 15]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(bits).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RoomId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Who somebody is in one room: 120 bits of a keyed hash of identity and room, so that it is the same for one identity
/// in one room for ever, and cannot be linked with the same identity's id in another. Never a credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub(crate) [u8; 15]);

impl MemberId {
    /// Reads an id as clients see it.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl MemberId {
    /// Hands the id as text to `show`, without an allocation.
    pub(crate) fn with_str<T>(self, show: impl FnOnce(&str) -> T) -> T {
        let mut text = [0; 20];
        let len = URL_SAFE_NO_PAD
            .encode_slice(self.0, &mut text)
            .expect("15 bytes are 20 letters");
        show(std::str::from_utf8(&text[..len]).expect("base64 is ASCII"))
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| f.write_str(text))
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MemberId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_str(|text| serializer.serialize_str(text))
    }
}
