//! Calling the host's code, which may hang or panic.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use crate::error::{Code, Error};

/// Waits for a hook. A panic in it stays there.
///
/// # Errors
/// The hook's own; `unavailable` after `timeout`; `internal` if it panicked.
pub(crate) async fn guard(
    hook: impl Future<Output = Result<(), Error>>,
    timeout: Duration,
) -> Result<(), Error> {
    match tokio::time::timeout(timeout, AssertUnwindSafe(hook).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            tracing::error!("a policy hook panicked");
            Err(Error::new(Code::Internal, "The server failed"))
        }
        Err(_) => Err(Error::new(
            Code::Unavailable,
            "The server took too long; try again",
        )),
    }
}
