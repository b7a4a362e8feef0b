//! Serving connections whose opening handshake the host has done itself.

use std::sync::Arc;

use chat_core::{Connection, Ticket};
use hyper::upgrade::Upgraded;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::Config;
use crate::socket::Socket;
use crate::websocket::WebSocket;

/// Serves a stream whose opening handshake is done. Spawn the returned future; it lives as long as
/// the connection, and dropping it drops the connection without a close frame.
///
/// `read_ahead` is what was read from the stream behind the handshake.
///
/// # Panics
/// Outside of a tokio runtime with its time driver.
pub fn serve_io<IO: AsyncRead + AsyncWrite + Unpin>(
    ticket: Ticket,
    io: IO,
    read_ahead: &[u8],
    config: Arc<Config>,
) -> Connection<WebSocket<IO>> {
    ticket.serve(WebSocket::new(io, read_ahead, config))
}

/// Serves a connection that hyper has upgraded. See [`serve_io`].
///
/// # Panics
/// Outside of a tokio runtime with its time driver.
pub fn serve_upgraded(
    ticket: Ticket,
    upgraded: Upgraded,
    config: Arc<Config>,
) -> Connection<WebSocket<Socket>> {
    let (socket, read_ahead) = Socket::from_upgraded(upgraded);
    serve_io(ticket, socket, &read_ahead, config)
}
