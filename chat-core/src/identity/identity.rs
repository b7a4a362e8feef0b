//! A secret that stands for a user.

use std::fmt;

use super::mac::mac;
use crate::protocol::{MemberId, RoomId};

/// 128 secret bits. Whoever knows them is this user, so they travel only within a token, to their
/// owner.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity([u8; 16]);

impl Identity {
    /// An identity of random bits, which must come from a generator that is fit for secrets.
    pub fn from_bits(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// The secret itself, to be put into a token.
    pub(super) fn bits(&self) -> &[u8; 16] {
        &self.0
    }

    /// The identity of one of the host's own users. It is the same for the same `secret` and
    /// `user`, and reveals neither to other users or rooms.
    pub fn of_user(secret: &[u8], user: &str) -> Self {
        let tag = mac(secret, &[b"chat.v1 user", user.as_bytes()]);
        Self(tag[..16].try_into().expect("16 of 32 bytes"))
    }

    /// The id of this identity in `room`.
    pub fn member_in(&self, room: &RoomId) -> MemberId {
        let tag = mac(&self.0, &[b"chat.v1 member", room.as_str().as_bytes()]);
        MemberId(tag[..15].try_into().expect("15 of 32 bytes"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_id_is_stable_in_a_room_and_different_elsewhere() {
        let (a, b) = (RoomId::new("a").unwrap(), RoomId::new("b").unwrap());
        let identity = Identity::from_bits([7; 16]);
        assert_eq!(identity.member_in(&a), identity.member_in(&a));
        assert_ne!(identity.member_in(&a), identity.member_in(&b));
        assert_ne!(
            Identity::from_bits([8; 16]).member_in(&a),
            identity.member_in(&a)
        );
    }
}
