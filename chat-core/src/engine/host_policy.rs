//! Calling the host's code, which may hang or panic.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use crate::identity::Identity;
use crate::policy::{Draft, Hooks, Policy};
use crate::protocol::{Code, Create, Error, RoomId};

/// The host's policy with its hooks, each of which allows everything where there is none.
pub(crate) struct HostPolicy {
    policy: Option<Arc<dyn Policy>>,
    hooks: Hooks,
    timeout: Duration,
}

impl HostPolicy {
    pub(crate) fn new(policy: Option<Arc<dyn Policy>>, timeout: Duration) -> Self {
        let hooks = policy.as_ref().map_or(Hooks::NONE, |policy| policy.hooks());
        Self {
            policy,
            hooks,
            timeout,
        }
    }

    /// The hooks that must be asked.
    pub(crate) fn hooks(&self) -> Hooks {
        self.hooks
    }

    pub(crate) async fn create(
        &self,
        visitor: Option<&Identity>,
        room: &mut Create,
    ) -> Result<(), Error> {
        match self.policy.as_ref().filter(|_| self.hooks.create) {
            Some(policy) => guard(async { policy.create(visitor, room).await }, self.timeout).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn join(&self, visitor: &Identity, room: &RoomId) -> Result<(), Error> {
        match self.policy.as_ref().filter(|_| self.hooks.join) {
            Some(policy) => guard(async { policy.join(visitor, room).await }, self.timeout).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn send(
        &self,
        visitor: &Identity,
        room: &RoomId,
        draft: &mut Draft,
    ) -> Result<(), Error> {
        match self.policy.as_ref().filter(|_| self.hooks.send) {
            Some(policy) => {
                guard(
                    async { policy.send(visitor, room, draft).await },
                    self.timeout,
                )
                .await
            }
            None => Ok(()),
        }
    }
}

/// Waits for the host's answer. A panic is contained.
///
/// # Errors
/// The host's own; `unavailable` after `timeout`; `internal` if the host's code panicked.
pub(crate) async fn guard<T>(
    answer: impl Future<Output = Result<T, Error>>,
    timeout: Duration,
) -> Result<T, Error> {
    match tokio::time::timeout(timeout, AssertUnwindSafe(answer).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            tracing::error!("code of the host panicked while it handled a command");
            Err(Error::new(Code::Internal, "The server failed"))
        }
        Err(_) => Err(Error::new(
            Code::Unavailable,
            "The server took too long; please try again",
        )),
    }
}
