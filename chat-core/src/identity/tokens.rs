//! Tokens, with which users come back as the same identity.

use std::fmt;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;

use super::identity::Identity;
use super::mac::{keyed, mac};
use crate::protocol::{Code, Error};

/// Issues and resumes identities.
///
/// The default is [`SignedTokens`], which needs no storage. A host may add its own checks, for
/// example against a database of revoked sessions:
///
/// ```
/// use chat_core::{Chat, Code, Error, Identities, Identity, SignedTokens, async_trait};
///
/// struct Revocable(SignedTokens);
///
/// #[async_trait]
/// impl Identities for Revocable {
///     fn issue(&self, identity: &Identity, expires_at: u64) -> String {
///         self.0.issue(identity, expires_at)
///     }
///
///     async fn resume(&self, token: &str, now_ms: u64) -> Result<Identity, Error> {
///         if is_revoked(token).await {
///             return Err(Error::new(Code::BadToken, "This session is over"));
///         }
///         self.0.resume(token, now_ms).await
///     }
/// }
///
/// # async fn is_revoked(token: &str) -> bool { false }
/// let identities = Revocable(SignedTokens::new(["at least 32 random bytes"]));
/// let chat = Chat::builder().identities(identities).build();
/// ```
#[async_trait]
pub trait Identities: Send + Sync {
    /// A token that gives `identity` back until `expires_at`, in milliseconds since the Unix epoch.
    ///
    /// It must not block, and a panic ends the connection: `welcome` is sent at once, also to clients that never say `hello`. A host
    /// whose tokens are stored stores them in the background.
    fn issue(&self, identity: &Identity, expires_at: u64) -> String;

    /// The identity in a token, at the time `now_ms` in milliseconds since the Unix epoch.
    ///
    /// The engine waits for [`Limits::policy_timeout`](crate::Limits::policy_timeout), then the
    /// `hello` is `unavailable`; a panic makes it `internal`. The future may be dropped at any
    /// `await`, when the connection ends.
    ///
    /// # Errors
    /// `bad_token`, without anything that distinguishes one cause from another.
    async fn resume(&self, token: &str, now_ms: u64) -> Result<Identity, Error>;
}

/// Signed tokens: `v1.` identity and expiry `.` HMAC-SHA-256, in base64url.
pub struct SignedTokens {
    /// The first one signs; all of them verify.
    secrets: Vec<Vec<u8>>,
}

impl SignedTokens {
    /// Signs with the first secret and accepts the tokens of all of them, so that secrets can be
    /// rotated: put the new one in front, and drop the old one when its tokens have expired.
    ///
    /// # Panics
    /// Without a secret.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let secrets: Vec<_> = secrets.into_iter().map(Into::into).collect();
        assert!(!secrets.is_empty(), "signed tokens need a secret");
        Self { secrets }
    }

    fn verify(&self, token: &str, now_ms: u64) -> Option<Identity> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (claims, tag) = token.strip_prefix("v1.")?.split_once('.')?;
        let claims: [u8; 24] = URL_SAFE_NO_PAD.decode(claims).ok()?.try_into().ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let signed = |secret: &Vec<u8>| keyed(secret, &[TOKEN, &claims]).verify_slice(&tag);
        if !self.secrets.iter().any(|secret| signed(secret).is_ok()) {
            return None;
        }
        let (identity, expires_at) = claims.split_at(16);
        let expires_at = u64::from_be_bytes(expires_at.try_into().ok()?);
        (expires_at > now_ms).then_some(Identity::from_bits(identity.try_into().ok()?))
    }
}

#[async_trait]
impl Identities for SignedTokens {
    fn issue(&self, identity: &Identity, expires_at: u64) -> String {
        let claims = [&identity.bits()[..], &expires_at.to_be_bytes()].concat();
        let tag = mac(&self.secrets[0], &[TOKEN, &claims]);
        format!(
            "v1.{}.{}",
            URL_SAFE_NO_PAD.encode(claims),
            URL_SAFE_NO_PAD.encode(tag)
        )
    }

    async fn resume(&self, token: &str, now_ms: u64) -> Result<Identity, Error> {
        self.verify(token, now_ms).ok_or_else(|| {
            let message = "This token is not valid here, or not any longer";
            Error::new(Code::BadToken, message)
        })
    }
}

impl fmt::Debug for SignedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedTokens").finish_non_exhaustive()
    }
}

const TOKEN: &[u8] = b"chat.v1 token";
/// Our tokens are 79 bytes long; nothing longer than this is decoded.
const MAX_TOKEN: usize = 128;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn identity() -> Identity {
        Identity::from_bits([7; 16])
    }

    #[test]
    fn a_token_gives_its_identity_back_until_it_expires() {
        let tokens = SignedTokens::new(["secret"]);
        let token = tokens.issue(&identity(), 1000);
        assert_eq!(tokens.verify(&token, 999), Some(identity()));
        assert_eq!(tokens.verify(&token, 1000), None);
    }

    #[tokio::test]
    async fn altered_tokens_are_refused_with_one_and_the_same_error() {
        let tokens = SignedTokens::new(["secret"]);
        let token = tokens.issue(&identity(), 1000);
        let mut altered: Vec<String> = (0..token.len()).map(|cut| token[..cut].into()).collect();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            altered.push(String::from_utf8(bytes).unwrap());
        }
        altered.push(format!("{token}A"));
        altered.push("A".repeat(10_240));
        altered.push(SignedTokens::new(["other"]).issue(&identity(), 1000));
        let mut errors = HashSet::new();
        for token in &altered {
            let error = tokens.resume(token, 0).await.unwrap_err();
            assert_eq!(error.code, Code::BadToken);
            errors.insert(error.to_string());
        }
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn an_old_secret_is_accepted_while_it_is_listed() {
        let token = SignedTokens::new(["old"]).issue(&identity(), 1000);
        let rotated = SignedTokens::new(["new", "old"]);
        assert_eq!(rotated.verify(&token, 0), Some(identity()));
        assert_eq!(SignedTokens::new(["new"]).verify(&token, 0), None);
    }
}
