//! The server as a process, and clients that talk to it.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    unused_imports,
    reason = "each test file uses a part of it"
)]

mod http;
mod member;
mod server;

use std::future::Future;
use std::time::Duration;

pub use http::*;
pub use member::*;
pub use server::*;

/// The secret of every server that has to accept the tokens of another one.
pub const SECRET: &str = "a secret that only the tests use";

/// The output of a future that must complete. The limit is generous: only a test that hangs
/// reaches it.
///
/// # Panics
///
/// After 60 seconds, with the name of what did not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let output = tokio::time::timeout(Duration::from_secs(60), future).await;
    output.unwrap_or_else(|_| panic!("{what}: not done after a minute"))
}

/// Waits until the condition is true, with the limit of [`within`].
pub async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
