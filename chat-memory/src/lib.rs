//! Tests for a chat without sockets: a transport in memory, clients that check what they receive,
//! and worlds in virtual time.
//!
//! `chat-core` is tested with this crate, and `chat-ws` passes its conformance suite. Other
//! transports, and hosts that embed the engine, can be tested in the same way.
//!
//! # A client against a chat
//!
//! [`Client`] is a scripted client of `chat.v1`. It checks every event against the promises of the
//! protocol, and panics if one is broken:
//!
//! ```
//! use chat_core::Chat;
//! use chat_memory::Client;
//!
//! # chat_memory::block_on_paused(async {
//! let chat = Chat::builder().open_rooms(true).build();
//! let mut ann = Client::connect(&chat);
//! let mut ben = Client::connect(&chat);
//! ann.join("tea").await;
//! ben.join("tea").await;
//!
//! ann.send("tea", "Good morning").await;
//! assert_eq!(ben.event("message").await["text"], "Good morning");
//!
//! // A client that comes back receives what it missed.
//! ben.end().abort();
//! ann.send("tea", "Are you there?").await;
//! ben.reconnect(&chat);
//! ben.hello().await;
//! assert_eq!(ben.rejoin("tea").await["recovered"], true);
//! assert_eq!(ben.event("message").await["text"], "Are you there?");
//! # });
//! ```
//!
//! # A slow connection
//!
//! [`pair`] makes the two ends of a connection. Its window, in bytes, is the size of the simulated
//! socket buffer, which makes a slow reader a matter of two calls:
//!
//! ```
//! use chat_core::{Chat, CloseCode};
//! use chat_memory::{Client, Ledger, pair};
//!
//! # chat_memory::block_on_paused(async {
//! let chat = Chat::builder().open_rooms(true).build();
//! let (server, end) = pair(1024);
//! let connection = tokio::spawn(chat.admit(None).unwrap().serve(server));
//! let mut slow = Client::new(end, Ledger::default());
//! slow.join("tea").await;
//! slow.end().stall();
//!
//! let mut ann = Client::connect(&chat);
//! ann.join("tea").await;
//! ann.send("tea", &"x".repeat(1024)).await;
//!
//! // The engine waits for `Limits::write_timeout`, which takes no real time here.
//! assert_eq!(connection.await.unwrap().code, CloseCode::TOO_SLOW);
//! # });
//! ```
//!
//! # A world by its seed
//!
//! [`World`] simulates an engine with several users who send, leave, stall, lose their connections
//! and come back at random, and checks the whole history at the end. The same seed is the same run,
//! to the byte:
//!
//! ```
//! use chat_memory::World;
//!
//! for seed in 0..3 {
//!     let report = World::run(seed, 100);
//!     println!("{report:#?}");
//! }
//! ```
//!
//! A fuzz target calls [`World::replay`] with its input instead, in which every byte is one
//! decision. [`Chance`] turns such bytes into random numbers for any test, and [`inputs`] makes
//! some where no fuzzer does.
//!
//! # The conformance suite against a transport
//!
//! Implement [`conformance::Peer`] for a client of the transport, and call [`conformance::run`]
//! with a function that connects one to a given chat. The module has the [whole test](conformance)
//! of the in-memory transport as its example.
//!
//! # Runtime
//!
//! Clients need a tokio runtime with time enabled, as the engine does. With a paused clock,
//! timeouts take no real time: use `#[tokio::test(start_paused = true)]`, or [`block_on_paused`]
//! outside of an async test. [`World::run`] and [`World::replay`] make such a runtime of their own,
//! so they panic within another one. [`pair`] and its ends need no runtime. The conformance suite
//! runs with a paused clock and with a real one.
//!
//! # Table of contents
//!
//! Each module uses only those above it.
//!
//! | module | |
//! |---|---|
//! | `runtime` | [`block_on_paused`]: a runtime whose clock is paused |
//! | `chance` | [`Chance`] and [`inputs`]: decisions from a seed or from recorded choices |
//! | `pipe` | [`pair`], [`ServerEnd`], [`ClientEnd`] and [`Received`]: a connection in memory |
//! | `fields` | reads fields of events |
//! | `ledger` | [`Ledger`]: the events of all rooms, as all clients together saw them |
//! | `view` | [`View`]: a room as one connection sees it, updated and checked by every event |
//! | `client` | [`Client`]: commands, replies and events; `client::checker` has the checks |
//! | `conformance` | [`conformance::run`]: the suite, with its cases in `conformance::cases` |
//! | `world` | [`World`] and [`Report`]: a simulation; `world::checks` is what it promises |

mod chance;
mod client;
pub mod conformance;
mod fields;
mod ledger;
mod pipe;
mod runtime;
mod view;
mod world;

pub use chance::{Chance, inputs};
pub use client::Client;
pub use ledger::Ledger;
pub use pipe::{ClientEnd, Received, ServerEnd, pair};
pub use runtime::block_on_paused;
pub use view::View;
pub use world::{Report, World};
