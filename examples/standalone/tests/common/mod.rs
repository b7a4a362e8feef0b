//! The server as a process of its own, and what talks to it.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    unused_imports,
    reason = "each test file uses its own part"
)]

mod http;
mod member;
mod server;

use std::future::Future;
use std::time::Duration;

pub use http::*;
pub use member::*;
pub use server::*;

/// Signs the tokens of every server that has to know those of another.
pub const SECRET: &str = "a secret of the tests, and of nobody else";

/// The output of a future that must come, whenever it does: only a test that hangs waits for so long.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let output = tokio::time::timeout(Duration::from_secs(60), future).await;
    output.unwrap_or_else(|_| panic!("{what}: hangs"))
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    within(what, async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
