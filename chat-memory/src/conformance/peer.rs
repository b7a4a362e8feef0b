//! A client of the transport under test, and what the cases do with it.

use serde_json::{Value, json};

/// A client of the transport under test. It checks nothing, and sends nothing by itself but what
/// the transport demands, such as pongs.
#[allow(
    async_fn_in_trait,
    reason = "implemented by tests, which need no bounds on the futures"
)]
pub trait Peer {
    /// Sends a text message. It may be lost if the server has already ended the connection.
    async fn send_text(&mut self, text: String);

    /// Sends a binary message.
    async fn send_binary(&mut self, bytes: Vec<u8>);

    /// Receives the next message. The suite never calls it between
    /// [`pause_reading`](Self::pause_reading) and [`resume_reading`](Self::resume_reading).
    async fn recv(&mut self) -> Observed;

    /// Stops reading, so that the buffers of the server fill up. A peer that reads only in
    /// [`recv`](Self::recv) has nothing to do.
    async fn pause_reading(&mut self);

    /// Reads again.
    async fn resume_reading(&mut self);

    /// Ends the connection without a closing handshake.
    async fn abort(self);
}

/// What a peer observes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// One event as JSON.
    Text(String),
    /// The end of the connection, with the close code of the server if it arrived.
    Closed(Option<u16>),
}

pub(super) async fn send_command(peer: &mut impl Peer, command: Value) {
    peer.send_text(command.to_string()).await;
}

pub(super) async fn send_message(peer: &mut impl Peer, room: &str, text: &str) {
    send_command(peer, json!({"type": "send", "room": room, "text": text})).await;
}

pub(super) async fn join<P: Peer>(mut peer: P, room: &str) -> P {
    send_command(&mut peer, json!({"type": "join", "room": room})).await;
    next_of_type(&mut peer, "joined").await;
    peer
}

pub(super) async fn next_event(peer: &mut impl Peer) -> Value {
    match peer.recv().await {
        Observed::Text(event) => parse(&event),
        Observed::Closed(code) => panic!("closed with {code:?}"),
    }
}

/// The next event of a type. Other events before it are skipped, but none of them may be an error.
pub(super) async fn next_of_type(peer: &mut impl Peer, kind: &str) -> Value {
    loop {
        let event = next_event(peer).await;
        if event["type"] == kind {
            return event;
        }
        assert_ne!(event["type"], "error", "{event}");
    }
}

/// All events until the end of the connection, and the close code.
pub(super) async fn until_closed(peer: &mut impl Peer) -> (Vec<Value>, Option<u16>) {
    let mut events = Vec::new();
    loop {
        match peer.recv().await {
            Observed::Text(event) => events.push(parse(&event)),
            Observed::Closed(code) => return (events, code),
        }
    }
}

pub(super) fn parse(event: &str) -> Value {
    serde_json::from_str(event).expect("an event must be JSON")
}
