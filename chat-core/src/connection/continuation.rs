//! Commands that wait for something outside: a password hash, or the host.

use std::future::Future;
use std::pin::Pin;

use super::session::Session;
use crate::clock::Now;
use crate::protocol::Error;
use crate::room::PendingNotifications;

/// Done, to be continued, or refused.
pub(super) type CommandResult = Result<Option<PendingCommand>, Error>;

/// The rest of a command, to be run with the session and the time at hand.
pub(super) type Continuation =
    Box<dyn FnOnce(&mut Session, Now, &mut PendingNotifications) -> CommandResult + Send>;

/// A command that waits. Its future's output is the rest of the command.
pub(super) struct PendingCommand {
    /// The `id` that the reply repeats.
    pub(super) id: Option<u64>,
    pub(super) future: Pin<Box<dyn Future<Output = Continuation> + Send>>,
}

impl PendingCommand {
    pub(super) fn new<F, C>(id: Option<u64>, wait: F) -> Self
    where
        F: Future<Output = C> + Send + 'static,
        C: FnOnce(&mut Session, Now, &mut PendingNotifications) -> CommandResult + Send + 'static,
    {
        Self {
            id,
            future: Box::pin(async move { Box::new(wait.await) as Continuation }),
        }
    }
}
