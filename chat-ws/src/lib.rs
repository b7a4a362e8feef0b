//! The WebSocket transport of [`chat_core`].
//!
//! Three layers, of which a host takes the one that fits:
//! * [`service`]: the endpoint, for axum, hyper and all that takes a `tower` service;
//! * [`handshake`] and [`serve_io`] or [`serve_upgraded`]: for hosts that upgrade by themselves;
//! * [`WebSocket`]: the transport alone.

mod closing;
mod config;
mod flood;
mod frame;
mod framing;
mod handshake;
mod heartbeat;
mod origin;
mod queue;
mod reading;
mod rejection;
mod scratch;
mod serve;
mod service;
mod socket;
mod websocket;

pub use config::Config;
pub use handshake::{SUBPROTOCOL, handshake};
pub use origin::Origins;
pub use rejection::Rejection;
pub use serve::{serve_io, serve_upgraded};
pub use service::{ChatService, ClientAddr, service};
pub use socket::Socket;
pub use websocket::WebSocket;
