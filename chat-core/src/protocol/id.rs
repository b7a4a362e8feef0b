//! Ids of rooms, and of members in them.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::error::{Code, Error};

/// The id of a room: 1 to 64 characters of `A-Z a-z 0-9 _ -`, case-sensitive. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(Arc<str>);

impl RoomId {
    /// An id from its text.
    ///
    /// # Errors
    /// `bad_room`.
    pub fn new(id: &str) -> Result<Self, Error> {
        Self::check(id)?;
        Ok(Self(id.into()))
    }

    /// Checks the syntax only.
    pub(crate) fn check(id: &str) -> Result<(), Error> {
        if (1..=64).contains(&id.len()) && id.bytes().all(|b| ALLOWED[usize::from(b)]) {
            return Ok(());
        }
        Err(Error::new(
            Code::BadRoom,
            "A room id must be 1 to 64 characters of A-Z a-z 0-9 _ -",
        ))
    }

    /// An id of 120 random bits, so that nobody can guess it.
    pub(crate) fn from_random(bits: [u8; 15]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(bits).into())
    }

    /// An id of 120 random bits for a room with a password. It [says so](Self::is_protected)
    /// itself.
    pub(crate) fn protected_from_random(bits: [u8; 15]) -> Self {
        let id = [&bits[..], &protection_check(&bits)].concat();
        Self(URL_SAFE_NO_PAD.encode(id).into())
    }

    /// Whether a server made this id for a room with a password.
    ///
    /// Such a room must never come back without one, even after it ended, was forgotten, or the
    /// server was restarted. The id itself tells, by a check of 48 bits within it, so neither a
    /// secret nor a memory is needed. An id that somebody chose passes the check by chance once in
    /// 2^48 times, and only if it has 28 characters.
    pub fn is_protected(&self) -> bool {
        let Ok(id) = <[u8; 21]>::try_from(URL_SAFE_NO_PAD.decode(&*self.0).unwrap_or_default())
        else {
            return false;
        };
        let (bits, check) = id.split_at(15);
        protection_check(bits) == check
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which bytes a room id may contain. Every `send` is checked, and a table takes half the
/// instructions of the comparisons.
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        byte += 1;
    }
    allowed
};

fn protection_check(bits: &[u8]) -> [u8; 6] {
    let hash = Sha256::new_with_prefix(b"chat.v1 protected room")
        .chain_update(bits)
        .finalize();
    hash[..6].try_into().expect("6 of 32 bytes")
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

/// Who somebody is in one room: 120 bits of a keyed hash of the identity and the room. It is always
/// the same for one identity in one room, and cannot be linked with that identity's id in another
/// room. It is never a credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub(crate) [u8; 15]);

impl MemberId {
    /// Parses an id as clients see it: 20 characters of base64url. `None` if it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Passes the id's text to `show`, without an allocation.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_made_for_a_protected_room_says_so() {
        for n in 0..100 {
            let protected = RoomId::protected_from_random([n; 15]);
            assert!(protected.is_protected());
            assert!(RoomId::check(protected.as_str()).is_ok());
            assert!(!RoomId::from_random([n; 15]).is_protected());
            // Any other id of the same length does not.
            let mut other = protected.as_str().to_owned();
            let last = if other.ends_with('A') { "B" } else { "A" };
            other.replace_range(27.., last);
            assert!(!RoomId::new(&other).unwrap().is_protected(), "{other}");
        }
        for chosen in ["lobby", "a", &"x".repeat(28), &"x".repeat(64)] {
            assert!(!RoomId::new(chosen).unwrap().is_protected());
        }
    }

    #[test]
    fn an_id_contains_letters_digits_underscores_and_hyphens_only() {
        for byte in 0..=u8::MAX {
            let id = char::from(byte).to_string();
            let allowed = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            assert_eq!(RoomId::check(&id).is_ok(), allowed, "{id:?}");
        }
        assert!(RoomId::check("").is_err() && RoomId::check(&"x".repeat(65)).is_err());
    }

    /// Ids outlive a release: whoever has an old link must meet the same rule.
    #[test]
    fn the_check_in_a_protected_id_never_changes() {
        let id = RoomId::protected_from_random([7; 15]);
        assert_eq!(id.as_str(), "BwcHBwcHBwcHBwcHBwcHS_dLbpD4");
    }
}
