//! What the benches share: clients that count, and a room full of them.

mod counter;
mod ends;
mod ours;

pub use counter::Counter;
pub use ours::{Ours, Transport, engine};

/// What is said: 128 bytes.
pub const TEXT: &str = "The quick brown fox jumps over the lazy dog, and the dog, being lazy, lets it; \
                        so it jumps over it again, and once again more...";
