//! The closing handshake (RFC 6455 §7.1), whichever side starts it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::decoder::Decoded;
use super::heartbeat::Heartbeat;
use super::read_buffer::with_read_buffer;
use super::receiver::Receiver;
use super::write_queue::WriteQueue;
use crate::config::Config;

/// What is left to do once our close frame is queued: write it, wait for the peer's close frame if
/// we sent ours first, shut down our half of the stream, and read until the peer has shut down its
/// half.
///
/// With unread input the kernel would answer the drop of the socket with a reset, and a reset may
/// destroy a close frame that the peer has received and not yet read.
pub(super) struct ClosingHandshake {
    /// Whether the peer's close frame is awaited.
    awaits_close_frame: bool,
    /// Whether the queue is written, with our close frame at its end.
    written: bool,
    /// Whether our half of the stream is shut down.
    shut_down: bool,
    /// Whether the peer's half has ended, or need not be waited for.
    peer_finished: bool,
    /// Bytes of input that may still be drained.
    drain_left: u32,
}

/// Bytes that are drained at most, beside a message of full size that is under way.
const MAX_DRAIN_BYTES: usize = 256 * 1024;

impl ClosingHandshake {
    /// The server sends its close frame first.
    pub(super) fn initiated(config: &Config) -> Self {
        Self {
            awaits_close_frame: true,
            ..Self::answering(config)
        }
    }

    /// The server answers a close frame or a violation.
    pub(super) fn answering(config: &Config) -> Self {
        let drain_left = MAX_DRAIN_BYTES.saturating_add(config.message_bytes);
        Self {
            awaits_close_frame: false,
            written: false,
            shut_down: false,
            peer_finished: false,
            drain_left: u32::try_from(drain_left).unwrap_or(u32::MAX),
        }
    }

    /// How long the whole handshake may take.
    pub(super) fn timeout(&self, config: &Config) -> Duration {
        if self.awaits_close_frame {
            config.close_timeout
        } else {
            config.linger
        }
    }

    pub(super) fn awaits_close_frame(&self) -> bool {
        self.awaits_close_frame
    }

    /// Carries out the handshake. Ready when the connection can be dropped, or when the timer of
    /// `heartbeat` has expired.
    pub(super) fn poll<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        queue: &mut WriteQueue,
        receiver: &mut Receiver,
        heartbeat: &mut Heartbeat,
        config: &Config,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let advanced = self.poll_write_and_shut_down(io, queue, cx);
            let finished = self.shut_down && self.peer_finished;
            if finished || heartbeat.poll_expired(cx).is_ready() {
                return Poll::Ready(());
            }
            if advanced {
                continue;
            }
            if self.peer_finished {
                return Poll::Pending;
            }
            ready!(self.poll_drain(io, receiver, config, cx));
        }
    }

    /// Writes and shuts down what can be now. True if the state has changed.
    fn poll_write_and_shut_down<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        queue: &mut WriteQueue,
        cx: &mut Context<'_>,
    ) -> bool {
        if !self.written {
            let written = queue.poll_write(io, cx);
            self.written = matches!(written, Poll::Ready(Ok(())));
            return self.has_advanced(&written);
        }
        if !self.awaits_close_frame && !self.shut_down {
            let shut_down = Pin::new(io).poll_shutdown(cx);
            self.shut_down = matches!(shut_down, Poll::Ready(Ok(())));
            return self.has_advanced(&shut_down);
        }
        false
    }

    fn has_advanced(&mut self, outcome: &Poll<io::Result<()>>) -> bool {
        if matches!(outcome, Poll::Ready(Err(_))) {
            self.abandon();
        }
        outcome.is_ready()
    }

    /// Nothing more can be sent or received.
    fn abandon(&mut self) {
        *self = Self {
            awaits_close_frame: false,
            written: true,
            shut_down: true,
            peer_finished: true,
            drain_left: 0,
        };
    }

    /// Reads once and discards everything but the peer's close frame. Ready when that may have
    /// changed the state.
    fn poll_drain<IO: AsyncRead + Unpin>(
        &mut self,
        io: &mut IO,
        receiver: &mut Receiver,
        config: &Config,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.awaits_close_frame && self.find_close_frame(receiver) {
            return Poll::Ready(());
        }
        with_read_buffer(|buffer| {
            let mut buf = ReadBuf::new(buffer);
            let read = ready!(Pin::new(io).poll_read(cx, &mut buf));
            let bytes = buf.filled();
            if read.is_err() || bytes.is_empty() {
                self.awaits_close_frame = false;
                self.peer_finished = true;
            } else if self.may_drain(bytes.len()) && self.awaits_close_frame {
                receiver.save(bytes, config, Instant::now());
                self.find_close_frame(receiver);
            }
            Poll::Ready(())
        })
    }

    /// Counts bytes that were read. False when they were too many.
    fn may_drain(&mut self, bytes: usize) -> bool {
        match self.drain_left.checked_sub(bytes as u32) {
            Some(drain_left) => self.drain_left = drain_left,
            None => self.abandon(),
        }
        self.drain_left > 0
    }

    /// Looks for the peer's close frame in what has arrived. True once it need not be waited for
    /// any more.
    fn find_close_frame(&mut self, receiver: &mut Receiver) -> bool {
        let mut control_frames_left = u32::MAX;
        while self.awaits_close_frame {
            match receiver.decode_saved(&mut |_pong| (), &mut control_frames_left) {
                Decoded::Message(_) => {}
                Decoded::NeedInput | Decoded::LimitReached => return false,
                Decoded::Close(_) => {
                    // Both close frames are sent, so the end of the peer's half need not be
                    // waited for.
                    self.awaits_close_frame = false;
                    self.peer_finished = true;
                }
                // The peer may still read our close frame: end our half, and wait for the end of
                // the other.
                Decoded::Violation(_) => self.awaits_close_frame = false,
            }
        }
        true
    }
}
