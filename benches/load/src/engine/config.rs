//! What to connect to, and how messages are offered.

use std::net::SocketAddr;
use std::time::Duration;

use crate::protocol::{Protocol, Size};

/// The server, the clients and their rooms.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the server.
    pub addr: SocketAddr,
    /// The `Host` of the handshake.
    pub host: String,
    /// The path of the handshake; `{room}` stands for the room of the client.
    pub path: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The number of connections.
    pub clients: usize,
    /// The number of rooms among which the connections are distributed.
    pub rooms: usize,
    /// The start of every room id; the number of the room follows.
    pub room_prefix: String,
    /// The number of members of each room that publish, in turns.
    pub publishers: usize,
    /// The size of a text.
    pub size: Size,
    /// The number of loopback addresses to connect from; 0 leaves the choice to the system.
    pub sources: usize,
    /// The number of connections that may be connecting or joining at the same time.
    pub connecting: usize,
    /// After this time without any delivery, the missing ones count as lost.
    pub stall: Duration,
    /// Never sleep in `epoll_wait`, so that the server never pays for waking the generator up.
    pub busy: bool,
}

/// How messages are offered.
#[derive(Debug, Clone, Copy)]
pub enum Offer {
    /// Closed loop: this many unfinished publishes in each room.
    Window(usize),
    /// Open loop: this many publishes per second in all rooms together.
    Rate(f64),
}

/// One run of messages. It ends at the first of the two limits that is reached.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How messages are offered.
    pub offer: Offer,
    /// The number of publishes in total.
    pub messages: Option<u64>,
    /// The time to publish for.
    pub duration: Option<Duration>,
}
