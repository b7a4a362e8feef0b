//! What the benches share: a transport that counts, and a room full of it.

mod counter;
mod ours;

pub use counter::Counter;
pub use ours::Ours;

/// What is said: 128 bytes.
pub const TEXT: &str = "The quick brown fox jumps over the lazy dog, and the dog, being lazy, lets it; \
                        so it jumps over it again, and once again more...";
