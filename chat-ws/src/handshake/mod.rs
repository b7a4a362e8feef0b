//! The opening handshake: which HTTP requests become WebSockets, and how the others are answered.

mod opening;
mod origins;
mod rejection;

pub use opening::{SUBPROTOCOL, handshake};
pub use origins::Origins;
pub use rejection::Rejection;
