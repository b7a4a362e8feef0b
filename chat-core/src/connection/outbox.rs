//! The replies to a connection's own commands, until its transport accepts them.

use crate::protocol::event::Event;
use crate::protocol::frames;
use crate::protocol::message::Sent;
use crate::protocol::{Error, Frames};

/// Encoded replies, in order. Only the connection's own task uses it. While it contains [`FULL`]
/// bytes or more, no command is read, so that plus one reply (at most a page of history) is the
/// bound.
#[derive(Default)]
pub(crate) struct Outbox(Vec<u8>);

impl Outbox {
    pub(crate) fn push(&mut self, event: &Event<'_>) {
        self.reserve();
        frames::push(&mut self.0, event);
    }

    pub(crate) fn push_sent(&mut self, sent: &Sent<'_>) {
        self.reserve();
        frames::push_with(&mut self.0, |out| sent.write(out));
    }

    /// Room for a few replies, most of which are shorter than 160 bytes. Without this the vector
    /// would grow five times on the way.
    fn reserve(&mut self) {
        let more = if self.0.capacity() == 0 { 512 } else { 160 };
        self.0.reserve(more);
    }

    /// Appends events that are encoded already.
    pub(crate) fn push_frames(&mut self, frames: &Frames) {
        self.0.extend_from_slice(frames.as_bytes());
    }

    /// Appends an event with a last field `messages`, spliced from events that are encoded already.
    pub(crate) fn push_with_messages(&mut self, event: &Event<'_>, messages: &[Frames]) {
        frames::push_with(&mut self.0, |out| {
            serde_json::to_writer(&mut *out, event).expect("wire types have string keys");
            out.pop();
            out.extend_from_slice(b",\"messages\":[");
            for (n, message) in messages.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(message.payload());
            }
            out.extend_from_slice(b"]}");
        });
    }

    pub(crate) fn push_error(&mut self, id: Option<u64>, error: &Error) {
        self.push(&Event::Error {
            id,
            code: error.code,
            message: &error.message,
            retry_after_ms: error.retry_after_ms(),
        });
    }

    pub(crate) fn take(&mut self) -> Option<Frames> {
        (!self.0.is_empty()).then(|| Frames::from_pushed(std::mem::take(&mut self.0)))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= FULL
    }
}

const FULL: usize = 64 * 1024;
