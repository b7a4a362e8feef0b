//! The suite that every transport must pass: the promises of `chat.v1`, checked by a client of that
//! transport.
//!
//! The tests of a transport implement [`Peer`] for one of its clients and call [`run`]. The suite
//! waits for events, never for an amount of time, so it runs with a paused clock and with a real
//! one. A case that hangs fails after [`CASE_TIMEOUT`].
//!
//! This is the whole test of the in-memory transport:
//!
//! ```
//! use chat_core::Chat;
//! use chat_memory::conformance::{self, Observed, Peer};
//! use chat_memory::{ClientEnd, Received, block_on_paused, pair};
//!
//! struct MemoryPeer(ClientEnd);
//!
//! impl Peer for MemoryPeer {
//!     async fn send_text(&mut self, text: String) {
//!         self.0.send(text);
//!     }
//!
//!     async fn send_binary(&mut self, bytes: Vec<u8>) {
//!         self.0.send_binary(bytes);
//!     }
//!
//!     async fn recv(&mut self) -> Observed {
//!         match self.0.recv().await {
//!             Some(Received::Text(text)) => {
//!                 Observed::Text(String::from_utf8(text.to_vec()).expect("text must be UTF-8"))
//!             }
//!             Some(Received::Close(code)) => Observed::Closed(Some(code)),
//!             None => Observed::Closed(None),
//!         }
//!     }
//!
//!     async fn pause_reading(&mut self) {
//!         self.0.stall();
//!     }
//!
//!     async fn resume_reading(&mut self) {
//!         self.0.resume();
//!     }
//!
//!     async fn abort(self) {
//!         self.0.abort();
//!     }
//! }
//!
//! async fn connect(chat: &Chat) -> MemoryPeer {
//!     let (server, client) = pair(256 * 1024);
//!     tokio::spawn(chat.admit(None).expect("the engine must admit a connection").serve(server));
//!     MemoryPeer(client)
//! }
//!
//! block_on_paused(conformance::run(connect));
//! ```

mod cases;
mod peer;

use std::future::Future;
use std::time::Duration;

use chat_core::Chat;

pub use self::peer::{Observed, Peer};

/// How long a case may take. With a paused clock, this is virtual time.
pub const CASE_TIMEOUT: Duration = Duration::from_secs(120);

/// Runs all cases, one after the other.
///
/// `connect` connects a new peer to a server of the given engine. A case makes an engine of its own
/// and connects some peers to it; their servers may run for as long as the test.
///
/// # Panics
/// If the transport fails a case. A case that hangs is named.
pub async fn run<P: Peer>(connect: impl AsyncFn(&Chat) -> P) {
    let connect = &connect;
    case("welcome first", cases::welcome_first(connect)).await;
    case("order", cases::order(connect)).await;
    case("text byte for byte", cases::text_unchanged(connect)).await;
    case("a large page", cases::large_page(connect)).await;
    case("interleaved rooms", cases::interleaved_rooms(connect)).await;
    case("recovery after an abort", cases::recovery(connect)).await;
    case("a binary message", cases::binary_message(connect)).await;
    case("malformed commands", cases::malformed_commands(connect)).await;
    case("a slow reader", cases::slow_reader(connect)).await;
    case("a drain", cases::drain(connect)).await;
}

async fn case(name: &str, run: impl Future<Output = ()>) {
    let finished = tokio::time::timeout(CASE_TIMEOUT, run).await;
    assert!(finished.is_ok(), "{name}: hangs");
}
