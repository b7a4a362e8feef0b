//! Who somebody is, without an account.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::{Code, Error};
use crate::id::{MemberId, RoomId};

/// 128 secret bits. Whoever knows them is this person, so they travel only inside a token, to their owner.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity([u8; 16]);

impl Identity {
    /// An identity of random bits, which must come from a generator fit for secrets.
    pub fn from_bits(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// The identity of a user of the host's own: the same for the same `secret` and `user`, known to neither other users
    /// nor rooms.
    pub fn of_user(secret: &[u8], user: &str) -> Self {
        let tag = mac(secret, &[b"chat.v1 user", user.as_bytes()]);
        Self(tag[..16].try_into().expect("16 of 32 bytes"))
    }

    /// What this identity is called in `room`.
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

/// Issues and resumes identities.
pub trait Identities: Send + Sync {
    /// A token that gives `identity` back until `expires_at`, in milliseconds since the Unix epoch.
    fn issue(&self, identity: &Identity, expires_at: u64) -> String;

    /// The identity in a token.
    ///
    /// # Errors
    /// `bad_token`, with nothing that tells one cause from another.
    fn resume(&self, token: &str, now_ms: u64) -> Result<Identity, Error>;
}

/// Signed tokens: `v1.` identity and expiry `.` HMAC-SHA-256.
pub struct SignedTokens {
    /// The first signs; all verify.
    secrets: Vec<Vec<u8>>,
}

impl SignedTokens {
    /// Signs with the first secret and accepts the tokens of all, so that secrets can be rotated: put the new one in front
    /// and drop the old one when its tokens have expired.
    ///
    /// # Panics
    /// Without a secret.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let secrets: Vec<_> = secrets.into_iter().map(Into::into).collect();
        assert!(!secrets.is_empty(), "tokens need a secret");
        Self { secrets }
    }
}

impl Identities for SignedTokens {
    fn issue(&self, identity: &Identity, expires_at: u64) -> String {
        let claims = [&identity.0[..], &expires_at.to_be_bytes()].concat();
        let tag = mac(&self.secrets[0], &[TOKEN, &claims]);
        format!(
            "v1.{}.{}",
            URL_SAFE_NO_PAD.encode(claims),
            URL_SAFE_NO_PAD.encode(tag)
        )
    }

    fn resume(&self, token: &str, now_ms: u64) -> Result<Identity, Error> {
        let claims = || {
            let (claims, tag) = token.strip_prefix("v1.")?.split_once('.')?;
            let claims: [u8; 24] = URL_SAFE_NO_PAD.decode(claims).ok()?.try_into().ok()?;
            let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
            let signed = |secret: &Vec<u8>| keyed(secret, &[TOKEN, &claims]).verify_slice(&tag);
            self.secrets
                .iter()
                .any(|secret| signed(secret).is_ok())
                .then_some(claims)
        };
        let bad = || Error::new(Code::BadToken, "This token is not valid here, or no longer");
        let claims = if token.len() <= LONGEST {
            claims().ok_or_else(bad)?
        } else {
            return Err(bad());
        };
        let (identity, expires_at) = claims.split_at(16);
        if u64::from_be_bytes(expires_at.try_into().expect("8 bytes")) <= now_ms {
            return Err(bad());
        }
        Ok(Identity(identity.try_into().expect("16 bytes")))
    }
}

/// HMAC-SHA-256 over the parts, each behind its length so that no two lists of parts are the same text.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    keyed(key, parts).finalize().into_bytes().into()
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

/// How long a token is good for by default: 30 days from the last `hello`.
pub(crate) const TOKEN_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
const TOKEN: &[u8] = b"chat.v1 token";
/// Ours are 79 bytes long; nothing longer is looked at.
const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::from_bits([7; 16])
    }

    #[test]
    fn a_token_gives_its_identity_back_until_it_expires() {
        let tokens = SignedTokens::new(["secret"]);
        let token = tokens.issue(&identity(), 1000);
        assert_eq!(tokens.resume(&token, 999), Ok(identity()));
        assert_eq!(
            tokens.resume(&token, 1000).unwrap_err().code,
            Code::BadToken
        );
    }

    #[test]
    fn no_altered_token_passes_and_no_cause_is_told() {
        let tokens = SignedTokens::new(["secret"]);
        let token = tokens.issue(&identity(), 1000);
        let mut bad: Vec<String> = (0..token.len()).map(|cut| token[..cut].into()).collect();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            bad.push(String::from_utf8(bytes).unwrap());
        }
        bad.push(format!("{token}A"));
        bad.push("A".repeat(10_240));
        bad.push(SignedTokens::new(["other"]).issue(&identity(), 1000));
        let told: std::collections::HashSet<_> = bad
            .iter()
            .map(|token| tokens.resume(token, 0).unwrap_err().to_string())
            .collect();
        assert_eq!(told.len(), 1);
    }

    #[test]
    fn an_old_secret_is_accepted_while_it_is_listed() {
        let token = SignedTokens::new(["old"]).issue(&identity(), 1000);
        assert_eq!(
            SignedTokens::new(["new", "old"]).resume(&token, 0),
            Ok(identity())
        );
        assert!(SignedTokens::new(["new"]).resume(&token, 0).is_err());
    }

    #[test]
    fn a_member_id_is_stable_in_a_room_and_another_elsewhere() {
        let (a, b) = (RoomId::new("a").unwrap(), RoomId::new("b").unwrap());
        assert_eq!(identity().member_in(&a), identity().member_in(&a));
        assert_ne!(identity().member_in(&a), identity().member_in(&b));
        assert_ne!(
            Identity::from_bits([8; 16]).member_in(&a),
            identity().member_in(&a)
        );
    }
}
