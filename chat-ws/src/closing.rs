//! The closing handshake (RFC 6455 §7.1), whoever began it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;

use crate::config::Config;
use crate::queue::Queue;
use crate::reading::{Reading, Step};

/// What is left to do once the close frame is queued: write it, wait for the peer's if we were
/// first, shut down our half, and read on until the peer has shut down its own.
///
/// Unread input would make the kernel answer with a reset when the socket is dropped, and that may
/// destroy a close frame that the peer has received and not yet read.
pub(crate) struct Closing {
    /// Whether the peer's close frame is awaited.
    reply: bool,
    written: bool,
    shut: bool,
    /// Whether the peer's half has ended, or needs no waiting for.
    ended: bool,
    /// Bytes of input that are yet put up with.
    patience: u32,
}

/// Bytes that are drained, beside a message of full size under way.
const DRAIN: usize = 256 * 1024;

impl Closing {
    /// The server closes first.
    pub(crate) fn first(config: &Config) -> Self {
        Self {
            reply: true,
            ..Self::answered(config)
        }
    }

    /// The server answers a close frame or a violation.
    pub(crate) fn answered(config: &Config) -> Self {
        let patience = DRAIN.saturating_add(config.message_bytes);
        let patience = u32::try_from(patience).unwrap_or(u32::MAX);
        Self {
            reply: false,
            written: false,
            shut: false,
            ended: false,
            patience,
        }
    }

    /// How long all of it may take.
    pub(crate) fn time(&self, config: &Config) -> Duration {
        if self.reply {
            config.close_timeout
        } else {
            config.linger
        }
    }

    pub(crate) fn awaits_reply(&self) -> bool {
        self.reply
    }

    /// Whether reading may still change something.
    pub(crate) fn reads(&self) -> bool {
        !self.ended
    }

    pub(crate) fn is_over(&self) -> bool {
        self.shut && self.ended
    }

    /// Writes and shuts down what can be now. True if the state has changed.
    pub(crate) fn poll_written<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        queue: &mut Queue,
        cx: &mut Context<'_>,
    ) -> bool {
        if !self.written {
            let written = queue.poll_write(io, cx);
            self.written = matches!(written, Poll::Ready(Ok(())));
            return self.outcome(&written);
        }
        if !self.reply && !self.shut {
            let shut = Pin::new(io).poll_shutdown(cx);
            self.shut = matches!(shut, Poll::Ready(Ok(())));
            return self.outcome(&shut);
        }
        false
    }

    fn outcome(&mut self, poll: &Poll<io::Result<()>>) -> bool {
        if matches!(poll, Poll::Ready(Err(_))) {
            // Nothing more can be said or heard.
            self.give_up();
        }
        poll.is_ready()
    }

    fn give_up(&mut self) {
        *self = Self {
            reply: false,
            written: true,
            shut: true,
            ended: true,
            patience: 0,
        };
    }

    /// The peer's half has ended.
    pub(crate) fn peer_ended(&mut self) {
        self.reply = false;
        self.ended = true;
    }

    /// Counts bytes that were read; false when they were too many.
    pub(crate) fn discard(&mut self, bytes: usize) -> bool {
        match self.patience.checked_sub(bytes as u32) {
            Some(patience) => self.patience = patience,
            None => self.give_up(),
        }
        self.patience > 0
    }

    /// Looks for the peer's close frame in what its parser has kept, or in new `input`. True once
    /// there is nothing more to wait for.
    pub(crate) fn seek_reply(&mut self, reading: &mut Reading, input: Option<&[u8]>) -> bool {
        let (mut pong, mut frames) = (|_: Bytes| (), u32::MAX);
        let mut input = input;
        while self.reply {
            let step = match &mut input {
                Some(input) => reading.step(input, &mut pong, &mut frames),
                None => reading.step_kept(&mut pong, &mut frames),
            };
            match step {
                Step::Message(_) => {}
                Step::More | Step::Enough => return false,
                Step::Close(_) => {
                    // Both have said all: no need to wait for the peer's end.
                    self.reply = false;
                    self.ended = true;
                }
                // It still may read our close frame: end our half, wait for the end of its own.
                Step::Broken(_) => self.reply = false,
            }
        }
        true
    }
}
