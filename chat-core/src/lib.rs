//! Anonymous chat engine.

mod frame;
mod transport;

pub use frame::Frames;
pub use transport::{Close, CloseCode, Incoming, Outgoing, Transport};
