//! The receiving side of a client: events are checked when they arrive, and kept until they are
//! returned.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use serde_json::Value;

use super::checker::Checker;
use crate::pipe::{ClientEnd, Received};

/// How long a client waits for an event before it takes the server to hang.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) end: ClientEnd,
    pub(super) checker: Checker,
    /// Events that were received and not returned.
    pub(super) events: VecDeque<Value>,
    pub(super) close_code: Option<u16>,
    /// Whether the connection has ended and everything that it carried was received.
    pub(super) closed: bool,
    /// A hash of every byte that was received, over all connections.
    pub(super) transcript: DefaultHasher,
}

impl Inbox {
    pub(super) fn new(end: ClientEnd, checker: Checker) -> Self {
        Self {
            end,
            checker,
            events: VecDeque::new(),
            close_code: None,
            closed: false,
            transcript: DefaultHasher::new(),
        }
    }

    /// Continues over another connection.
    pub(super) fn replace_end(&mut self, end: ClientEnd) {
        self.end = end;
        self.checker.reset_connection();
        self.events.clear();
        self.close_code = None;
        self.closed = false;
    }

    /// The first event that is wanted; `None` if the connection ends before it.
    pub(super) async fn first(&mut self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let mut from = 0;
        loop {
            if let Some(at) = (from..self.events.len()).find(|at| wanted(&self.events[*at])) {
                return self.events.remove(at);
            }
            from = self.events.len();
            if !self.receive().await {
                return None;
            }
        }
    }

    /// Receives one message. False at the end of the connection.
    pub(super) async fn receive(&mut self) -> bool {
        if self.closed {
            return false;
        }
        let received = tokio::time::timeout(RECEIVE_TIMEOUT, self.end.recv()).await;
        match received.expect("an awaited event must arrive") {
            Some(received) => self.accept(&received),
            None => self.closed = true,
        }
        true
    }

    /// Receives what has arrived already.
    pub(super) fn receive_available(&mut self) {
        while let Some(received) = self.end.try_recv() {
            self.accept(&received);
        }
        self.closed |= self.end.is_closed();
    }

    fn accept(&mut self, received: &Received) {
        assert!(
            self.close_code.is_none(),
            "received after the close: {received:?}"
        );
        match received {
            Received::Text(payload) => {
                self.transcript.write(payload);
                let raw = std::str::from_utf8(payload).expect("an event must be UTF-8");
                let event = serde_json::from_str(raw).expect("an event must be JSON");
                self.checker.check(&event, raw);
                self.events.push_back(event);
            }
            Received::Close(code) => {
                self.transcript.write_u16(*code);
                self.close_code = Some(*code);
            }
        }
    }
}
