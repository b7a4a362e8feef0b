//! Room passwords: Argon2id hashes, computed on a bounded number of blocking threads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::Output;
use argon2::{Argon2, Block, Params};
use tokio::sync::Semaphore;

use crate::protocol::{Code, Error};

/// An Argon2id hash with 19 MiB and two passes, which is the first recommendation of OWASP.
pub(crate) struct Password {
    salt: [u8; 16],
    /// Compared in constant time.
    hash: Output,
}

impl Password {
    /// A hash that nobody has computed.
    #[cfg(test)]
    pub(crate) fn unusable() -> Self {
        Self {
            salt: [0; 16],
            hash: Output::new(&[0; Params::DEFAULT_OUTPUT_LEN]).expect("the default length"),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(secret)")
    }
}

/// Computes hashes, a few at once, with a bounded number waiting.
pub(crate) struct Hashers {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

impl Hashers {
    pub(crate) fn new(at_once: usize, waiting: usize) -> Self {
        let slots = Arc::new(Semaphore::new(at_once.max(1)));
        Self {
            slots,
            waiting: AtomicUsize::new(0),
            max_waiting: at_once.max(1) + waiting,
        }
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// `unavailable` if too many wait.
    pub(crate) async fn hash(&self, password: String, salt: [u8; 16]) -> Result<Password, Error> {
        let hash = self.run(move || compute(&password, &salt)).await??;
        Ok(Password { salt, hash })
    }

    /// Whether `password` is the right one.
    ///
    /// # Errors
    /// `unavailable` if too many wait.
    pub(crate) async fn verify(
        &self,
        password: String,
        against: Arc<Password>,
    ) -> Result<bool, Error> {
        self.run(move || Ok(compute(&password, &against.salt)? == against.hash))
            .await?
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let busy = || {
            Error::new(
                Code::Unavailable,
                "Too many passwords are being checked; try again",
            )
        };
        let _waiting = Waiting::enter(&self.waiting, self.max_waiting).ok_or_else(busy)?;
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|_| busy())?;
        // The job owns the slot, so a client that hangs up does not free it while the core is busy.
        let job = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            job()
        });
        job.await
            .map_err(|_| Error::new(Code::Internal, "The password check failed"))
    }
}

fn compute(password: &str, salt: &[u8; 16]) -> Result<Output, Error> {
    // More than is used: the allocator maps a block of this size and returns it to the system,
    // while it would keep smaller ones for each of its threads. Untouched memory costs nothing.
    let mut memory = Vec::with_capacity(RESERVED / Block::SIZE);
    memory.resize(Params::DEFAULT.block_count(), Block::default());
    let mut hash = [0; Params::DEFAULT_OUTPUT_LEN];
    Argon2::default()
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, &mut memory)
        .ok()
        .and_then(|()| Output::new(&hash).ok())
        .ok_or_else(|| Error::new(Code::Internal, "The password could not be hashed"))
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) >= max {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// More than the 32 MiB above which glibc maps every block.
const RESERVED: usize = 33 << 20;
/// Longer passwords are refused before they are hashed.
pub(crate) const MAX_PASSWORD_BYTES: usize = 256;
