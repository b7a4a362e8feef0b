//! The seam to the outside: what a transport gives and takes.

use std::fmt;

use bytes::Bytes;
use futures_util::{Sink, Stream};

use crate::frame::Frames;

/// Anything that carries messages both ways: a [`Stream`] of [`Incoming`] with a [`Sink`] of [`Outgoing`].
///
/// What a transport owes:
/// * Its stream ends when the peer has gone, whether it said so or not. An error ends the connection too.
/// * It keeps the order in both directions, and does not resume half a frame.
/// * `poll_ready` is pending while what was handed over before is not yet accepted by the peer's side; the engine counts on
///   that for backpressure and keeps its own write deadline.
/// * `start_send` takes [`Outgoing::Frames`] whole and never blocks; `poll_flush` writes.
/// * After [`Outgoing::Close`], `poll_close` carries out its own closing handshake, within a time of its own, and then is ready.
/// * A violation of its own protocol (bad UTF-8, an oversized message, silence) it answers itself, then ends its stream.
pub trait Transport:
    Stream<Item = Result<Incoming, <Self as Sink<Outgoing>>::Error>>
    + Sink<Outgoing, Error: fmt::Display>
    + Unpin
{
}

impl<T, E: fmt::Display> Transport for T where
    T: Stream<Item = Result<Incoming, E>> + Sink<Outgoing, Error = E> + Unpin
{
}

/// What a transport receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message: valid UTF-8, which the transport has checked.
    Text(Bytes),
    /// A binary message. `chat.v1` has none, so the engine closes with [`CloseCode::UNSUPPORTED`].
    Binary(Bytes),
}

/// What a transport is handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Events to deliver.
    Frames(Frames),
    /// The last thing that the engine says.
    Close(Close),
}

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The number on the wire.
    pub code: CloseCode,
    /// A few words for whoever debugs a client; at most 123 bytes (RFC 6455 §5.5).
    pub reason: &'static str,
}

impl Close {
    /// A close with its reason.
    pub const fn new(code: CloseCode, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

/// A close code: those of RFC 6455 §7.4.1, and our own, whose range is the verdict: 4000–4499 come back, 4500–4999 do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// All is said.
    pub const NORMAL: Self = Self(1000);
    /// The server is going away.
    pub const AWAY: Self = Self(1001);
    /// The peer broke the transport's protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// A binary message where only text is understood.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Text that is not UTF-8.
    pub const INVALID: Self = Self(1007);
    /// Abuse.
    pub const POLICY: Self = Self(1008);
    /// A message over the size limit.
    pub const TOO_BIG: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL: Self = Self(1011);
    /// No room for another connection now.
    pub const TRY_AGAIN: Self = Self(1013);
    /// The server failed in a way that a new connection may cure.
    pub const SERVER_ERROR: Self = Self(4000);
    /// The peer does not take what it is sent.
    pub const TOO_SLOW: Self = Self(4002);
    /// The peer does not answer pings.
    pub const IDLE: Self = Self(4003);
    /// Far too many commands.
    pub const RATE_LIMITED: Self = Self(4004);
    /// Banned from the server.
    pub const BANNED: Self = Self(4500);
}
