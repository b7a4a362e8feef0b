//! The shared parts of the benches: clients that count deliveries, and a room full of them.

mod clients;
mod counter;
mod room;

pub use counter::Counter;
pub use room::{BenchRoom, Transport, engine};

/// The text of the messages: 128 bytes.
pub const TEXT: &str = "The quick brown fox jumps over the lazy dog, and the dog, being lazy, lets it; \
                        so it jumps over it again, and once again more...";
