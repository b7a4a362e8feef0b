//! One connection, from its first message to its last.
//!
//! The [`driver`](Connection) polls the transport; `dispatch` parses what it receives and passes it
//! to `hello`, `join` and `handlers`; the `session` knows what is sent next. Commands that wait for
//! something outside come back as a `continuation`.

mod continuation;
mod dispatch;
mod driver;
mod handlers;
mod hello;
mod join;
mod outbox;
mod session;
mod ticket;
mod transport;

#[cfg(test)]
mod protocol_document;

pub use driver::Connection;
pub use ticket::Ticket;
pub use transport::{Close, CloseCode, Incoming, Outgoing, Transport};
